//! Writes a tree into a directory, as whoever runs it may.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, chownat, fchmod,
    futimens, linkat, mkdirat, mknodat, openat, openat2, symlinkat, utimensat,
};
use rustix::io::Errno;

use ohoci_layer::tree::TreeError;
use ohoci_layer::{Content, Directory, Entry, Kind, LayerPath, Tree};

/// Permission bits that are written: setuid and setgid are not, because outside of a sandbox they
/// would lend the rights of whoever unpacked to every user of this machine.
const MODE: u32 = 0o1777;

/// How many entries a thread takes at once: neighbours are mostly in one directory.
const TAKEN_AT_ONCE: usize = 64;

/// Most threads that write one tree. More would wait for the same file system's journal.
const MOST_THREADS: usize = 4;

/// Who owns what is unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// Whoever unpacks; what the tree says is ignored. The only choice of an ordinary user, and the
    /// right one for a sandbox, in which there is one user.
    Own,
    /// Those that the tree says. Needs to be root.
    Recorded,
}

/// What was left out on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Devices, which only root can make and which a sandbox brings its own of.
    pub devices: Vec<LayerPath>,
}

/// Why a tree cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// Something could not be written.
    #[error("cannot {action} {path}: {error}")]
    Write {
        /// What was being done.
        action: &'static str,
        /// To what, in the tree.
        path: LayerPath,
        /// Why it failed.
        #[source]
        error: io::Error,
    },
    /// The tree contradicts itself.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The caller no longer wants it.
    #[error("it was interrupted")]
    Stopped,
}

/// Writes a tree into an empty directory.
///
/// Everything is opened relative to the directory, and no symlink is followed, neither one of the
/// tree nor one that another process puts there meanwhile, so nothing is written outside of it.
/// Permissions, dates and hard links are kept; setuid, setgid and extended attributes are not, and
/// devices are left out. Directories that the tree only implies are 0755.
///
/// Large trees are written by several threads. `proceed` is asked before every entry whether to go on.
///
/// # Errors
/// When something cannot be written; what was written until then stays.
pub fn unpack(
    tree: Tree,
    directory: &Path,
    owners: Owners,
    proceed: &(dyn Fn() -> bool + Sync),
) -> Result<Unpacked, UnpackError> {
    let how = How {
        owners,
        contents: Contents::Copied,
    };
    write_tree(tree, directory, how, proceed)
}

/// Does the same, but gives files that are on the disk as a whole another name instead of copying them
/// ([`Content::File`]): whoever changes one changes both, so nobody may. They have permissions and dates already.
/// Where a file cannot have another name, as in another file system, it is copied.
///
/// Everything belongs to whoever unpacks.
///
/// # Errors
/// As [`unpack`].
pub fn link(
    tree: Tree,
    directory: &Path,
    proceed: &(dyn Fn() -> bool + Sync),
) -> Result<Unpacked, UnpackError> {
    let how = How {
        owners: Owners::Own,
        contents: Contents::Shared,
    };
    write_tree(tree, directory, how, proceed)
}

/// How a tree is written.
#[derive(Clone, Copy)]
struct How {
    owners: Owners,
    contents: Contents,
}

/// What becomes of contents that are on the disk as a whole.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Contents {
    Copied,
    Shared,
}

fn write_tree(
    mut tree: Tree,
    directory: &Path,
    how: How,
    proceed: &(dyn Fn() -> bool + Sync),
) -> Result<Unpacked, UnpackError> {
    tree.resolve_links()?;
    let root = openat(
        rustix::fs::CWD,
        directory,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|errno| failed("open", &LayerPath::root(), errno))?;
    let mut writer = Writer::new(root.as_fd(), how);
    let mut unpacked = Unpacked::default();
    // Directories first, also those that the tree only implies, so that files can come in any order. Hard
    // links come when everything that they may be names of is there.
    let (mut files, mut links) = (Vec::new(), Vec::new());
    for (path, entry) in &tree {
        if !proceed() {
            return Err(UnpackError::Stopped);
        }
        match entry.kind {
            _ if path.is_root() => {}
            Kind::Directory => writer.write(path, entry)?,
            Kind::CharDevice(_) | Kind::BlockDevice(_) => unpacked.devices.push(path.clone()),
            Kind::Hardlink(_) => links.push((path, entry)),
            _ => {
                writer.enter(path)?;
                files.push((path, entry));
            }
        }
    }
    write_all(root.as_fd(), &files, how, proceed)?;
    for (path, entry) in links {
        if !proceed() {
            return Err(UnpackError::Stopped);
        }
        writer.write(path, entry)?;
    }
    // Last and from the bottom up: what a directory holds changes its date, and one that no user
    // may write takes nothing more.
    for (path, entry) in tree.iter().rev() {
        if entry.is_directory() {
            writer.finish_directory(path, entry)?;
        }
    }
    Ok(unpacked)
}

