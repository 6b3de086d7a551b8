//! Layers that were built before: kept in the cache under what they were made from, all of a platform
//! together and each feature's by itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{BuildError, BuiltPlatform, PackedFeature, Work};
use crate::archive::Spool;
use crate::archive::tar::read_tar;
use crate::assemble::{AssembleError, AssembledLayer, Earlier, Seen, digest_of, local_inputs};
use crate::audit::Audit;
use crate::lock::SourceKind;
use crate::recipe::{Feature, Pattern};
use ohoci_compose::local::{LayerBytes, LocalLayer};
use ohoci_image::{Descriptor, Digest, Platform};
use ohoci_layer::pack::{PackOptions, pack_tree};
use ohoci_layer::{LayerFile, PackedLayer, Tree};
use ohoci_store::cache::Cache;

/// What the cache calls the layers of a platform. The number changes when what is kept does, or when the
/// same inputs come to other layers.
const PLATFORM: &str = "built-layers-2";
/// The same of one feature's layer.
const FEATURE: &str = "built-layer-1";

/// Most bytes of a layer when decompressed.
const MAX_LAYER: u64 = 32 << 30;

/// The layers of one platform, as they are kept.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    audit: Audit,
    edits: usize,
    layers: Vec<KeptLayer>,
}

/// A layer's description; its bytes are a blob of the cache.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct KeptLayer {
    feature: PackedFeature,
    media_type: String,
    diff_id: String,
    created_by: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// One feature's layer, as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct KeptFeature {
    layer: KeptLayer,
    seen: Seen,
    edits: usize,
}

/// The keys of a platform's layers.
#[derive(Debug)]
pub(super) struct Keys {
    /// All together: features, the lock, what lies on this machine, and how they are packed.
    pub(super) platform: String,
    /// Each feature's own, by its name. Features of compiled modules have none: their layers come from those
    /// below them, and are kept under what is in them.
    features: BTreeMap<String, String>,
    /// How layers are made and packed.
    head: String,
}

impl Keys {
    /// Whether a layer's key is that of what is in it, rather than of what it was made from.
    pub(super) fn is_content(&self, layer: &AssembledLayer) -> bool {
        !self.features.contains_key(&layer.feature)
    }
}

impl KeptLayer {
    fn of(feature: &PackedFeature, layer: &LocalLayer) -> Self {
        Self {
            feature: feature.clone(),
            media_type: layer.descriptor.media_type.clone(),
            diff_id: layer.diff_id.to_string(),
            created_by: layer.created_by.clone(),
            annotations: layer.descriptor.annotations.clone(),
        }
    }

    fn descriptor(&self) -> Option<Descriptor> {
        let digest = self.feature.digest.parse().ok()?;
        Some(Descriptor {
            annotations: self.annotations.clone(),
            ..Descriptor::new(self.media_type.clone(), digest, self.feature.size)
        })
    }

    /// The layer, where its bytes are in the cache.
    fn local(&self, platform: &Platform, cache: &Cache) -> Option<LocalLayer> {
        let descriptor = self.descriptor()?;
        Some(LocalLayer {
            from: LayerBytes::File(cache.body(&descriptor)?),
            descriptor,
            diff_id: self.diff_id.parse().ok()?,
            name: self.feature.feature.clone(),
            created_by: self.created_by.clone(),
            directories: Vec::new(),
            platform: Some(platform.clone()),
            packing: None,
        })
    }
}

