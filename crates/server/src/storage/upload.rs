//! Uploads: files that grow, and are hashed as they do.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fs_err::File;
use fs_err::os::unix::fs::FileExt as _;
use parking_lot::Mutex;

use crate::name::RepositoryName;
use ohoci_image::{Algorithm, Digest, Hasher};

use ohoci_layout::Staging;

/// How long an upload has to have lain still before it makes room for another one. Clients open
/// uploads a while before they use them.
const YOUNG: Duration = Duration::from_secs(30);

/// A file that is being written. Its file goes with it, unless it was published.
#[derive(Debug)]
pub(crate) struct Sink {
    file: File,
    path: PathBuf,
    algorithm: Algorithm,
    hasher: Hasher,
    size: Arc<AtomicU64>,
}

/// A place in an upload that can be gone back to.
#[derive(Debug)]
pub(crate) struct Mark {
    hasher: Hasher,
    size: u64,
}

/// Why an upload did not become a blob.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// The disk's fault.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Other content than was announced.
    #[error("the content that came is {found}, not {expected}")]
    Digest {
        /// What was announced.
        expected: Digest,
        /// What came.
        found: Digest,
    },
}

impl Sink {
    fn create(path: PathBuf, algorithm: Algorithm, size: Arc<AtomicU64>) -> io::Result<Self> {
        let file = fs_err::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)?;
        Ok(Self {
            file,
            path,
            algorithm,
            hasher: Hasher::new(algorithm),
            size,
        })
    }

    /// Bytes written so far.
    pub(crate) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// Appends. What fails to be written does not count.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let at = self.size();
        self.file.write_all_at(bytes, at)?;
        self.hasher.update(bytes);
        self.size.store(at + bytes.len() as u64, Ordering::Release);
        Ok(())
    }

    /// Remembers this point.
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            hasher: self.hasher.clone(),
            size: self.size(),
        }
    }

    /// Forgets what came after a mark.
    pub(crate) fn rewind(&mut self, mark: Mark) {
        self.hasher = mark.hasher;
        self.size.store(mark.size, Ordering::Release);
    }

    /// Checks the content against a digest.
    pub(crate) fn verify(&self, expected: &Digest) -> Result<(), WriteError> {
        let found = if expected.algorithm() == self.algorithm {
            self.hasher.clone().finish()
        } else {
            self.hash_again(expected.algorithm())?
        };
        if found == *expected {
            return Ok(());
        }
        Err(WriteError::Digest {
            expected: expected.clone(),
            found,
        })
    }

    /// The client did not say at the start which algorithm its digest would have.
    fn hash_again(&self, algorithm: Algorithm) -> io::Result<Digest> {
        let mut hasher = Hasher::new(algorithm);
        let mut buffer = vec![0; 256 << 10];
        let (mut at, size) = (0, self.size());
        while at < size {
            let want = usize::try_from(size - at).map_or(buffer.len(), |n| n.min(buffer.len()));
            let piece = buffer.get_mut(..want).unwrap_or_default();
            self.file.read_exact_at(piece, at)?;
            hasher.update(piece);
            at += want as u64;
        }
        Ok(hasher.finish())
    }

    /// Moves the file to its place.
    pub(super) fn publish(&mut self, place: &Path, staging: &Staging) -> io::Result<()> {
        // A failed write may have left bytes behind the end.
        self.file.set_len(self.size())?;
        staging.publish(&self.file, &self.path, place)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // It is not there any more when it was published.
        let _ = fs_err::remove_file(&self.path);
    }
}

/// An upload that a client has under way.
#[derive(Debug)]
pub(crate) struct Session {
    id: String,
    repository: RepositoryName,
    size: Arc<AtomicU64>,
    touched: Mutex<Instant>,
    /// Whoever writes holds the lock.
    pub(crate) sink: Arc<tokio::sync::Mutex<Sink>>,
}

