//! Composing: the documents of a base image and layers that exist, to the documents of a new image.

mod config;
mod error;
mod manifest;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::config_patch::ConfigPatch;
use super::convert::{self, ConvertError};
use super::descriptor::Descriptor;
use super::diff::Change;
use super::digest::Digest;
use super::document::Document;
use super::image_config::{self, ImageConfig};
use super::label::Position;
use super::manifest::{Content, Manifest};
use super::media_type::{self, Compression, Family, LayerKind};
use super::platform::Platform;
use super::role::Role;
use super::runtime_check;
use super::timestamp::Timestamp;

pub use error::ComposeError;

/// The most layers that an image may have: as many as overlayfs stacks (Linux `OVL_MAX_STACK`).
pub const MAX_LAYERS: usize = 500;

/// The most layers that are composed unless more are asked for: one less than the directories that
/// Docker's overlay mount stacks (moby `overlay2.maxDepth`, 128), as a container adds its own.
pub const USUAL_LAYERS: usize = 127;

/// The most layers that Docker's own store takes (moby `layer.maxLayerDepth`).
pub(crate) const DOCKER_LAYERS: usize = 125;

/// What to compose.
#[derive(Clone, Debug)]
pub struct Composition {
    /// What it starts from.
    pub base: Base,
    /// Layers to add, in order, lowest first.
    pub additions: Vec<Addition>,
    /// The user's patch, applied after those of the additions. Its `keep_cmd` holds for theirs too.
    pub patch: ConfigPatch,
    /// The user's manifest annotations; any makes the result an OCI image.
    pub annotations: BTreeMap<String, String>,
    /// Where the added layers go.
    pub position: Position,
    /// The result's family; `None` chooses, see [`Composition::family`]. An index sets it, so that
    /// its children agree.
    pub family: Option<Family>,
    /// `created` of the result, RFC 3339 (`SOURCE_DATE_EPOCH`). `None` takes the newest of base and
    /// additions, or leaves it out when they name none.
    pub created: Option<String>,
    /// Whether to write down, in a label, what the image is made from.
    pub record_intent: bool,
}

/// What an image is composed on.
#[derive(Clone, Debug)]
pub enum Base {
    /// An image.
    Image(Box<BaseImage>),
    /// Nothing, for a platform.
    Scratch(Platform),
}

/// A base image.
#[derive(Clone, Debug)]
pub struct BaseImage {
    /// Its manifest, of one platform.
    pub manifest: Manifest,
    /// Its config, the bytes that the manifest's config descriptor names.
    pub config: Document,
    /// Its fully qualified reference, with the tag; `None` when it has none that others can use.
    pub name: Option<String>,
    /// What the name resolved to: the index, if it was one. `None` is the manifest's own digest.
    pub digest_of_name: Option<Digest>,
}

/// Layers to add, from one source.
#[derive(Clone, Debug)]
pub struct Addition {
    /// The layers, lowest first.
    pub layers: Vec<Layer>,
    /// What kind of source they are from: not the base, which is no addition.
    pub role: Role,
    /// The patch that comes with them.
    pub patch: Option<ConfigPatch>,
    /// What the source is called: a reference, or a file's name.
    pub name: Option<String>,
    /// What the name resolved to: the index, if it was one.
    pub digest: Option<Digest>,
    /// The only path that was taken out of the source; `None` is all of it.
    pub path: Option<String>,
    /// What the layers were made for; `None` is any.
    pub platform: Option<Platform>,
    /// When the source was made, RFC 3339.
    pub created: Option<String>,
}

/// A layer to add.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The blob. Its annotations are kept, its `urls` are not.
    pub descriptor: Descriptor,
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// `created_by` of its history entry; `None` says which source it is from.
    pub created_by: Option<String>,
}

/// A composed image: two documents to push, and what they say.
#[derive(Clone, Debug)]
pub struct Composed {
    /// The manifest.
    pub manifest: Manifest,
    /// The config.
    pub config: Document,
    /// The manifest's descriptor of the config.
    pub config_descriptor: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<ComposedLayer>,
    /// What changed in the config.
    pub changes: Vec<Change>,
    /// What whoever composes should know.
    pub warnings: Vec<String>,
    /// What the image runs on.
    pub platform: Platform,
}

