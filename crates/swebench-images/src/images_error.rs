//! Why no image of many is planned or built.

use std::io;
use std::path::PathBuf;

use super::base_source::BaseError;
use ohoci_deps::conda::error::CondaError;

/// Why nothing is planned or built. What goes wrong with one image is part of the report.
#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
    /// There is no git.
    #[error("the program git is not installed")]
    NoGit,
    /// A program that makes sandboxes is not there.
    #[error("the program {0} is not installed")]
    NoProgram(&'static str),
    /// No base is asked for.
    #[error("no base is given")]
    NoBase,
    /// The base cannot be had.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// Channels of conda cannot be asked.
    #[error(transparent)]
    Channels(#[from] CondaError),
    /// The lock of an environment's packages of conda cannot be read or written.
    #[error("cannot use the lock {}: {why}", path.display())]
    CondaLock {
        /// The lock.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The cache cannot be written.
    #[error("cannot use the cache: {0}")]
    Cache(#[source] io::Error),
    /// What other machines start from, or leave, cannot be written or read.
    #[error("{what}: {why}")]
    HandOver {
        /// What.
        what: &'static str,
        /// Why not.
        #[source]
        why: io::Error,
    },
    /// Slurm did not take shards.
    #[error("{}: {why}", script.display())]
    Slurm {
        /// What it was given.
        script: PathBuf,
        /// What it said.
        why: String,
    },
    /// A registry or a layout cannot be read, or archives cannot be written once all is built.
    #[error("{}: {}", .0.what(), .0.why())]
    Store(#[source] ohoci_store::Error),
}