/// Writes files, links and pipes into directories that are there.
fn write_all(
    root: BorrowedFd<'_>,
    files: &[(&LayerPath, &Entry)],
    how: How,
    proceed: &(dyn Fn() -> bool + Sync),
) -> Result<(), UnpackError> {
    let pieces: Vec<_> = files.chunks(TAKEN_AT_ONCE).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut writer = Writer::new(root, how);
        while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
            for (path, entry) in *piece {
                let written = match proceed() {
                    true => writer.write(path, entry),
                    false => Err(UnpackError::Stopped),
                };
                if written.is_err() {
                    // Nobody begins another piece.
                    next.store(pieces.len(), Ordering::Relaxed);
                    return written;
                }
            }
        }
        Ok(())
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.min(MOST_THREADS).min(pieces.len());
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let own = work();
        others.into_iter().fold(own, |before, other| {
            let other = other.join().unwrap_or(Err(UnpackError::Stopped));
            before.and(other)
        })
    })
}

struct Writer<'a> {
    root: BorrowedFd<'a>,
    /// The directory that was written into last: entries mostly come many to a directory.
    parent: Option<(LayerPath, OwnedFd)>,
    /// The directory of which a file was linked last, as what is below another.
    source: Option<(Arc<Directory>, PathBuf, Directory)>,
    how: How,
}

impl<'a> Writer<'a> {
    fn new(root: BorrowedFd<'a>, how: How) -> Self {
        Self {
            root,
            parent: None,
            source: None,
            how,
        }
    }

    fn write(&mut self, path: &LayerPath, entry: &Entry) -> Result<(), UnpackError> {
        self.enter(path)?;
        let Some((above, parent)) = self.parent.take() else {
            return Ok(());
        };
        let is_linked = match &entry.kind {
            Kind::File(content) if self.how.contents == Contents::Shared => {
                self.link(parent.as_fd(), path, content)?
            }
            _ => false,
        };
        let written = match is_linked {
            true => Ok(()),
            false => self.write_into(parent.as_fd(), path, entry),
        };
        self.parent = Some((above, parent));
        written
    }

