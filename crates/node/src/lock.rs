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
            match fs_err::symlink_metadata(path) {
                Ok(found) if found.ino() == file.metadata()?.ino() => {
                    return Ok(Some(Self { file }));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Lets others use it, too. For a moment nobody may hold it.
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
        fs_err::remove_file(&path).unwrap();
        // Another file has its name now.
        assert!(take(Hold::Alone).is_some());
    }
}
