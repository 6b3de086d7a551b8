//! An open directory whose content is reached by descriptors: no symlink below it is followed, and
//! nothing outside of it is reached.
//!
//! Programs of packages, of images and of models leave links where ohoci expects directories, and
//! may do so at any time. A path that is put together as text and given to the kernel follows them,
//! as often as it has components. Here every path is resolved by `openat2` with `RESOLVE_BENEATH`
//! and `RESOLVE_NO_SYMLINKS` (Linux 5.6, openat2(2)), and what is done to a last component is done
//! relative to the opened directory that holds it. `cap-std` would follow links that stay inside,
//! which is one way too many to what a build wrote; rustix has the calls themselves.
//!
//! Where an image's own links are to be followed, as a program in it would, there is
//! `Root` of the sandboxes' room.

mod removal;

use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Uid, chownat, fchmod, fchown,
    fstat, linkat, mkdirat, openat, openat2, readlinkat, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

/// How often an opening is tried anew that a change elsewhere disturbed (openat2(2), `EAGAIN`).
const ATTEMPTS: usize = 64;

/// An open directory. See the [module](self) for what is different about it.
#[derive(Debug)]
pub struct Directory {
    handle: OwnedFd,
    /// Where it was when it was opened, for messages only.
    path: PathBuf,
}

/// What stands at a path, a symlink as itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub kind: FileType,
    /// Its permissions, with setuid, setgid and the sticky bit.
    pub mode: u32,
    /// Its size in bytes.
    pub size: u64,
    /// The number of the user that it belongs to.
    pub owner: u32,
    /// How many names it has.
    pub links: u64,
    /// The file system that it is in and its number there: the same for all its names.
    pub inode: (u64, u64),
    /// Which device it is, if it is one.
    pub device: u64,
}

/// Why something below a directory could not be done.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}: {why}", path = .path.display())]
struct Failed {
    action: &'static str,
    path: PathBuf,
    why: String,
}

