//! The key that tokens are signed with: a file of its own, so that tokens outlive the process, and hold for
//! every process that has the file.

use std::fmt;
use std::io::{self, Write as _};
use std::path::Path;

use aws_lc_rs::hmac;
use rustix::rand::GetRandomFlags;

use super::reloaded::FileError;

/// How many random bytes a key has: as many as an HMAC with SHA-256 makes use of.
const BYTES: usize = 32;

/// Largest file that is read, in bytes.
const MOST: u64 = 4096;

/// A key, which is never shown.
pub(super) struct TokenKey(hmac::Key);

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(redacted)")
    }
}

impl TokenKey {
    /// Reads a key: at least 64 hexadecimal digits.
    pub(super) fn read(path: &Path) -> Result<Self, FileError> {
        let unreadable = |error: io::Error| FileError::new(error.to_string());
        let size = fs_err::metadata(path).map_err(unreadable)?.len();
        let unusable = |why: &str| {
            FileError::new(format!("{} {why}", path.display()))
                .hinted(format!("remove {} to have a new key made", path.display()))
        };
        if size > MOST {
            return Err(unusable("is larger than a key"));
        }
        let text = fs_err::read_to_string(path).map_err(unreadable)?;
        let bytes = hex::decode(text.trim());
        let bytes = bytes.map_err(|_| unusable("holds no hexadecimal digits"))?;
        if bytes.len() < BYTES {
            return Err(unusable("holds fewer than 64 hexadecimal digits"));
        }
        Ok(Self::new(&bytes))
    }

    pub(super) fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// Makes a key that only the owner of the file may read, unless there is one. Of several processes
    /// that do so at once, one makes the key of all.
    pub(super) fn make_if_missing(path: &Path) -> Result<(), FileError> {
        let failed = |error: io::Error| {
            FileError::new(format!("cannot make the key {}: {error}", path.display()))
        };
        if path.exists() {
            return Ok(());
        }
        let mut key = [0; BYTES];
        // So few bytes come at once or not at all (getrandom(2)).
        rustix::rand::getrandom(&mut key, GetRandomFlags::empty())
            .map_err(|error| failed(error.into()))?;
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        // Temporary files are their owner's alone.
        let mut file = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
        writeln!(file, "{}", hex::encode(key)).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        match file.persist_noclobber(path) {
            Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => {
                Err(failed(error.error))
            }
            _ => Ok(()),
        }
    }

    /// The signature of a text.
    pub(super) fn sign(&self, text: &[u8]) -> Vec<u8> {
        hmac::sign(&self.0, text).as_ref().to_vec()
    }

    /// Whether a signature is a text's; how long that takes tells nothing.
    pub(super) fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        hmac::verify(&self.0, text, signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_is_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        TokenKey::make_if_missing(&path).unwrap();
        let made = fs_err::read(&path).unwrap();
        let mode = fs_err::metadata(&path).unwrap().permissions().mode();
        assert_eq!((made.len(), mode & 0o777), (65, 0o600));
        TokenKey::make_if_missing(&path).unwrap();
        assert_eq!(fs_err::read(&path).unwrap(), made);
        let (one, other) = (
            TokenKey::read(&path).unwrap(),
            TokenKey::read(&path).unwrap(),
        );
        assert!(other.verifies(b"text", &one.sign(b"text")));
        assert!(!other.verifies(b"text", &TokenKey::new(&[0; 32]).sign(b"text")));
        assert_eq!(format!("{one:?}"), "TokenKey(redacted)");
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_quoted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        for (text, why) in [
            ("", "fewer than 64"),
            ("abcdef0123456789", "fewer than 64"),
            ("hunter2", "no hexadecimal"),
            (&"a".repeat(65), "no hexadecimal"),
            (&"a".repeat(5000), "larger"),
        ] {
            fs_err::write(&path, text).unwrap();
            let error = TokenKey::read(&path).unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("hunter2"), "{error}");
        }
        let nowhere = directory.path().join("none/key");
        assert!(TokenKey::make_if_missing(&nowhere).is_err());
    }
}
