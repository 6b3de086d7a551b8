//! An OCI image layout in a directory (image-spec `image-layout.md`).
//!
//! Any number of processes may read and write one layout at a time. Blobs get their name only
//! when they are whole; `index.json` is changed under an advisory lock on the directory and
//! replaced in one step, so that readers see the old or the new one.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use fs_err as fs;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use serde_json::Value;

use ohoci_files::regular;
use ohoci_image::digest::Algorithm;
use ohoci_image::manifest::MAX_SIZE;
use ohoci_image::{Digest, Document, shape};

use super::error::{Error, ErrorKind, failure};
use super::index::{Index, MAX_INDEX};
use super::staged;

/// The file that tells a layout.
pub const VERSION_FILE: &str = "oci-layout";
/// The file that lists the images.
pub const INDEX_FILE: &str = "index.json";
/// The directory of the blobs.
pub const BLOBS: &str = "blobs";
/// What [`VERSION_FILE`] holds.
pub const VERSION_CONTENT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// An OCI image layout in a directory.
#[derive(Clone, Debug)]
pub struct Layout {
    pub(super) path: PathBuf,
}

/// The lock under which `index.json` is changed; held until dropped.
#[derive(Debug)]
struct Lock {
    _directory: fs::File,
}

impl Layout {
    /// Opens a layout that exists.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is nothing at `path`, [`ErrorKind::Corrupt`] when there
    /// is something else than a layout, [`ErrorKind::Unsupported`] when its version is not 1.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let layout = Self { path: path.into() };
        let what = layout.what("open");
        match read_limited(&layout.path.join(VERSION_FILE), MAX_SIZE) {
            Ok(bytes) => {
                check_version(&bytes).map_err(|(kind, why)| Error::new(kind, what, why))?;
                Ok(layout)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if layout.path.is_dir() {
                    Err(Error::new(
                        ErrorKind::Corrupt,
                        what,
                        "the directory has no oci-layout file, so it is no OCI layout",
                    ))
                } else {
                    Err(Error::new(
                        ErrorKind::NotFound,
                        what,
                        "there is no such directory",
                    ))
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(Error::new(
                ErrorKind::NotFound,
                what,
                "it is a file, and an OCI layout is a directory",
            )
            .hinted("a tar of a layout is oci-archive:FILE")),
            Err(error) => Err(failure(what, error)),
        }
    }

    /// Opens a layout, and makes one where nothing is.
    ///
    /// # Errors
    /// As [`Layout::open`]; a directory that holds other things is left alone.
    pub fn create_or_open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let layout = Self { path: path.into() };
        if layout.path.join(VERSION_FILE).exists() {
            return Self::open(layout.path);
        }
        let what = layout.what("create");
        layout.create().map_err(|error| failure(&what, error))?;
        Self::open(layout.path)
    }

