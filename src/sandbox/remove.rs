//! A directory that goes away with whatever programs left in it.

use std::io;
use std::path::{Path, PathBuf};

use crate::layer::Directory;

/// A directory for temporary files, removed when this is dropped: also when what is
/// in it may be neither read nor written, which an ordinary user could not remove as it is.
///
/// Nothing may write into it any more by then.
#[derive(Debug)]
pub struct RemovedDirectory {
    path: PathBuf,
}

impl RemovedDirectory {
    /// Makes an empty one in the place for temporary files, which only its owner can enter.
    ///
    /// # Errors
    /// When no directory can be made there.
    pub fn create() -> io::Result<Self> {
        Self::create_in(&std::env::temp_dir())
    }

    /// Makes an empty one in another place.
    ///
    /// # Errors
    /// When no directory can be made there.
    pub fn create_in(parent: &Path) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        let directory = builder.prefix("ohoci-run-").tempdir_in(parent)?;
        Ok(Self {
            path: directory.keep(),
        })
    }

    /// Gives it another name, under which it stays.
    ///
    /// # Errors
    /// When it cannot be renamed, as where something of that name is there; then it is removed.
    pub fn keep_as(self, name: &Path) -> io::Result<()> {
        fs_err::rename(&self.path, name)?;
        // Under its old name nothing is left to be removed.
        Ok(())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RemovedDirectory {
    fn drop(&mut self) {
        if !self.path.exists() {
            return;
        }
        // What cannot be removed is left to whoever cleans the place for temporary files.
        let _ = remove(&self.path);
    }
}

/// Removes a directory with all that is in it, making it removable where need be. Symlinks are
/// removed, never followed, also where they take a directory's place meanwhile. Nothing being there
/// is no error.
///
/// # Errors
/// When something cannot be removed even so.
pub fn remove(directory: &Path) -> io::Result<()> {
    let name = directory.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let above = directory.parent().unwrap_or(Path::new(""));
    let above = match above.as_os_str().is_empty() {
        true => Path::new("."),
        false => above,
    };
    Directory::open(above)?.remove_tree(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_nobody_may_enter_is_removed() {
        let outside = tempfile::tempdir().unwrap();
        let kept = outside.path().join("kept");
        fs_err::write(&kept, "kept").unwrap();
        let directory = RemovedDirectory::create().unwrap();
        let path = directory.path().to_owned();
        fs_err::create_dir_all(path.join("a/b")).unwrap();
        fs_err::write(path.join("a/b/file"), "x").unwrap();
        fs_err::os::unix::fs::symlink(outside.path(), path.join("a/link")).unwrap();
        for (name, mode) in [("a/b", 0o000), ("a", 0o555)] {
            fs_err::set_permissions(path.join(name), PermissionsExt::from_mode(mode)).unwrap();
        }
        drop(directory);
        assert!(!path.exists());
        assert!(kept.exists());
    }
}
