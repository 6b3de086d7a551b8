//! A directory, or several one over the other, seen as the root of a file system: paths and symlinks
//! end inside it.

mod tree;
mod write;

use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    FlockOperation, Mode, OFlags, ResolveFlags, flock, fstat, major, minor, mkdirat, openat,
    readlinkat,
};
use rustix::io::Errno;

use ohoci_layer::beneath;

pub use super::clean_path::cleaned;
use super::merged::{Merged, Node};

/// Largest file that is read out of a root, in bytes: they are lists of users and first lines.
const MAX_FILE: u64 = 4 << 20;

/// A directory whose symlinks are followed as a program in it would, never out of it.
#[derive(Debug)]
pub struct Root {
    place: Backing,
    path: PathBuf,
}

/// What a root is made of.
#[derive(Debug)]
enum Backing {
    Directory(OwnedFd),
    Merged(Merged),
}

/// What stands at a path, with symlinks followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A directory.
    Directory,
    /// A file with an execute bit.
    Program,
    /// Anything else.
    Other,
}

/// A root file system that another process uses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is running in it", match .holder {
    Some(number) => format!("process {number}"),
    None => "another process".to_owned(),
})]
pub struct InUse {
    /// Its number, where the kernel tells it.
    pub holder: Option<u32>,
}

/// Something in a root could not be read or made.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path} in {root}: {error}", path = .path.display(), root = .root.display())]
pub struct RootError {
    action: &'static str,
    path: PathBuf,
    root: PathBuf,
    #[source]
    error: io::Error,
}

