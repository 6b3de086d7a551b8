//! Finding members of a tar without unpacking it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, Read, Seek, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use fs_err::File;

use ohoci_files::regular;
use ohoci_image::media_type::Compression;
use ohoci_layer::decompress::MAX_WINDOW_LOG;
use ohoci_layer::limits::{Budget, UnpackLimits};

use super::error::failure;
use super::{Error, ErrorKind};
use ohoci_layout::region::Region;

/// How much of a tar is read that is no content: headers and long names. Room for more than
/// 100 000 members.
const MAX_HEADERS: u64 = 64 << 20;

/// How many links are followed from one member to the next.
const MAX_LINKS: usize = 8;

/// A tar of which it is known where each member lies.
///
/// Members are looked up by name and read in place, so names that would escape from a directory
/// do no harm; those members just cannot be found. A name that two members have is refused when it
/// is asked for: other readers could take the other one.
#[derive(Debug)]
pub(crate) struct TarFile {
    file: Arc<File>,
    members: HashMap<String, Member>,
}

#[derive(Debug)]
enum Member {
    File { offset: u64, length: u64 },
    Link(Option<String>),
    Repeated,
    Other,
}

impl TarFile {
    /// Notes where the members of the tar at `path` lie.
    ///
    /// A tar compressed with gzip or zstd is copied decompressed to a nameless file in the directory
    /// for temporary files first. Anything but a file is refused.
    pub(crate) fn open(path: &Path, label: &str, limits: UnpackLimits) -> Result<Self, Error> {
        let what = || format!("cannot open {label}");
        let mut file = regular::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                Error::new(ErrorKind::NotFound, what(), "there is no such file")
            }
            io::ErrorKind::IsADirectory => Error::new(
                ErrorKind::Unsupported,
                what(),
                "it is a directory, and an archive is a file",
            )
            .hinted("a directory with an OCI layout is oci:DIR"),
            io::ErrorKind::InvalidInput => {
                Error::new(ErrorKind::Unsupported, what(), error.to_string())
            }
            _ => failure(what(), error),
        })?;
        let mut start = [0; 6];
        let count = read_full(&mut file, &mut start).map_err(|error| failure(what(), error))?;
        let start = start.get(..count).unwrap_or_default();
        let compression = match detect(start) {
            Detected::Known(compression) => compression,
            Detected::Foreign(name) => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    what(),
                    format!("it is compressed with {name}"),
                )
                .hinted(format!("decompress it first, with {name} -d")));
            }
        };
        if compression != Compression::None {
            let all = io::Cursor::new(start).chain(file);
            file = spool(all, compression, path, limits).map_err(|error| failure(what(), error))?;
        }
        // The words of the `tar` crate quote what it took for a header, and it may have been led to a
        // file whose content must not be read.
        let broken = "it is no tar, or a broken one";
        Self::scan(file).map_err(|error| match error.kind() {
            io::ErrorKind::Other | io::ErrorKind::InvalidInput => {
                Error::new(ErrorKind::Corrupt, what(), broken)
            }
            io::ErrorKind::UnexpectedEof => {
                Error::new(ErrorKind::Corrupt, what(), format!("{broken}: {error}"))
            }
            _ => failure(what(), error),
        })
    }

    fn scan(mut file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(0))?;
        let mut archive = tar::Archive::new(Metered {
            file,
            left: MAX_HEADERS,
        });
        let mut members = HashMap::new();
        for entry in archive.entries_with_seek()? {
            let entry = entry?;
            let offset = entry.raw_file_position();
            let size = entry.size();
            let name = entry.path_bytes();
            if offset.checked_add(size).is_none_or(|end| end > length) {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!(
                        "it ends in the middle of {:?}",
                        String::from_utf8_lossy(&name)
                    ),
                ));
            }
            let kind = entry.header().entry_type();
            let Some(name) = std::str::from_utf8(&name).ok().and_then(normal) else {
                continue;
            };
            let member = if kind.is_file() || kind.is_contiguous() {
                Member::File {
                    offset,
                    length: size,
                }
            } else if kind.is_symlink() || kind.is_hard_link() {
                // A symbolic link starts at its directory, a hard link at the root of the tar.
                let base = if kind.is_symlink() { name.as_str() } else { "" };
                let target = entry.link_name_bytes();
                let target = target
                    .as_deref()
                    .and_then(|to| std::str::from_utf8(to).ok());
                Member::Link(target.and_then(|to| resolve(base, to)))
            } else if kind.is_dir() {
                continue;
            } else {
                Member::Other
            };
            match members.entry(name) {
                Entry::Vacant(place) => {
                    place.insert(member);
                }
                Entry::Occupied(mut place) => {
                    place.insert(Member::Repeated);
                }
            }
        }
        Ok(Self {
            file: Arc::new(archive.into_inner().file),
            members,
        })
    }

    /// Whether there is a member of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        normal(name).is_some_and(|name| self.members.contains_key(&name))
    }

    /// Where the content of a member lies; links are followed inside the tar.
    pub(crate) fn find(&self, name: &str) -> io::Result<Option<Region>> {
        let broken = |why: &str| {
            Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("member {name:?} {why}"),
            ))
        };
        let Some(mut at) = normal(name) else {
            return broken("would lie outside of the archive");
        };
        for _ in 0..=MAX_LINKS {
            match self.members.get(&at) {
                None if Some(&at) == normal(name).as_ref() => return Ok(None),
                None => return broken("is a link to something that is not in the archive"),
                Some(Member::File { offset, length }) => {
                    return Ok(Some(Region::new(self.file.clone(), *offset, *length)));
                }
                Some(Member::Link(Some(to))) => at.clone_from(to),
                Some(Member::Link(None)) => return broken("is a link out of the archive"),
                Some(Member::Repeated) => return broken("is there more than once"),
                Some(Member::Other) => return broken("is no ordinary file"),
            }
        }
        broken("is a link that leads nowhere")
    }
}

