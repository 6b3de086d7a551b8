//! Sandboxes whose writes stay: a directory for each, by a name that its user gives it.

use std::io;
use std::path::{Path, PathBuf};

use ohoci_image::Digest;

use super::lock::{Hold, Lock};
use super::store::LayerStore;

/// The file that says which image a sandbox is of.
const IMAGE: &str = "image";

/// What a sandbox is mounted from, and what was written to it.
const FILES: &str = "files";

/// Longest name of a sandbox, in bytes.
const LONGEST: usize = 128;

/// A sandbox whose writes stay. As long as this lasts, nothing else uses it.
#[derive(Debug)]
pub struct KeptSandbox {
    directory: PathBuf,
    is_new: bool,
    _lock: Lock,
}

/// Why a sandbox cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Its name could lead elsewhere.
    #[error(
        "{0:?} is no name: letters, digits, `.`, `_` and `-` make one, and it begins with no `.`"
    )]
    Name(String),
    /// There is none.
    #[error("there is no sandbox of that name")]
    NotFound,
    /// Something runs in it.
    #[error("something runs in it")]
    InUse,
    /// It is of another image.
    #[error("it is of another image, {0}")]
    OtherImage(String),
    /// Its files cannot be read or made.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl KeptSandbox {
    /// The directory for its files.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.directory.join(FILES)
    }

    /// Whether nothing was in it before.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.is_new
    }
}

impl LayerStore {
    /// The sandbox of a name, which is made if it is missing, for an image.
    ///
    /// # Errors
    /// See [`SandboxError`].
    pub fn sandbox(&self, name: &str, image: &Digest) -> Result<KeptSandbox, SandboxError> {
        let (directory, lock) = self.locked_sandbox(name)?;
        fs_err::create_dir_all(&directory)?;
        let about = directory.join(IMAGE);
        let is_new = match fs_err::read_to_string(&about) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(error.into()),
            Ok(known) if known == image.to_string() => false,
            // Without files nothing is lost.
            Ok(_) if !directory.join(FILES).exists() => true,
            Ok(known) => return Err(SandboxError::OtherImage(known)),
        };
        fs_err::write(&about, image.to_string())?;
        fs_err::create_dir_all(directory.join(FILES))?;
        Ok(KeptSandbox {
            directory,
            is_new,
            _lock: lock,
        })
    }

    /// Takes away what was written to a sandbox, so that it is as its image again.
    ///
    /// # Errors
    /// See [`SandboxError`].
    pub fn reset_sandbox(&self, name: &str) -> Result<(), SandboxError> {
        let (directory, _lock) = self.locked_sandbox(name)?;
        if !directory.is_dir() {
            return Err(SandboxError::NotFound);
        }
        Ok(self.discard(&directory.join(FILES))?)
    }

    /// Removes a sandbox with what was written to it.
    ///
    /// # Errors
    /// See [`SandboxError`].
    pub fn remove_sandbox(&self, name: &str) -> Result<(), SandboxError> {
        let (directory, lock) = self.locked_sandbox(name)?;
        if !directory.is_dir() {
            return Err(SandboxError::NotFound);
        }
        self.discard(&directory)?;
        let _ = fs_err::remove_file(self.sandbox_lock(name));
        drop(lock);
        Ok(())
    }

    /// The names of the sandboxes and the digests of their images, sorted.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn sandboxes(&self) -> io::Result<Vec<(String, String)>> {
        let mut all = Vec::new();
        for entry in fs_err::read_dir(self.sandbox_directory()?)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Ok(image) = fs_err::read_to_string(entry.path().join(IMAGE)) {
                all.push((name, image));
            }
        }
        all.sort();
        Ok(all)
    }

    fn sandbox_directory(&self) -> io::Result<PathBuf> {
        let directory = self.path().join("sandboxes");
        fs_err::create_dir_all(&directory)?;
        Ok(directory)
    }

    fn sandbox_lock(&self, name: &str) -> PathBuf {
        self.path().join("locks").join(format!("sandbox-{name}"))
    }

    fn locked_sandbox(&self, name: &str) -> Result<(PathBuf, Lock), SandboxError> {
        if !is_name(name) {
            return Err(SandboxError::Name(name.to_owned()));
        }
        let directory = self.sandbox_directory()?.join(Path::new(name));
        let lock = Lock::take(&self.sandbox_lock(name), Hold::Alone)?;
        Ok((directory, lock.ok_or(SandboxError::InUse)?))
    }
}

fn is_name(name: &str) -> bool {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let length = 1..=LONGEST;
    length.contains(&name.len()) && !name.starts_with(['.', '-']) && name.chars().all(is_fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_stay_until_they_are_reset() {
        let scratch = tempfile::tempdir().unwrap();
        let store = LayerStore::open(scratch.path()).unwrap();
        let image = Digest::of(b"image");
        let sandbox = store.sandbox("one", &image).unwrap();
        assert!(sandbox.is_new());
        fs_err::write(sandbox.directory().join("file"), "").unwrap();
        let busy = store.sandbox("one", &image);
        assert!(matches!(busy, Err(SandboxError::InUse)));
        assert!(matches!(
            store.reset_sandbox("one"),
            Err(SandboxError::InUse)
        ));
        drop(sandbox);
        assert!(!store.sandbox("one", &image).unwrap().is_new());
        let other = store.sandbox("one", &Digest::of(b"other"));
        assert!(matches!(other, Err(SandboxError::OtherImage(_))));
        store.reset_sandbox("one").unwrap();
        let sandbox = store.sandbox("one", &Digest::of(b"other")).unwrap();
        assert!(sandbox.is_new() && !sandbox.directory().join("file").exists());
        drop(sandbox);
        assert_eq!(store.sandboxes().unwrap().len(), 1);
        store.remove_sandbox("one").unwrap();
        assert_eq!(store.sandboxes().unwrap(), []);
        let gone = store.remove_sandbox("one");
        assert!(matches!(gone, Err(SandboxError::NotFound)));
        for name in ["", ".", "..", "a/b", "../x", "-x", "\u{e4}"] {
            let refused = store.sandbox(name, &image);
            assert!(matches!(refused, Err(SandboxError::Name(_))), "{name:?}");
        }
    }
}
