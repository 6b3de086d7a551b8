//! Why layers cannot be assembled.

use std::io;

use crate::archive::ArchiveError;
use crate::debian::deb::DebError;
use crate::place::{GlobError, PlaceError};
use crate::relocate::RelocateError;
use ohoci_layer::path::PathError;
use ohoci_layer::tree::TreeError;

/// Why layers cannot be assembled.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// No layer can be made for such a machine.
    #[error("layers are made for linux/amd64 and linux/arm64, not for {0}")]
    Platform(String),
    /// A package that was locked is not in the cache.
    #[error("{package} is not in the cache")]
    NotCached {
        /// Its name and version.
        package: String,
    },
    /// A package cannot be read.
    #[error(transparent)]
    Package(#[from] DebError),
    /// The files of a feature do not fit together.
    #[error("feature {feature}: {source}")]
    Placement {
        /// The feature.
        feature: String,
        /// Why they do not.
        source: Box<PlaceError>,
    },
    /// A file cannot be edited.
    #[error("feature {feature}: {source}")]
    Relocate {
        /// The feature.
        feature: String,
        /// Which, and why.
        source: Box<RelocateError>,
    },
    /// A directory or an archive of a feature cannot be used.
    #[error("feature {feature}: {path}: {source}")]
    Source {
        /// The feature.
        feature: String,
        /// The directory or archive.
        path: String,
        /// Why not.
        source: ArchiveError,
    },
    /// A pattern of a recipe.
    #[error("feature {feature}: {source}")]
    Pattern {
        /// The feature.
        feature: String,
        /// What is wrong with it.
        source: GlobError,
    },
    /// A path of a recipe.
    #[error("feature {feature}: {path:?}: {source}")]
    Path {
        /// The feature.
        feature: String,
        /// The path.
        path: String,
        /// What is wrong with it.
        source: PathError,
    },
    /// A tree that contradicts itself.
    #[error("feature {feature}: {source}")]
    Tree {
        /// The feature.
        feature: String,
        /// In what.
        source: TreeError,
    },
    /// The Python packages of a feature.
    #[error("feature {feature}: {why}")]
    Python {
        /// The feature.
        feature: String,
        /// What is wrong with which.
        why: String,
    },
    /// The npm packages of a feature.
    #[error("feature {feature}: {why}")]
    Npm {
        /// The feature.
        feature: String,
        /// What is wrong with which.
        why: String,
    },
    /// conda's packages of a feature.
    #[error("feature {feature}: {why}")]
    Conda {
        /// The feature.
        feature: String,
        /// What is wrong with which.
        why: String,
    },
    /// Reading or writing failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// The system's words.
        source: io::Error,
    },
}
