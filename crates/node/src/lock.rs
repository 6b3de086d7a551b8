//! Who uses a layer, and who makes or removes it.

use std::io;
use std::path::Path;

use rustix::fs::{FlockOperation, Timespec, Timestamps, UTIME_NOW, flock, futimens};
use rustix::io::Errno;
use std::os::unix::fs::MetadataExt as _;

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    file: fs_err::File,
}

/// How something is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// With others, to use it.
    Shared,
    /// Alone, to make or to remove it.
    Alone,
}

impl Lock {
    /// Takes the lock of a path, whose file is made if it is missing; `None` where another has it.
    pub(crate) fn take(path: &Path, hold: Hold) -> io::Result<Option<Self>> {
        loop {
            let file = fs_err::OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(path)?;
            let operation = match hold {
                Hold::Shared => FlockOperation::NonBlockingLockShared,
                Hold::Alone => FlockOperation::NonBlockingLockExclusive,
            };
            match flock(&file, operation) {
                Err(Errno::WOULDBLOCK) => return Ok(None),
                locked => locked?,
            }
            // Whoever held it before may have removed the file with what it stands for.
            let lock = Self { file };
            if lock.is_at(path)? {
                return Ok(Some(lock));
            }
        }
    }

    /// Whether it is still the lock of a path, whose file may have been removed and made anew.
    pub(crate) fn is_at(&self, path: &Path) -> io::Result<bool> {
        match fs_err::symlink_metadata(path) {
            Ok(found) => Ok(found.ino() == self.file.metadata()?.ino()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Lets others use it, too. The kernel gives up the old lock before it takes the new one
    /// (flock(2)), so that another process may come between.
    pub(crate) fn share(&self) -> io::Result<()> {
        Ok(flock(&self.file, FlockOperation::LockShared)?)
    }

    /// Notes that what it stands for is used now.
    pub(crate) fn touch(&self) {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_NOW,
        };
        // Without that it only counts as used longer ago than it was.
        let _ = futimens(
            &self.file,
            &Timestamps {
                last_access: now,
                last_modification: now,
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_makes_and_many_use() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("lock");
        let take = |hold| Lock::take(&path, hold).unwrap();
        let made = take(Hold::Alone).unwrap();
        assert!(take(Hold::Shared).is_none());
        made.share().unwrap();
        let _used = take(Hold::Shared).unwrap();
        assert!(take(Hold::Alone).is_none());
        assert!(made.is_at(&path).unwrap());
        fs_err::remove_file(&path).unwrap();
        assert!(!made.is_at(&path).unwrap());
        // Another file has its name now.
        assert!(take(Hold::Alone).is_some());
    }
}
