//! The files of images and levels, from layers that are unpacked once on this machine.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::error::{BuildError, Level};
use ohoci_compose::compose::ImageLayer;
use ohoci_image::Digest;
use ohoci_layer::limits::UnpackLimits;
use ohoci_node::{KeptLayer, LayerStore, Stack, keep};
use ohoci_sandbox::{Merged, Root};

/// The store of layers, which is opened when something is first unpacked: a plan needs none.
#[derive(Debug)]
pub(crate) struct Unpacked {
    directory: PathBuf,
    most_bytes: Option<u64>,
    limits: UnpackLimits,
    opened: Mutex<Option<LayerStore>>,
    /// The layers that were not there before.
    own: Mutex<Vec<Digest>>,
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
        self.own.lock().extend(kept.unpacked().iter().cloned());
        Ok(kept)
    }

    fn store(&self) -> Result<LayerStore, BuildError> {
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

    /// The layers that were not there before and are there now, that used last first. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn own(&self) -> std::io::Result<Vec<KeptLayer>> {
        let Some(store) = self.opened.lock().clone() else {
            return Ok(Vec::new());
        };
        let own: HashSet<Digest> = self.own.lock().iter().cloned().collect();
        let kept = store.list()?.into_iter();
        let mine = kept.filter(|kept| kept.is_layer && own.contains(&kept.digest));
        Ok(mine.collect())
    }

    /// Removes a layer, unless something uses it. Blocks.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub(crate) fn remove(&self, layer: &Digest) -> std::io::Result<()> {
        match self.opened.lock().clone() {
            Some(store) => store.remove(std::slice::from_ref(layer)),
            None => Ok(()),
        }
    }

    /// Removes the layers that were not there before, but for those that something uses. Blocks.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub(crate) fn remove_own(&self) -> std::io::Result<()> {
        let own = std::mem::take(&mut *self.own.lock());
        match &*self.opened.lock() {
            Some(store) => store.remove(&own),
            None => Ok(()),
        }
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