/// A layer of a composed image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComposedLayer {
    /// Its descriptor, as in the new manifest.
    pub descriptor: Descriptor,
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Where it is from.
    pub role: Role,
    /// Which of [`Composition::additions`] it is from; `None` is the base.
    pub addition: Option<usize>,
}

impl Composition {
    /// The family of the result: the one asked for; else OCI where something needs it; else the
    /// base's.
    #[must_use]
    pub fn family(&self) -> Family {
        match (&self.family, &self.base) {
            (Some(family), _) => *family,
            (None, Base::Image(base)) if self.needs_oci().is_none() => base.manifest.family(),
            _ => Family::Oci,
        }
    }

    /// What makes an OCI manifest necessary, if anything does.
    #[must_use]
    pub(crate) fn needs_oci(&self) -> Option<&'static str> {
        let added = self.additions.iter().flat_map(|addition| &addition.layers);
        let zstd = |layer: &Descriptor| {
            media_type::layer_kind(&layer.media_type) == LayerKind::Ordinary(Compression::Zstd)
        };
        if !self.annotations.is_empty() {
            Some("annotations")
        } else if added.clone().any(|layer| zstd(&layer.descriptor))
            || self.base.layers().iter().any(zstd)
        {
            Some("zstd layers")
        } else if added
            .clone()
            .any(|layer| !layer.descriptor.annotations.is_empty())
        {
            Some("annotated layers")
        } else {
            None
        }
    }
}

impl Base {
    fn layers(&self) -> &[Descriptor] {
        match self {
            Self::Image(base) => match base.manifest.content() {
                Content::Image { layers, .. } => layers,
                Content::Index { .. } => &[],
            },
            Self::Scratch(_) => &[],
        }
    }
}

impl BaseImage {
    /// What the base's name resolved to.
    #[must_use]
    pub(crate) fn named_digest(&self) -> &Digest {
        self.digest_of_name
            .as_ref()
            .unwrap_or_else(|| self.manifest.digest())
    }
}

impl Addition {
    /// `deps NAME@DIGEST`, as messages and history entries say it.
    fn describe(&self) -> String {
        let mut text = match self.role {
            Role::Local => "layer".to_owned(),
            role => role.name().to_owned(),
        };
        match (&self.name, &self.digest) {
            (Some(name), Some(digest)) if !name.contains('@') => {
                text.push_str(&format!(" {name}@{digest}"));
            }
            (Some(name), _) => text.push_str(&format!(" {name}")),
            (None, Some(digest)) => text.push_str(&format!(" {digest}")),
            (None, None) => {}
        }
        text
    }
}

/// Composes an image. Equal input gives equal bytes.
///
/// # Errors
/// See [`ComposeError`].
pub fn compose(input: &Composition) -> Result<Composed, ComposeError> {
    let base_config = check(input)?;
    let family = input.family();
    if let (Family::Docker, Some(reason)) = (family, input.needs_oci()) {
        return Err(ComposeError::NotInDocker(reason));
    }
    let mut warnings = Vec::new();
    let built = config::build(input, &base_config, family, &mut warnings)?;
    if base_config.platform().os == "linux" {
        let faults = runtime_check::misgivings(&built.object);
        warnings.extend(
            faults
                .into_iter()
                .map(|fault| format!("runtimes will refuse the image's config: {fault}")),
        );
    }
    let config = Document::from_object(built.object);
    let config_size = config.bytes().len() as u64;
    if config_size > image_config::MAX_SIZE {
        return Err(ComposeError::ConfigTooLarge(config_size));
    }
    let config_descriptor = Descriptor::new(family.config(), config.digest(), config_size);
    let layers = layers(input, &base_config, family)?;
    let manifest = manifest::build(input, family, &config_descriptor, &layers, &mut warnings)?;
    Ok(Composed {
        manifest,
        config,
        config_descriptor,
        layers,
        changes: built.changes,
        warnings,
        platform: base_config.platform().clone(),
    })
}

