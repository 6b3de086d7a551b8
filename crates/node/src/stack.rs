//! The directories that an image's root file system is mounted from.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use ohoci_image::Digest;

use super::adjust;
use super::failure::Failure;
use super::record::Dependent;
use super::store::{Held, LayerStore};

/// The most directories that one overlay stands on (fs/overlayfs/params.h, `OVL_MAX_STACK`).
const MOST: usize = 500;

/// An image's layers as directories one over the other. As long as this lasts none of them is removed.
#[derive(Debug)]
pub struct Stack {
    directories: Vec<PathBuf>,
    root_mode: u32,
    diff_ids: Vec<Digest>,
    unpacked: Vec<Digest>,
    _held: Vec<Held>,
}

impl Stack {
    /// The directories, topmost first; an image without layers has one that is empty.
    #[must_use]
    pub fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// The permissions of the root directory.
    #[must_use]
    pub fn root_mode(&self) -> u32 {
        self.root_mode
    }

    /// The diff IDs of its layers, lowest first.
    #[must_use]
    pub fn diff_ids(&self) -> &[Digest] {
        &self.diff_ids
    }

    /// Those of the layers that were not in the store before this was made.
    #[must_use]
    pub fn unpacked(&self) -> &[Digest] {
        &self.unpacked
    }

    /// Makes one of layers that are there, by the diff IDs of an image, lowest first; `unpacked` are those
    /// that were not there before.
    ///
    /// Of a layer that the image has twice only the upper one is mounted: it covers the other, and the
    /// kernel takes no directory twice. What stands between may need the lower one, all the same.
    pub(crate) fn build(
        store: &LayerStore,
        layers: HashMap<Digest, Held>,
        diff_ids: Vec<Digest>,
        unpacked: Vec<Digest>,
    ) -> Result<Self, Failure> {
        let mut directories: Vec<PathBuf> = Vec::new();
        let mut adjustments = Vec::new();
        let mut root_mode = None;
        let mut chain: Option<Digest> = None;
        for diff_id in &diff_ids {
            let Some(layer) = layers.get(diff_id) else {
                return Err(Failure::Unfit(format!("layer {diff_id} was not unpacked")));
            };
            let below = chain.clone();
            chain = Some(match &below {
                None => diff_id.clone(),
                Some(below) => Digest::of(format!("{below} {diff_id}").as_bytes()),
            });
            root_mode = layer.record.root_mode.or(root_mode);
            let dependent = Dependent::read(layer.directory())?;
            let adjustment = match (&chain, dependent.is_empty()) {
                (Some(chain), false) => {
                    adjust::find(store, chain, &layer.files(), &directories, &dependent)?
                }
                _ => None,
            };
            directories.insert(0, layer.files());
            if let Some(adjustment) = adjustment {
                // One without files changes nothing.
                if adjustment.record.entries > 0 {
                    directories.insert(0, adjustment.files());
                }
                adjustments.push(adjustment);
            }
        }
        let mut seen = HashSet::new();
        directories.retain(|directory| seen.insert(directory.clone()));
        if directories.is_empty() {
            directories.push(store.empty()?);
        }
        if directories.len() > MOST {
            return Err(Failure::Unfit(format!(
                "it comes to {} directories, and an overlay can have {MOST}",
                directories.len()
            )));
        }
        Ok(Self {
            directories,
            root_mode: root_mode.unwrap_or(0o755),
            diff_ids,
            unpacked,
            _held: layers.into_values().chain(adjustments).collect(),
        })
    }

    /// Whether a directory is one of those that it is made of.
    #[must_use]
    pub fn contains(&self, directory: &Path) -> bool {
        self.directories.iter().any(|known| known == directory)
    }
}