/// The name without `.` and doubled slashes; `None` when it is absolute or empty, or leaves the archive by `..`.
fn normal(name: &str) -> Option<String> {
    if name.starts_with('/') {
        return None;
    }
    let mut parts = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => return None,
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// Where a link at `base` that says `to` leads; `None` when it leads out.
fn resolve(base: &str, to: &str) -> Option<String> {
    if to.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    parts.pop();
    for part in to.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// What the first bytes of a file say about its compression.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Detected {
    /// One that ohoci reads.
    Known(Compression),
    /// One that it does not read, by the name of its tool.
    Foreign(&'static str),
}

/// Looks at the first six bytes, or fewer if there are not more.
pub(crate) fn detect(start: &[u8]) -> Detected {
    match start {
        [0x1f, 0x8b, ..] => Detected::Known(Compression::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Detected::Known(Compression::Zstd),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Detected::Foreign("xz"),
        [b'B', b'Z', b'h', ..] => Detected::Foreign("bzip2"),
        _ => Detected::Known(Compression::None),
    }
}

/// Reads until the buffer is full or the input ends.
pub(crate) fn read_full(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while let Some(rest) = buffer.get_mut(count..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

/// A reader of the decompressed content.
pub(crate) fn decompressed<'a>(
    input: impl Read + 'a,
    compression: Compression,
) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match compression {
        Compression::None => Box::new(input),
        Compression::Gzip => Box::new(MultiGzDecoder::new(input)),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(input)?;
            decoder.window_log_max(MAX_WINDOW_LOG)?;
            Box::new(decoder)
        }
    })
}

fn spool(
    input: impl Read,
    compression: Compression,
    path: &Path,
    limits: UnpackLimits,
) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    let mut content = decompressed(input, compression)?;
    let budget = Budget::new(limits);
    let mut piece = vec![0; 1 << 18];
    loop {
        let count = content
            .read(&mut piece)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::InvalidInput
                | io::ErrorKind::Other => io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("it cannot be decompressed: {error}"),
                ),
                _ => error,
            })?;
        if count == 0 {
            break;
        }
        budget.take_bytes(count as u64)?;
        file.write_all(piece.get(..count).unwrap_or_default())?;
    }
    let shown: PathBuf = path.into();
    Ok(File::from_parts(file, shown))
}

/// A file of which only so much may be read; seeking costs nothing.
#[derive(Debug)]
struct Metered {
    file: File,
    left: u64,
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("its member names and headers have more than {MAX_HEADERS} bytes"),
            )
        })?;
        Ok(count)
    }
}