    fn create(&self) -> io::Result<()> {
        fs::create_dir_all(&self.path)?;
        let _lock = self.lock()?;
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            // What an interrupted creation leaves behind is ours, too.
            if !name.starts_with('.') && ![VERSION_FILE, INDEX_FILE, BLOBS].contains(&&*name) {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    format!("the directory is no OCI layout and already holds {name:?}"),
                ));
            }
        }
        fs::create_dir_all(self.path.join(BLOBS).join(Algorithm::Sha256.name()))?;
        let index = self.path.join(INDEX_FILE);
        if !index.exists() {
            staged::replace(&index, &Index::empty().to_bytes())?;
        }
        let version = self.path.join(VERSION_FILE);
        if !version.exists() {
            staged::replace(&version, VERSION_CONTENT.as_bytes())?;
        }
        staged::sync_directory(&self.path)
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads `index.json`.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when it is missing, too large or no index.
    pub fn index(&self) -> Result<Index, Error> {
        let bytes = self.index_bytes()?;
        Index::parse(bytes)
            .map_err(|error| Error::new(ErrorKind::Corrupt, self.what("read"), error.to_string()))
    }

    /// Reads the bytes of `index.json`, at most [`MAX_INDEX`].
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when it is missing or too large.
    pub fn index_bytes(&self) -> Result<Bytes, Error> {
        read_limited(&self.path.join(INDEX_FILE), MAX_INDEX).map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                Error::new(
                    ErrorKind::Corrupt,
                    self.what("read"),
                    "the layout has no index.json",
                )
            } else {
                failure(self.what("read"), error)
            }
        })
    }

    /// Changes `index.json`: no other process that locks does at the same time, readers see the
    /// old or the new one, and everything put before survives a crash that the change survives.
    ///
    /// # Errors
    /// When it cannot be read or written; then it is as it was.
    pub fn update<R>(&self, change: impl FnOnce(&mut Index) -> R) -> Result<R, Error> {
        let what = || self.what("change index.json of");
        let _lock = self.lock().map_err(|error| failure(what(), error))?;
        let mut index = self.index()?;
        let before = index.to_bytes();
        let result = change(&mut index);
        let after = index.to_bytes();
        if after == before {
            return Ok(result);
        }
        if after.len() as u64 > MAX_INDEX {
            return Err(Error::new(
                ErrorKind::Unsupported,
                what(),
                format!("it would have more than {MAX_INDEX} bytes"),
            ));
        }
        self.replace_index(&after)
            .map_err(|error| failure(what(), error))?;
        Ok(result)
    }

    fn replace_index(&self, content: &[u8]) -> io::Result<()> {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            match staged::sync_directory(&self.path.join(BLOBS).join(algorithm.name())) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        staged::replace(&self.path.join(INDEX_FILE), content)?;
        staged::sync_directory(&self.path)
    }

    /// Waits for the lock. It is on the directory itself, so that no file that image-spec does
    /// not know appears in the layout.
    fn lock(&self) -> io::Result<Lock> {
        let directory = fs::File::open(&self.path)?;
        loop {
            match rustix::fs::flock(&directory, FlockOperation::LockExclusive) {
                Ok(()) => break,
                Err(Errno::INTR) => {}
                // Some network file systems cannot lock a directory.
                Err(Errno::NOLCK | Errno::OPNOTSUPP | Errno::BADF | Errno::INVAL) => {
                    tracing::warn!(
                        path = %self.path.display(),
                        "this file system cannot lock a directory; let only one process write here"
                    );
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Lock {
            _directory: directory,
        })
    }

    /// The layout as it stands in references.
    #[must_use]
    pub fn label(&self) -> String {
        format!("oci:{}", self.path.display())
    }

    pub(super) fn what(&self, verb: &str) -> String {
        format!("cannot {verb} {}", self.label())
    }

    pub(super) fn what_blob(&self, digest: &Digest) -> String {
        format!("cannot write blob {digest} to {}", self.label())
    }
}

/// What is wrong with an `oci-layout` file, if anything.
///
/// # Errors
/// When it is malformed, or of another version than 1.
pub fn check_version(bytes: &Bytes) -> Result<(), (ErrorKind, String)> {
    let document = Document::parse(bytes.clone(), &shape::LAYOUT)
        .map_err(|error| (ErrorKind::Corrupt, format!("the oci-layout file: {error}")))?;
    match document.object().get("imageLayoutVersion") {
        Some(Value::String(version)) if version.starts_with("1.") => Ok(()),
        Some(Value::String(version)) => Err((
            ErrorKind::Unsupported,
            format!("the layout has version {version:?}; ohoci knows 1.0.0"),
        )),
        _ => Err((
            ErrorKind::Corrupt,
            "the oci-layout file has no imageLayoutVersion".to_owned(),
        )),
    }
}

/// Reads a file of at most `max` bytes.
fn read_limited(path: &Path, max: u64) -> io::Result<Bytes> {
    let file = regular::open(path)?;
    let mut content = Vec::new();
    file.take(max + 1).read_to_end(&mut content)?;
    if content.len() as u64 > max {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{} has more than {max} bytes", path.display()),
        ));
    }
    Ok(content.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ohoci_image::{Descriptor, media_type};

    fn fresh() -> (tempfile::TempDir, Layout) {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::create_or_open(directory.path().join("a/b")).unwrap();
        (directory, layout)
    }

    #[test]
    fn creating_twice_is_opening() {
        let (_directory, layout) = fresh();
        let one = Descriptor::of(media_type::OCI_MANIFEST, b"1");
        layout
            .update(|index| index.set(Some("a"), &one, None))
            .unwrap();
        let again = Layout::create_or_open(layout.path()).unwrap();
        assert_eq!(again.index().unwrap().names(), ["a"]);
        assert_eq!(
            fs::read_to_string(layout.path().join(VERSION_FILE)).unwrap(),
            VERSION_CONTENT
        );
    }

    #[test]
    fn a_directory_with_other_things_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("thesis.txt"), "").unwrap();
        let error = Layout::create_or_open(directory.path()).unwrap_err();
        assert!(error.why().contains("thesis.txt"), "{error}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        let kind = |path: &Path| Layout::open(path).unwrap_err().kind();
        assert_eq!(kind(directory.path()), ErrorKind::Corrupt);
        assert_eq!(kind(&directory.path().join("no")), ErrorKind::NotFound);
        assert_eq!(
            kind(&directory.path().join("thesis.txt")),
            ErrorKind::NotFound
        );
    }

    #[test]
    fn an_interrupted_creation_is_completed() {
        let (_directory, layout) = fresh();
        fs::remove_file(layout.path().join(VERSION_FILE)).unwrap();
        fs::write(layout.path().join(".ohoci-x"), "").unwrap();
        Layout::create_or_open(layout.path()).unwrap();
    }

    #[test]
    fn a_layout_of_another_version_is_refused() {
        let (_directory, layout) = fresh();
        for (content, kind) in [
            (r#"{"imageLayoutVersion":"2.0.0"}"#, ErrorKind::Unsupported),
            ("{}", ErrorKind::Corrupt),
            ("", ErrorKind::Corrupt),
        ] {
            fs::write(layout.path().join(VERSION_FILE), content).unwrap();
            assert_eq!(Layout::open(layout.path()).unwrap_err().kind(), kind);
        }
    }

    #[test]
    fn endless_or_broken_index_is_refused() {
        let (_directory, layout) = fresh();
        let index = layout.path().join(INDEX_FILE);
        fs::write(&index, "{").unwrap();
        assert_eq!(layout.index().unwrap_err().kind(), ErrorKind::Corrupt);
        fs::File::create(&index).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(layout.index().unwrap_err().kind(), ErrorKind::Corrupt);
        fs::remove_file(&index).unwrap();
        assert_eq!(layout.index().unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn concurrent_writers_lose_no_tag() {
        let (_directory, layout) = fresh();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let layout = &layout;
                scope.spawn(move || {
                    for n in 0..10 {
                        let name = format!("{thread}-{n}");
                        let manifest = Descriptor::of(media_type::OCI_MANIFEST, name.as_bytes());
                        layout
                            .update(|index| index.set(Some(&name), &manifest, None))
                            .unwrap();
                        layout.index().unwrap();
                    }
                });
            }
        });
        assert_eq!(layout.index().unwrap().names().len(), 80);
    }
}
