//! Reads tars that others made, one member after the other, and never unpacks them.
//!
//! The layout of a header comes from the `tar` crate. Its iterator is not used: it reads extension
//! headers of any size into memory, breaks binary PAX values at newlines, and reads on where
//! readers are known to disagree (RUSTSEC-2026-0068 and its kin). Where two readers could see two
//! different trees in the same bytes, this one refuses.

mod member;

use std::io::{self, Read};

use tar::Header;

use super::entry::{Entry, Kind};
use super::path::{LayerPath, printable};
use super::pax::{self, Records};
use super::sparse::{self, Next, Sparse};
use super::tar_field;
use super::tree::Rules;
use super::whiteout::Whiteout;

const BLOCK: usize = 512;

/// What a tar may ask of us.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most members.
    pub members: u64,
    /// Most bytes in one member's extension headers.
    pub extension: u64,
    /// Most bytes in all paths, link targets and extended attributes together.
    pub metadata: u64,
}

impl Limits {
    /// For those who count members and names against a [`Budget`](super::limits::Budget).
    #[must_use]
    pub fn of_budget() -> Self {
        Self {
            members: u64::MAX,
            metadata: u64::MAX,
            ..Self::default()
        }
    }
}

impl Default for Limits {
    /// Two million members, 1 MiB per extension header (Linux allows 64 KiB of names and values
    /// of extended attributes each), 512 MiB in all.
    fn default() -> Self {
        Self {
            members: 2_000_000,
            extension: 1 << 20,
            metadata: 512 << 20,
        }
    }
}

/// One member: where it stands and what it is. A file's content is its size in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its path.
    pub path: LayerPath,
    /// What it is.
    pub entry: Entry<u64>,
    /// What it removes, if it is a whiteout.
    pub whiteout: Option<Whiteout>,
    /// Where its header starts in the tar, in bytes; extension headers stand before that.
    pub offset: u64,
    /// Whether its path began with a slash, which is taken to be the same path without it.
    pub is_absolute: bool,
}

impl Member {
    /// How many bytes its names and values have: those of its path, of what it links to, and of its
    /// extended attributes.
    #[must_use]
    pub fn names(&self) -> u64 {
        let link = match &self.entry.kind {
            Kind::Hardlink(target) => target.as_bytes().len(),
            Kind::Symlink(target) => target.len(),
            _ => 0,
        };
        let attributes = self.entry.xattrs.iter();
        let attributes: usize = attributes
            .map(|(name, value)| name.len() + value.len())
            .sum();
        (self.path.as_bytes().len() + link + attributes) as u64
    }

    /// The error that this member is at fault, for `reason`.
    #[must_use]
    pub fn refused(&self, reason: impl Into<String>) -> TarError {
        TarError::Malformed {
            offset: self.offset,
            path: Some(self.path.to_string()),
            reason: reason.into(),
        }
    }
}

/// Why a tar cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// Reading it failed, or decompressing it.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no tar that all readers would take for the same files.
    #[error("{}", describe(*.offset, .path.as_deref(), .reason))]
    Malformed {
        /// Where the member's header starts, in bytes.
        offset: u64,
        /// The member's path, where it is known.
        path: Option<String>,
        /// What is wrong.
        reason: String,
    },
}

fn describe(offset: u64, path: Option<&str>, reason: &str) -> String {
    match path {
        Some(path) => format!("tar member {path} (at byte {offset}): {reason}"),
        None => format!("tar at byte {offset}: {reason}"),
    }
}

/// Reads the members of an uncompressed tar.
///
/// It is itself a reader: of the content of the member that [`TarReader::next_member`] returned
/// last. What is left of it is skipped by the next call.
#[derive(Debug)]
pub struct TarReader<R> {
    input: R,
    rules: Rules,
    limits: Limits,
    position: u64,
    header_at: u64,
    /// The member that was returned last.
    current: Option<LayerPath>,
    content: u64,
    padding: u64,
    /// Where the holes of the current member are, if it has any.
    sparse: Option<Sparse>,
    /// Bytes of holes so far.
    holes: u64,
    members: u64,
    metadata: u64,
    done: bool,
}

