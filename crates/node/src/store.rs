//! The directory that keeps layers.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ohoci_compose::{Observer, Unwatched};
use ohoci_image::Digest;
use ohoci_layer::limits::UnpackLimits;
use ohoci_sandbox::{RemovedDirectory, has_private, private_in};

use super::fitness;
use super::lock::{Hold, Lock};
use super::record::Record;

/// How long to wait before looking again whether another process is done with a layer.
const PAUSE: Duration = Duration::from_millis(20);

/// Where something lies until it is whole.
const UNFINISHED: &str = "unfinished";

/// The file that says where overlays are mounted.
const OVERLAYS: &str = "overlays";

/// A directory of unpacked layers.
///
/// Several processes may use it at the same time, and any of them may be killed: what is in it is
/// whole, because it comes there by a rename. Only whoever made it can enter it.
#[derive(Clone, Debug)]
pub struct LayerStore {
    root: PathBuf,
    most_bytes: Option<u64>,
    observer: Arc<dyn Observer>,
    limits: UnpackLimits,
}

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", .path.display())]
pub struct StoreError {
    path: PathBuf,
    #[source]
    error: io::Error,
}

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A layer by its diff ID.
    Layer,
    /// What stands over layers: what one needs where it stands on certain others, by their chain ID, and
    /// what was made from an image's files.
    Adjustment,
    /// A package's files, by what decides about them.
    Package,
}

/// Something that is kept, and cannot be removed as long as this lasts.
#[derive(Debug)]
pub(crate) struct Held {
    directory: PathBuf,
    pub(crate) record: Record,
    _lock: Lock,
}

impl Held {
    /// Where its record is.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where its files are.
    pub(crate) fn files(&self) -> PathBuf {
        files_in(&self.directory)
    }
}

/// Where the files of what is kept in a directory are.
pub(crate) fn files_in(directory: &Path) -> PathBuf {
    directory.join("files")
}

impl Kind {
    fn directory(self) -> &'static str {
        match self {
            Self::Layer => "layers",
            Self::Adjustment => "adjustments",
            Self::Package => "packages",
        }
    }

    pub(crate) const ALL: [Self; 3] = [Self::Layer, Self::Adjustment, Self::Package];
}

/// What was found when something was asked for.
pub(crate) enum Asked {
    /// It is there.
    There(Held),
    /// It is to be made, by whoever has this.
    Missing(Making),
}

/// The right to make something.
#[derive(Debug)]
pub(crate) struct Making {
    lock: Lock,
    kind: Kind,
    digest: Digest,
}

