//! Manifests and indexes: the exact bytes plus the view that ohoci reads.

use bytes::Bytes;
use serde_json::Value;

use super::descriptor::{Descriptor, DescriptorError};
use super::digest::Digest;
use super::document::{Document, DocumentError};
use super::media_type::{self, Family};

/// Largest manifest that is read or written, in bytes: what registries enforce (distribution-spec,
/// "Pushing manifests").
pub const MAX_SIZE: u64 = 4 << 20;

/// A manifest or an index.
#[derive(Clone, Debug)]
pub struct Manifest {
    document: Document,
    media_type: String,
    digest: Digest,
    content: Content,
}

/// What a manifest lists.
#[derive(Clone, Debug)]
pub enum Content {
    /// One image (or artifact).
    Image {
        /// The config blob.
        config: Box<Descriptor>,
        /// The layers, lowest first.
        layers: Vec<Descriptor>,
    },
    /// Several manifests.
    Index {
        /// The entries, in order.
        manifests: Vec<Descriptor>,
    },
}

/// Why bytes are no manifest that ohoci can use.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Larger than [`MAX_SIZE`].
    #[error("the manifest has {0} bytes; the largest that registries take is {MAX_SIZE}")]
    TooLarge(u64),
    /// Not a JSON object.
    #[error("the manifest cannot be read: {0}")]
    Document(#[from] DocumentError),
    /// Docker's schema 1, which lists neither sizes nor a config.
    #[error("the manifest is Docker schema 1, which has no config and no layer sizes")]
    Schema1,
    /// A type that is neither an image manifest nor an index.
    #[error("the manifest's media type {0:?} is neither an image manifest nor an index")]
    UnknownType(String),
    /// The type inside and the type that the registry announced differ.
    #[error("the manifest says that it is {inside:?}, but was served as {served:?}")]
    TypeMismatch {
        /// `mediaType` in the document.
        inside: String,
        /// `Content-Type` of the answer.
        served: String,
    },
    /// A descriptor in it is broken.
    #[error("{place} of the manifest: {source}")]
    Descriptor {
        /// Which descriptor.
        place: String,
        /// What is wrong with it.
        source: DescriptorError,
    },
    /// A required list is missing.
    #[error("the manifest has no {0:?} list")]
    MissingList(&'static str),
}

impl Manifest {
    /// Parses a manifest or index.
    ///
    /// `served_as` is the media type it was announced with, if it was; it decides only where the
    /// document has no `mediaType`, which image-spec permits.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn parse(bytes: impl Into<Bytes>, served_as: Option<&str>) -> Result<Self, ManifestError> {
        let bytes = bytes.into();
        if bytes.len() as u64 > MAX_SIZE {
            return Err(ManifestError::TooLarge(bytes.len() as u64));
        }
        let document = Document::parse(bytes)?;
        let object = document.object();
        let inside = object.get("mediaType").and_then(Value::as_str);
        let served = served_as.map(media_type::essence);
        let schema1 = |text: &str| media_type::DOCKER_SCHEMA1.contains(&text);
        if object.get("schemaVersion").and_then(Value::as_u64) == Some(1)
            || inside.is_some_and(schema1)
            || served.as_deref().is_some_and(schema1)
        {
            return Err(ManifestError::Schema1);
        }
        let known = |text: &str| media_type::is_manifest(text) || media_type::is_index(text);
        let media_type = match (inside, served.as_deref()) {
            (Some(inside), Some(served)) if known(served) && inside != served => {
                return Err(ManifestError::TypeMismatch {
                    inside: inside.to_owned(),
                    served: served.to_owned(),
                });
            }
            (Some(inside), _) => inside.to_owned(),
            (None, Some(served)) if known(served) => served.to_owned(),
            // No type anywhere: an OCI document may leave it out, and its lists tell which it is.
            (None, _) if object.contains_key("manifests") => media_type::OCI_INDEX.to_owned(),
            (None, _) => media_type::OCI_MANIFEST.to_owned(),
        };
        let content = if media_type::is_index(&media_type) {
            Content::Index {
                manifests: descriptors(object.get("manifests"), "manifests")?,
            }
        } else if media_type::is_manifest(&media_type) {
            let config = object.get("config").unwrap_or(&Value::Null);
            Content::Image {
                config: Descriptor::from_json(config)
                    .map(Box::new)
                    .map_err(|source| ManifestError::Descriptor {
                        place: "`config`".to_owned(),
                        source,
                    })?,
                layers: descriptors(object.get("layers"), "layers")?,
            }
        } else {
            return Err(ManifestError::UnknownType(media_type));
        };
        Ok(Self {
            digest: document.digest(),
            document,
            media_type,
            content,
        })
    }

    /// The document.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The exact bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        self.document.bytes()
    }

    /// The media type, without parameters.
    #[must_use]
    pub fn media_type(&self) -> &str {
        &self.media_type
    }

    /// SHA-256 of the bytes.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What it lists.
    #[must_use]
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Which family it belongs to.
    #[must_use]
    pub fn family(&self) -> Family {
        if self.media_type == media_type::DOCKER_MANIFEST
            || self.media_type == media_type::DOCKER_INDEX
        {
            Family::Docker
        } else {
            Family::Oci
        }
    }

    /// A descriptor that points at it.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(
            self.media_type.clone(),
            self.digest.clone(),
            self.bytes().len() as u64,
        )
    }
}

fn descriptors(list: Option<&Value>, name: &'static str) -> Result<Vec<Descriptor>, ManifestError> {
    let list = match list {
        Some(Value::Array(list)) => list.as_slice(),
        // Tools written in Go write an empty list as null.
        Some(Value::Null) => &[],
        _ => return Err(ManifestError::MissingList(name)),
    };
    list.iter()
        .enumerate()
        .map(|(at, value)| {
            Descriptor::from_json(value).map_err(|source| ManifestError::Descriptor {
                place: format!("`{name}[{at}]`"),
                source,
            })
        })
        .collect()
}