impl Session {
    /// A UUID.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Bytes received so far.
    pub(crate) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// Something was just done with it.
    pub(crate) fn touch(&self) {
        *self.touched.lock() = Instant::now();
    }

    /// How long nothing has been done with it.
    fn still(&self) -> Duration {
        self.touched.lock().elapsed()
    }
}

/// How long an upload may lie still.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdleLimits {
    /// When nothing has come yet.
    pub(crate) empty: Duration,
    /// When something has.
    pub(crate) begun: Duration,
}

/// All uploads under way.
#[derive(Debug)]
pub(crate) struct Sessions {
    staging: Staging,
    idle_limits: IdleLimits,
    limit: usize,
    live: Mutex<HashMap<String, Arc<Session>>>,
}

impl Sessions {
    pub(super) fn new(staging: Staging, idle_limits: IdleLimits, limit: usize) -> Self {
        Self {
            staging,
            idle_limits,
            limit,
            live: Mutex::default(),
        }
    }

    /// A sink without a session, for an upload in one request.
    pub(crate) fn sink(&self, algorithm: Algorithm) -> io::Result<Sink> {
        Sink::create(self.staging.path(&uuid()), algorithm, Arc::default())
    }

    pub(super) fn start(
        &self,
        repository: &RepositoryName,
        algorithm: Algorithm,
    ) -> io::Result<Option<Arc<Session>>> {
        let id = uuid();
        let size = Arc::default();
        let sink = Sink::create(self.staging.path(&id), algorithm, Arc::clone(&size))?;
        let session = Arc::new(Session {
            id: id.clone(),
            repository: repository.clone(),
            size,
            touched: Mutex::new(Instant::now()),
            sink: Arc::new(tokio::sync::Mutex::new(sink)),
        });
        let mut live = self.live.lock();
        if live.len() >= self.limit && !make_room(&mut live) {
            return Ok(None);
        }
        live.insert(id, Arc::clone(&session));
        Ok(Some(session))
    }

    /// The upload of that name into that repository.
    pub(crate) fn find(&self, repository: &RepositoryName, id: &str) -> Option<Arc<Session>> {
        let session = Arc::clone(self.live.lock().get(id)?);
        if session.repository != *repository {
            return None;
        }
        session.touch();
        Some(session)
    }

    /// Ends an upload; its file goes with the last request that uses it.
    pub(crate) fn end(&self, session: &Session) {
        self.live.lock().remove(&session.id);
    }

    /// Ends the uploads that have been idle for too long.
    pub(crate) fn sweep(&self) {
        let mut live = self.live.lock();
        live.retain(|_, session| {
            let idle = if session.size() == 0 {
                self.idle_limits.empty
            } else {
                self.idle_limits.begun
            };
            session.still() < idle || session.sink.try_lock().is_err()
        });
    }
}

/// Ends the empty upload that has lain still longest, if that is long; whether there was one.
fn make_room(live: &mut HashMap<String, Arc<Session>>) -> bool {
    let empty = live.values().filter(|session| {
        session.size() == 0 && session.still() >= YOUNG && session.sink.try_lock().is_ok()
    });
    let Some(id) = empty
        .max_by_key(|session| session.still())
        .map(|session| session.id.clone())
    else {
        return false;
    };
    live.remove(&id).is_some()
}

