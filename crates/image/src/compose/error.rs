//! Why an image cannot be composed.

use super::MAX_LAYERS;
use crate::config_patch::PatchError;
use crate::convert::ConvertError;
use crate::digest::Digest;
use crate::image_config::{self, ImageConfigError};
use crate::manifest::{self, ManifestError};
use crate::platform::Platform;

/// Why something cannot be composed. `whose` is `the base`, `deps NAME` or `layer NAME`.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// The base is an index.
    #[error("the base is an index of several images; choose one of its platforms")]
    BaseIsIndex,
    /// The base is an artifact.
    #[error("the base is an artifact of type {0:?}, not an image")]
    Artifact(String),
    /// The config is not the one that the manifest names.
    #[error("the base's config has digest {found}, but its manifest names {named}")]
    WrongConfig {
        /// In the manifest.
        named: Digest,
        /// Of the bytes.
        found: Digest,
    },
    /// The config cannot be read.
    #[error("the base cannot be used: {0}")]
    Config(#[from] ImageConfigError),
    /// An addition that says it is the base.
    #[error("{0} cannot be added: there is one base, and it is no addition")]
    BaseAdded(String),
    /// A layer that must not be redistributed.
    #[error(
        "{whose} has the foreign layer {digest} ({media_type}), which registries must not hold and \
         ohoci does not move"
    )]
    ForeignLayer {
        /// Which source.
        whose: String,
        /// The layer.
        digest: Digest,
        /// Its type.
        media_type: String,
    },
    /// An encrypted layer.
    #[error("{whose} has the encrypted layer {digest} ({media_type}), which ohoci cannot read")]
    EncryptedLayer {
        /// Which source.
        whose: String,
        /// The layer.
        digest: Digest,
        /// Its type.
        media_type: String,
    },
    /// A layer of a type that is no layer type.
    #[error("{whose} has the layer {digest} of unknown type {media_type:?}")]
    UnknownLayer {
        /// Which source.
        whose: String,
        /// The layer.
        digest: Digest,
        /// Its type.
        media_type: String,
    },
    /// Manifest and config disagree about the layers.
    #[error(
        "the base's manifest lists {layers} layers, but its config {diff_ids} diff IDs; it is not an \
         image that can be extended"
    )]
    LayerCount {
        /// In the manifest.
        layers: usize,
        /// In the config.
        diff_ids: usize,
    },
    /// Layers made for another platform.
    #[error("{whose} is for {platform}, but the base is for {base}")]
    Platform {
        /// Which source.
        whose: String,
        /// What it is for.
        platform: Box<Platform>,
        /// What the base is for.
        base: Box<Platform>,
    },
    /// More than [`MAX_LAYERS`].
    #[error("the image would have {0} layers; Linux mounts at most {MAX_LAYERS}")]
    TooManyLayers(usize),
    /// The result is too large for registries.
    #[error("the composed manifest would have {0} bytes; registries take at most {max}", max = manifest::MAX_SIZE)]
    ManifestTooLarge(u64),
    /// The config is too large for clients.
    #[error("the composed config would have {0} bytes; clients take at most {max}", max = image_config::MAX_SIZE)]
    ConfigTooLarge(u64),
    /// The family asked for cannot hold the result.
    #[error("a Docker manifest was asked for, but {0} need an OCI manifest")]
    NotInDocker(&'static str),
    /// A patch cannot be applied.
    #[error("the config patch of {whose}: {source}")]
    Patch {
        /// Which source; `the command line` for the user's.
        whose: String,
        /// What is wrong.
        source: PatchError,
    },
    /// ohoci's own labels cannot be written.
    #[error("the base's labels cannot be written: {0}")]
    Labels(PatchError),
    /// The time asked for is none.
    #[error("{0:?} is no RFC 3339 time")]
    Created(String),
    /// A type cannot be mapped; the checks before make it impossible.
    #[error(transparent)]
    Convert(#[from] ConvertError),
    /// The composed manifest cannot be read back.
    #[error("the composed manifest is invalid: {0}")]
    Manifest(ManifestError),
}
