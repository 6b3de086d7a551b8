//! Annotation and label keys that ohoci reads or writes.

/// Fully qualified reference of the base image (image-spec `annotations.md`).
pub const BASE_NAME: &str = oci_spec::image::ANNOTATION_BASE_IMAGE_NAME;
/// Digest that [`BASE_NAME`] resolved to: the index, when it was one.
pub const BASE_DIGEST: &str = oci_spec::image::ANNOTATION_BASE_IMAGE_DIGEST;
/// Name of a manifest in an OCI layout's `index.json`.
pub const REF_NAME: &str = oci_spec::image::ANNOTATION_REF_NAME;

/// Name of a file with the content of a blob.
pub const TITLE: &str = oci_spec::image::ANNOTATION_TITLE;

/// Label of a deps image: the config patch, as JSON, that composing applies.
pub const PATCH: &str = "ohoci.patch";
/// Label of a composed image: what it was made from, as JSON.
pub const INTENT: &str = "ohoci.intent";

/// Docker's mark on the descriptors of build attestations in an index.
pub(crate) const DOCKER_REFERENCE_TYPE: &str = "vnd.docker.reference.type";