/// A random UUID (RFC 9562, version 4).
fn uuid() -> String {
    let random = fastrand::u128(..) & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{random:032x}");
    let mut text = String::with_capacity(36);
    for (at, digit) in hex.chars().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle_limits(empty: u64, begun: u64) -> IdleLimits {
        IdleLimits {
            empty: Duration::from_secs(empty),
            begun: Duration::from_secs(begun),
        }
    }

    fn sessions(directory: &Path, idle_limits: IdleLimits, limit: usize) -> Sessions {
        Sessions::new(Staging::new(directory.to_owned(), true), idle_limits, limit)
    }

    #[test]
    fn empty_uploads_expire_before_those_that_have_begun() {
        let directory = tempfile::tempdir().unwrap();
        let sessions = sessions(directory.path(), idle_limits(0, 3600), 10);
        let name = RepositoryName::parse("a").unwrap();
        let start = || sessions.start(&name, Algorithm::Sha256).unwrap().unwrap();
        let (empty, begun) = (start(), start());
        let mut sink = Arc::clone(&begun.sink).try_lock_owned().unwrap();
        sink.append(b"a").unwrap();
        drop(sink);
        sessions.sweep();
        assert!(sessions.find(&name, empty.id()).is_none());
        assert!(sessions.find(&name, begun.id()).is_some());
    }

    #[test]
    fn uploads_have_a_limit_and_a_long_empty_one_makes_room() {
        let directory = tempfile::tempdir().unwrap();
        let sessions = sessions(directory.path(), idle_limits(3600, 3600), 2);
        let name = RepositoryName::parse("a").unwrap();
        let start = || sessions.start(&name, Algorithm::Sha256).unwrap();
        let (first, second) = (start().unwrap(), start().unwrap());
        assert!(start().is_none());
        // The file of the one that was refused is gone as well.
        assert_eq!(fs_err::read_dir(directory.path()).unwrap().count(), 2);
        let Some(earlier) = Instant::now().checked_sub(YOUNG) else {
            return;
        };
        *second.touched.lock() = earlier;
        let mut sink = Arc::clone(&first.sink).try_lock_owned().unwrap();
        sink.append(b"a").unwrap();
        drop(sink);
        *first.touched.lock() = earlier;
        assert!(start().is_some());
        assert!(sessions.find(&name, second.id()).is_none());
        assert!(sessions.find(&name, first.id()).is_some());
    }

    #[test]
    fn an_upload_is_verified_in_either_algorithm_and_can_be_taken_back() {
        let directory = tempfile::tempdir().unwrap();
        let staging = Staging::new(directory.path().to_owned(), true);
        let sessions = Sessions::new(staging.clone(), idle_limits(0, 0), 10);
        let mut sink = sessions.sink(Algorithm::Sha256).unwrap();
        sink.append(b"ab").unwrap();
        let mark = sink.mark();
        sink.append(b"nonsense").unwrap();
        sink.rewind(mark);
        sink.append(b"c").unwrap();
        sink.verify(&Digest::of(b"abc")).unwrap();
        let mut hasher = Hasher::new(Algorithm::Sha512);
        hasher.update(b"abc");
        sink.verify(&hasher.finish()).unwrap();
        assert!(sink.verify(&Digest::of(b"abd")).is_err());
        let place = directory.path().join("place");
        sink.publish(&place, &staging).unwrap();
        drop(sink);
        assert_eq!(fs_err::read(place).unwrap(), b"abc");
        assert_eq!(fs_err::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_session_belongs_to_its_repository_and_ages() {
        let directory = tempfile::tempdir().unwrap();
        let staging = Staging::new(directory.path().to_owned(), true);
        let sessions = Sessions::new(staging, idle_limits(0, 0), 10);
        let (one, other) = (
            RepositoryName::parse("one").unwrap(),
            RepositoryName::parse("other").unwrap(),
        );
        let session = sessions.start(&one, Algorithm::Sha256).unwrap().unwrap();
        assert!(sessions.find(&one, session.id()).is_some());
        assert!(sessions.find(&other, session.id()).is_none());
        let busy = Arc::clone(&session.sink).try_lock_owned().unwrap();
        sessions.sweep();
        assert!(sessions.find(&one, session.id()).is_some());
        drop(busy);
        sessions.sweep();
        assert!(sessions.find(&one, session.id()).is_none());
        drop(session);
        assert_eq!(fs_err::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn session_names_are_uuids() {
        let id = uuid();
        let parts: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(id.chars().nth(14), Some('4'));
        assert!("89ab".contains(id.chars().nth(19).unwrap()));
    }
}
