//! Why an image has no tags.

/// Why there are no tags.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// The tags name the base, and it is empty.
    #[error("the tags depend on the base, and there is none")]
    NoBase,
    /// Neither variants nor the base are to be named.
    #[error("no tag is asked for: no custom tag, and no tag that names the base")]
    NothingWanted,
    /// A tag that depends on a Dockerfile.
    #[error("the tag depends on the Dockerfile that the image is made with, and there is none")]
    NoContentHash,
    /// A base whose name lacks what the benchmark calls images by.
    #[error("{base:?} does not have the part of its name that the benchmark calls images by")]
    NoInstance {
        /// The base.
        base: String,
    },
    /// A base that may change under its name.
    #[error("the tag depends on the digest of the base, and {base:?} has none that can be used")]
    NoBaseDigest {
        /// The base.
        base: String,
    },
}