/// What extension headers say about the member behind them.
#[derive(Default)]
struct Extensions {
    pax: Option<Records>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl<R: Read> TarReader<R> {
    /// A reader of the tar that starts where `input` stands.
    ///
    /// With [`Rules::Strict`], the tar must end as POSIX says (two blocks of zeros, then at most
    /// more zeros), and whiteouts must be empty files. With [`Rules::Foreign`] it may simply stop
    /// behind a member, as runtimes allow; what stands behind its end is read and ignored.
    pub fn new(input: R, rules: Rules, limits: Limits) -> Self {
        Self {
            input,
            rules,
            limits,
            position: 0,
            header_at: 0,
            current: None,
            content: 0,
            padding: 0,
            sparse: None,
            holes: 0,
            members: 0,
            metadata: 0,
            done: false,
        }
    }

    /// The input, to be asked about what was read; every byte of it has been read once
    /// [`TarReader::next_member`] has returned `None`.
    pub fn into_inner(self) -> R {
        self.input
    }

    /// Goes to the next member; `None` at the end.
    ///
    /// # Errors
    /// See [`TarError`]. The reader cannot be used further.
    pub fn next_member(&mut self) -> Result<Option<Member>, TarError> {
        loop {
            self.skip_content()?;
            if self.done {
                return Ok(None);
            }
            let Some((header, extensions)) = self.next_header()? else {
                self.done = true;
                return Ok(None);
            };
            self.members += 1;
            if self.members > self.limits.members {
                return Err(self.malformed(None, "it has too many members"));
            }
            let member = self.member(&header, extensions)?;
            self.current = member.as_ref().map(|member| member.path.clone());
            if member.is_some() {
                return Ok(member);
            }
        }
    }

    fn malformed(&self, path: Option<&[u8]>, reason: impl Into<String>) -> TarError {
        TarError::Malformed {
            offset: self.header_at,
            path: path.map(printable),
            reason: reason.into(),
        }
    }

    fn cut_off(&self) -> TarError {
        let path = self.current.as_ref().map(ToString::to_string);
        let path = path.as_ref().map(String::as_bytes);
        self.malformed(path, "it ends inside this member: cut off?")
    }

    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.input.read(rest) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.position += filled as u64;
        Ok(filled)
    }

    fn skip_content(&mut self) -> Result<(), TarError> {
        let mut left = self.content.saturating_add(self.padding);
        self.content = 0;
        self.padding = 0;
        self.sparse = None;
        let mut buffer = [0; 32 << 10];
        while left > 0 {
            let wanted = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            let filled = self.fill(buffer.get_mut(..wanted).unwrap_or_default())?;
            if filled < wanted {
                return Err(self.cut_off());
            }
            left -= filled as u64;
        }
        Ok(())
    }

    /// The next header that is not an extension, with the extensions in front of it.
    fn next_header(&mut self) -> Result<Option<(Header, Extensions)>, TarError> {
        let mut extensions = Extensions::default();
        let mut pending = false;
        loop {
            self.header_at = self.position;
            let mut header = Header::new_old();
            match self.fill(header.as_mut_bytes())? {
                0 if pending => {
                    return Err(self.malformed(None, "it ends behind an extension header"));
                }
                0 if self.rules == Rules::Foreign && self.position > 0 => return Ok(None),
                0 if self.position == 0 => return Err(self.malformed(None, "it is empty")),
                0 => {
                    return Err(self.malformed(None, "it ends without an end marker: cut off?"));
                }
                BLOCK => {}
                _ => return Err(self.malformed(None, "it ends inside a header: cut off?")),
            }
            if header.as_bytes().iter().all(|byte| *byte == 0) {
                if pending {
                    return Err(self.malformed(None, "it ends behind an extension header"));
                }
                self.read_end()?;
                return Ok(None);
            }
            self.check(&header)?;
            let size = self.number(&header.as_old().size, "size")?;
            let twice = "it has two extension headers of the same kind";
            match header.as_old().linkflag {
                [b'x'] => {
                    let data = self.extension(size)?;
                    let records = pax::parse(&data).map_err(|why| self.malformed(None, why))?;
                    if extensions.pax.replace(records).is_some() {
                        return Err(self.malformed(None, twice));
                    }
                }
                [b'g'] => {
                    let data = self.extension(size)?;
                    // GNU tar applies global headers, Go and so container runtimes ignore them.
                    // `git archive` writes one with its commit as comment. In what is not meant for
                    // runtimes alone, names and sizes have to be the same for every reader.
                    if self.rules == Rules::Strict {
                        let records = pax::parse(&data).map_err(|why| self.malformed(None, why))?;
                        let names = [&b"path"[..], b"linkpath", b"size"];
                        let differs = |key: &Vec<u8>| {
                            names.contains(&key.as_slice()) || key.starts_with(sparse::PREFIX)
                        };
                        if records.keys().any(differs) {
                            return Err(self.malformed(
                                None,
                                "it has a global PAX header, which some readers apply and others ignore",
                            ));
                        }
                    }
                    // It says nothing of the member behind it, and may be the last of all.
                    continue;
                }
                [b'L'] => {
                    let data = self.extension(size)?;
                    if extensions
                        .long_name
                        .replace(tar_field::until_nul(&data))
                        .is_some()
                    {
                        return Err(self.malformed(None, twice));
                    }
                }
                [b'K'] => {
                    let data = self.extension(size)?;
                    if extensions
                        .long_link
                        .replace(tar_field::until_nul(&data))
                        .is_some()
                    {
                        return Err(self.malformed(None, twice));
                    }
                }
                _ => return Ok(Some((header, extensions))),
            }
            pending = true;
        }
    }