impl Directory {
    /// Opens a directory of this machine. Symlinks on the way to it are followed: that path is the
    /// caller's, only what is below is not.
    ///
    /// # Errors
    /// When there is no such directory, or it cannot be read.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = openat(rustix::fs::CWD, path, flags, Mode::empty());
        Ok(Self {
            handle: handle.map_err(|errno| failed("open", path.to_owned(), errno))?,
            path: path.to_owned(),
        })
    }

    /// Where it was when it was opened, for messages: another thing may be there by now.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A directory below.
    ///
    /// # Errors
    /// When there is none, or a symlink is in the way.
    pub fn directory(&self, path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let opened = self.resolve(path, OFlags::RDONLY | OFlags::DIRECTORY);
        Ok(Self {
            handle: opened.map_err(|errno| self.failed("open", path, errno))?,
            path: self.path.join(path),
        })
    }

    /// A directory below, which is made with all above it where it is missing; then its mode is
    /// 0755, whatever the umask.
    ///
    /// # Errors
    /// When it cannot be made, or anything but a directory is in the way.
    pub fn make_directory(&self, path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let missing = match self.resolve(path, flags) {
            Err(Errno::NOENT) => path,
            _ => return self.directory(path),
        };
        let fail = |errno| self.failed("make the directory", path, errno);
        if let Some(above) = missing.parent().filter(|above| !is_here(above)) {
            self.make_directory(above)?;
        }
        let (above, name) = self.holder(missing).map_err(fail)?;
        match mkdirat(&above, name, Mode::from_raw_mode(0o755)) {
            Ok(()) => {
                let made = self.directory(path)?;
                set_mode(made.handle.as_fd(), 0o755).map_err(fail)?;
                Ok(made)
            }
            Err(Errno::EXIST) => self.directory(path),
            Err(errno) => Err(fail(errno)),
        }
    }

    /// What stands at a path; `None` where nothing does, or where only a symlink leads there.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn find(&self, path: impl AsRef<Path>) -> io::Result<Option<Found>> {
        let path = path.as_ref();
        let found = if is_here(path) {
            fstat(&self.handle)
        } else {
            self.holder(path)
                .and_then(|(above, name)| statat(&above, name, AtFlags::SYMLINK_NOFOLLOW))
        };
        match found {
            Ok(stat) => Ok(Some(Found::of(&stat))),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(errno) => Err(self.failed("look at", path, errno)),
        }
    }

    /// The names in a directory, sorted.
    ///
    /// # Errors
    /// When it cannot be read, or a symlink is in the way.
    pub fn list(&self, path: impl AsRef<Path>) -> io::Result<Vec<OsString>> {
        let path = path.as_ref();
        let fail = |errno| self.failed("list", path, errno);
        let directory = self
            .resolve(path, OFlags::RDONLY | OFlags::DIRECTORY)
            .map_err(fail)?;
        let mut names = names_in(directory.as_fd(), usize::MAX).map_err(fail)?;
        names.sort();
        Ok(names)
    }

    /// Opens a regular file. Anything else is refused, and a named pipe does not hang the caller.
    ///
    /// # Errors
    /// When there is no such file, it cannot be read, or a symlink is in the way.
    pub fn open_file(&self, path: impl AsRef<Path>) -> io::Result<fs_err::File> {
        let path = path.as_ref();
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fail = |errno| self.failed("read", path, errno);
        let file = self.resolve(path, flags).map_err(fail)?;
        let stat = fstat(&file).map_err(fail)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            let why = "it is no file".to_owned();
            return Err(self.refused("read", path, why));
        }
        let path = self.path.join(path);
        Ok(fs_err::File::from_parts(std::fs::File::from(file), path))
    }

    /// The content of a file; `None` where nothing is at the path.
    ///
    /// # Errors
    /// When it is not a regular file, has more than `most` bytes, or a symlink is in the way.
    pub fn read(&self, path: impl AsRef<Path>, most: u64) -> io::Result<Option<Vec<u8>>> {
        let path = path.as_ref();
        let file = match self.open_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut content = Vec::new();
        file.take(most.saturating_add(1))
            .read_to_end(&mut content)?;
        if content.len() as u64 > most {
            let why = format!("it has more than {most} bytes");
            return Err(self.refused("read", path, why));
        }
        Ok(Some(content))
    }

    /// Writes a new file with these permissions, in place of a file or a symlink that has the name.
    /// The directory that holds it is there already.
    ///
    /// # Errors
    /// When it cannot be written, a directory has its name, or a symlink is in the way.
    pub fn write(&self, path: impl AsRef<Path>, content: &[u8], mode: u32) -> io::Result<()> {
        let path = path.as_ref();
        let fail = |errno| self.failed("write", path, errno);
        let (above, name) = self.holder(path).map_err(fail)?;
        match unlinkat(&above, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(fail(errno)),
        }
        // Never what was there before: it may be a second name of another file.
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let begun = Mode::RUSR | Mode::WUSR;
        let file = openat(&above, name, flags | OFlags::CLOEXEC, begun).map_err(fail)?;
        fchmod(&file, Mode::from_raw_mode(mode)).map_err(fail)?;
        let mut file = fs_err::File::from_parts(std::fs::File::from(file), self.path.join(path));
        file.write_all(content)
    }

    /// Makes a symlink. What it leads to is not looked at.
    ///
    /// # Errors
    /// When something has its name already, or a symlink is in the way.
    pub fn symlink(&self, target: impl AsRef<OsStr>, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        self.holder(path)
            .and_then(|(above, name)| symlinkat(target.as_ref(), &above, name))
            .map_err(|errno| self.failed("make the symlink", path, errno))
    }

    /// What a symlink leads to, as it is written in it.
    ///
    /// # Errors
    /// When it is none, or another one is in the way.
    pub fn read_link(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        let path = path.as_ref();
        self.holder(path)
            .and_then(|(above, name)| readlinkat(&above, name, Vec::new()))
            .map(std::ffi::CString::into_bytes)
            .map_err(|errno| self.failed("read the symlink", path, errno))
    }

    /// An extended attribute of up to 64 KiB (Linux's `XATTR_SIZE_MAX`) of a file or a directory;
    /// `None` where it has none of that name.
    ///
    /// # Errors
    /// When it cannot be read, or a symlink is in the way.
    pub fn attribute(&self, path: impl AsRef<Path>, name: &str) -> io::Result<Option<Vec<u8>>> {
        let path = path.as_ref();
        let mut value = vec![0; 64 << 10];
        let found = self
            .resolve(path, OFlags::PATH | OFlags::NOFOLLOW)
            // A handle that only names does not let attributes be read; what it stands for does.
            .and_then(|file| rustix::fs::getxattr(own_name(file.as_fd()), name, &mut value));
        match found {
            Ok(length) => {
                value.truncate(length);
                Ok(Some(value))
            }
            Err(Errno::NODATA | Errno::NOTSUP) => Ok(None),
            Err(errno) => Err(self.failed("read an attribute of", path, errno)),
        }
    }

    /// Gives something in it, a symlink itself, another name: in an opened directory of the same file
    /// system (link(2)).
    ///
    /// # Errors
    /// When it cannot have one: `NOENT` where there is nothing, `XDEV` in another file system, `MLINK` where it
    /// has as many as it can have, `PERM` or `OPNOTSUPP` where files have one name only.
    pub fn link_to(
        &self,
        name: &OsStr,
        to: BorrowedFd<'_>,
        other: &OsStr,
    ) -> rustix::io::Result<()> {
        if is_here(Path::new(name)) || name.as_bytes().contains(&b'/') {
            return Err(Errno::INVAL);
        }
        linkat(&self.handle, name, to, other, AtFlags::empty())
    }

    /// Sets the permissions of a file or a directory.
    ///
    /// # Errors
    /// When it cannot be changed, is a symlink, or one is in the way.
    pub fn set_mode(&self, path: impl AsRef<Path>, mode: u32) -> io::Result<()> {
        let path = path.as_ref();
        self.resolve(path, OFlags::PATH | OFlags::NOFOLLOW)
            .and_then(|file| set_mode(file.as_fd(), mode))
            .map_err(|errno| self.failed("set the permissions of", path, errno))
    }

    /// Gives whatever stands at a path, a symlink itself, to a user and a group.
    ///
    /// # Errors
    /// When it cannot be given, or a symlink is in the way.
    pub fn set_owner(&self, path: impl AsRef<Path>, user: Uid, group: Gid) -> io::Result<()> {
        let path = path.as_ref();
        let given = if is_here(path) {
            fchown(&self.handle, Some(user), Some(group))
        } else {
            self.holder(path).and_then(|(above, name)| {
                let flags = AtFlags::SYMLINK_NOFOLLOW;
                chownat(&above, name, Some(user), Some(group), flags)
            })
        };
        given.map_err(|errno| self.failed("give away", path, errno))
    }

    /// Removes anything but a directory; a symlink itself.
    ///
    /// # Errors
    /// When there is nothing, it cannot be removed, or a symlink is in the way.
    pub fn remove_file(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        self.holder(path)
            .and_then(|(above, name)| unlinkat(&above, name, AtFlags::empty()))
            .map_err(|errno| self.failed("remove", path, errno))
    }

    /// Removes whatever stands at a path with all that is in it, however deep that goes and whoever
    /// may enter it; symlinks are removed, never followed. Nothing being there is no error.
    ///
    /// # Errors
    /// When something cannot be removed, or a symlink is in the way.
    pub fn remove_tree(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        self.holder(path)
            .and_then(|(above, name)| removal::remove(above.as_fd(), name))
            .or_else(|errno| match errno {
                Errno::NOENT => Ok(()),
                errno => Err(self.failed("remove", path, errno)),
            })
    }

    /// Opens the directory that holds a path's last component.
    fn holder<'a>(&self, path: &'a Path) -> rustix::io::Result<(OwnedFd, &'a OsStr)> {
        let name = path.file_name().ok_or(Errno::INVAL)?;
        // `file_name` overlooks a `.` behind it, and a path that ends so names something else.
        if !path.as_os_str().as_bytes().ends_with(name.as_bytes()) {
            return Err(Errno::INVAL);
        }
        let above = path.parent().unwrap_or(Path::new(""));
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        Ok((self.resolve(above, flags)?, name))
    }

    fn resolve(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let path = if is_here(path) { Path::new(".") } else { path };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        open(self.handle.as_fd(), path, flags, Mode::empty(), resolve)
    }

    fn failed(&self, action: &'static str, path: &Path, errno: Errno) -> io::Error {
        failed(action, self.path.join(path), errno)
    }

    fn refused(&self, action: &'static str, path: &Path, why: String) -> io::Error {
        let path = self.path.join(path);
        io::Error::new(io::ErrorKind::InvalidData, Failed { action, path, why })
    }
}