/// Refuses what cannot be composed, and reads the base's config.
fn check(input: &Composition) -> Result<ImageConfig, ComposeError> {
    let config = match &input.base {
        Base::Image(base) => check_base(base)?,
        Base::Scratch(platform) => ImageConfig::scratch(platform),
    };
    for addition in &input.additions {
        let whose = addition.describe();
        if addition.role == Role::Base {
            return Err(ComposeError::BaseAdded(whose));
        }
        for layer in &addition.layers {
            check_layer(&whose, &layer.descriptor)?;
        }
        if let Some(platform) = &addition.platform
            && platform.fitness_on(config.platform()).is_none()
        {
            return Err(ComposeError::Platform {
                whose,
                platform: Box::new(platform.clone()),
                base: Box::new(config.platform().clone()),
            });
        }
    }
    let added: usize = input.additions.iter().map(|a| a.layers.len()).sum();
    let count = config.diff_ids().len().saturating_add(added);
    if count > MAX_LAYERS {
        return Err(ComposeError::TooManyLayers(count));
    }
    match &input.created {
        Some(text) if Timestamp::parse(text).is_none() => Err(ComposeError::Created(text.clone())),
        _ => Ok(config),
    }
}

fn check_base(base: &BaseImage) -> Result<ImageConfig, ComposeError> {
    let Content::Image { config, layers } = base.manifest.content() else {
        return Err(ComposeError::BaseIsIndex);
    };
    // An image may have an artifact type as well (image-spec `manifest.md`): the config tells.
    if !media_type::is_image_config(&config.media_type) {
        return Err(ComposeError::Artifact(config.media_type.clone()));
    }
    for layer in layers {
        // One that must not be redistributed stays where its URLs say: nothing has to move it.
        let stays = media_type::layer_kind(&layer.media_type) == LayerKind::Foreign;
        if !stays {
            check_layer("the base", layer)?;
        }
    }
    if !config.digest.matches(base.config.bytes()) {
        return Err(ComposeError::WrongConfig {
            named: config.digest.clone(),
            found: base.config.digest(),
        });
    }
    let config = ImageConfig::parse(base.config.clone())?;
    if config.diff_ids().len() != layers.len() {
        return Err(ComposeError::LayerCount {
            layers: layers.len(),
            diff_ids: config.diff_ids().len(),
        });
    }
    Ok(config)
}

fn check_layer(whose: &str, layer: &Descriptor) -> Result<(), ComposeError> {
    let (whose, digest, media_type) = (
        whose.to_owned(),
        layer.digest.clone(),
        layer.media_type.clone(),
    );
    Err(match media_type::layer_kind(&layer.media_type) {
        LayerKind::Ordinary(_) => return Ok(()),
        LayerKind::Foreign => ComposeError::ForeignLayer {
            whose,
            digest,
            media_type,
        },
        LayerKind::Encrypted => ComposeError::EncryptedLayer {
            whose,
            digest,
            media_type,
        },
        LayerKind::Unknown => ComposeError::UnknownLayer {
            whose,
            digest,
            media_type,
        },
    })
}

/// All layers in their new order, with their new types.
fn layers(
    input: &Composition,
    base_config: &ImageConfig,
    family: Family,
) -> Result<Vec<ComposedLayer>, ComposeError> {
    let retyped = |descriptor: &Descriptor| -> Result<Descriptor, ConvertError> {
        let mut descriptor = descriptor.clone();
        descriptor.media_type = convert::layer_type(&descriptor.media_type, family)?.to_owned();
        Ok(descriptor)
    };
    let mut base = Vec::new();
    for (descriptor, diff_id) in input.base.layers().iter().zip(base_config.diff_ids()) {
        base.push(ComposedLayer {
            descriptor: retyped(descriptor)?,
            diff_id: diff_id.clone(),
            role: Role::Base,
            addition: None,
        });
    }
    let mut added = Vec::new();
    for (at, addition) in input.additions.iter().enumerate() {
        for layer in &addition.layers {
            let mut descriptor = Descriptor {
                urls: Vec::new(),
                platform: None,
                artifact_type: None,
                ..retyped(&layer.descriptor)?
            };
            if family == Family::Docker {
                descriptor.annotations.clear();
            }
            added.push(ComposedLayer {
                descriptor,
                diff_id: layer.diff_id.clone(),
                role: addition.role,
                addition: Some(at),
            });
        }
    }
    Ok(in_position(input.position, base, added))
}

/// The base's part and the added part in the order that the position asks for.
fn in_position<T>(position: Position, mut base: Vec<T>, mut added: Vec<T>) -> Vec<T> {
    match position {
        Position::Top => {
            base.append(&mut added);
            base
        }
        Position::Bottom => {
            added.append(&mut base);
            added
        }
    }
}
