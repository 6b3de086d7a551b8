//! The blobs of an OCI layout.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use fs_err as fs;

use ohoci_files::regular;
use ohoci_image::{Descriptor, Digest};

use super::error::{Error, ErrorKind, failure};
use super::layout::{BLOBS, Layout, VERSION_FILE};
use super::region::Region;
use super::staged::StagedFile;

/// Where the layout in a directory has a blob, if it has it (image-spec `image-layout.md`).
#[must_use]
pub fn blob_path(layout: &Path, digest: &Digest) -> PathBuf {
    let mut path = layout.join(BLOBS);
    path.push(digest.algorithm().name());
    path.push(digest.hex());
    path
}

/// The size of a regular file in bytes; `None` when there is none.
///
/// # Errors
/// When the file system does not say.
pub fn file_size(path: &Path) -> io::Result<Option<u64>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.is_file().then_some(metadata.len())),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl Layout {
    /// Where a blob lies, if it is there.
    #[must_use]
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        blob_path(&self.path, digest)
    }

    /// How large a blob is; `None` when it is not there.
    ///
    /// # Errors
    /// When the file system does not say.
    pub fn blob_size(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        file_size(&self.blob_path(digest)).map_err(|error| failure(self.what("look into"), error))
    }

    /// Whether the blob is there with the size that the descriptor gives. Its content is checked
    /// when it is read.
    ///
    /// # Errors
    /// When the file system does not say.
    pub fn has(&self, descriptor: &Descriptor) -> Result<bool, Error> {
        Ok(self.blob_size(&descriptor.digest)? == Some(descriptor.size))
    }

    /// Reads a blob of at most `max` bytes whole; `None` when it is not there.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when it is larger or not what its digest says.
    pub fn read(&self, digest: &Digest, max: u64) -> Result<Option<Bytes>, Error> {
        let what = || format!("cannot read blob {digest} of {}", self.label());
        let Some(region) = self.find(digest).map_err(|error| failure(what(), error))? else {
            return Ok(None);
        };
        if region.length() > max {
            return Err(Error::new(
                ErrorKind::Corrupt,
                what(),
                format!("it has {} bytes; at most {max} are read", region.length()),
            ));
        }
        let descriptor = Descriptor::new("", digest.clone(), region.length());
        region
            .read_checked(&descriptor)
            .map(Some)
            .map_err(|error| failure(what(), error))
    }

    /// Opens a blob; `None` when it is not there.
    ///
    /// # Errors
    /// When it is no file, or cannot be opened.
    pub fn find(&self, digest: &Digest) -> io::Result<Option<Region>> {
        let path = self.blob_path(digest);
        match fs::metadata(&path) {
            // Asked before opening: opening a pipe would wait for its other end.
            Ok(metadata) if !metadata.is_file() => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} is no file", path.display()),
            )),
            Ok(_) => regular::open(&path).and_then(Region::whole).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Begins a blob. It has no name until it is committed; dropping it removes it.
    ///
    /// # Errors
    /// When no file can be created.
    pub fn stage(&self) -> Result<StagedFile, Error> {
        StagedFile::create_in(&self.path).map_err(|error| failure(self.what("write to"), error))
    }

    /// Gives a staged blob its name. That the blob is there already is no error.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when the content does not hash to `digest`.
    pub fn commit(&self, staged: StagedFile, digest: &Digest) -> Result<(), Error> {
        self.blob_directory(digest)
            .and_then(|()| staged.commit(digest, &self.blob_path(digest)))
            .map_err(|error| failure(self.what_blob(digest), error))
    }

    /// As [`Layout::commit`], and checks the size, too.
    ///
    /// # Errors
    /// As [`Layout::commit`].
    pub fn commit_as(&self, staged: StagedFile, descriptor: &Descriptor) -> Result<(), Error> {
        self.blob_directory(&descriptor.digest)
            .and_then(|()| staged.commit_as(descriptor, &self.blob_path(&descriptor.digest)))
            .map_err(|error| failure(self.what_blob(&descriptor.digest), error))
    }

    /// Whether a file can get a name among the blobs: it is in the same file system, and whoever
    /// may read the layout may read it.
    #[must_use]
    pub fn may_link(&self, file: &Path) -> bool {
        let (Ok(ours), Ok(file)) = (
            fs::metadata(self.path.join(VERSION_FILE)),
            fs::symlink_metadata(file),
        ) else {
            return false;
        };
        file.is_file() && file.dev() == ours.dev() && file.mode() == ours.mode()
    }

    /// Gives a file, whose content has been checked, one more name: the blob's.
    ///
    /// # Errors
    /// When it cannot be had, as on another file system.
    pub fn link(&self, file: &Path, descriptor: &Descriptor) -> Result<(), Error> {
        let link = || {
            self.blob_directory(&descriptor.digest)?;
            fs::File::open(file)?.sync_all()?;
            fs::hard_link(file, self.blob_path(&descriptor.digest))
        };
        link().map_err(|error| failure(self.what_blob(&descriptor.digest), error))
    }

    /// Puts a small blob; says whether it was new.
    ///
    /// # Errors
    /// As [`Layout::commit`].
    pub fn put(&self, descriptor: &Descriptor, content: &[u8]) -> Result<bool, Error> {
        if self.has(descriptor)? {
            return Ok(false);
        }
        let mut staged = self.stage()?;
        staged
            .write(content)
            .map_err(|error| failure(self.what_blob(&descriptor.digest), error))?;
        self.commit_as(staged, descriptor)?;
        Ok(true)
    }

    /// Makes sure that there is a directory for blobs of that algorithm, inside the layout.
    fn blob_directory(&self, digest: &Digest) -> io::Result<()> {
        let mut directory = self.path.clone();
        for part in [BLOBS, digest.algorithm().name()] {
            directory.push(part);
            match fs::symlink_metadata(&directory) {
                Ok(metadata) if metadata.is_dir() => {}
                Ok(_) => {
                    return Err(io::Error::new(
                        io::ErrorKind::NotADirectory,
                        format!(
                            "{} is no directory; nothing is written through links",
                            directory.display()
                        ),
                    ));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    fs::create_dir_all(&directory)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> (tempfile::TempDir, Layout) {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::create_or_open(directory.path().join("a/b")).unwrap();
        (directory, layout)
    }

    #[test]
    fn a_blob_of_wrong_content_is_never_returned() {
        let (_directory, layout) = fresh();
        let blob = Descriptor::of("a/b", b"abc");
        assert!(layout.put(&blob, b"abd").is_err());
        assert!(!layout.has(&blob).unwrap());
        assert!(layout.put(&blob, b"abc").unwrap());
        assert!(!layout.put(&blob, b"abc").unwrap());
        fs::write(layout.blob_path(&blob.digest), "abd").unwrap();
        let error = layout.read(&blob.digest, 10).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert_eq!(
            layout.read(&blob.digest, 2).unwrap_err().kind(),
            ErrorKind::Corrupt
        );
        assert_eq!(layout.read(&Digest::of(b"no"), 10).unwrap(), None);
        fs::remove_file(layout.blob_path(&blob.digest)).unwrap();
        fs::create_dir(layout.blob_path(&blob.digest)).unwrap();
        assert!(layout.read(&blob.digest, 10).is_err());
    }

    #[test]
    fn only_regular_files_have_a_size() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "abc").unwrap();
        assert_eq!(file_size(&file).unwrap(), Some(3));
        assert_eq!(file_size(directory.path()).unwrap(), None);
        assert_eq!(file_size(&directory.path().join("absent")).unwrap(), None);
        assert_eq!(file_size(&file.join("below")).unwrap(), None);
    }

    #[test]
    fn nothing_is_written_through_a_linked_directory() {
        let (directory, layout) = fresh();
        let outside = directory.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::remove_dir(layout.path().join("blobs/sha256")).unwrap();
        fs_err::os::unix::fs::symlink(&outside, layout.path().join("blobs/sha256")).unwrap();
        assert!(layout.put(&Descriptor::of("a/b", b"abc"), b"abc").is_err());
        assert_eq!(fs::read_dir(outside).unwrap().count(), 0);
    }
}
