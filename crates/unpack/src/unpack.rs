//! Writes a tree into a directory, as whoever runs it may.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, chownat, fchmod,
    futimens, linkat, mkdirat, mknodat, openat, openat2, symlinkat, utimensat,
};
use rustix::io::Errno;

use ohoci_layer::tree::TreeError;
use ohoci_layer::{Content, Entry, Kind, LayerPath, Tree};

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
    mut tree: Tree,
    directory: &Path,
    owners: Owners,
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
    let mut writer = Writer {
        root: root.as_fd(),
        parent: None,
        owners,
    };
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
    write_all(root.as_fd(), &files, owners, proceed)?;
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
    owners: Owners,
    proceed: &(dyn Fn() -> bool + Sync),
) -> Result<(), UnpackError> {
    let pieces: Vec<_> = files.chunks(TAKEN_AT_ONCE).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut writer = Writer {
            root,
            parent: None,
            owners,
        };
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
    owners: Owners,
}

impl Writer<'_> {
    fn write(&mut self, path: &LayerPath, entry: &Entry) -> Result<(), UnpackError> {
        self.enter(path)?;
        match &self.parent {
            Some((_, parent)) => self.write_into(parent.as_fd(), path, entry),
            None => Ok(()),
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
        if self.owners == Owners::Own {
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
mod tests {
    use super::*;
    use bytes::Bytes;
    use ohoci_layer::{Device, Rules};
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt};
    use std::sync::Arc;

    fn path(raw: &str) -> LayerPath {
        LayerPath::parse(raw.as_bytes()).unwrap()
    }

    fn file(content: &'static str, mode: u32) -> Entry {
        let content = Content::Memory(Bytes::from_static(content.as_bytes()));
        Entry {
            mtime: 1_000,
            ..Entry::new(Kind::File(content), mode)
        }
    }

    fn directory(mode: u32) -> Entry {
        Entry {
            mtime: 2_000,
            ..Entry::new(Kind::Directory, mode)
        }
    }

    fn symlink(target: &str) -> Entry {
        Entry::new(Kind::Symlink(target.into()), 0o777)
    }

    fn tree(entries: &[(&str, Entry)], rules: Rules) -> Tree {
        let mut tree = Tree::new();
        for (at, entry) in entries {
            tree.insert(path(at), entry.clone(), rules).unwrap();
        }
        tree
    }

    fn written(tree: Tree) -> (tempfile::TempDir, Result<Unpacked, UnpackError>) {
        let directory = tempfile::tempdir().unwrap();
        let result = unpack(tree, directory.path(), Owners::Own, &|| true);
        (directory, result)
    }

    #[test]
    fn a_tree_comes_out_as_it_is() {
        let (out, result) = written(tree(
            &[
                ("bin", directory(0o555)),
                ("bin/tool", file("#!", 0o4755)),
                ("bin-more", file("between", 0o600)),
                ("bin/alias", Entry::new(Kind::Hardlink(path("z/real")), 0)),
                ("deep/er/file", file("implied", 0o444)),
                ("link", symlink("/etc/passwd")),
                ("pipe", Entry::new(Kind::Fifo, 0o622)),
                ("z", directory(0o2700)),
                ("z/real", file("linked", 0o644)),
                (
                    "null",
                    Entry::new(Kind::CharDevice(Device { major: 1, minor: 3 }), 0o666),
                ),
            ],
            Rules::Strict,
        ));
        assert_eq!(result.unwrap().devices, [path("null")]);
        let at = |name: &str| out.path().join(name);
        let mode = |name: &str| fs_err::metadata(at(name)).unwrap().mode() & 0o7777;
        assert_eq!(mode("bin"), 0o555);
        assert_eq!(mode("bin/tool"), 0o755, "setuid is kept out");
        assert_eq!(mode("z"), 0o700, "setgid is kept out");
        assert_eq!(mode("deep/er"), 0o755);
        assert_eq!(fs_err::read(at("bin-more")).unwrap(), b"between");
        let (one, two) = (
            fs_err::metadata(at("z/real")).unwrap(),
            fs_err::metadata(at("bin/alias")).unwrap(),
        );
        assert_eq!(one.ino(), two.ino());
        assert_eq!(one.mtime(), 1_000);
        assert_eq!(fs_err::metadata(at("bin")).unwrap().mtime(), 2_000);
        assert_eq!(
            fs_err::read_link(at("link")).unwrap(),
            Path::new("/etc/passwd")
        );
        let pipe = fs_err::symlink_metadata(at("pipe")).unwrap();
        assert!(pipe.file_type().is_fifo());
        assert!(!at("null").exists());
        fs_err::set_permissions(at("bin"), PermissionsExt::from_mode(0o755)).unwrap();
    }

    #[test]
    fn nothing_is_written_through_a_symlink() {
        let outside = tempfile::tempdir().unwrap();
        let target = outside.path().display().to_string();
        for link in [target.as_str(), "..", "real"] {
            let (out, result) = written(tree(
                &[
                    ("out", symlink(link)),
                    ("out/file", file("escaped", 0o644)),
                    ("real", directory(0o755)),
                ],
                Rules::Foreign,
            ));
            assert!(matches!(result, Err(UnpackError::Write { .. })), "{link}");
            assert!(!out.path().join("real/file").exists());
        }
        assert_eq!(fs_err::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn nothing_that_is_there_is_overwritten() {
        let outside = tempfile::tempdir().unwrap();
        let kept = outside.path().join("kept");
        fs_err::write(&kept, "kept").unwrap();
        let out = tempfile::tempdir().unwrap();
        fs_err::os::unix::fs::symlink(&kept, out.path().join("file")).unwrap();
        let tree = tree(&[("file", file("new", 0o644))], Rules::Strict);
        let result = unpack(tree, out.path(), Owners::Own, &|| true);
        assert!(result.is_err());
        assert_eq!(fs_err::read(kept).unwrap(), b"kept");
    }

    #[test]
    fn owners_are_kept_on_request() {
        // Anybody may give things to themselves, only root to others.
        let own = rustix::process::geteuid().as_raw();
        let uid = if own == 0 { 7 } else { own };
        let gid = if own == 0 {
            8
        } else {
            rustix::process::getegid().as_raw()
        };
        let owned = |entry| Entry { uid, gid, ..entry };
        let out = tempfile::tempdir().unwrap();
        let tree = tree(
            &[
                ("a", owned(directory(0o755))),
                ("a/file", owned(file("x", 0o640))),
                ("a/link", owned(symlink("file"))),
            ],
            Rules::Strict,
        );
        unpack(tree, out.path(), Owners::Recorded, &|| true).unwrap();
        for name in ["a", "a/file", "a/link"] {
            let found = fs_err::symlink_metadata(out.path().join(name)).unwrap();
            assert_eq!((found.uid(), found.gid()), (uid, gid), "{name}");
        }
    }

    #[test]
    fn many_files_are_written_by_several_threads_and_links_find_them() {
        let mut tree = Tree::new();
        for number in 0..1_000 {
            let content = Content::Memory(Bytes::from(format!("file {number}")));
            let name = format!("d{}/e/{number}", number % 7);
            let entry = Entry::new(Kind::File(content), 0o644);
            tree.insert(path(&name), entry, Rules::Strict).unwrap();
        }
        let link = Entry::new(Kind::Hardlink(path("d5/e/999")), 0o644);
        tree.insert(path("a-link"), link, Rules::Strict).unwrap();
        let (out, result) = written(tree);
        result.unwrap();
        for number in 0..1_000 {
            let name = format!("d{}/e/{number}", number % 7);
            let content = fs_err::read_to_string(out.path().join(name)).unwrap();
            assert_eq!(content, format!("file {number}"));
        }
        let inode = |name: &str| fs_err::metadata(out.path().join(name)).unwrap().ino();
        let mode = |name: &str| fs_err::metadata(out.path().join(name)).unwrap().mode() & 0o777;
        assert_eq!(inode("a-link"), inode("d5/e/999"));
        assert_eq!(mode("d5/e"), 0o755);
    }

    #[test]
    fn an_error_of_one_thread_ends_all() {
        let mut tree = Tree::new();
        for number in 0..1_000 {
            let size = if number == 500 { 9 } else { 0 };
            let file = Arc::new(fs_err::File::open("/dev/null").unwrap());
            let content = Content::Region {
                file,
                offset: 0,
                size,
            };
            let entry = Entry::new(Kind::File(content), 0o644);
            tree.insert(path(&format!("{number:04}")), entry, Rules::Strict)
                .unwrap();
        }
        let (_out, result) = written(tree);
        let error = result.unwrap_err().to_string();
        assert!(error.contains("cannot write /0500"), "{error}");
    }

    #[test]
    fn it_stops_when_told_to() {
        let out = tempfile::tempdir().unwrap();
        let tree = tree(&[("file", file("x", 0o644))], Rules::Strict);
        let result = unpack(tree, out.path(), Owners::Own, &|| false);
        assert!(matches!(result, Err(UnpackError::Stopped)));
        assert_eq!(fs_err::read_dir(out.path()).unwrap().count(), 0);
    }
}
