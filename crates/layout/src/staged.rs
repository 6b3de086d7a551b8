//! A file that is hashed while it is written, and gets its name only when it is right.

use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use fs_err as fs;
use rustix::fs::FlockOperation;
use tempfile::NamedTempFile;

use ohoci_image::digest::{Algorithm, Hasher};
use ohoci_image::{Descriptor, Digest};

use super::region::Mismatch;

/// What names of unfinished files start with.
pub const PREFIX: &str = ".ohoci-";

/// A new file under a temporary name; dropping it removes it.
#[derive(Debug)]
pub struct StagedFile {
    file: NamedTempFile,
    hasher: Hasher,
    size: u64,
}

/// Creates a temporary file with the permissions that an ordinary new file would have.
///
/// # Errors
/// When it cannot be created.
pub fn temporary_in(directory: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new()
        .prefix(PREFIX)
        .permissions(std::fs::Permissions::from_mode(0o666))
        .tempfile_in(directory)
}

/// Makes the names in a directory survive a crash.
///
/// # Errors
/// When the file system reports one.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}

/// Gives a finished temporary file its name, replacing what had it. Readers see the old content
/// or the new, whole.
///
/// # Errors
/// When it cannot be flushed or renamed.
pub fn publish(file: NamedTempFile, name: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    rename(file, name)
}

fn rename(file: NamedTempFile, name: &Path) -> io::Result<()> {
    file.persist(name).map_err(|failure| {
        io::Error::new(
            failure.error.kind(),
            format!("cannot rename to {}: {}", name.display(), failure.error),
        )
    })?;
    Ok(())
}

/// Writes a small file at once, replacing what had its name.
///
/// # Errors
/// When it cannot be written; then what was there stays.
pub fn replace(name: &Path, content: &[u8]) -> io::Result<()> {
    publish(written(name, content)?, name)
}

/// Like [`replace`], but a crash may leave an empty or torn file: for what is checked when it is
/// read.
///
/// # Errors
/// When it cannot be written; then what was there stays.
pub fn replace_unsynced(name: &Path, content: &[u8]) -> io::Result<()> {
    rename(written(name, content)?, name)
}

fn written(name: &Path, content: &[u8]) -> io::Result<NamedTempFile> {
    let directory = name.parent().unwrap_or_else(|| Path::new("."));
    let mut file = temporary_in(directory)?;
    file.write_all(content)?;
    Ok(file)
}

impl StagedFile {
    /// A file that gets its name in the same file system as `directory`.
    ///
    /// # Errors
    /// When no file can be created there.
    pub fn create_in(directory: &Path) -> io::Result<Self> {
        Ok(Self {
            file: temporary_in(directory)?,
            hasher: Hasher::new(Algorithm::Sha256),
            size: 0,
        })
    }

    /// A file of that name in `directory`, which lasts when it is dropped, so that a later run can
    /// go on where this one stops. What an earlier run left in it has been taken already. `None`
    /// when another process is writing it.
    ///
    /// # Errors
    /// When it cannot be opened or read.
    pub fn resume_in(directory: &Path, name: &str) -> io::Result<Option<Self>> {
        let path = directory.join(name);
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        // Who had the lock until now may have finished the file and given it its name.
        let (opened, named) = (file.metadata()?, fs::metadata(&path));
        if named.is_ok_and(|named| (named.dev(), named.ino()) == (opened.dev(), opened.ino())) {
            let path = tempfile::TempPath::try_from_path(path)?;
            let mut file = NamedTempFile::from_parts(file.into_file(), path);
            file.disable_cleanup(true);
            let mut staged = Self {
                file,
                hasher: Hasher::new(Algorithm::Sha256),
                size: 0,
            };
            staged.take_what_is_there()?;
            return Ok(Some(staged));
        }
        Ok(None)
    }

