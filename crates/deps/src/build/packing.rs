//! Packs the layers of a platform: those that are ready, while modules for others are compiled, and then those.

use std::collections::{BTreeMap, BTreeSet};

use tokio::task::JoinHandle;

use super::kept::{Keys, keep_bytes};
use super::{BuildError, BuiltPlatform, PackedFeature, Work};
use crate::assemble::{Assembled, AssembledLayer};
use ohoci_compose::local::{LocalLayer, pack_error};
use ohoci_image::Platform;
use ohoci_layer::pack::{PackError, PackOptions, pack_tree};
use ohoci_layer::{PackedLayer, Tree};

/// Layers that are packed, by their positions.
type Ahead = BTreeMap<usize, PackedLayer>;

/// Layers that are being packed.
#[derive(Debug)]
pub(super) struct Packing(JoinHandle<Result<Ahead, PackError>>);

impl Packing {
    /// Waits for them.
    ///
    /// # Errors
    /// When one cannot be packed.
    pub(super) async fn finished(self) -> Result<Ahead, BuildError> {
        match self.0.await {
            Ok(packed) => Ok(packed.map_err(|error| pack_error(&error))?),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

/// A layer's key, if it is to be kept, and the layer, if it is.
type Before = (Option<String>, Option<(PackedFeature, LocalLayer)>);

impl Work<'_> {
    /// Begins to pack the layers that are ready, which all are but those of compiled modules.
    ///
    /// # Errors
    /// When a file of a layer cannot be read.
    pub(super) fn start_packing(
        &self,
        assembled: &Assembled,
        keys: Option<&Keys>,
    ) -> Result<Packing, BuildError> {
        self.step(format!("packing {}", assembled.platform));
        let mut ready: Vec<(usize, Tree, String)> = Vec::new();
        let layers = self.recipe.features.iter().zip(&assembled.layers);
        for (at, (feature, layer)) in layers.enumerate() {
            if feature.bytecode.is_none()
                && self.before(layer, &assembled.platform, keys)?.1.is_none()
            {
                ready.push((at, layer.tree.clone(), created_by(layer)));
            }
        }
        let (options, work_dir) = (self.pack_options(), self.session.work_dir.to_owned());
        Ok(Packing(tokio::task::spawn_blocking(move || {
            let packed = ready.into_iter().map(|(at, tree, created_by)| {
                Ok((at, pack_tree(tree, created_by, &options, &work_dir)?))
            });
            packed.collect()
        })))
    }

    /// The packed layers of one platform, some of them `ahead`, and whether the cache has all of them, where
    /// it is to.
    ///
    /// # Errors
    /// When a layer cannot be packed.
    pub(super) fn packed(
        &self,
        assembled: Assembled,
        mut ahead: Ahead,
        keys: Option<&Keys>,
    ) -> Result<(BuiltPlatform, Vec<LocalLayer>, bool), BuildError> {
        let platform = assembled.platform;
        let options = self.pack_options();
        let mut are_kept = keys.is_some();
        let mut edits = 0;
        let mut kept = BTreeSet::new();
        let mut layers = Vec::new();
        let mut local = Vec::new();
        for (at, layer) in assembled.layers.into_iter().enumerate() {
            edits += layer.edits;
            let (key, before) = match ahead.contains_key(&at) {
                true => (self.key(&layer, keys)?, None),
                false => self.before(&layer, &platform, keys)?,
            };
            if let Some((feature, layer)) = before {
                kept.insert(feature.feature.clone());
                layers.push(feature);
                local.push(layer);
                continue;
            }
            let created_by = created_by(&layer);
            let packed = match ahead.remove(&at) {
                Some(packed) => packed,
                None => pack_tree(layer.tree, created_by, &options, self.session.work_dir)
                    .map_err(|error| pack_error(&error))?,
            };
            let cache = &self.session.resolver.cache;
            let is_kept = keys.is_some() && keep_bytes(cache, &packed);
            are_kept &= is_kept;
            let feature = PackedFeature {
                feature: layer.feature.clone(),
                digest: packed.descriptor.digest.to_string(),
                size: packed.descriptor.size,
                uncompressed_size: packed.uncompressed_size,
                entries: packed.entries,
            };
            let packed = LocalLayer {
                directories: Vec::new(),
                platform: Some(platform.clone()),
                ..LocalLayer::packed(layer.feature, packed)?
            };
            if let Some(key) = key.filter(|_| is_kept) {
                self.keep_feature(&key, &feature, &packed, (&layer.seen, layer.edits));
            }
            layers.push(feature);
            local.push(packed);
        }
        let built = BuiltPlatform {
            platform,
            audit: assembled.audit,
            edits,
            layers,
            kept,
        };
        Ok((built, local, are_kept))
    }

    fn before(
        &self,
        layer: &AssembledLayer,
        platform: &Platform,
        keys: Option<&Keys>,
    ) -> Result<Before, BuildError> {
        let Some(key) = self.key(layer, keys)? else {
            return Ok((None, None));
        };
        let before = match layer.is_earlier || keys.is_some_and(|keys| keys.is_content(layer)) {
            true => self.packed_before(&key, platform),
            false => None,
        };
        Ok((Some(key), before))
    }

    fn key(
        &self,
        layer: &AssembledLayer,
        keys: Option<&Keys>,
    ) -> Result<Option<String>, BuildError> {
        keys.map(|keys| self.key_of(keys, layer)).transpose()
    }

    fn pack_options(&self) -> PackOptions {
        PackOptions {
            compression: self.build.compression,
            seekable: self.build.seekable,
            level: self.build.level,
            mtime: self.build.created.unwrap_or_default(),
            threads: self.build.threads,
            ..PackOptions::default()
        }
    }
}

fn created_by(layer: &AssembledLayer) -> String {
    format!("ohoci deps build: {}", layer.feature)
}