impl Root {
    /// Opens a directory as a root.
    ///
    /// # Errors
    /// When there is no such directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        let path = fs_err::canonicalize(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(rustix::fs::CWD, &path, flags, Mode::empty()).map_err(|errno| {
            let error = io::Error::from(errno);
            io::Error::new(
                error.kind(),
                format!("cannot open {}: {error}", path.display()),
            )
        })?;
        Ok(Self {
            place: Backing::Directory(directory),
            path,
        })
    }

    /// The root file system that directories one over the other come to, mounted at a path or to be
    /// mounted there. What is made in it is made in the topmost of them.
    #[must_use]
    pub fn merged(layers: Merged, path: PathBuf) -> Self {
        Self {
            place: Backing::Merged(layers),
            path,
        }
    }

    /// Where it is, without symlinks.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps others from writing to it by another of these, and where it `is_written`, from reading
    /// it, too, as long as this lasts. Where its file system has no locks, this does nothing.
    ///
    /// # Errors
    /// When another has it already.
    pub fn lock(&self, is_written: bool) -> Result<(), InUse> {
        let operation = match is_written {
            true => FlockOperation::NonBlockingLockExclusive,
            false => FlockOperation::NonBlockingLockShared,
        };
        // One that is merged is of directories that belong to this run.
        let Backing::Directory(directory) = &self.place else {
            return Ok(());
        };
        match flock(directory, operation) {
            Err(Errno::WOULDBLOCK) => Err(InUse {
                holder: holder_of(directory),
            }),
            _ => Ok(()),
        }
    }

    /// What stands at a path; `None` when there is nothing, or nothing that can be reached.
    #[must_use]
    pub fn find(&self, path: &Path) -> Option<Found> {
        let stat = match &self.place {
            Backing::Directory(directory) => fstat(resolve(directory, path, OFlags::PATH).ok()?),
            Backing::Merged(merged) => merged.resolve(path).and_then(|(_, node)| node.stat()),
        }
        .ok()?;
        Some(match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
            rustix::fs::FileType::Directory => Found::Directory,
            rustix::fs::FileType::RegularFile if stat.st_mode & 0o111 != 0 => Found::Program,
            _ => Found::Other,
        })
    }

    /// Where a symlink leads that stands at a path without other symlinks; `None` where there is none.
    #[must_use]
    pub fn link(&self, path: &Path) -> Option<PathBuf> {
        let target = match &self.place {
            Backing::Directory(directory) => {
                let flags = OFlags::PATH | OFlags::NOFOLLOW;
                readlinkat(resolve(directory, path, flags).ok()?, "", Vec::new())
            }
            Backing::Merged(merged) => match merged.find(path).ok()? {
                Node::Other { holder, name, .. } => readlinkat(holder, name, Vec::new()),
                Node::Directory(_) => return None,
            },
        };
        Some(PathBuf::from(OsString::from_vec(target.ok()?.into_bytes())))
    }

    /// The start of a file, of 4 MiB at most; `None` when there is no such file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, RootError> {
        self.read_up_to(path, MAX_FILE)
    }

    /// The start of a file, of so many bytes at most; `None` when there is no such file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_up_to(&self, path: &Path, most: u64) -> Result<Option<Vec<u8>>, RootError> {
        let Some(file) = self.open_file(path)? else {
            return Ok(None);
        };
        let mut content = Vec::new();
        file.take(most)
            .read_to_end(&mut content)
            .map_err(|error| self.error("read", path, error))?;
        Ok(Some(content))
    }

    /// Opens a regular file to be read; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open_file(&self, path: &Path) -> Result<Option<std::fs::File>, RootError> {
        let fail = |error| self.error("read", path, error);
        // Not blocking: a named pipe in its place must not hang us.
        let opened = match &self.place {
            Backing::Directory(directory) => {
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
                resolve(directory, path, flags)
            }
            Backing::Merged(merged) => merged.resolve(path).and_then(|(_, node)| node.open()),
        };
        let file = match opened {
            Ok(file) => std::fs::File::from(file),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(errno) => return Err(fail(errno.into())),
        };
        Ok(file.metadata().map_err(fail)?.is_file().then_some(file))
    }

    /// The directory at a path, which is made if it is missing; returned as it is without
    /// symlinks.
    ///
    /// # Errors
    /// When it cannot be made, or something else is there.
    pub fn directory(&self, path: &Path) -> Result<PathBuf, RootError> {
        let failed = |error: io::Error| self.error("make directory", path, error);
        let fail = |errno: Errno| failed(errno.into());
        let root = match &self.place {
            Backing::Directory(root) => root,
            Backing::Merged(merged) => return merged.make_directory(path).map_err(failed),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let mut above = resolve(root, Path::new("/"), flags).map_err(fail)?;
        let mut so_far = PathBuf::from("/");
        for component in cleaned(path).components() {
            let Component::Normal(name) = component else {
                continue;
            };
            so_far.push(name);
            above = match resolve(root, &so_far, flags) {
                Err(Errno::NOENT) => match mkdirat(&above, name, Mode::from_raw_mode(0o755)) {
                    Err(Errno::EXIST) => return Err(failed(dangling(&above, name, &so_far))),
                    made => made.and_then(|()| resolve(root, &so_far, flags)),
                },
                opened => opened,
            }
            .map_err(fail)?;
        }
        inside(root, &above).map_err(|error| self.error("find", path, error))
    }

    /// The file at a path, which is made empty if it is missing; returned as it is without
    /// symlinks.
    ///
    /// # Errors
    /// When it cannot be made, or a directory is there.
    pub fn file(&self, path: &Path) -> Result<PathBuf, RootError> {
        let path = cleaned(path);
        let fail = |errno: Errno| self.error("make file", &path, errno.into());
        let root = match &self.place {
            Backing::Directory(root) => root,
            Backing::Merged(merged) => {
                let made = merged.make_file(&path);
                return made.map_err(|error| self.error("make file", &path, error));
            }
        };
        let file = match resolve(root, &path, OFlags::PATH) {
            Err(Errno::NOENT) => {
                let above = self.directory(path.parent().unwrap_or(Path::new("/")))?;
                let flags = OFlags::WRONLY | OFlags::CREATE;
                match resolve_with(root, &path, flags, Mode::from_raw_mode(0o644)) {
                    Err(Errno::NOENT) => {
                        let above = resolve(root, &above, OFlags::PATH).map_err(fail)?;
                        let name = path.file_name().unwrap_or_default();
                        return Err(self.error("make file", &path, dangling(&above, name, &path)));
                    }
                    made => made.map_err(fail)?,
                }
            }
            found => found.map_err(fail)?,
        };
        let stat = fstat(&file).map_err(fail)?;
        if rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory {
            return Err(fail(Errno::ISDIR));
        }
        inside(root, &file).map_err(|error| self.error("find", &path, error))
    }

    fn error(&self, action: &'static str, path: &Path, error: io::Error) -> RootError {
        RootError {
            action,
            path: path.to_owned(),
            root: self.path.clone(),
            error,
        }
    }
}

fn resolve(root: &OwnedFd, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    resolve_with(root, path, flags, Mode::empty())
}

fn resolve_with(
    root: &OwnedFd,
    path: &Path,
    flags: OFlags,
    mode: Mode,
) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    beneath::open(root.as_fd(), path, flags, mode, resolve)
}

/// What an open file is called in a root.
fn inside(root: &OwnedFd, file: &OwnedFd) -> io::Result<PathBuf> {
    let link = |number: i32| fs_err::read_link(format!("/proc/self/fd/{number}"));
    let (root, file) = (link(root.as_raw_fd())?, link(file.as_raw_fd())?);
    let below = file
        .strip_prefix(&root)
        .map_err(|_| io::Error::other(format!("{} is outside", file.display())))?;
    Ok(Path::new("/").join(below))
}

/// Who has a directory locked.
fn holder_of(directory: &OwnedFd) -> Option<u32> {
    let stat = fstat(directory).ok()?;
    let (device, inode) = (stat.st_dev, stat.st_ino);
    let file = format!("{:02x}:{:02x}:{inode}", major(device), minor(device));
    holder(&fs_err::read_to_string("/proc/locks").ok()?, &file)
}

