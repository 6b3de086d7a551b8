//! Zips, read so strictly that no two readers can see different files in them.
//!
//! A zip says everything twice: in front of each file and in a directory at its end. Readers that
//! believe the one and readers that believe the other have been fooled into different files. Here
//! both must say the same, the files must stand one behind the other without overlap or gap, and
//! nothing may stand in front of the first or behind the end.

use std::collections::BTreeSet;
use std::io::{self, BufReader, Read};

use flate2::bufread::DeflateDecoder;
use rawzip::extra_fields::ExtraFieldId;
use rawzip::{
    CompressionMethod, ReaderAt, ZipArchive, ZipArchiveEntryWayfinder, ZipFileHeaderRecord,
    ZipLocator,
};

use super::{ArchiveError, Spool};
use ohoci_layer::path::{MAX_PATH, printable};
use ohoci_layer::{Entry, Kind, LayerPath, Rules, Tree, whiteout};

/// What a zip may ask of us.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most members.
    pub members: u64,
    /// Most bytes in all files together.
    pub total: u64,
}

impl Default for Limits {
    /// 500 000 members, 16 GiB.
    fn default() -> Self {
        Self {
            members: 500_000,
            total: 16 << 30,
        }
    }
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZipKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link; its content is the target.
    Symlink,
}

/// One member.
#[derive(Clone, Debug)]
pub struct ZipMember {
    /// Its path.
    pub path: LayerPath,
    /// What it is.
    pub kind: ZipKind,
    /// Permission bits, where the zip was made on a system that has them.
    pub mode: Option<u32>,
    /// Its size in bytes; what is read is checked against it.
    pub size: u64,
    method: CompressionMethod,
    compressed: u64,
    checksum: u32,
    descriptor: bool,
    start: u64,
    found: ZipArchiveEntryWayfinder,
}

/// A zip whose directory has been checked.
#[derive(Debug)]
pub struct Zip<R> {
    archive: ZipArchive<R>,
    members: Vec<ZipMember>,
}

/// The buffer for names, extra fields and comments, each of which has at most 64 KiB.
const BUFFER: usize = rawzip::MAX_CENTRAL_DIRECTORY_RECORD_SIZE;

impl<R: ReaderAt> Zip<R> {
    /// Reads and checks the directory of a zip that has `length` bytes.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, ambiguous or too large, or has members that are
    /// encrypted, compressed in another way than with deflate, or neither files, directories nor
    /// symlinks.
    pub(crate) fn open(input: R, length: u64, limits: Limits) -> Result<Self, ArchiveError> {
        let mut buffer = vec![0; BUFFER];
        let archive = ZipLocator::new()
            .locate_in_reader(input, &mut buffer, length)
            .map_err(|(_, error)| damaged(&error))?;
        if archive.end_offset() != length {
            return Err(malformed("something stands behind the end of the zip"));
        }
        if archive.entries_hint() > limits.members {
            return Err(malformed("the zip has too many members"));
        }
        let mut members = Vec::new();
        let mut names = BTreeSet::new();
        let mut total = 0_u64;
        let mut entries = archive.entries(&mut buffer);
        let mut local = vec![0; BUFFER];
        while let Some(record) = entries.next_entry().map_err(|error| damaged(&error))? {
            let member = member(&record)?;
            check_local(&archive, &record, &member, &mut local)?;
            total = total.saturating_add(member.size);
            let name = member.path.as_bytes();
            if !names.insert(member.path.clone()) {
                return Err(ArchiveError::member(name, "it is there twice"));
            }
            if total > limits.total || members.len() as u64 >= limits.members {
                let why = format!("with it the zip has more than {} bytes", limits.total);
                return Err(ArchiveError::member(name, why));
            }
            members.push(member);
        }
        if members.len() as u64 != archive.entries_hint() {
            return Err(malformed("the zip has not as many members as it says"));
        }
        check_positions(&archive, &members)?;
        Ok(Self { archive, members })
    }

    /// The members in the order of the directory.
    #[must_use]
    pub(crate) fn members(&self) -> &[ZipMember] {
        &self.members
    }

