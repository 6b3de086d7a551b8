//! Directories and files that are made in the topmost of directories one over the other.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, XattrFlags, fsetxattr, mkdirat, openat, readlinkat, statat,
    unlinkat,
};
use rustix::io::Errno;

use super::clean_path::cleaned;
use super::merged::{Merged, Node, OPAQUE};

impl Merged {
    /// The directory at a path, which is made in the topmost layer if it is missing; returned as it
    /// is without symlinks.
    ///
    /// # Errors
    /// When it cannot be made, or something else is there.
    pub fn make_directory(&self, path: &Path) -> io::Result<PathBuf> {
        let mut so_far = PathBuf::from("/");
        let mut at = PathBuf::from("/");
        for component in cleaned(path).components() {
            let Component::Normal(name) = component else {
                continue;
            };
            so_far.push(name);
            at = match self.resolve(&so_far) {
                Err(Errno::NOENT) => {
                    if let Ok(node) = self.find(&at.join(name)) {
                        return Err(dangling(&node, &so_far));
                    }
                    let above = self.copied_up(&at)?;
                    make_over(&above, name, Mode::from_raw_mode(0o755))?;
                    at.join(name)
                }
                Ok((_, Node::Other { .. })) => return Err(Errno::NOTDIR.into()),
                found => found?.0,
            };
        }
        Ok(at)
    }

    /// The file at a path, which is made empty in the topmost layer if it is missing; returned as it
    /// is without symlinks.
    ///
    /// # Errors
    /// When it cannot be made, or a directory is there.
    pub(crate) fn make_file(&self, path: &Path) -> io::Result<PathBuf> {
        match self.resolve(path) {
            Err(Errno::NOENT) => {
                let name = path.file_name().unwrap_or_default();
                let at = self.make_directory(path.parent().unwrap_or(Path::new("/")))?;
                if let Ok(node) = self.find(&at.join(name)) {
                    return Err(dangling(&node, path));
                }
                make(&self.copied_up(&at)?, name)?;
                Ok(at.join(name))
            }
            Ok((_, Node::Directory(_))) => Err(Errno::ISDIR.into()),
            found => Ok(found?.0),
        }
    }
}

fn make(above: &OwnedFd, name: &OsStr) -> rustix::io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    remove_whiteout(above, name)?;
    openat(above, name, flags, Mode::from_raw_mode(0o644)).map(drop)
}

/// Makes a directory in the topmost layer, and in the place of a whiteout one that hides what the layers
/// below have, as the kernel does.
pub(super) fn make_over(above: &OwnedFd, name: &OsStr, mode: Mode) -> rustix::io::Result<OwnedFd> {
    let was_removed = remove_whiteout(above, name)?;
    mkdirat(above, name, mode)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = openat(above, name, flags, Mode::empty())?;
    if was_removed {
        fsetxattr(&made, OPAQUE, b"y", XattrFlags::empty())?;
    }
    Ok(made)
}

/// Removes what says that something was removed; says whether there was that.
fn remove_whiteout(above: &OwnedFd, name: &OsStr) -> rustix::io::Result<bool> {
    let stat = match statat(above, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(false),
        found => found?,
    };
    let is_device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
    if !is_device || stat.st_rdev != 0 {
        return Ok(false);
    }
    unlinkat(above, name, AtFlags::empty())?;
    Ok(true)
}

/// Why nothing can be made at a path where nothing was found, and yet something is.
fn dangling(node: &Node, path: &Path) -> io::Error {
    if let Node::Other { holder, name, stat } = node
        && FileType::from_raw_mode(stat.st_mode) == FileType::Symlink
        && let Ok(target) = readlinkat(holder, name, Vec::new())
    {
        return io::Error::other(format!(
            "{} is a symlink to {}, which is not there",
            path.display(),
            target.to_string_lossy()
        ));
    }
    Errno::EXIST.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_lands_in_the_topmost_layer_behind_the_links_of_those_below() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |path: &str| scratch.path().join(path);
        fs_err::create_dir_all(at("low/real")).unwrap();
        fs_err::create_dir(at("top")).unwrap();
        fs_err::write(at("low/file"), "").unwrap();
        fs_err::os::unix::fs::symlink("real", at("low/link")).unwrap();
        fs_err::os::unix::fs::symlink("/gone/x", at("low/dangling")).unwrap();
        let merged = Merged::open([at("top"), at("low")]).unwrap();
        let made = merged.make_directory(Path::new("/link/a/../b")).unwrap();
        assert_eq!(made, Path::new("/real/b"));
        assert!(at("top/real/b").is_dir());
        assert!(!at("low/real/b").exists());
        let made = merged.make_file(Path::new("/link/c/file")).unwrap();
        assert_eq!(made, Path::new("/real/c/file"));
        assert!(at("top/real/c/file").is_file());
        assert_eq!(
            merged.make_file(Path::new("/file")).unwrap(),
            Path::new("/file")
        );
        assert!(!at("top/file").exists());
        // What was removed inside can be made anew, without what it was.
        fs_err::create_dir_all(at("low/removed/old")).unwrap();
        for name in ["top/removed", "top/removed-file"] {
            let device = FileType::CharacterDevice;
            rustix::fs::mknodat(rustix::fs::CWD, at(name), device, Mode::empty(), 0).unwrap();
        }
        merged.make_directory(Path::new("/removed/new")).unwrap();
        assert!(merged.find(Path::new("/removed/new")).is_ok());
        assert!(merged.find(Path::new("/removed/old")).is_err());
        merged.make_file(Path::new("/removed-file")).unwrap();
        assert!(at("top/removed-file").is_file());
        assert!(merged.make_directory(Path::new("/file")).is_err());
        assert!(merged.make_file(Path::new("/real")).is_err());
        for made in [
            merged.make_directory(Path::new("/dangling")),
            merged.make_directory(Path::new("/dangling/below")),
            merged.make_file(Path::new("/dangling")),
        ] {
            let said = made.unwrap_err().to_string();
            let expected = "/dangling is a symlink to /gone/x, which is not there";
            assert_eq!(said, expected);
        }
    }
}