impl Found {
    #[expect(
        clippy::useless_conversion,
        reason = "the fields' widths differ between architectures"
    )]
    fn of(stat: &Stat) -> Self {
        Self {
            kind: FileType::from_raw_mode(stat.st_mode),
            mode: stat.st_mode & 0o7777,
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            owner: stat.st_uid,
            links: u64::from(stat.st_nlink),
            inode: (u64::from(stat.st_dev), u64::from(stat.st_ino)),
            device: u64::from(stat.st_rdev),
        }
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.kind == FileType::Directory
    }

    /// Whether it is a regular file.
    #[must_use]
    pub fn is_regular_file(&self) -> bool {
        self.kind == FileType::RegularFile
    }
}

/// `openat2`, and again where another process that renames something disturbs it.
///
/// # Errors
/// Those of the call.
pub fn open(
    directory: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    mode: Mode,
    resolve: ResolveFlags,
) -> rustix::io::Result<OwnedFd> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        match openat2(directory, path, flags | OFlags::CLOEXEC, mode, resolve) {
            Err(Errno::AGAIN | Errno::INTR) if attempts < ATTEMPTS => {}
            opened => return opened,
        }
    }
}

fn is_here(path: &Path) -> bool {
    path.as_os_str().is_empty() || path == Path::new(".")
}

/// Names in an open directory, no more than so many.
fn names_in(directory: BorrowedFd<'_>, most: usize) -> rustix::io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name.to_vec()));
        }
        if names.len() >= most {
            break;
        }
    }
    Ok(names)
}

/// The name by which the kernel knows an open file, whatever its path leads to by now (proc(5)).
fn own_name(file: BorrowedFd<'_>) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// Sets permissions of what is open, if only by name. `fchmod` wants more than a name, and
/// `fchmodat` follows symlinks in kernels before 6.6.
fn set_mode(file: BorrowedFd<'_>, mode: u32) -> rustix::io::Result<()> {
    let stat = fstat(file)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
        return Err(Errno::LOOP);
    }
    rustix::fs::chmod(own_name(file), Mode::from_raw_mode(mode))
}

fn failed(action: &'static str, path: PathBuf, errno: Errno) -> io::Error {
    let error = io::Error::from(errno);
    let why = match errno {
        Errno::LOOP => "a symlink is in its place or above it, and none is followed here".into(),
        Errno::XDEV => "it is not below the directory".into(),
        _ => error.to_string(),
    };
    io::Error::new(error.kind(), Failed { action, path, why })
}

#[cfg(test)]
mod tests;