    /// Reads a member. What comes out has exactly [`ZipMember::size`] bytes and the checksum that
    /// the zip says, or ends in an error.
    ///
    /// # Errors
    /// When the member cannot be found.
    pub(crate) fn reader(&self, member: &ZipMember) -> io::Result<Box<dyn Read + '_>> {
        let entry = self
            .archive
            .get_entry(member.found)
            .map_err(io::Error::other)?;
        let raw = entry.reader();
        Ok(match member.method {
            CompressionMethod::STORE => Box::new(entry.verifying_reader(raw)),
            _ => {
                let decoder = Inflate {
                    decoder: DeflateDecoder::new(BufReader::with_capacity(32 << 10, raw)),
                    compressed: member.compressed,
                };
                Box::new(entry.verifying_reader(decoder))
            }
        })
    }

    /// All members as a tree.
    ///
    /// # Errors
    /// When members contradict each other, or have not the content that the zip says.
    pub(crate) fn tree(&self, spool: &Spool) -> Result<Tree, ArchiveError> {
        let mut tree = Tree::new();
        for member in &self.members {
            let name = member.path.as_bytes();
            let fail = |error: io::Error| ArchiveError::member(name, error.to_string());
            let entry = match member.kind {
                ZipKind::Directory => {
                    Entry::new(Kind::Directory, member.mode.unwrap_or(0o755) | 0o700)
                }
                ZipKind::File => {
                    let content = spool
                        .take(self.reader(member).map_err(fail)?, member.size)
                        .map_err(|error| ArchiveError::spool(name, error))?;
                    Entry::new(Kind::File(content), member.mode.unwrap_or(0o644))
                }
                ZipKind::Symlink => {
                    let mut target = Vec::new();
                    self.reader(member)
                        .map_err(fail)?
                        .read_to_end(&mut target)
                        .map_err(fail)?;
                    if target.is_empty() || target.contains(&0) {
                        let why = "its link target is empty or contains a NUL";
                        return Err(ArchiveError::member(name, why));
                    }
                    Entry::new(Kind::Symlink(target), 0o777)
                }
            };
            tree.insert(member.path.clone(), entry, Rules::Strict)?;
        }
        Ok(tree)
    }
}

/// What the directory says of a member.
fn member(record: &ZipFileHeaderRecord<'_>) -> Result<ZipMember, ArchiveError> {
    let raw = record.file_path();
    let raw = raw.as_bytes();
    let fail = |why: &str| ArchiveError::member(raw, why);
    if std::str::from_utf8(raw).is_err() || (!raw.is_ascii() && !record.flags().is_utf8()) {
        return Err(fail("its name is not said to be UTF-8"));
    }
    let mut fields = record.extra_fields();
    if fields.any(|(id, _)| id == ExtraFieldId::INFO_ZIP_UNICODE_PATH) {
        return Err(fail("it has a second name in an extra field"));
    }
    let name = raw.strip_suffix(b"/").unwrap_or(raw);
    let path = LayerPath::parse(name).map_err(|error| fail(&error.to_string()))?;
    if path.as_bytes() != name || name.contains(&b'\\') {
        return Err(fail("its name is absolute, or written in an unusual way"));
    }
    if whiteout::is_reserved(&path) {
        return Err(fail(
            "a name that begins with `.wh.` would remove files instead of adding one",
        ));
    }
    let flags = record.flags();
    if flags.is_encrypted() || flags.has_strong_encryption() || flags.is_masked() {
        return Err(fail("it is encrypted"));
    }
    let method = record.compression_method();
    if !matches!(
        method,
        CompressionMethod::STORE | CompressionMethod::DEFLATE
    ) {
        return Err(fail("it is compressed in another way than with deflate"));
    }
    let size = record.uncompressed_size_hint();
    let compressed = record.compressed_size_hint();
    if method == CompressionMethod::STORE && size != compressed {
        return Err(fail("it is not compressed, but has two different sizes"));
    }
    let (kind, mode) = kind(record).map_err(|why| fail(&why))?;
    match kind {
        ZipKind::Directory if size > 0 => return Err(fail("a directory cannot have a size")),
        ZipKind::Symlink if size > MAX_PATH as u64 => return Err(fail("its link is too long")),
        _ => {}
    }
    Ok(ZipMember {
        path,
        kind,
        mode,
        size,
        method,
        compressed,
        checksum: record.crc32(),
        descriptor: flags.has_data_descriptor(),
        start: record.local_header_offset(),
        found: record.wayfinder(),
    })
}

/// What a member is, by its name and the file type in the upper half of its attributes.
fn kind(record: &ZipFileHeaderRecord<'_>) -> Result<(ZipKind, Option<u32>), String> {
    /// `S_IFMT` and its values (POSIX `sys/stat.h` on Linux).
    const TYPE: u32 = 0o170_000;
    let unix = matches!(
        record.version_made_by().creator_system(),
        rawzip::CreatorSystem::UNIX | rawzip::CreatorSystem::MACOS
    );
    // Python's zipfile leaves the type out, and the mode as well in some members.
    let attributes = if unix {
        record.external_attributes() >> 16
    } else {
        0
    };
    let mode = Some(attributes & 0o7777).filter(|mode| *mode != 0);
    let kind = match (attributes & TYPE, record.is_dir()) {
        (0 | 0o040_000, true) => ZipKind::Directory,
        (0 | 0o100_000, false) => ZipKind::File,
        (0o120_000, false) => ZipKind::Symlink,
        (0o040_000, false) => return Err("it is a directory without a slash behind".to_owned()),
        (other, true) => {
            return Err(format!("it has a slash behind, but is of type {other:o}"));
        }
        (other, false) => return Err(format!("files of type {other:o} are not supported")),
    };
    Ok((kind, mode))
}