/// Why nothing can be made at a path where nothing was found, and yet something is.
fn dangling(above: &OwnedFd, name: &OsStr, path: &Path) -> io::Error {
    match readlinkat(above, name, Vec::new()) {
        Ok(target) => io::Error::other(format!(
            "{} is a symlink to {}, which is not there",
            path.display(),
            target.to_string_lossy()
        )),
        Err(_) => Errno::EXIST.into(),
    }
}

/// Who has a file locked as a whole, by the lines of `/proc/locks` (proc_locks(5)).
fn holder(locks: &str, file: &str) -> Option<u32> {
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words.as_slice() {
            [_, "FLOCK", _, _, holder, found, ..] if *found == file => holder.parse().ok(),
            _ => None,
        }
    })
}

/// The first word that names a program behind `#!`, and no more than a kernel would read.
#[must_use]
pub fn interpreter(start: &[u8]) -> Option<&Path> {
    use std::os::unix::ffi::OsStrExt as _;
    let line = start.strip_prefix(b"#!")?;
    let line = line.split(|byte| *byte == b'\n').next()?;
    let word = line
        .split(|byte| matches!(byte, b' ' | b'\t'))
        .find(|word| !word.is_empty())?;
    Some(Path::new(OsStr::from_bytes(word)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn scene() -> (tempfile::TempDir, tempfile::TempDir, Root) {
        let (outside, inside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs_err::write(outside.path().join("secret"), "secret").unwrap();
        let root = Root::open(inside.path()).unwrap();
        (outside, inside, root)
    }

    #[test]
    fn symlinks_end_inside() {
        let (outside, inside, root) = scene();
        let link = |name: &str, target: &Path| {
            fs_err::os::unix::fs::symlink(target, inside.path().join(name)).unwrap();
        };
        fs_err::create_dir(inside.path().join("real")).unwrap();
        link("out", outside.path());
        link("up", Path::new("../../../.."));
        link("absolute", Path::new("/real"));
        assert_eq!(root.read(Path::new("/out/secret")).unwrap(), None);
        let secret = Path::new("/up").join(outside.path().strip_prefix("/").unwrap());
        assert_eq!(root.read(&secret.join("secret")).unwrap(), None);

        assert_eq!(
            root.directory(Path::new("/absolute/a/../b")).unwrap(),
            Path::new("/real/b")
        );
        assert_eq!(
            root.file(Path::new("absolute/c/file")).unwrap(),
            Path::new("/real/c/file")
        );
        assert!(inside.path().join("real/c/file").is_file());
        assert!(root.directory(Path::new("/out/new")).is_err());
        assert!(root.directory(Path::new("/real/c/file")).is_err());
        assert!(root.file(Path::new("/real/c")).is_err());
        assert_eq!(fs_err::read_dir(outside.path()).unwrap().count(), 1);
    }

    #[test]
    fn symlinks_to_nothing_are_named() {
        let (_outside, inside, root) = scene();
        fs_err::os::unix::fs::symlink("/gone/x", inside.path().join("link")).unwrap();
        for error in [
            root.directory(Path::new("/link/below")).unwrap_err(),
            root.directory(Path::new("/link")).unwrap_err(),
            root.file(Path::new("/link")).unwrap_err(),
        ] {
            let said = error.to_string();
            assert!(
                said.contains("/link is a symlink to /gone/x, which is not there"),
                "{said}"
            );
        }
        assert!(!inside.path().join("gone").exists());
    }

    #[test]
    fn a_root_that_is_written_is_nobody_elses() {
        let (_outside, inside, root) = scene();
        let other = || Root::open(inside.path()).unwrap();
        root.lock(false).unwrap();
        other().lock(false).unwrap();
        assert!(other().lock(true).is_err());
        drop(root);
        let writer = other();
        writer.lock(true).unwrap();
        let refused = other().lock(false).unwrap_err();
        assert_eq!(refused.holder, Some(std::process::id()));
        assert_eq!(
            refused.to_string(),
            format!("process {} is running in it", std::process::id())
        );
    }

    #[test]
    fn programs_are_told_from_other_things() {
        let (_outside, inside, root) = scene();
        let at = |name: &str| inside.path().join(name);
        fs_err::write(at("program"), "#! /bin/sh -e\n").unwrap();
        fs_err::set_permissions(at("program"), PermissionsExt::from_mode(0o755)).unwrap();
        fs_err::write(at("file"), "").unwrap();
        for (path, found) in [
            ("/program", Some(Found::Program)),
            ("/file", Some(Found::Other)),
            ("/", Some(Found::Directory)),
            ("/nothing", None),
            ("/file/below", None),
        ] {
            assert_eq!(root.find(Path::new(path)), found, "{path}");
        }
        let start = root.read(Path::new("program")).unwrap().unwrap();
        assert_eq!(interpreter(&start), Some(Path::new("/bin/sh")));
        assert_eq!(interpreter(b"\x7fELF"), None);
    }
}