    /// Gives a file on the disk another name, unless it cannot have one.
    fn link(
        &mut self,
        parent: BorrowedFd<'_>,
        path: &LayerPath,
        content: &Content,
    ) -> Result<bool, UnpackError> {
        let Content::File {
            directory,
            path: source,
            size: _,
        } = content
        else {
            return Ok(false);
        };
        let (Some(above), Some(name)) = (source.parent(), source.file_name()) else {
            return Ok(false);
        };
        let is_open = |(known, opened, _): &(Arc<Directory>, PathBuf, Directory)| {
            Arc::ptr_eq(known, directory) && opened == above
        };
        if !self.source.as_ref().is_some_and(is_open) {
            let opened = directory
                .directory(above)
                .map_err(|error| UnpackError::Write {
                    action: "link",
                    path: path.clone(),
                    error,
                })?;
            self.source = Some((Arc::clone(directory), above.to_owned(), opened));
        }
        let Some((_, _, opened)) = &self.source else {
            return Ok(false);
        };
        match opened.link_to(name, parent, OsStr::from_bytes(path.name())) {
            Ok(()) => Ok(true),
            Err(Errno::XDEV | Errno::MLINK | Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => {
                Ok(false)
            }
            Err(errno) => Err(failed("link", path, errno)),
        }
    }

    /// Opens the directory that holds a path, and makes it where it is only implied.
    fn enter(&mut self, path: &LayerPath) -> Result<(), UnpackError> {
        let above = path.parent().unwrap_or_default();
        if !matches!(&self.parent, Some((known, _)) if *known == above) {
            let opened = self.directory(&above)?;
            self.parent = Some((above, opened));
        }
        Ok(())
    }

    fn write_into(
        &self,
        parent: BorrowedFd<'_>,
        path: &LayerPath,
        entry: &Entry,
    ) -> Result<(), UnpackError> {
        let name = OsStr::from_bytes(path.name());
        match &entry.kind {
            Kind::File(content) => return self.write_file(parent, path, entry, content),
            // Its own mode comes last: until then things are put into it.
            Kind::Directory => {
                return mkdirat(parent, name, Mode::RWXU)
                    .map_err(|errno| failed("make directory", path, errno));
            }
            Kind::Hardlink(target) => {
                let holder = self.directory(&target.parent().unwrap_or_default())?;
                let target = OsStr::from_bytes(target.name());
                return linkat(&holder, target, parent, name, AtFlags::empty())
                    .map_err(|errno| failed("make hard link", path, errno));
            }
            Kind::Symlink(target) => symlinkat(OsStr::from_bytes(target), parent, name)
                .map_err(|errno| failed("make symlink", path, errno))?,
            Kind::Fifo => mknodat(
                parent,
                name,
                FileType::Fifo,
                Mode::from_raw_mode(entry.mode & MODE),
                0,
            )
            .map_err(|errno| failed("make named pipe", path, errno))?,
            Kind::CharDevice(_) | Kind::BlockDevice(_) => return Ok(()),
        }
        self.own(parent, path, name, entry)?;
        utimensat(parent, name, &dates(entry), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| failed("date", path, errno))
    }

    fn write_file(
        &self,
        parent: BorrowedFd<'_>,
        path: &LayerPath,
        entry: &Entry,
        content: &Content,
    ) -> Result<(), UnpackError> {
        let name = OsStr::from_bytes(path.name());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let file = openat(
            parent,
            name,
            flags | OFlags::CLOEXEC,
            Mode::RUSR | Mode::WUSR,
        )
        .map_err(|errno| failed("make file", path, errno))?;
        let mut file = std::fs::File::from(file);
        content
            .write_to(&mut file)
            .map_err(|error| UnpackError::Write {
                action: "write",
                path: path.clone(),
                error,
            })?;
        // Before the mode: a change of owner may take bits away.
        self.own(parent, path, name, entry)?;
        fchmod(&file, Mode::from_raw_mode(entry.mode & MODE))
            .map_err(|errno| failed("set permissions of", path, errno))?;
        futimens(&file, &dates(entry)).map_err(|errno| failed("date", path, errno))
    }

    fn finish_directory(&self, path: &LayerPath, entry: &Entry) -> Result<(), UnpackError> {
        let directory = self.directory(path)?;
        self.own(directory.as_fd(), path, OsStr::new("."), entry)?;
        fchmod(&directory, Mode::from_raw_mode(entry.mode & MODE))
            .map_err(|errno| failed("set permissions of", path, errno))?;
        futimens(&directory, &dates(entry)).map_err(|errno| failed("date", path, errno))
    }

    fn own(
        &self,
        parent: BorrowedFd<'_>,
        path: &LayerPath,
        name: &OsStr,
        entry: &Entry,
    ) -> Result<(), UnpackError> {
        if self.how.owners == Owners::Own {
            return Ok(());
        }
        chownat(
            parent,
            name,
            Some(Uid::from_raw(entry.uid)),
            Some(Gid::from_raw(entry.gid)),
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .map_err(|errno| failed("change the owner of", path, errno))
    }

    /// Opens a directory of the tree, and makes it where it is only implied.
    fn directory(&self, path: &LayerPath) -> Result<OwnedFd, UnpackError> {
        match self.open(path) {
            Err(Errno::NOENT) => {}
            opened => return opened.map_err(|errno| failed("open directory", path, errno)),
        }
        let parent = self.directory(&path.parent().unwrap_or_default())?;
        mkdirat(
            &parent,
            OsStr::from_bytes(path.name()),
            Mode::from_raw_mode(0o755),
        )
        .and_then(|()| {
            let made = self.open(path)?;
            // Whatever the umask.
            fchmod(&made, Mode::from_raw_mode(0o755))?;
            Ok(made)
        })
        .map_err(|errno| failed("make directory", path, errno))
    }

    fn open(&self, path: &LayerPath) -> rustix::io::Result<OwnedFd> {
        let name = match path.as_bytes() {
            b"" => b".",
            name => name,
        };
        openat2(
            self.root,
            OsStr::from_bytes(name),
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
        )
    }
}

fn dates(entry: &Entry) -> Timestamps {
    let time = Timespec {
        tv_sec: entry.mtime,
        tv_nsec: 0,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

fn failed(action: &'static str, path: &LayerPath, errno: Errno) -> UnpackError {
    UnpackError::Write {
        action,
        path: path.clone(),
        error: errno.into(),
    }
}

#[cfg(test)]
mod tests;