    fn check(&self, header: &Header) -> Result<(), TarError> {
        if !tar_field::has_right_checksum(header) {
            let reason = if self.position == BLOCK as u64 {
                "this is no tar: its first header has a wrong checksum"
            } else {
                "the header has a wrong checksum"
            };
            return Err(self.malformed(None, reason));
        }
        let magic = header.as_bytes().get(257..263).unwrap_or_default();
        if magic == b"ustar\0" && header.as_ustar().is_none() {
            return Err(self.malformed(None, "the header has an unknown version"));
        }
        Ok(())
    }

    /// The whole content of an extension header.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        if size > self.limits.extension {
            return Err(self.malformed(
                None,
                format!("its extension header has {size} bytes, which is too many"),
            ));
        }
        let mut data = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
        if self.fill(&mut data)? < data.len() {
            return Err(self.malformed(None, "it ends inside an extension header: cut off?"));
        }
        self.padding = padding(size);
        self.skip_content()?;
        Ok(data)
    }

    /// Everything behind the first block of zeros.
    fn read_end(&mut self) -> Result<(), TarError> {
        let mut buffer = [0; 32 << 10];
        let mut behind = 0;
        loop {
            let filled = self.fill(&mut buffer)?;
            if filled == 0 {
                break;
            }
            behind += filled;
            let read = buffer.get(..filled).unwrap_or_default();
            if self.rules == Rules::Strict && read.iter().any(|byte| *byte != 0) {
                return Err(self.malformed(None, "something stands behind its end"));
            }
        }
        if self.rules == Rules::Strict && behind < BLOCK {
            return Err(self.malformed(None, "its end marker is incomplete: cut off?"));
        }
        Ok(())
    }
}

impl<R: Read> TarReader<R> {
    /// Reads of the current member as it is stored.
    fn read_stored(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.content)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let buffer = buffer.get_mut(..wanted).unwrap_or_default();
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.input.read(buffer)?;
        if count == 0 {
            let error = self.cut_off();
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, error));
        }
        self.position += count as u64;
        self.content -= count as u64;
        Ok(count)
    }
}

impl<R: Read> Read for TarReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(sparse) = &self.sparse else {
            return self.read_stored(buffer);
        };
        let within = |count: u64| {
            usize::try_from(count)
                .unwrap_or(usize::MAX)
                .min(buffer.len())
        };
        let count = match sparse.next() {
            Next::End => 0,
            Next::Zeros(count) => {
                let count = within(count);
                buffer.get_mut(..count).unwrap_or_default().fill(0);
                count
            }
            Next::Data(count) => {
                let count = within(count);
                self.read_stored(buffer.get_mut(..count).unwrap_or_default())?
            }
        };
        if let Some(sparse) = &mut self.sparse {
            sparse.advance(count as u64);
        }
        Ok(count)
    }
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

#[cfg(test)]
mod tests;