impl LayerStore {
    /// Opens the store in a directory, which is made if it is missing.
    ///
    /// # Errors
    /// When it cannot be made, belongs to another user, or lies in a file system that cannot keep what
    /// layers need.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let opened = private_in(directory).and_then(|root| {
            for name in ["locks", UNFINISHED]
                .into_iter()
                .chain(Kind::ALL.map(Kind::directory))
            {
                fs_err::create_dir_all(root.join(name))?;
            }
            fitness::check(&root, &root.join(UNFINISHED))?;
            Ok(Self {
                root,
                most_bytes: None,
                observer: Arc::new(Unwatched),
                limits: UnpackLimits::default(),
            })
        });
        opened.map_err(|error| StoreError {
            path: directory.to_owned(),
            error,
        })
    }

    /// Whether there is a store in a directory.
    #[must_use]
    pub(crate) fn is_in(directory: &Path) -> bool {
        has_private(directory)
    }

    /// The same, of which no more than so many bytes stay: whenever something was unpacked, what was
    /// used longest ago is removed until that holds, but for what is in use.
    #[must_use]
    pub fn limited_to(self, most_bytes: Option<u64>) -> Self {
        Self { most_bytes, ..self }
    }

    /// The same, telling an observer how many bytes of layers are to be read, and how many have been.
    #[must_use]
    pub fn observed_by(self, observer: Arc<dyn Observer>) -> Self {
        Self { observer, ..self }
    }

    /// Who is told of unpacking.
    pub(crate) fn observer(&self) -> &Arc<dyn Observer> {
        &self.observer
    }

    /// The same, into which no image is unpacked that comes to more than this.
    #[must_use]
    pub fn unpacking_within(self, limits: UnpackLimits) -> Self {
        Self { limits, ..self }
    }

    /// What an image may come to when it is unpacked.
    #[must_use]
    pub(crate) fn limits(&self) -> UnpackLimits {
        self.limits
    }

    /// The most bytes that stay.
    #[must_use]
    pub fn most_bytes(&self) -> Option<u64> {
        self.most_bytes
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }

    fn lock_path(&self, kind: Kind, digest: &Digest) -> PathBuf {
        let name = format!("{}-{}", kind.directory(), name_of(digest));
        self.root.join("locks").join(name)
    }

    /// Takes the lock of something, unless it is held elsewhere.
    pub(crate) fn lock(&self, kind: Kind, digest: &Digest, hold: Hold) -> io::Result<Option<Lock>> {
        Lock::take(&self.lock_path(kind, digest), hold)
    }

    /// Where something is, or would be.
    pub(crate) fn place(&self, kind: Kind, digest: &Digest) -> PathBuf {
        self.root.join(kind.directory()).join(name_of(digest))
    }

    /// A directory in which something can be made.
    pub(crate) fn unfinished(&self) -> io::Result<RemovedDirectory> {
        RemovedDirectory::create_in(&self.scratch())
    }

    /// Where something can be made in the store's file system that has no place in it. What is left
    /// there is removed.
    #[must_use]
    pub fn scratch(&self) -> PathBuf {
        self.root.join(UNFINISHED)
    }

    /// Looks for something, and if it is missing takes the right to make it. `None` while another
    /// process makes or removes it.
    fn ask(&self, kind: Kind, digest: &Digest) -> io::Result<Option<Asked>> {
        let Some(lock) = self.lock(kind, digest, Hold::Shared)? else {
            return Ok(None);
        };
        let directory = self.place(kind, digest);
        if let Some(record) = Record::read(&directory)? {
            lock.touch();
            return Ok(Some(Asked::There(Held {
                directory,
                record,
                _lock: lock,
            })));
        }
        drop(lock);
        let Some(lock) = self.lock(kind, digest, Hold::Alone)? else {
            return Ok(None);
        };
        if Record::read(&directory)?.is_some() {
            // Another was faster.
            return Ok(None);
        }
        Ok(Some(Asked::Missing(Making {
            lock,
            kind,
            digest: digest.clone(),
        })))
    }

    /// The same, waiting for whoever makes or removes it. Blocks.
    pub(crate) fn wait_for(&self, kind: Kind, digest: &Digest) -> io::Result<Asked> {
        loop {
            match self.ask(kind, digest)? {
                Some(asked) => return Ok(asked),
                None => std::thread::sleep(PAUSE),
            }
        }
    }

    /// The same, waiting without blocking.
    pub(crate) async fn asked(&self, kind: Kind, digest: &Digest) -> io::Result<Asked> {
        loop {
            match self.ask(kind, digest)? {
                Some(asked) => return Ok(asked),
                None => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Gives what was made its place, and holds it there.
    pub(crate) fn finish(
        &self,
        making: Making,
        made: RemovedDirectory,
        record: &Record,
    ) -> io::Result<Held> {
        let Making { lock, kind, digest } = making;
        let directory = self.place(kind, &digest);
        // What another version left there, or what is damaged.
        self.discard(&directory)?;
        record.write(made.path())?;
        made.keep_as(&directory)?;
        lock.touch();
        lock.share()?;
        // For a moment the lock was free, and another process could remove the layer, with its lock.
        let is_locked = lock.is_at(&self.lock_path(kind, &digest))?;
        match Record::read(&directory)?.filter(|_| is_locked) {
            Some(record) => Ok(Held {
                directory,
                record,
                _lock: lock,
            }),
            None => Err(io::Error::new(
                io::ErrorKind::NotFound,
                "it was removed right after it had been unpacked; there may be too little room for it",
            )),
        }
    }

    /// Removes what lies in a place, so that it is never seen half removed.
    pub(crate) fn discard(&self, place: &Path) -> io::Result<()> {
        if fs_err::symlink_metadata(place).is_err() {
            return Ok(());
        }
        let away = self.unfinished()?;
        match fs_err::rename(place, away.path().join("removed")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            renamed => renamed,
        }
    }

    /// Whether overlays were mounted here before, where `here` is the same: what it depends on, such as
    /// the time since the machine was started.
    #[must_use]
    pub fn mounts_overlays(&self, here: &str) -> bool {
        let known = fs_err::read_to_string(self.root.join(OVERLAYS));
        known.is_ok_and(|known| known.lines().any(|line| line == here))
    }

    /// Notes that overlays are mounted here.
    pub fn remember_overlays(&self, here: &str) {
        // Without that it is tried again.
        let _ = fs_err::write(self.root.join(OVERLAYS), format!("{here}\n"));
    }

    /// A directory without files, for images without layers.
    pub(crate) fn empty(&self) -> io::Result<PathBuf> {
        let empty = self.root.join("empty");
        fs_err::create_dir_all(&empty)?;
        Ok(empty)
    }

    /// Everything that is kept, with where it is.
    pub(crate) fn all(&self) -> io::Result<Vec<(Kind, Digest, PathBuf)>> {
        let mut all = Vec::new();
        for kind in Kind::ALL {
            for entry in fs_err::read_dir(self.root.join(kind.directory()))? {
                let entry = entry?;
                let name = entry.file_name();
                let digest = name
                    .to_str()
                    .and_then(|name| name.replacen('-', ":", 1).parse().ok());
                if let Some(digest) = digest {
                    all.push((kind, digest, entry.path()));
                }
            }
        }
        all.sort();
        Ok(all)
    }

    /// When something was used last.
    pub(crate) fn last_used(
        &self,
        kind: Kind,
        digest: &Digest,
    ) -> io::Result<std::time::SystemTime> {
        match fs_err::metadata(self.lock_path(kind, digest)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(std::time::SystemTime::UNIX_EPOCH)
            }
            found => found?.modified(),
        }
    }

    /// Removes the lock of what is gone. Whoever calls holds it alone.
    pub(crate) fn remove_lock(&self, kind: Kind, digest: &Digest) {
        let _ = fs_err::remove_file(self.lock_path(kind, digest));
    }
}

fn name_of(digest: &Digest) -> String {
    digest.to_string().replacen(':', "-", 1)
}