impl Seek for Metered {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tar::{EntryType, Header};

    fn member(builder: &mut tar::Builder<Vec<u8>>, name: &[u8], kind: EntryType, content: &[u8]) {
        let mut header = Header::new_gnu();
        // `set_path` would refuse the names that this is about.
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(kind);
        header.set_mode(0o644);
        if kind == EntryType::Regular {
            header.set_size(content.len() as u64);
            header.set_cksum();
            builder.append(&header, content).unwrap();
        } else {
            header.as_old_mut().linkname[..content.len()].copy_from_slice(content);
            header.set_size(0);
            header.set_cksum();
            builder.append(&header, io::empty()).unwrap();
        }
    }

    fn open(bytes: &[u8]) -> Result<TarFile, Error> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        TarFile::open(file.path(), "oci-archive:x.tar", UnpackLimits::default())
    }

    fn sample() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let file = EntryType::Regular;
        member(&mut builder, b"./a//b", file, b"first");
        member(&mut builder, b"twice", file, b"1");
        member(&mut builder, b"twice", file, b"2");
        member(&mut builder, b"../../escape", file, b"x");
        member(&mut builder, b"/absolute", file, b"x");
        member(&mut builder, b"\xff\xfe", file, b"x");
        member(&mut builder, b"c/link", EntryType::Symlink, b"../a/b");
        member(&mut builder, b"hard", EntryType::Link, b"a/b");
        member(
            &mut builder,
            b"out",
            EntryType::Symlink,
            b"../../etc/passwd",
        );
        member(&mut builder, b"rooted", EntryType::Symlink, b"/etc/passwd");
        member(&mut builder, b"dangling", EntryType::Symlink, b"nothing");
        member(&mut builder, b"ring", EntryType::Symlink, b"ring");
        member(&mut builder, b"pipe", EntryType::Fifo, b"");
        builder.into_inner().unwrap()
    }

    #[test]
    fn members_are_found_and_traps_are_not_followed() {
        let tar = open(&sample()).unwrap();
        for good in ["a/b", "./a/b", "c/link", "hard"] {
            let region = tar.find(good).unwrap().unwrap();
            assert_eq!(region.read_all().unwrap(), "first", "{good}");
        }
        assert!(tar.find("absent").unwrap().is_none());
        assert!(!tar.has("escape") && !tar.has("absolute"));
        for bad in [
            "twice",
            "../../escape",
            "/absolute",
            "out",
            "rooted",
            "dangling",
            "ring",
            "pipe",
        ] {
            assert!(tar.find(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn compressed_tars_are_read_too() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&sample()).unwrap();
        let gzip = gzip.finish().unwrap();
        let zstd = zstd::encode_all(&*sample(), 1).unwrap();
        for bytes in [&gzip, &zstd] {
            let region = open(bytes).unwrap().find("a/b").unwrap().unwrap();
            assert_eq!(region.read_all().unwrap(), "first");
        }
        assert_eq!(
            open(&gzip[..gzip.len() / 2]).unwrap_err().kind(),
            ErrorKind::Corrupt
        );
        let error = open(b"BZh91AY").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.hint().is_some());
    }

    #[test]
    fn broken_tars_are_called_so() {
        let tar = sample();
        assert_eq!(open(&tar[..514]).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(
            open(&[7; 4096]).unwrap_err().kind(),
            ErrorKind::Corrupt,
            "no tar"
        );
        let missing = TarFile::open(
            Path::new("/nonexistent/x.tar"),
            "oci-archive:x",
            UnpackLimits::default(),
        )
        .unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        let directory = tempfile::tempdir().unwrap();
        let error =
            TarFile::open(directory.path(), "oci-archive:x", UnpackLimits::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn a_name_of_gigabytes_does_not_fill_memory() {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..13].copy_from_slice(b"././@LongLink");
        header.set_entry_type(EntryType::GNULongName);
        header.set_size(8 << 30);
        header.set_cksum();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(header.as_bytes()).unwrap();
        file.as_file().set_len(9 << 30).unwrap();
        let error =
            TarFile::open(file.path(), "oci-archive:x", UnpackLimits::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
}
