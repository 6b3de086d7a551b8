//! A layer's files in a directory that can be a lower directory of an overlay.
//!
//! Contents are written first, each into a file of its own in a flat directory, and moved to their
//! places when the whole layer has been read: until then its tree is only in memory, and nothing that
//! it says can lead anywhere. Devices are left out, which a sandbox brings its own of, and so are
//! setuid and setgid, which would lend the rights of whoever unpacks to anybody on this machine.
//! Everything belongs to whoever unpacks.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, Read, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use flate2::Crc;
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps, XattrFlags, chmodat,
    fchmod, fsetxattr, futimens, linkat, mkdirat, mknodat, openat, renameat, symlinkat, utimensat,
};
use rustix::io::Errno;

use ohoci_layer::{Changes, Entry, Kind, LayerPath};
use ohoci_sandbox::merged::OPAQUE;

use super::index::{Index, ListedKind};
use super::record::{Dependent, Record, VERSION, as_path};

/// Permission bits that are written.
pub(crate) const MODE: u32 = 0o1777;

/// What overlays keep for themselves: a layer that could set it would hide or move what is not its.
const RESERVED: &[u8] = b"user.overlay.";

/// How file systems count: in blocks of so many bytes.
pub(crate) const BLOCK: u64 = 4096;

/// A file's content that waits for its place.
#[derive(Clone, Debug)]
pub(crate) struct Staged {
    name: String,
    size: u64,
    checksum: u32,
}

impl Staged {
    /// Its size in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }
}

/// The flat directory in which contents wait.
#[derive(Debug)]
pub(crate) struct Staging {
    directory: OwnedFd,
    count: u64,
    buffer: Vec<u8>,
}

impl Staging {
    /// One in a directory that is there and has no other use.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            directory: openat(CWD, directory, flags, Mode::empty())?,
            count: 0,
            buffer: vec![0; 128 << 10],
        })
    }

    /// Takes a file's content, with its permissions, dates and attributes.
    pub(crate) fn take(
        &mut self,
        entry: &Entry<u64>,
        size: u64,
        input: &mut dyn Read,
    ) -> io::Result<Staged> {
        let name = self.count.to_string();
        self.count += 1;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(&self.directory, &name, flags, Mode::RUSR | Mode::WUSR)?;
        let mut file = std::fs::File::from(file);
        let mut checksum = Crc::new();
        let mut left = size;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX);
            let most = most.min(self.buffer.len());
            let count = input.read(self.buffer.get_mut(..most).unwrap_or_default())?;
            let piece = self.buffer.get(..count).unwrap_or_default();
            if piece.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            checksum.update(piece);
            file.write_all(piece)?;
            left = left.saturating_sub(count as u64);
        }
        set_attributes(file.as_fd(), entry)?;
        fchmod(&file, Mode::from_raw_mode(entry.mode & MODE))?;
        futimens(&file, &dates(entry.mtime))?;
        Ok(Staged {
            name,
            size,
            checksum: checksum.sum(),
        })
    }
}

/// What could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}: {error}")]
pub(crate) struct WriteError {
    action: &'static str,
    path: LayerPath,
    error: io::Error,
}

impl WriteError {
    /// Why.
    pub(crate) fn kind(&self) -> io::ErrorKind {
        self.error.kind()
    }
}

fn failed<C>(action: &'static str, path: &LayerPath) -> impl FnOnce(C) -> WriteError
where
    io::Error: From<C>,
{
    let path = path.clone();
    move |error| WriteError {
        action,
        path,
        error: error.into(),
    }
}

/// Writes a layer into the directory `files`, which is empty, its list beside it into `directory`, and
/// says what of it depends on those below it. `proceed` is asked before every entry.
///
/// # Errors
/// When something cannot be written.
pub(crate) fn write(
    changes: &Changes<Staged>,
    staging: &Staging,
    directory: &Path,
    files: &Path,
    proceed: &dyn Fn() -> bool,
) -> Result<(Record, Dependent), WriteError> {
    let root = LayerPath::root();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut writer = Writer {
        root: openat(CWD, files, flags, Mode::empty()).map_err(failed("open", &root))?,
        staging,
        parent: None,
        first: HashMap::new(),
        dependent: Dependent::default(),
        index: Index::create(directory).map_err(failed("list", &root))?,
        bytes: 0,
        entries: 0,
    };
    for (path, entry) in changes.added() {
        if !proceed() {
            let stopped = io::Error::from(io::ErrorKind::Interrupted);
            return Err(failed("go on with", path)(stopped));
        }
        if !path.is_root() {
            writer.add(path, entry)?;
        }
    }
    for path in changes.removed() {
        writer.remove(path)?;
    }
    for path in changes.opaque() {
        writer.hide_below(path)?;
    }
    writer.finish(changes)
}

struct Writer<'a> {
    root: OwnedFd,
    staging: &'a Staging,
    /// The directory that was written into last: entries mostly come many to a directory.
    parent: Option<(LayerPath, OwnedFd)>,
    /// Where entries that have several names were written first.
    first: HashMap<*const Entry<Staged>, LayerPath>,
    dependent: Dependent,
    index: Index,
    bytes: u64,
    entries: u64,
}

