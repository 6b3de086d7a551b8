//! What is known of the blobs in a repository: what it has shown in this run, and what it showed
//! in earlier ones.
//!
//! Answers of this run are believed. What is remembered may have become wrong: the registry was
//! emptied, collected garbage, or is another by now; and not every registry checks that what a
//! manifest lists is there. So the first time that a run relies on memory, one remembered blob is
//! asked for, the one whose proof is oldest. If it is gone, everything that was remembered of the
//! registry is dropped.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::Error;
use crate::cache::Cache;
use ohoci_image::{Content, Descriptor, Digest, Manifest, media_type};
use ohoci_registry::{ErrorKind, Repository};

/// What is known of a repository.
#[derive(Debug)]
pub(super) struct Knowledge {
    repository: Repository,
    cache: Arc<Cache>,
    /// What identifies the registry; `None` when it cannot be one, which the first request says.
    registry: Option<String>,
    /// What earlier runs saw, and when.
    remembered: Mutex<HashMap<Digest, u64>>,
    /// Whether memory was found to be right in this run. Held while it is being found out.
    proven: tokio::sync::Mutex<bool>,
    /// Whether the registry has said something that was not so.
    lied: Mutex<bool>,
}

impl Knowledge {
    pub(super) fn new(repository: Repository, cache: Arc<Cache>) -> Self {
        let registry = repository.registry().ok();
        let remembered = registry.as_ref().map(|registry| {
            let known = cache.known_blobs(registry, repository.name());
            Mutex::new(known)
        });
        Self {
            remembered: remembered.unwrap_or_default(),
            proven: tokio::sync::Mutex::new(false),
            lied: Mutex::new(false),
            registry,
            repository,
            cache,
        }
    }

    /// Whether the blob is there, as far as is known without asking.
    pub(super) fn knows(&self, digest: &Digest) -> bool {
        self.repository.holds(digest) || self.remembered.lock().contains_key(digest)
    }

    /// Notes what this run has seen to be there.
    pub(super) fn saw<'a>(&self, digests: impl IntoIterator<Item = &'a Digest>) {
        self.repository.set_held(digests);
    }

    /// Whether these blobs can be taken to be there. Where only memory says so, memory is put to
    /// the test, once in a run.
    ///
    /// # Errors
    /// When the registry cannot be reached.
    pub(super) async fn prove(&self, blobs: &[&Descriptor]) -> Result<bool, Error> {
        let unseen = |blob: &&&Descriptor| !self.repository.holds(&blob.digest);
        let mut proven = self.proven.lock().await;
        let relied_on: Vec<&Descriptor> = blobs.iter().filter(unseen).copied().collect();
        // The last of the oldest: upper layers are those that fewest images have.
        let weakest = {
            let remembered = self.remembered.lock();
            let age = |blob: &&&Descriptor| remembered.get(&blob.digest).copied().unwrap_or(0);
            relied_on.iter().rev().min_by_key(age).copied()
        };
        let Some(weakest) = weakest else {
            return Ok(true);
        };
        if *proven {
            return Ok(true);
        }
        match self.repository.has_blob(weakest).await {
            Ok(true) => {
                *proven = true;
                self.saw([&weakest.digest]);
                Ok(true)
            }
            Ok(false) => {
                tracing::debug!(
                    repository = %self.repository,
                    blob = %weakest.digest,
                    "the blob is gone; forgetting what is known of the registry"
                );
                self.forget_remembered();
                Ok(false)
            }
            Err(error) if error.kind() == ErrorKind::Unreachable => Err(error.into()),
            // Every blob is asked for then, and what cannot be found out shows there.
            Err(_) => Ok(false),
        }
    }

    /// Remembers what a manifest proves that the registry took: that all it lists is there. What
    /// only memory said to be there stays as old as it was.
    pub(super) fn took(&self, manifest: &Manifest) {
        let mut listed = vec![manifest.digest()];
        if let Content::Image { config, .. } = manifest.content() {
            listed.push(&config.digest);
        }
        listed.extend(layers_proven_by(manifest));
        if let Some(registry) = &self.registry {
            let manifest_is = |digest: &Digest| digest == manifest.digest();
            let seen = listed
                .iter()
                .filter(|digest| manifest_is(digest) || self.repository.holds(digest))
                .copied();
            let (name, mut remembered) = (self.repository.name(), self.remembered.lock());
            self.cache
                .remember_blobs(registry, name, seen, &mut remembered);
        }
        self.saw(listed);
    }

    /// Forgets everything: the registry says that something of it is not so.
    pub(super) fn forget(&self) {
        *self.lied.lock() = true;
        self.repository.forget_held();
        self.forget_remembered();
    }

    /// Whether what the registry says to have done is better checked.
    pub(super) fn is_doubtful(&self) -> bool {
        *self.lied.lock()
    }

    fn forget_remembered(&self) {
        self.remembered.lock().clear();
        if let Some(registry) = &self.registry {
            self.cache.forget_registry(registry);
        }
    }

    /// Remembers which digest a tag names.
    pub(super) fn remember_tag(&self, tag: &str, digest: &Digest) {
        if let Some(registry) = &self.registry {
            let name = self.repository.name();
            self.cache.remember_reference(registry, name, tag, digest);
        }
    }

    /// The digest that a tag was last seen to name.
    pub(super) fn tag(&self, tag: &str) -> Option<Digest> {
        let registry = self.registry.as_ref()?;
        self.cache.reference(registry, self.repository.name(), tag)
    }

    /// The same, where that was not long ago.
    pub(super) fn recent_tag(&self, tag: &str) -> Option<Digest> {
        let registry = self.registry.as_ref()?;
        self.cache
            .recent_reference(registry, self.repository.name(), tag)
    }
}

/// Notes what a manifest proves that the repository itself has shown to hold, in this run.
pub(super) fn note_shown(repository: &Repository, manifest: &Manifest) {
    if !repository.holds(manifest.digest()) {
        return;
    }
    match manifest.content() {
        Content::Image { config, .. } => {
            repository.set_held(std::iter::once(&config.digest).chain(layers_proven_by(manifest)));
        }
        Content::Index { manifests } => {
            repository.set_held(manifests.iter().map(|child| &child.digest));
        }
    }
}

/// The layers that a repository has when it has the manifest: registries do not hold foreign ones.
pub(super) fn layers_proven_by(manifest: &Manifest) -> impl Iterator<Item = &Digest> {
    let layers = match manifest.content() {
        Content::Image { layers, .. } => layers.as_slice(),
        Content::Index { .. } => &[],
    };
    layers
        .iter()
        .filter(|layer| media_type::layer_kind(&layer.media_type) != media_type::LayerKind::Foreign)
        .map(|layer| &layer.digest)
}
