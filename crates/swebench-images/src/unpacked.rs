//! The files of images and levels, from layers that are unpacked once on this machine, and packages' files beside them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::error::{BuildError, Level};
use ohoci_compose::compose::ImageLayer;
use ohoci_image::Digest;
use ohoci_layer::limits::UnpackLimits;
use ohoci_node::{KeptLayer, Kind, LayerStore, Stack, keep};
use ohoci_sandbox::{Merged, Root};

/// The store of layers, which is opened when something is first unpacked: a plan needs none.
#[derive(Debug)]
pub(crate) struct Unpacked {
    directory: PathBuf,
    most_bytes: Option<u64>,
    limits: UnpackLimits,
    opened: Mutex<Option<LayerStore>>,
    /// The layers and packages that were not there before.
    own: Mutex<BTreeSet<(Kind, Digest)>>,
}

impl Unpacked {
    /// The store in a directory, of which no more than so many bytes stay, and into which nothing is
    /// unpacked that comes to more than the limits.
    #[must_use]
    pub(crate) fn new(directory: PathBuf, most_bytes: Option<u64>, limits: UnpackLimits) -> Self {
        Self {
            directory,
            most_bytes,
            limits,
            opened: Mutex::default(),
            own: Mutex::default(),
        }
    }

    /// Layers one over the other, lowest first.
    ///
    /// # Errors
    /// When the store cannot be used, or a layer cannot be read or unpacked.
    pub(crate) async fn stack(
        &self,
        layers: Vec<ImageLayer>,
        what: &str,
    ) -> Result<Stack, BuildError> {
        let store = self.store()?;
        let kept = keep(&store, layers, what).await.map_err(|error| {
            let failed = BuildError::new(Level::Base, error.what(), error.why());
            match error.hint() {
                Some(hint) => failed.hinted(hint),
                None => failed,
            }
        })?;
        self.note_own(Kind::Layer, kept.unpacked());
        Ok(kept)
    }

    /// Notes what was not there before.
    pub(crate) fn note_own(&self, kind: Kind, unpacked: &[Digest]) {
        let unpacked = unpacked.iter().map(|digest| (kind, digest.clone()));
        self.own.lock().extend(unpacked);
    }

    /// The store, opened.
    ///
    /// # Errors
    /// When it cannot be used.
    pub(crate) fn store(&self) -> Result<LayerStore, BuildError> {
        let mut opened = self.opened.lock();
        if let Some(store) = &*opened {
            return Ok(store.clone());
        }
        let store = LayerStore::open(&self.directory).map_err(|error| {
            BuildError::new(Level::Base, "open the store of unpacked layers", error)
        })?;
        let store = store
            .limited_to(self.most_bytes)
            .unpacking_within(self.limits);
        *opened = Some(store.clone());
        Ok(store)
    }

    /// The layers and packages that were not there before and are there now, that used last first. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn own(&self) -> std::io::Result<Vec<KeptLayer>> {
        let Some(store) = self.opened.lock().clone() else {
            return Ok(Vec::new());
        };
        let own = self.own.lock().clone();
        let kept = store.list()?.into_iter();
        let mine = kept.filter(|kept| own.contains(&(kept.kind, kept.digest.clone())));
        Ok(mine.collect())
    }

    /// Removes a layer or a package, unless something uses it. Blocks.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub(crate) fn remove(&self, kept: &KeptLayer) -> std::io::Result<()> {
        match self.opened.lock().clone() {
            Some(store) => store.remove(kept.kind, std::slice::from_ref(&kept.digest)),
            None => Ok(()),
        }
    }

    /// Removes the layers and packages that were not there before, but for those that something uses. Blocks.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub(crate) fn remove_own(&self) -> std::io::Result<()> {
        let own = std::mem::take(&mut *self.own.lock());
        let Some(store) = self.opened.lock().clone() else {
            return Ok(());
        };
        own.iter()
            .try_for_each(|(kind, digest)| store.remove(*kind, std::slice::from_ref(digest)))
    }
}

/// Layers as a root file system that is only read.
///
/// # Errors
/// When a directory of theirs cannot be opened.
pub(crate) fn root_of(stack: &Stack) -> std::io::Result<Root> {
    let merged = Merged::open(stack.directories().iter().cloned())?;
    // What is made in it would be made in the topmost of them, where nothing is.
    let name = stack
        .directories()
        .first()
        .map_or(Path::new("/"), PathBuf::as_path);
    Ok(Root::merged(merged, name.to_owned()))
}
