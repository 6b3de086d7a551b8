//! Media types of manifests, configs and layers, and how the two families map to each other.

/// OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// OCI image config.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// OCI layer, not compressed.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// OCI layer, gzip.
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// OCI layer, zstd.
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// `application/vnd.oci.empty.v1+json`: `{}`, the config of artifacts that need none.
pub(crate) const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// `application/spdx+json`: a bill of materials.
pub const SPDX: &str = "application/spdx+json";
/// `application/vnd.cyclonedx+json`: a bill of materials.
pub const CYCLONEDX: &str = "application/vnd.cyclonedx+json";
/// OCI layer that must not be redistributed, not compressed.
pub(crate) const OCI_FOREIGN_LAYER: &str =
    "application/vnd.oci.image.layer.nondistributable.v1.tar";
/// OCI layer that must not be redistributed, gzip.
pub(crate) const OCI_FOREIGN_LAYER_GZIP: &str =
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
/// Docker layer that must not be redistributed, not compressed.
pub(crate) const DOCKER_FOREIGN_LAYER: &str =
    "application/vnd.docker.image.rootfs.foreign.diff.tar";
/// Docker layer that must not be redistributed, gzip.
pub(crate) const DOCKER_FOREIGN_LAYER_GZIP: &str =
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
/// Docker image manifest, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker manifest list.
pub(crate) const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker image config.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Docker layer, not compressed.
pub(crate) const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
/// Docker layer, gzip.
pub(crate) const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// Docker manifest schema 1, unsigned and signed: refused.
pub const DOCKER_SCHEMA1: [&str; 2] = [
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
];

/// The two families of manifests. A manifest and everything it lists belong to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// image-spec.
    Oci,
    /// Docker's schema 2.
    Docker,
}

impl Family {
    /// The family's manifest type.
    #[must_use]
    pub fn manifest(self) -> &'static str {
        match self {
            Self::Oci => OCI_MANIFEST,
            Self::Docker => DOCKER_MANIFEST,
        }
    }

    /// The family's index type.
    #[must_use]
    pub fn index(self) -> &'static str {
        match self {
            Self::Oci => OCI_INDEX,
            Self::Docker => DOCKER_INDEX,
        }
    }

    /// The family's image config type.
    #[must_use]
    pub fn config(self) -> &'static str {
        match self {
            Self::Oci => OCI_CONFIG,
            Self::Docker => DOCKER_CONFIG,
        }
    }

    /// The family's type for a layer compressed so; `None` when the family has none.
    #[must_use]
    pub fn layer(self, compression: Compression) -> Option<&'static str> {
        match (self, compression) {
            (Self::Oci, Compression::None) => Some(OCI_LAYER),
            (Self::Oci, Compression::Gzip) => Some(OCI_LAYER_GZIP),
            (Self::Oci, Compression::Zstd) => Some(OCI_LAYER_ZSTD),
            (Self::Docker, Compression::None) => Some(DOCKER_LAYER),
            (Self::Docker, Compression::Gzip) => Some(DOCKER_LAYER_GZIP),
            (Self::Docker, Compression::Zstd) => None,
        }
    }
}

/// How a layer's tar is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip (RFC 1952), which every client takes.
    #[default]
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
}

/// What a layer's media type says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerKind {
    /// A tar that any client can take and store.
    Ordinary(Compression),
    /// Not to be redistributed: its bytes are at the descriptor's `urls`.
    Foreign,
    /// Encrypted (ocicrypt).
    Encrypted,
    /// No layer type that ohoci knows.
    Unknown,
}

/// The media type without parameters and in lower case, as `Content-Type` may carry them.
#[must_use]
pub fn essence(content_type: &str) -> String {
    content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

/// Classifies a layer's media type.
#[must_use]
pub fn layer_kind(media_type: &str) -> LayerKind {
    match media_type {
        OCI_LAYER | DOCKER_LAYER => LayerKind::Ordinary(Compression::None),
        OCI_LAYER_GZIP | DOCKER_LAYER_GZIP => LayerKind::Ordinary(Compression::Gzip),
        OCI_LAYER_ZSTD => LayerKind::Ordinary(Compression::Zstd),
        other if other.ends_with("+encrypted") => LayerKind::Encrypted,
        other if other.contains(".nondistributable.") || other.contains(".rootfs.foreign.") => {
            LayerKind::Foreign
        }
        // Docker's own registries have served this spelling of a zstd layer (buildkit before 0.9).
        "application/vnd.docker.image.rootfs.diff.tar.zstd" => {
            LayerKind::Ordinary(Compression::Zstd)
        }
        _ => LayerKind::Unknown,
    }
}

/// Whether this is an index of either family.
#[must_use]
pub fn is_index(media_type: &str) -> bool {
    media_type == OCI_INDEX || media_type == DOCKER_INDEX
}

/// Whether this is an image manifest of either family.
#[must_use]
pub fn is_manifest(media_type: &str) -> bool {
    media_type == OCI_MANIFEST || media_type == DOCKER_MANIFEST
}

/// Whether what an index lists as this type is a document that may list others, and not a blob:
/// `BuildKit`'s caches are indexes that list layers.
#[must_use]
pub fn is_document(media_type: &str) -> bool {
    media_type.is_empty()
        || is_manifest(media_type)
        || is_index(media_type)
        || media_type.contains("manifest")
        || media_type.contains(".index.")
}

/// Whether this is an image config of either family.
#[must_use]
pub fn is_image_config(media_type: &str) -> bool {
    media_type == OCI_CONFIG || media_type == DOCKER_CONFIG
}

/// What a client that takes every kind of manifest sends as `Accept`.
///
/// Schema 1 is not listed: a registry that has only that answers 404 or converts.
pub const ACCEPT: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST];