    fn take_what_is_there(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 18];
        loop {
            match self.file.as_file_mut().read(&mut buffer)? {
                0 => return Ok(()),
                count => {
                    self.hasher.update(buffer.get(..count).unwrap_or_default());
                    self.size += count as u64;
                }
            }
        }
    }

    /// Removes the file.
    pub fn discard(mut self) {
        self.file.disable_cleanup(false);
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)?;
        self.hasher.update(piece);
        self.size += piece.len() as u64;
        Ok(())
    }

    /// How many bytes have been taken.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The SHA-256 digest of what has been taken.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }

    /// Checks that the content hashes to `digest`.
    fn check(&mut self, digest: &Digest) -> io::Result<()> {
        let found = if digest.algorithm() == Algorithm::Sha256 {
            self.digest()
        } else {
            // The algorithm is known only now, and is rarely another than the one computed on the way.
            let mut hasher = Hasher::new(digest.algorithm());
            let file = self.file.as_file_mut();
            file.rewind()?;
            let mut buffer = vec![0; 1 << 18];
            loop {
                match file.read(&mut buffer)? {
                    0 => break hasher.finish(),
                    count => hasher.update(buffer.get(..count).unwrap_or_default()),
                }
            }
        };
        if found == *digest {
            Ok(())
        } else {
            // Nothing that a later run could go on with.
            self.file.disable_cleanup(false);
            Err(Mismatch::Digest {
                expected: digest.clone(),
                found,
            }
            .into())
        }
    }

    /// Gives the file its name when its content hashes to `digest`; otherwise removes it.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] when the content is other; whatever syncing and renaming
    /// report.
    pub fn commit(mut self, digest: &Digest, name: &Path) -> io::Result<()> {
        self.check(digest)?;
        publish(self.file, name)
    }

    /// Like [`StagedFile::commit`], but a crash may leave an empty or torn file: for what is
    /// checked when it is read.
    ///
    /// # Errors
    /// As [`StagedFile::commit`].
    pub fn commit_unsynced(mut self, digest: &Digest, name: &Path) -> io::Result<()> {
        self.check(digest)?;
        rename(self.file, name)
    }

    /// Like [`StagedFile::commit`], and checks the size, too.
    ///
    /// # Errors
    /// As [`StagedFile::commit`].
    pub fn commit_as(self, descriptor: &Descriptor, name: &Path) -> io::Result<()> {
        if self.size != descriptor.size {
            return Err(Mismatch::Size {
                expected: descriptor.size,
                found: self.size,
            }
            .into());
        }
        self.commit(&descriptor.digest, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_run_goes_on_and_two_do_not_write_the_same_file() {
        let directory = tempfile::tempdir().unwrap();
        let resume = || StagedFile::resume_in(directory.path(), "part").unwrap();
        let mut first = resume().unwrap();
        first.write(b"ab").unwrap();
        assert!(resume().is_none());
        drop(first);
        let mut second = resume().unwrap();
        assert_eq!(second.size(), 2);
        second.write(b"c").unwrap();
        let name = directory.path().join("blob");
        second.commit_unsynced(&Digest::of(b"abc"), &name).unwrap();
        assert_eq!(fs::read(&name).unwrap(), b"abc");
        let third = resume().unwrap();
        assert_eq!(third.size(), 0);
        third.discard();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn only_right_content_gets_a_name() {
        let directory = tempfile::tempdir().unwrap();
        let name = directory.path().join("blob");
        let staged = |content: &[u8]| {
            let mut staged = StagedFile::create_in(directory.path()).unwrap();
            staged.write(content).unwrap();
            staged
        };
        let error = staged(b"abd")
            .commit(&Digest::of(b"abc"), &name)
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let descriptor = Descriptor::of("a/b", b"abc");
        assert!(staged(b"ab").commit_as(&descriptor, &name).is_err());
        drop(staged(b"abc"));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);

        staged(b"abc").commit_as(&descriptor, &name).unwrap();
        assert_eq!(fs::read(&name).unwrap(), b"abc");

        let mut hasher = Hasher::new(Algorithm::Sha512);
        hasher.update(b"abc");
        staged(b"abc").commit(&hasher.finish(), &name).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
