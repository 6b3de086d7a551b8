//! What the two kinds of archive have in common when they are written: everything is collected
//! in a temporary layout, and the file appears when the target is finished.
//!
//! An archive is written anew: what the file held before is gone afterwards, as it is with
//! `docker save` and with skopeo's `oci-archive:`. The exception are names for which
//! [`Target::current`] has reported what they stand for: the caller may have left them out because
//! they are there, so they are copied over from the old file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::{Mutex, MutexGuard};
use tempfile::TempDir;

use ohoci_image::media_type::is_document;
use ohoci_image::{Content, Descriptor, Manifest};

use super::error::failure;
use super::layout::LayoutTarget;
use super::layout::target::{listed, place_in};
use super::tar_write::Output;
use super::{Arrival, Error, ErrorKind, Offer, Source, Target};

/// How deep indexes may lie in each other.
const MAX_DEPTH: usize = 4;

/// The temporary layout of an archive, made when the first thing is put.
#[derive(Debug)]
pub(super) struct Collection {
    path: PathBuf,
    label: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    staging: Option<Arc<Staging>>,
    /// Names that the file holds, and that the caller knows of.
    reported: Vec<String>,
    /// What became of the file that was there before.
    replaced: Vec<String>,
}

/// A layout in a temporary directory, removed when dropped.
#[derive(Debug)]
pub(super) struct Staging {
    _directory: TempDir,
    /// The layout.
    pub(super) target: LayoutTarget,
}

impl Collection {
    /// Nothing yet, for the archive at `path`.
    pub(super) fn new(path: &Path, label: String) -> Self {
        Self {
            path: path.to_owned(),
            label,
            state: Mutex::default(),
        }
    }

    /// The archive's file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The archive as it stands in references.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// What has been collected, if anything.
    pub(super) fn existing(&self) -> Option<Arc<Staging>> {
        self.state().staging.clone()
    }

    /// The temporary layout, beside the archive.
    pub(super) fn staging(&self) -> Result<Arc<Staging>, Error> {
        let mut state = self.state();
        if let Some(staging) = &state.staging {
            return Ok(staging.clone());
        }
        let directory = Output::at(&self.path)
            .and_then(|output| output.directory())
            .and_then(|parent| {
                tempfile::Builder::new()
                    .prefix(ohoci_layout::staged::PREFIX)
                    .tempdir_in(parent)
            })
            .map_err(|error| failure(format!("cannot write {}", self.label), error))?;
        let target = LayoutTarget::labelled(directory.path().to_owned(), self.label.clone());
        let staging = Arc::new(Staging {
            _directory: directory,
            target,
        });
        state.staging = Some(staging.clone());
        Ok(staging)
    }

    /// Takes a blob; see [`Target::place_blob`].
    pub(super) async fn place_blob(&self, offer: &Offer) -> Result<Arrival, Error> {
        if offer.body.is_none() && self.existing().is_none() {
            return Err(Error::new(
                ErrorKind::WouldUpload,
                format!(
                    "cannot put blob {} into {}",
                    offer.descriptor.digest, self.label
                ),
                "an archive holds every blob itself, and its bytes may not be moved",
            ));
        }
        place_in(self.staging()?.target.layout()?, offer, &self.label).await
    }

    /// Takes a small blob; see [`Target::place_document`].
    pub(super) async fn place_document(
        &self,
        descriptor: &Descriptor,
        bytes: Bytes,
    ) -> Result<Arrival, Error> {
        self.staging()?
            .target
            .place_document(descriptor, bytes)
            .await
    }

    /// Notes that a name was found in the old file.
    pub(super) fn report(&self, name: &str) {
        let mut state = self.state();
        if !state.reported.iter().any(|known| known == name) {
            state.reported.push(name.to_owned());
        }
    }

    /// What has to be written, if anything: the collection, and the names in the old file that
    /// must stay.
    pub(super) fn outstanding(&self) -> Option<(Arc<Staging>, Vec<String>)> {
        let state = self.state();
        let staging = state.staging.clone()?;
        Some((staging, state.reported.clone()))
    }

    /// Notes that the file now holds everything, with these names, and removes the collection.
    pub(super) fn written(&self, names: Vec<String>) {
        let mut state = self.state();
        state.staging = None;
        state.reported = names;
    }

    /// Notes that a file is about to be replaced: which images it held is `None` when it could not
    /// be read. `kept` are the names that the new one has.
    pub(super) fn replace(&self, held: Option<&[String]>, kept: &[String]) {
        let label = &self.label;
        let note = match held {
            None => {
                format!("{label} was there and held no images that can be read; it is replaced")
            }
            Some(held) => {
                let gone: Vec<&str> = held
                    .iter()
                    .filter(|name| !kept.contains(name))
                    .map(String::as_str)
                    .collect();
                if gone.is_empty() {
                    return;
                }
                format!(
                    "{label} was there and is written anew; it no longer holds {}",
                    gone.join(" and ")
                )
            }
        };
        self.state().replaced.push(note);
    }

    /// What was replaced, in words.
    pub(super) fn replaced(&self) -> Vec<String> {
        self.state().replaced.clone()
    }
}

/// Copies an image from one place to another, with everything it lists.
pub(super) fn copy<'a>(
    source: &'a dyn Source,
    target: &'a dyn Target,
    manifest: &'a Manifest,
    names: &'a [String],
    depth: usize,
) -> BoxFuture<'a, Result<(), Error>> {
    Box::pin(async move {
        if depth > MAX_DEPTH {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("cannot read {}", source.place()),
                format!("its indexes lie more than {MAX_DEPTH} deep in each other"),
            ));
        }
        for descriptor in listed(manifest) {
            if matches!(manifest.content(), Content::Index { .. })
                && is_document(&descriptor.media_type)
            {
                let child = source.manifest(descriptor).await?;
                copy(source, target, &child, &[], depth + 1).await?;
            } else {
                let offer = Offer {
                    descriptor: descriptor.clone(),
                    mount_from: Vec::new(),
                    body: Some(source.blob(descriptor)),
                    moved: Arrival::Uploaded,
                };
                target.place_blob(&offer).await?;
            }
        }
        target.place_manifest(manifest, names).await
    })
}