/// What stands in front of a file must say what the directory says.
fn check_local<R: ReaderAt>(
    archive: &ZipArchive<R>,
    record: &ZipFileHeaderRecord<'_>,
    member: &ZipMember,
    buffer: &mut [u8],
) -> Result<(), ArchiveError> {
    let name = record.file_path();
    let fail = |why: &str| ArchiveError::member(name.as_bytes(), why);
    let entry = archive
        .get_entry(record.wayfinder())
        .map_err(|error| fail(&error.to_string()))?;
    let local = entry
        .local_header(buffer)
        .map_err(|error| fail(&error.to_string()))?;
    if local.file_path().as_bytes() != name.as_bytes() {
        let other = printable(local.file_path().as_bytes());
        return Err(fail(&format!("it is called {other:?} in its own header")));
    }
    let (here, there) = (local.flags(), record.flags());
    if local.compression_method() != member.method
        || here.is_encrypted()
        || here.has_data_descriptor() != there.has_data_descriptor()
    {
        return Err(fail(
            "its own header and the directory contradict each other",
        ));
    }
    let said = (
        local.crc32(),
        local.compressed_size_hint(),
        local.uncompressed_size_hint(),
    );
    let known = (record.crc32(), member.compressed, member.size);
    // With a data descriptor, sizes and checksum stand behind the content, zeros in front of it.
    let open = here.has_data_descriptor()
        && (said.0 == 0 || said.0 == known.0)
        && (said.1 == 0 || said.1 == known.1)
        && (said.2 == 0 || said.2 == known.2);
    if said != known && !open {
        return Err(fail("its own header and the directory say different sizes"));
    }
    Ok(())
}

/// Members must stand one behind the other from the very beginning to the directory.
fn check_positions<R: ReaderAt>(
    archive: &ZipArchive<R>,
    members: &[ZipMember],
) -> Result<(), ArchiveError> {
    let mut sorted: Vec<&ZipMember> = members.iter().collect();
    sorted.sort_by_key(|member| member.start);
    let starts = sorted.iter().map(|member| member.start);
    let ends: Vec<u64> = starts.skip(1).chain([archive.directory_offset()]).collect();
    if sorted
        .first()
        .map_or(archive.directory_offset(), |first| first.start)
        != 0
    {
        return Err(malformed("something stands in front of the zip"));
    }
    for (member, next) in sorted.into_iter().zip(ends) {
        let fail = |why: &str| ArchiveError::member(member.path.as_bytes(), why);
        let entry = archive
            .get_entry(member.found)
            .map_err(|error| fail(&error.to_string()))?;
        let (_, end) = entry.compressed_data_range();
        let behind = next
            .checked_sub(end)
            .ok_or_else(|| fail("its content overlaps what stands behind it"))?;
        let mut found = [0; LONGEST_DESCRIPTOR];
        let found = usize::try_from(behind)
            .ok()
            .and_then(|length| found.get_mut(..length))
            .ok_or_else(|| fail("something that is no member stands behind it"))?;
        archive.get_ref().read_exact_at(found, end)?;
        let expected = match member.descriptor {
            true => descriptors(member),
            false => vec![Vec::new()],
        };
        if !expected.iter().any(|expected| expected == found) {
            return Err(fail("what stands behind it does not describe it"));
        }
    }
    Ok(())
}

const LONGEST_DESCRIPTOR: usize = 24;

/// The ways to write a member's data descriptor (APPNOTE 4.3.9): with or without a signature,
/// with sizes of four or eight bytes.
fn descriptors(member: &ZipMember) -> Vec<Vec<u8>> {
    let checksum = member.checksum.to_le_bytes();
    let sizes = [member.compressed, member.size];
    let wide: Vec<u8> = sizes.iter().flat_map(|size| size.to_le_bytes()).collect();
    let narrow: Option<Vec<u8>> = sizes
        .iter()
        .map(|size| u32::try_from(*size).map(u32::to_le_bytes).ok())
        .collect::<Option<Vec<_>>>()
        .map(|sizes| sizes.concat());
    [Some(wide), narrow]
        .into_iter()
        .flatten()
        .flat_map(|sizes| {
            let plain = [checksum.as_slice(), &sizes].concat();
            [[b"PK\x07\x08".as_slice(), &plain].concat(), plain]
        })
        .collect()
}

/// Inflates, and makes sure at the end that nothing compressed is left over.
struct Inflate<R: Read> {
    decoder: DeflateDecoder<BufReader<R>>,
    compressed: u64,
}

impl<R: Read> Read for Inflate<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.decoder.read(buffer)?;
        if count == 0 && !buffer.is_empty() && self.decoder.total_in() != self.compressed {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "something stands behind its compressed content",
            ));
        }
        Ok(count)
    }
}

fn malformed(why: &str) -> ArchiveError {
    ArchiveError::Malformed(why.to_owned())
}

fn damaged(error: &rawzip::Error) -> ArchiveError {
    ArchiveError::Malformed(format!("this is no zip, or it is damaged: {error}"))
}

#[cfg(test)]
pub(crate) mod tests;