impl Work<'_> {
    /// What decides how the layers of a platform are. `None` where nothing is to be kept.
    ///
    /// # Errors
    /// When something that the recipe names cannot be read.
    pub(super) fn keys(&self, platform: &Platform) -> Result<Option<Keys>, BuildError> {
        let cache = &self.session.resolver.cache;
        let Some(maker) = self.build.maker.as_ref().filter(|_| !cache.is_disabled()) else {
            return Ok(None);
        };
        let work_dir = self.session.work_dir;
        let spool = Spool::create(work_dir).map_err(|source| AssembleError::Io {
            what: "cannot make a temporary file".to_owned(),
            source,
        })?;
        let head = format!(
            "{maker} {platform} {:?} {:?} {:?} {:?} {:?}\n",
            self.recipe.prefix,
            self.build.compression,
            self.build.seekable,
            self.build.level,
            self.build.created,
        );
        let mut all = format!("{PLATFORM} {head}");
        let mut features = BTreeMap::new();
        for feature in &self.recipe.features {
            let mut text = self.of_feature(feature, platform);
            for tree in local_inputs(feature, &spool)? {
                text.push_str(&self.content_of(tree)?);
            }
            all.push_str(&text);
            // What compiled modules depend on.
            all.push_str(&format!("{:?}\n", feature.patch));
            if feature.bytecode.is_none() {
                let key = Digest::of(format!("{FEATURE} {head}{text}").as_bytes());
                features.insert(feature.name.get_ref().to_string(), key.to_string());
            }
        }
        Ok(Some(Keys {
            platform: Digest::of(all.as_bytes()).to_string(),
            features,
            head,
        }))
    }

    /// What a layer is kept under.
    ///
    /// # Errors
    /// When a file of the layer cannot be read.
    pub(super) fn key_of(&self, keys: &Keys, layer: &AssembledLayer) -> Result<String, BuildError> {
        if let Some(key) = keys.features.get(&layer.feature) {
            return Ok(key.clone());
        }
        let content = self.content_of(layer.tree.clone())?;
        let text = format!("{FEATURE} {}{} {content}", keys.head, layer.feature);
        Ok(Digest::of(text.as_bytes()).to_string())
    }

    /// The digest of a tree's tar.
    fn content_of(&self, tree: Tree) -> Result<String, BuildError> {
        let options = PackOptions {
            compression: ohoci_image::media_type::Compression::None,
            ..PackOptions::default()
        };
        let packed = pack_tree(tree, String::new(), &options, self.session.work_dir)
            .map_err(|error| ohoci_compose::local::pack_error(&error))?;
        Ok(packed.diff_id.to_string())
    }

    /// All of a feature, and of what was locked for it, that its layer is made from. Maps and lists in it are in
    /// the order of the recipe or of their names.
    fn of_feature(&self, feature: &Feature, platform: &Platform) -> String {
        let Feature {
            name,
            // What it is for, what it may be built for, where its layer stands among others, what an image
            // with it says, and where all this was read: nothing of that is in the layer.
            description: _,
            requires,
            platforms: _,
            rootfs: _,
            patch: _,
            source: _,
            debian: _,
            python,
            npm,
            conda,
            archive,
            image,
            directory,
            bytecode,
            link,
            wrapper,
        } = feature;
        let name = name.get_ref().to_string();
        let drop = feature.debian().map(|debian| &debian.drop);
        let texts = |patterns: &[Pattern]| -> Vec<String> {
            let texts = patterns.iter().map(Pattern::as_str);
            texts.map(str::to_owned).collect()
        };
        let python = python.as_ref().map(|python| {
            let patterns = (texts(&python.drop), texts(&python.keep));
            let without: Vec<&String> = python.exclude.keys().map(toml::Spanned::get_ref).collect();
            let skipped = python.skip_build_script.iter().map(toml::Spanned::get_ref);
            let skipped: Vec<&String> = skipped.collect();
            let lists = (&python.requirements, &python.allow_sdist, skipped, without);
            (&python.version, &python.target, lists, patterns)
        });
        let texts = |patterns: &[Pattern]| -> Vec<String> {
            let texts = patterns.iter().map(Pattern::as_str);
            texts.map(str::to_owned).collect()
        };
        let conda = conda.as_ref().map(|conda| {
            // What is asked for came to what is locked.
            (&conda.target, texts(&conda.drop), &conda.skip_scripts)
        });
        let npm = npm.as_ref().map(|npm| {
            let patterns = (texts(&npm.drop), texts(&npm.as_is));
            (&npm.target, &npm.content, patterns)
        });
        let archives = archive.iter().map(|one| (&one.digest, one.strip, &one.to));
        let archives: Vec<_> = archives.collect();
        let images = image.iter().map(|one| (&one.path, &one.to));
        let images: Vec<_> = images.collect();
        let directories: Vec<&String> = directory.iter().map(|one| &one.to).collect();
        let wrappers: Vec<&String> = wrapper.iter().map(|one| &one.name).collect();
        // What compiled modules depend on.
        let compiled = bytecode.as_ref().map(|table| {
            let requires = requires.iter().map(|name| name.get_ref().to_string());
            (table, requires.collect::<Vec<_>>())
        });
        let lock = self.lock;
        let debian: Vec<_> = lock
            .debian_files(&name, platform)
            .map(|(package, file)| (&package.name, &package.version, &file.digest))
            .collect();
        let interpreters = lock
            .debian
            .iter()
            .filter(|package| python.is_some() && package.file.of(&platform.to_string()).is_some());
        let interpreters: Vec<_> = interpreters
            .filter(|package| package.name.ends_with("-minimal"))
            .map(|package| (&package.name, &package.version))
            .collect();
        let wheels: Vec<_> = lock.python_files(&name, platform).collect();
        let sources = SourceKind::ALL
            .map(|kind| lock.source_files(kind, &name, platform).collect::<Vec<_>>());
        format!(
            "{name} {drop:?} {python:?} {npm:?} {conda:?} {archives:?} {images:?} {directories:?} {link:?} \
             {wrappers:?} {compiled:?} {debian:?} {interpreters:?} {wheels:?} {sources:?}\n",
        )
    }

    /// The layers of a platform, where they are kept.
    pub(super) fn kept(
        &self,
        platform: &Platform,
        keys: &Keys,
    ) -> Option<(BuiltPlatform, Vec<LocalLayer>)> {
        let cache = &self.session.resolver.cache;
        let kept: Kept = serde_json::from_value(cache.fact(PLATFORM, &keys.platform)?).ok()?;
        let local = kept.layers.iter();
        let local = local.map(|layer| layer.local(platform, cache));
        let local = local.collect::<Option<Vec<_>>>()?;
        let layers: Vec<PackedFeature> = kept.layers.into_iter().map(|one| one.feature).collect();
        let built = BuiltPlatform {
            platform: platform.clone(),
            audit: kept.audit,
            edits: kept.edits,
            kept: layers.iter().map(|one| one.feature.clone()).collect(),
            layers,
        };
        Some((built, local))
    }

    /// Keeps the layers of a platform, whose bytes are in the cache already.
    pub(super) fn keep(&self, keys: &Keys, built: &BuiltPlatform, local: &[LocalLayer]) {
        let layers = built.layers.iter().zip(local);
        let kept = Kept {
            audit: built.audit.clone(),
            edits: built.edits,
            layers: layers
                .map(|(feature, layer)| KeptLayer::of(feature, layer))
                .collect(),
        };
        self.remember(PLATFORM, &keys.platform, &kept);
    }

    /// Keeps one feature's layer, whose bytes are in the cache already.
    pub(super) fn keep_feature(
        &self,
        key: &str,
        feature: &PackedFeature,
        layer: &LocalLayer,
        (seen, edits): (&Seen, usize),
    ) {
        let kept = KeptFeature {
            layer: KeptLayer::of(feature, layer),
            seen: seen.clone(),
            edits,
        };
        self.remember(FEATURE, key, &kept);
    }

    fn remember(&self, kind: &str, key: &str, kept: &impl Serialize) {
        // Strings, numbers and lists: nothing that JSON could not hold.
        let fact = serde_json::to_value(kept).unwrap_or_default();
        self.session.resolver.cache.remember_fact(kind, key, &fact);
    }

    fn kept_feature(&self, key: &str) -> Option<KeptFeature> {
        let fact = self.session.resolver.cache.fact(FEATURE, key)?;
        serde_json::from_value(fact).ok()
    }

    /// The layer of a feature that is kept, as it was packed.
    pub(super) fn packed_before(
        &self,
        key: &str,
        platform: &Platform,
    ) -> Option<(PackedFeature, LocalLayer)> {
        let kept = self.kept_feature(key)?;
        let local = kept.layer.local(platform, &self.session.resolver.cache)?;
        Some((kept.layer.feature, local))
    }

    /// The layer of a feature that is kept, read back.
    pub(super) fn earlier(&self, keys: &Keys, feature: &Feature) -> Option<Earlier> {
        let key = keys.features.get(&feature.name.get_ref().to_string())?;
        let kept = self.kept_feature(key)?;
        let descriptor = kept.layer.descriptor()?;
        let path = self.session.resolver.cache.path_of(&descriptor.digest)?;
        let mut file = fs_err::File::open(path).ok()?;
        if digest_of(&mut file, &descriptor.digest).ok()? != descriptor.digest {
            return None;
        }
        let spool = Spool::create(self.session.work_dir).ok()?;
        let tree = read_tar(file, MAX_LAYER, &spool).ok()?;
        Some(Earlier {
            tree,
            seen: kept.seen,
            edits: kept.edits,
        })
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
