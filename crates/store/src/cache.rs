//! The local cache: blobs by digest, and what has been learnt about registries.
//!
//! It is safe to delete at any time and safe for concurrent processes: files appear whole under
//! their final name, and logs are appended to in single writes. A cache that cannot be read or
//! written (a read-only directory, a full disk) never fails anything; the first failure is logged
//! and can be asked for with [`Cache::first_failure`].
//!
//! Only facts that this machine has verified itself are recorded: a digest that was computed over
//! the bytes, a blob that a verified manifest lists. What a server merely claims would let one
//! registry poison what is later sent to another (the rule of containers/image's
//! `BlobInfoCache`).

mod behind;
mod memory;

use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use fs_err as fs;

use ohoci_image::{Descriptor, Digest};

use self::behind::Behind;
use super::Body;
use super::blob_file::{BlobFiles, FileBody};
use ohoci_layout::StagedFile;
use ohoci_layout::region::Region;

/// A content-addressed cache in a directory, with a memory for facts.
///
/// Clones share everything.
#[derive(Clone, Debug)]
pub struct Cache {
    state: Arc<State>,
    /// Writes what nobody waits for.
    behind: Option<Arc<Behind>>,
}

#[derive(Debug)]
struct State {
    /// `None` when there is no cache at all.
    root: Option<PathBuf>,
    first_failure: OnceLock<String>,
}

impl Cache {
    /// A cache in the directory `root`, which is made when something is put.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self::with(Some(root.into()))
    }

    /// A cache that remembers nothing.
    #[must_use]
    pub fn disabled() -> Self {
        Self::with(None)
    }

    /// A cache of its own in a directory of this one; one that remembers nothing if this one does not.
    #[must_use]
    pub fn within(&self, directory: &str) -> Self {
        let root = self.state.root.as_ref();
        Self::with(root.map(|root| root.join(directory)))
    }

    fn with(root: Option<PathBuf>) -> Self {
        Self {
            state: Arc::new(State {
                root,
                first_failure: OnceLock::new(),
            }),
            behind: None,
        }
    }

    /// The same cache, which keeps blobs and facts a little later than it is told to: whoever puts them
    /// does not wait for the disk. Until then they are not there, and what was put just before the process
    /// ended may never be.
    #[must_use]
    pub fn written_behind(&self) -> Self {
        Self {
            state: Arc::clone(&self.state),
            behind: Behind::start().map(Arc::new),
        }
    }

    /// The same cache, which writes at once.
    fn at_once(&self) -> Self {
        Self {
            state: Arc::clone(&self.state),
            behind: None,
        }
    }

    /// Whether it is one that remembers nothing.
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        self.state.root.is_none()
    }

    /// The first thing that went wrong, if anything did: worth one warning to the person.
    #[must_use]
    pub fn first_failure(&self) -> Option<&str> {
        self.state.first_failure.get().map(String::as_str)
    }

    fn blob_path(&self, digest: &Digest) -> Option<PathBuf> {
        // Two digits in front keep directories small.
        let shard = digest.hex().get(..2)?;
        let mut path = self.state.root.as_ref()?.join("blobs");
        path.push(digest.algorithm().name());
        path.push(shard);
        path.push(digest.hex());
        Some(path)
    }

    /// The blob, if it is there and has at most `max` bytes. A file that is not what its name says
    /// is removed.
    #[must_use]
    pub fn get(&self, digest: &Digest, max: u64) -> Option<Bytes> {
        let path = self.blob_path(digest)?;
        let read = || -> io::Result<Option<Bytes>> {
            let Some(file) = existing(&path)? else {
                return Ok(None);
            };
            let mut content = Vec::new();
            file.take(max.saturating_add(1)).read_to_end(&mut content)?;
            Ok(Some(content.into()))
        };
        let content = self.note("read", read())??;
        if content.len() as u64 > max {
            return None;
        }
        if digest.matches(&content) {
            return Some(content);
        }
        tracing::warn!(%digest, "the cached blob is damaged and will be removed");
        self.note("remove", fs::remove_file(&path));
        None
    }

    /// Where the blob lies, if it is there. Its content has not been checked; whoever reads it
    /// must.
    #[must_use]
    pub fn path_of(&self, digest: &Digest) -> Option<PathBuf> {
        self.blob_path(digest).filter(|path| path.is_file())
    }

    /// A handle to a blob that is there with that size. Reading it whole checks its digest.
    #[must_use]
    pub fn body(&self, descriptor: &Descriptor) -> Option<Arc<dyn Body>> {
        let region = self.note("read", self.find(&descriptor.digest))??;
        if region.length() != descriptor.size {
            return None;
        }
        Some(Arc::new(FileBody::new(
            Arc::new(self.clone()),
            descriptor.clone(),
        )))
    }

    /// Keeps a blob. Content that does not hash to the digest is not kept.
    pub fn put(&self, digest: &Digest, content: &[u8]) {
        if let Some(behind) = &self.behind {
            let (cache, digest, content) = (self.at_once(), digest.clone(), content.to_vec());
            behind.write(move || cache.put(&digest, &content));
            return;
        }
        if self.path_of(digest).is_some() {
            return;
        }
        if let Some(mut staged) = self.stage()
            && self.note("write", staged.write(content)).is_some()
        {
            self.insert(staged, digest);
        }
    }

    /// Begins a blob that does not fit into memory; `None` when there is no cache to write to.
    /// Dropping it removes it.
    #[must_use]
    pub fn stage(&self) -> Option<StagedFile> {
        let directory = self.state.root.as_ref()?.join("unfinished");
        self.note("write", create(&directory))?;
        self.note("write", StagedFile::create_in(&directory))
    }

    /// Goes on with a blob that an earlier run did not finish, or begins it. Dropping it leaves it
    /// for the next run, unless another process is at it, too; then it is as [`Cache::stage`]
    /// makes it.
    #[must_use]
    pub fn resume(&self, digest: &Digest) -> Option<StagedFile> {
        let directory = self.state.root.as_ref()?.join("unfinished");
        self.note("write", create(&directory))?;
        let name = format!("{}-{}", digest.algorithm().name(), digest.hex());
        match self.note("write", StagedFile::resume_in(&directory, &name))? {
            Some(staged) => Some(staged),
            None => self.stage(),
        }
    }

    /// Keeps a staged blob, when it hashes to the digest, and says where it lies.
    #[must_use = "without the path it is not known whether the blob was kept"]
    pub fn insert_file(&self, staged: StagedFile, digest: &Digest) -> Option<PathBuf> {
        self.insert(staged, digest)
    }

    fn insert(&self, staged: StagedFile, digest: &Digest) -> Option<PathBuf> {
        let path = self.blob_path(digest)?;
        let kept = create(path.parent()?).and_then(|()| staged.commit_unsynced(digest, &path));
        self.note("write", kept)?;
        Some(path)
    }

    /// Turns a failure into "not there", remembering the first.
    fn note<T>(&self, verb: &str, result: io::Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            // Another process may have deleted the cache, or parts of it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                let first = self
                    .state
                    .first_failure
                    .set(format!("cannot {verb} the cache: {error}"));
                if first.is_ok() {
                    tracing::warn!(%error, "cannot {verb} the cache; going on without it");
                }
                None
            }
        }
    }
}