impl Writer<'_> {
    fn add(&mut self, path: &LayerPath, entry: &Arc<Entry<Staged>>) -> Result<(), WriteError> {
        if let Kind::CharDevice(_) | Kind::BlockDevice(_) = entry.kind {
            return Ok(());
        }
        if let Kind::Hardlink(target) = &entry.kind {
            self.dependent.links.push((path.clone(), target.clone()));
            return Ok(());
        }
        let parent = self.parent_of(path)?;
        let kind = self.add_to(parent.as_fd(), path, entry)?;
        self.parent = Some((path.parent().unwrap_or_default(), parent));
        self.list(path, &kind)
    }

    fn list(&mut self, path: &LayerPath, kind: &ListedKind) -> Result<(), WriteError> {
        self.entries += 1;
        self.index.add(path, kind).map_err(failed("list", path))
    }

    fn add_to(
        &mut self,
        parent: BorrowedFd<'_>,
        path: &LayerPath,
        entry: &Arc<Entry<Staged>>,
    ) -> Result<ListedKind, WriteError> {
        let name = OsStr::from_bytes(path.name());
        let mode = entry.mode & MODE;
        let kind = match &entry.kind {
            Kind::Directory => {
                self.bytes += BLOCK;
                mkdirat(parent, name, Mode::RWXU).map_err(failed("make directory", path))?;
                return Ok(ListedKind::Directory { mode });
            }
            Kind::File(staged) => ListedKind::File {
                size: staged.size,
                mode,
                checksum: staged.checksum,
            },
            Kind::Symlink(target) => ListedKind::Symlink {
                checksum: checksum_of(target),
            },
            _ => ListedKind::Fifo,
        };
        if let Some(first) = self.first.get(&Arc::as_ptr(entry)) {
            let holder = first.parent().unwrap_or_default();
            let holder = self.open(&holder).map_err(failed("open", &holder))?;
            let first = OsStr::from_bytes(first.name());
            linkat(&holder, first, parent, name, AtFlags::empty())
                .map_err(failed("make hard link", path))?;
            return Ok(kind);
        }
        match &entry.kind {
            Kind::File(staged) => {
                self.bytes += staged.size.next_multiple_of(BLOCK);
                renameat(&self.staging.directory, &staged.name, parent, name)
                    .map_err(failed("make file", path))?;
            }
            Kind::Symlink(target) => {
                symlinkat(OsStr::from_bytes(target), parent, name)
                    .map_err(failed("make symlink", path))?;
                utimensat(parent, name, &dates(entry.mtime), AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(failed("date", path))?;
            }
            _ => {
                let mode = Mode::from_raw_mode(mode);
                mknodat(parent, name, FileType::Fifo, mode, 0)
                    // Again, because the process masks what it makes.
                    .and_then(|()| chmodat(parent, name, mode, AtFlags::empty()))
                    .map_err(failed("make named pipe", path))?;
                utimensat(parent, name, &dates(entry.mtime), AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(failed("date", path))?;
            }
        }
        if Arc::strong_count(entry) > 1 {
            self.first.insert(Arc::as_ptr(entry), path.clone());
        }
        Ok(kind)
    }

    /// Hides what the layers below have at a path.
    fn remove(&mut self, path: &LayerPath) -> Result<(), WriteError> {
        let parent = self.parent_of(path)?;
        let name = OsStr::from_bytes(path.name());
        mknodat(&parent, name, FileType::CharacterDevice, Mode::empty(), 0)
            .map_err(failed("make whiteout", path))?;
        self.list(path, &ListedKind::Whiteout)
    }

    /// Hides what the layers below have in a directory.
    fn hide_below(&mut self, path: &LayerPath) -> Result<(), WriteError> {
        let directory = self.directory(path)?;
        fsetxattr(&directory, OPAQUE, b"y", XattrFlags::empty())
            .map_err(failed("make opaque", path))
    }

    fn finish(mut self, changes: &Changes<Staged>) -> Result<(Record, Dependent), WriteError> {
        // Last and from the bottom up: what a directory holds changes its date, and a read-only
        // directory takes nothing more.
        self.dependent.implied.sort();
        let implied = std::mem::take(&mut self.dependent.implied);
        let mut directories: Vec<(&LayerPath, u32, i64)> = changes
            .added()
            .iter()
            .filter(|(_, entry)| entry.is_directory())
            .map(|(path, entry)| (path, entry.mode & MODE, entry.mtime))
            .chain(implied.iter().map(|path| (path, 0o755, 0)))
            .collect();
        directories.sort();
        for (path, mode, mtime) in directories.into_iter().rev() {
            let directory = self.open(path).map_err(failed("open", path))?;
            if let Some(entry) = changes.added().get(path) {
                set_attributes(directory.as_fd(), entry).map_err(failed("describe", path))?;
            }
            fchmod(&directory, Mode::from_raw_mode(mode))
                .map_err(failed("set permissions of", path))?;
            futimens(&directory, &dates(mtime)).map_err(failed("date", path))?;
        }
        let root = LayerPath::root();
        let root_mode = changes.added().get(&root).map(|entry| entry.mode & MODE);
        if root_mode.is_none() {
            fchmod(&self.root, Mode::from_raw_mode(0o755))
                .map_err(failed("set permissions of", &root))?;
        }
        self.index.finish().map_err(failed("list", &root))?;
        self.dependent.implied = implied;
        let record = Record {
            version: VERSION,
            bytes: self.bytes,
            entries: self.entries,
            root_mode,
        };
        Ok((record, self.dependent))
    }

    fn parent_of(&mut self, path: &LayerPath) -> Result<OwnedFd, WriteError> {
        let above = path.parent().unwrap_or_default();
        match self.parent.take() {
            Some((known, parent)) if known == above => Ok(parent),
            _ => self.directory(&above),
        }
    }

    /// Opens a directory of the layer, and makes it where it is only implied.
    fn directory(&mut self, path: &LayerPath) -> Result<OwnedFd, WriteError> {
        match self.open(path) {
            Err(Errno::NOENT) => {}
            opened => return opened.map_err(failed("open directory", path)),
        }
        let parent = self.directory(&path.parent().unwrap_or_default())?;
        let name = OsStr::from_bytes(path.name());
        mkdirat(&parent, name, Mode::RWXU).map_err(failed("make directory", path))?;
        self.bytes += BLOCK;
        self.dependent.implied.push(path.clone());
        self.list(path, &ListedKind::Directory { mode: 0o755 })?;
        self.open(path).map_err(failed("open directory", path))
    }

    fn open(&self, path: &LayerPath) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let path = match path.is_root() {
            true => Path::new("."),
            false => as_path(path),
        };
        ohoci_layer::beneath::open(self.root.as_fd(), path, flags, Mode::empty(), resolve)
    }
}

/// Sets the attributes that anybody may set, where the file system has them: others say something to
/// the kernel, and need rights.
fn set_attributes<C>(file: BorrowedFd<'_>, entry: &Entry<C>) -> io::Result<()> {
    for (name, value) in &entry.xattrs {
        if !name.starts_with(b"user.") || name.starts_with(RESERVED) {
            continue;
        }
        match fsetxattr(file, OsStr::from_bytes(name), value, XattrFlags::empty()) {
            // What there is no room for, or no place at all, is not there.
            Ok(()) | Err(Errno::NOTSUP | Errno::NOSPC | Errno::RANGE | Errno::TOOBIG) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// The CRC-32 of bytes.
pub(crate) fn checksum_of(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// The dates of something that was changed last at a time, in seconds since 1970.
pub(crate) fn dates(mtime: i64) -> Timestamps {
    let time = Timespec {
        tv_sec: mtime,
        tv_nsec: 0,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}
