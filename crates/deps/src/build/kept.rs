//! Layers that were built before: kept in the cache under what they were made from.

use serde::{Deserialize, Serialize};

use super::{BuildError, BuiltPlatform, PackedFeature, Work};
use crate::archive::Spool;
use crate::assemble::{AssembleError, local_inputs};
use crate::audit::Audit;
use ohoci_compose::local::{LayerBytes, LocalLayer};
use ohoci_image::{Descriptor, Digest, Platform};
use ohoci_layer::pack::{PackOptions, pack_tree};
use ohoci_layer::{LayerFile, PackedLayer};
use ohoci_store::cache::Cache;

/// What the cache calls it; the number changes when what is kept does.
const FACT: &str = "built-layers-1";

/// The layers of one platform, as they are kept.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    audit: Audit,
    edits: usize,
    layers: Vec<KeptLayer>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptLayer {
    feature: PackedFeature,
    media_type: String,
    diff_id: String,
    created_by: String,
}

impl Work<'_> {
    /// What decides how the layers of a platform are: this program, the recipe with all that lies on
    /// this machine of it, the lock, and how it is packed. `None` where nothing is to be kept.
    ///
    /// # Errors
    /// When something that the recipe names cannot be read.
    pub(super) fn key(&self, platform: &Platform) -> Result<Option<String>, BuildError> {
        let cache = &self.session.resolver.cache;
        let Some(maker) = self.build.maker.as_ref().filter(|_| !cache.is_disabled()) else {
            return Ok(None);
        };
        let work_dir = self.session.work_dir;
        let spool = Spool::create(work_dir).map_err(|source| AssembleError::Io {
            what: "cannot make a temporary file".to_owned(),
            source,
        })?;
        // Maps and lists in it are in the order of the recipe or of their names.
        let mut text = format!(
            "{FACT} {maker} {platform} {:?} {:?} {:?} {:?}\n{:?}\n",
            self.recipe.prefix,
            self.build.compression,
            self.build.created,
            self.recipe.features,
            self.lock,
        );
        for feature in &self.recipe.features {
            for tree in local_inputs(feature, &spool)? {
                let packed = pack_tree(tree, String::new(), &PackOptions::default(), work_dir)
                    .map_err(|error| ohoci_compose::local::pack_error(&error))?;
                text.push_str(&packed.diff_id.to_string());
            }
        }
        Ok(Some(Digest::of(text.as_bytes()).to_string()))
    }

    /// The layers of a platform, where they are kept.
    pub(super) fn kept(
        &self,
        platform: &Platform,
        key: &str,
    ) -> Option<(BuiltPlatform, Vec<LocalLayer>)> {
        let cache = &self.session.resolver.cache;
        let kept: Kept = serde_json::from_value(cache.fact(FACT, key)?).ok()?;
        let mut layers = Vec::new();
        let mut local = Vec::new();
        for layer in kept.layers {
            let digest: Digest = layer.feature.digest.parse().ok()?;
            let descriptor = Descriptor::new(layer.media_type, digest, layer.feature.size);
            local.push(LocalLayer {
                from: LayerBytes::File(cache.body(&descriptor)?),
                descriptor,
                diff_id: layer.diff_id.parse().ok()?,
                name: layer.feature.feature.clone(),
                created_by: layer.created_by,
                directories: Vec::new(),
                platform: Some(platform.clone()),
                packing: None,
            });
            layers.push(layer.feature);
        }
        let built = BuiltPlatform {
            platform: platform.clone(),
            audit: kept.audit,
            edits: kept.edits,
            layers,
        };
        Some((built, local))
    }

    /// Keeps the layers of a platform, whose bytes are in the cache already.
    pub(super) fn keep(&self, key: &str, built: &BuiltPlatform, local: &[LocalLayer]) {
        let layers = built.layers.iter().zip(local);
        let kept = Kept {
            audit: built.audit.clone(),
            edits: built.edits,
            layers: layers
                .map(|(feature, layer)| KeptLayer {
                    feature: feature.clone(),
                    media_type: layer.descriptor.media_type.clone(),
                    diff_id: layer.diff_id.to_string(),
                    created_by: layer.created_by.clone(),
                })
                .collect(),
        };
        // Strings, numbers and lists: nothing that JSON could not hold.
        let fact = serde_json::to_value(&kept).unwrap_or_default();
        let cache = &self.session.resolver.cache;
        cache.remember_fact(FACT, key, &fact);
    }
}

/// Copies a packed layer into the cache; `false` when it could not be kept.
pub(super) fn keep_bytes(cache: &Cache, packed: &PackedLayer) -> bool {
    let LayerFile::Temporary(path) = &packed.file else {
        return false;
    };
    let copied = || {
        let mut file = fs_err::File::open(path).ok()?;
        let mut staged = cache.stage()?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            let count = std::io::Read::read(&mut file, &mut buffer).ok()?;
            if count == 0 {
                break;
            }
            staged.write(buffer.get(..count)?).ok()?;
        }
        cache.insert_file(staged, &packed.descriptor.digest)
    };
    copied().is_some()
}