impl BlobFiles for Cache {
    fn find(&self, digest: &Digest) -> io::Result<Option<Region>> {
        match self.blob_path(digest) {
            Some(path) => existing(&path)?.map(Region::whole).transpose(),
            None => Ok(None),
        }
    }

    fn own_file(&self, digest: &Digest) -> Option<PathBuf> {
        self.path_of(digest)
    }
}

/// Opens an ordinary file, if there is one.
fn existing(path: &Path) -> io::Result<Option<fs::File>> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => fs::File::open(path).map(Some),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes a directory that no other user may look into: configs of private images lie there.
fn create(directory: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("cannot create {}: {error}", directory.display()),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_there_for_the_next_process() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("ohoci");
        let digest = Digest::of(b"abc");
        let cache = Cache::new(&root);
        assert_eq!(cache.get(&digest, 10), None);
        assert_eq!(cache.path_of(&digest), None);
        cache.put(&digest, b"abc");
        let next = Cache::new(&root);
        assert_eq!(next.get(&digest, 3).as_deref(), Some(&b"abc"[..]));
        assert_eq!(next.get(&digest, 2), None);
        assert!(next.body(&Descriptor::of("a/b", b"abc")).is_some());
        let mut staged = next.stage().unwrap();
        staged.write(b"def").unwrap();
        let path = next.insert_file(staged, &Digest::of(b"def")).unwrap();
        assert_eq!(fs::read(path).unwrap(), b"def");
        assert_eq!(cache.first_failure().or(next.first_failure()), None);
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(next.get(&digest, 3), None);
        next.put(&digest, b"abc");
        assert!(next.get(&digest, 3).is_some());
    }

    #[test]
    fn what_is_written_behind_is_there_in_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(directory.path());
        let behind = cache.written_behind();
        let fact = serde_json::json!(1);
        for number in 0..1000_u32 {
            let content = number.to_be_bytes();
            behind.put(&Digest::of(&content), &content);
            behind.remember_fact("k", &number.to_string(), &fact);
        }
        // Dropping it waits for what was begun.
        drop(behind);
        for number in 0..1000_u32 {
            let digest = Digest::of(&number.to_be_bytes());
            assert!(cache.get(&digest, 10).is_some(), "{number}");
            let kept = cache.fact("k", &number.to_string());
            assert_eq!(kept.as_ref(), Some(&fact), "{number}");
        }
    }

    #[test]
    fn damaged_content_is_removed_and_false_content_is_not_kept() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(directory.path());
        let digest = Digest::of(b"abc");
        cache.put(&digest, b"abd");
        assert_eq!(cache.path_of(&digest), None);
        cache.put(&digest, b"abc");
        let path = cache.path_of(&digest).unwrap();
        fs::write(&path, "abd").unwrap();
        assert_eq!(cache.get(&digest, 10), None);
        assert!(!path.exists());
    }

    #[test]
    fn a_cache_that_cannot_be_written_fails_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        // A file where the directory should be: what even root cannot write into.
        let cache = Cache::new(&file);
        let digest = Digest::of(b"abc");
        cache.put(&digest, b"abc");
        assert_eq!(cache.get(&digest, 10), None);
        assert!(cache.stage().is_none());
        assert!(cache.first_failure().is_some());
        let none = Cache::disabled();
        none.put(&digest, b"abc");
        assert_eq!(none.get(&digest, 10), None);
        assert_eq!(none.first_failure(), None);
    }
}
