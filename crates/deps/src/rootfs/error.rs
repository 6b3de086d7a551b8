//! Why packages do not come to a system.

use crate::assemble::AssembleError;
use ohoci_layer::LayerPath;
use ohoci_layer::path::PathError;
use ohoci_layer::tree::TreeError;

/// Why packages do not come to a system.
#[derive(Debug, thiserror::Error)]
pub enum RootFsError {
    /// A package is not there, or cannot be read.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// Two packages have the same file.
    #[error("{path} is in the packages {one} and {other}")]
    Clash {
        /// The file.
        path: LayerPath,
        /// The package that has it already.
        one: String,
        /// The package that has it, too.
        other: String,
    },
    /// A file cannot stand where it should.
    #[error("package {package}: {source}")]
    Tree {
        /// The package that it is from.
        package: String,
        /// Why not.
        source: TreeError,
    },
    /// A path cannot be.
    #[error("package {package}: {source}")]
    Path {
        /// The package that has it.
        package: String,
        /// Why not.
        source: PathError,
    },
    /// A package says of itself what dpkg could not be told.
    #[error("package {package}: {why}")]
    Control {
        /// The package.
        package: String,
        /// What is wrong.
        why: String,
    },
}

impl RootFsError {
    pub(super) fn control(package: &str, why: impl Into<String>) -> Self {
        Self::Control {
            package: package.to_owned(),
            why: why.into(),
        }
    }

    pub(super) fn path(package: &str) -> impl FnOnce(PathError) -> Self {
        let package = package.to_owned();
        move |source| Self::Path { package, source }
    }
}
