//! Why a recipe does not become an image.

use std::path::PathBuf;

use crate::assemble::AssembleError;
use crate::audit::Audit;
use crate::bytecode::BytecodeError;
use crate::fetching::Missing;
use crate::locked::LockError;
use crate::recipe::SelectionError;
use ohoci_image::Platform;

/// Why a recipe does not become an image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// It is the recipe of a system of its own, which cannot be a layer of other images.
    #[error("a system of its own cannot be a layer of other images")]
    System,
    /// It has no such part.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// It has no lock, and none could or should be made.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Its modules are to be compiled, and no interpreter of it runs on this machine.
    #[error(
        "Python modules are compiled by the interpreter that is packed, and the recipe has none \
         for this machine, {here}"
    )]
    NoInterpreter {
        /// The feature that is compiled.
        feature: String,
        /// This machine's platform.
        here: Box<Platform>,
    },
    /// Files that the lock names cannot be had.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// The packages cannot be assembled.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// The layers would not work on every base.
    #[error("the layers for {platform} would not work on every base")]
    Audit {
        /// The platform.
        platform: Box<Platform>,
        /// What is wrong.
        audit: Box<Audit>,
    },
    /// Modules cannot be compiled.
    #[error("cannot compile feature {feature}: {error}")]
    Compile {
        /// The feature.
        feature: String,
        /// Why not.
        #[source]
        error: BytecodeError,
    },
    /// A directory for mounts cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A directory for mounts is of one platform, and several are built.
    #[error("a directory holds the programs of one platform, and several are built")]
    Platforms,
    /// A layer cannot be packed, or the image or a document about it not be pushed.
    #[error(transparent)]
    Image(#[from] ohoci_store::Error),
}
