//! What stands at a path: a file, a directory, a link, with its attributes.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::beneath::Directory;
use super::path::LayerPath;

/// How much is read at once where a content is copied.
const COPIED_AT_ONCE: usize = 256 << 10;

/// One entry of a tree or a tar, without its path.
///
/// `C` is what stands for a file's content: [`Content`] where it can be read, its size in bytes
/// where only headers are of interest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<C = Content> {
    /// What it is.
    pub kind: Kind<C>,
    /// Permission bits with setuid, setgid and sticky: the low twelve bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time in seconds since 1970.
    pub mtime: i64,
    /// Extended attributes by their full name (`security.capability`).
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// The kinds of entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind<C = Content> {
    /// A regular file.
    File(C),
    /// A directory.
    Directory,
    /// A symbolic link to these bytes, which are followed inside the container only.
    Symlink(Vec<u8>),
    /// Another name for what stands at this path.
    Hardlink(LayerPath),
    /// A character device.
    CharDevice(Device),
    /// A block device.
    BlockDevice(Device),
    /// A named pipe.
    Fifo,
}

/// The numbers of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Which driver.
    pub major: u32,
    /// Which of the driver's devices.
    pub minor: u32,
}

impl<C> Entry<C> {
    /// An entry that belongs to root, dated 1970, without extended attributes.
    #[must_use]
    pub fn new(kind: Kind<C>, mode: u32) -> Self {
        Self {
            kind,
            mode,
            uid: 0,
            gid: 0,
            mtime: 0,
            xattrs: BTreeMap::new(),
        }
    }

    /// The same entry with its content, if it has one, replaced.
    pub fn map_content<D>(self, replace: impl FnOnce(C) -> D) -> Entry<D> {
        let replaced: Result<_, std::convert::Infallible> =
            self.try_map_content(|content| Ok(replace(content)));
        match replaced {
            Ok(entry) => entry,
            Err(never) => match never {},
        }
    }

    /// The same, where replacing may fail.
    ///
    /// # Errors
    /// When it does.
    pub(crate) fn try_map_content<D, E>(
        self,
        replace: impl FnOnce(C) -> Result<D, E>,
    ) -> Result<Entry<D>, E> {
        let kind = match self.kind {
            Kind::File(content) => Kind::File(replace(content)?),
            Kind::Directory => Kind::Directory,
            Kind::Symlink(target) => Kind::Symlink(target),
            Kind::Hardlink(target) => Kind::Hardlink(target),
            Kind::CharDevice(device) => Kind::CharDevice(device),
            Kind::BlockDevice(device) => Kind::BlockDevice(device),
            Kind::Fifo => Kind::Fifo,
        };
        Ok(Entry {
            kind,
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            mtime: self.mtime,
            xattrs: self.xattrs,
        })
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory)
    }
}

impl<C> Kind<C> {
    /// What a person calls it.
    #[must_use]
    pub fn noun(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Directory => "directory",
            Self::Symlink(_) => "symlink",
            Self::Hardlink(_) => "hard link",
            Self::CharDevice(_) => "character device",
            Self::BlockDevice(_) => "block device",
            Self::Fifo => "named pipe",
        }
    }
}

/// The bytes of a file, wherever they are.
#[derive(Clone, Debug)]
pub enum Content {
    /// In memory.
    Memory(Bytes),
    /// A whole file on disk, which had this many bytes when it was found.
    File {
        /// A directory that it is below.
        directory: Arc<Directory>,
        /// Where it is there. A symlink in its place or above it is not followed.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
    /// A part of an open file: of a spool or of an uncompressed tar.
    Region {
        /// The open file.
        file: Arc<fs_err::File>,
        /// Where the content starts in it.
        offset: u64,
        /// How many bytes it has.
        size: u64,
    },
}

impl Content {
    /// The number of bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File { size, .. } | Self::Region { size, .. } => *size,
        }
    }

    /// Opens the content. The reader yields exactly [`Content::size`] bytes, or fails: when the
    /// file has become longer or shorter, too.
    ///
    /// # Errors
    /// When the file cannot be opened, or is no longer the regular file that was found.
    pub fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        match self {
            Self::Memory(bytes) => Ok(Box::new(bytes.as_ref())),
            Self::File {
                directory,
                path,
                size,
            } => {
                let file = directory.open_file(path)?;
                if file.metadata()?.len() != *size {
                    return Err(changed(file.path()));
                }
                Ok(Box::new(WholeFile { file, left: *size }))
            }
            Self::Region { file, offset, size } => Ok(Box::new(Region {
                file,
                position: *offset,
                left: *size,
            })),
        }
    }

    /// Writes the content, all of it, in few large pieces: most files are one.
    ///
    /// # Errors
    /// As [`Content::open`] and its reader, and when it cannot be written.
    pub fn write_to(&self, output: &mut impl Write) -> io::Result<()> {
        if let Self::Memory(bytes) = self {
            return output.write_all(bytes);
        }
        let size = usize::try_from(self.size()).unwrap_or(usize::MAX);
        let mut buffer = vec![0; size.clamp(1, COPIED_AT_ONCE)];
        let mut input = self.open()?;
        loop {
            let count = match input.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            output.write_all(buffer.get(..count).unwrap_or_default())?;
        }
    }
}

fn changed(path: &std::path::Path) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{} changed while it was read", path.display()),
    )
}

struct WholeFile {
    file: fs_err::File,
    left: u64,
}

impl Read for WholeFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.file.read(buffer)?;
        // Reading on where the content should end tells a file that has grown.
        match self.left.checked_sub(count as u64) {
            Some(left) if count > 0 || left == 0 => {
                self.left = left;
                Ok(count)
            }
            _ => Err(changed(self.file.path())),
        }
    }
}

struct Region<'a> {
    file: &'a fs_err::File,
    position: u64,
    left: u64,
}

impl Read for Region<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let buffer = buffer.get_mut(..wanted).unwrap_or_default();
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.file.file().read_at(buffer, self.position)?;
        if count == 0 {
            return Err(changed(self.file.path()));
        }
        self.position += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changes_size_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs_err::write(&path, b"12345").unwrap();
        let opened = Arc::new(Directory::open(directory.path()).unwrap());
        let content = |size| Content::File {
            directory: Arc::clone(&opened),
            path: "file".into(),
            size,
        };
        assert!(content(4).open().is_err());
        assert!(content(6).open().is_err());
        let exact = content(5);
        let mut read = Vec::new();
        exact.open().unwrap().read_to_end(&mut read).unwrap();
        assert_eq!(read, b"12345");
        let mut written = Vec::new();
        exact.write_to(&mut written).unwrap();
        assert_eq!(written, b"12345");
        for false_size in [4, 6] {
            assert!(content(false_size).write_to(&mut Vec::new()).is_err());
        }

        let mut reader = exact.open().unwrap();
        fs_err::write(&path, b"1234567890").unwrap();
        assert!(reader.read_to_end(&mut Vec::new()).is_err());
        fs_err::write(&path, b"12345").unwrap();
        let mut reader = exact.open().unwrap();
        fs_err::write(&path, b"123").unwrap();
        assert!(reader.read_to_end(&mut Vec::new()).is_err());
    }

    #[test]
    fn a_symlink_that_took_a_files_place_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("target");
        fs_err::write(&target, b"12345").unwrap();
        fs_err::os::unix::fs::symlink(&target, directory.path().join("link")).unwrap();
        let content = Content::File {
            directory: Arc::new(Directory::open(directory.path()).unwrap()),
            path: "link".into(),
            size: 5,
        };
        assert!(content.open().is_err());
    }
}
