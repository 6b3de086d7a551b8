//! Putting files in place whole, from a directory of their own for unfinished ones.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use fs_err::File;

/// Where files are written before they get their names, and how carefully.
#[derive(Clone, Debug)]
pub struct Staging {
    directory: PathBuf,
    sync: bool,
}

impl Staging {
    /// Files are written in `directory`, whose owner empties it when it starts, so that nothing of a
    /// killed process stays behind. With `sync` they are flushed before they get their names.
    #[must_use]
    pub fn new(directory: PathBuf, sync: bool) -> Self {
        Self { directory, sync }
    }

    /// A file in the staging directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Renames a finished file of the staging directory to its place.
    ///
    /// # Errors
    /// When the file system does not.
    pub fn publish(&self, file: &File, from: &Path, to: &Path) -> io::Result<()> {
        if self.sync {
            file.sync_data()?;
        }
        match fs_err::rename(from, to) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                self.copy(from, to)?;
                fs_err::remove_file(from)
            }
            other => other,
        }
    }

    /// Gives a file a second name. Where the filesystem cannot, the file is copied.
    ///
    /// # Errors
    /// When the file system does not.
    pub fn share(&self, from: &Path, to: &Path) -> io::Result<()> {
        match fs_err::hard_link(from, to) {
            Ok(()) => Ok(()),
            Err(error) => match error.kind() {
                io::ErrorKind::AlreadyExists => Ok(()),
                io::ErrorKind::NotFound | io::ErrorKind::StorageFull => Err(error),
                // Another filesystem, one without links, or a file that has all it may have.
                _ => self.copy(from, to),
            },
        }
    }

    /// Puts a file in place of what is there.
    ///
    /// # Errors
    /// When the file system does not.
    pub fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let from = self.path(&unique());
        let written = File::create(&from).and_then(|mut file| {
            file.write_all(content)?;
            self.publish(&file, &from, path)
        });
        if written.is_err() {
            // The first error is the one that tells something.
            let _ = fs_err::remove_file(&from);
        }
        written
    }

    /// Copies a file to its place, by way of a file beside it: the staging directory may be on
    /// another filesystem.
    fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        let beside = to.with_file_name(unique());
        let copied = fs_err::copy(from, &beside).and_then(|_| {
            if self.sync {
                File::open(&beside)?.sync_data()?;
            }
            fs_err::rename(&beside, to)
        });
        if copied.is_err() {
            let _ = fs_err::remove_file(&beside);
        }
        copied
    }
}

/// What names of copies begin with that are not finished.
const UNFINISHED: &str = ".new-";

/// A name that no other writer uses, and nothing in a layout has.
fn unique() -> String {
    format!("{UNFINISHED}{:032x}", fastrand::u128(..))
}

fn is_unique(name: &str) -> bool {
    name.strip_prefix(UNFINISHED)
        .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Removes the copies from a directory that a killed server has left unfinished. Whatever cannot be
/// looked at or removed is no obstacle: no request asks for such names.
pub fn remove_unfinished(directory: &Path) {
    let Ok(entries) = fs_err::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_some_and(is_unique) {
            let _ = fs_err::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_stands_in_where_no_link_can_be_made() {
        let directory = tempfile::tempdir().unwrap();
        let staging = Staging::new(directory.path().to_owned(), true);
        let from = staging.path("from");
        let to = directory.path().join("to");
        fs_err::write(&from, "content").unwrap();
        staging.copy(&from, &to).unwrap();
        assert_eq!(fs_err::read_to_string(&to).unwrap(), "content");
        staging.share(&from, &to).unwrap();
        assert!(staging.copy(&staging.path("absent"), &to).is_err());
        assert_eq!(fs_err::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn unfinished_copies_are_removed_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let ours = unique();
        for name in [ours.as_str(), ".new-x", "new", &format!("x{ours}")] {
            fs_err::write(directory.path().join(name), "").unwrap();
        }
        remove_unfinished(directory.path());
        assert!(!directory.path().join(&ours).exists());
        assert_eq!(fs_err::read_dir(directory.path()).unwrap().count(), 3);
        remove_unfinished(&directory.path().join("absent"));
    }
}
