//! All repositories of a server.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err::File;
use parking_lot::Mutex;
use rustix::fs::FlockOperation;

use crate::name::RepositoryName;
use ohoci_image::{Algorithm, Digest};

use super::repository::Repository;
use super::upload::{IdleLimits, Session, Sessions};
use ohoci_layout::layout::INDEX_FILE;
use ohoci_layout::{Staging, blob_path, file_size};

/// Holds uploads and the lock; no repository's name starts with a dot.
const UPLOADS: &str = ".uploads";

/// A directory of repositories.
#[derive(Debug)]
pub(crate) struct Storage {
    root: PathBuf,
    staging: Staging,
    /// Repositories that have been asked for.
    open: Mutex<HashMap<RepositoryName, Arc<Slot>>>,
    /// Names of all repositories that were there at the start or have been asked for since.
    names: Mutex<BTreeSet<RepositoryName>>,
    sessions: Sessions,
    /// Held as long as the server lives.
    _lock: File,
}

/// A repository that is read at most once, without holding up the others.
#[derive(Debug, Default)]
struct Slot(Mutex<Option<Arc<Repository>>>);

/// Why a directory cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// It cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Another server serves it.
    #[error("another server is using it")]
    InUse,
}

/// The file that a server locks while it serves a directory.
pub(crate) fn lock_in(root: &Path) -> PathBuf {
    root.join(UPLOADS).join("lock")
}

impl Storage {
    /// Takes possession of a directory, and makes it when it is not there.
    /// At most `uploads` are under way in it at once.
    pub(crate) fn open(
        root: &Path,
        sync: bool,
        idle_limits: IdleLimits,
        uploads: usize,
    ) -> Result<Self, OpenError> {
        let limit = uploads;
        let uploads = root.join(UPLOADS);
        fs_err::create_dir_all(&uploads)?;
        let lock = File::create(lock_in(root))?;
        rustix::fs::flock(lock.file(), FlockOperation::NonBlockingLockExclusive).map_err(
            |error| match error {
                rustix::io::Errno::WOULDBLOCK => OpenError::InUse,
                other => OpenError::Io(other.into()),
            },
        )?;
        for entry in fs_err::read_dir(&uploads)? {
            let entry = entry?;
            if entry.file_name() != "lock" {
                fs_err::remove_file(entry.path())?;
            }
        }
        let staging = Staging::new(uploads, sync);
        let mut names = BTreeSet::new();
        discover(root, None, &mut names)?;
        Ok(Self {
            root: root.to_owned(),
            staging: staging.clone(),
            open: Mutex::default(),
            names: Mutex::new(names),
            sessions: Sessions::new(staging, idle_limits, limit),
            _lock: lock,
        })
    }

    /// Unfinished uploads.
    pub(crate) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Names of the repositories, in order.
    pub(crate) fn names(&self) -> Vec<RepositoryName> {
        self.names.lock().iter().cloned().collect()
    }

    /// A repository; `None` when there is none of that name.
    pub(crate) fn find(&self, name: &RepositoryName) -> io::Result<Option<Arc<Repository>>> {
        let slot = self.open.lock().get(name).map(Arc::clone);
        if let Some(repository) = slot.and_then(|slot| slot.0.lock().clone()) {
            return Ok(Some(repository));
        }
        if file_size(&name.directory(&self.root).join(INDEX_FILE))?.is_none() {
            return Ok(None);
        }
        self.open_repository(name, false).map(Some)
    }

    /// A repository, which is made when it is not there.
    pub(crate) fn create(&self, name: &RepositoryName) -> io::Result<Arc<Repository>> {
        self.open_repository(name, true)
    }

    fn open_repository(&self, name: &RepositoryName, furnish: bool) -> io::Result<Arc<Repository>> {
        let slot = Arc::clone(self.open.lock().entry(name.clone()).or_default());
        let mut held = slot.0.lock();
        if let Some(repository) = held.as_ref() {
            return Ok(Arc::clone(repository));
        }
        let repository = Repository::open(name.directory(&self.root), self.staging.clone())?;
        if furnish {
            repository.furnish()?;
        }
        self.names.lock().insert(name.clone());
        let repository = Arc::new(repository);
        *held = Some(Arc::clone(&repository));
        Ok(repository)
    }

    /// Makes a blob of one repository (or of any, when `from` names none) a blob of another too;
    /// whether it is there now.
    pub(crate) fn mount(
        &self,
        digest: &Digest,
        from: Option<&RepositoryName>,
        to: &RepositoryName,
    ) -> io::Result<bool> {
        if let Some(target) = self.find(to)?
            && target.blob(digest)?.is_some()
        {
            return Ok(true);
        }
        let sources = from.map_or_else(|| self.names(), |from| vec![from.clone()]);
        for source in sources {
            let path = blob_path(&source.directory(&self.root), digest);
            if file_size(&path)?.is_none() {
                continue;
            }
            let place = self.create(to)?.place(digest)?;
            match self.staging.share(&path, &place) {
                Ok(()) => return Ok(true),
                // It was deleted just now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Starts an upload into a repository; `None` when there are too many already.
    pub(crate) fn start_upload(
        &self,
        name: &RepositoryName,
        algorithm: Algorithm,
    ) -> io::Result<Option<Arc<Session>>> {
        self.sessions.start(name, algorithm)
    }
}

/// Finds the layouts below a directory whose paths are names of repositories.
fn discover(
    directory: &Path,
    parent: Option<&RepositoryName>,
    names: &mut BTreeSet<RepositoryName>,
) -> io::Result<()> {
    for entry in fs_err::read_dir(directory)? {
        let entry = entry?;
        let file_name = entry.file_name();
        let Some(name) = file_name
            .to_str()
            .and_then(|text| RepositoryName::below(parent, text))
        else {
            continue;
        };
        // Links could lead in circles; what is behind one is served, but not found here.
        if !entry.file_type()?.is_dir() {
            continue;
        }
        let path = entry.path();
        if file_size(&path.join(INDEX_FILE))?.is_some() {
            names.insert(name.clone());
        }
        discover(&path, Some(&name), names)?;
    }
    Ok(())
}
