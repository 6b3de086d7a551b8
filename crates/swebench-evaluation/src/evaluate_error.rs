//! Why a run cannot be evaluated, handed over or gathered.

use std::io;
use std::path::PathBuf;

use super::carrier::CarryError;
use super::run_folder::RunFolderError;
use ohoci_node::StoreError;
use ohoci_sandbox::RunError;
use ohoci_swebench::predictions::PredictionError;
use ohoci_swebench::row::RowError;
use ohoci_swebench_images::ImagesError;
use ohoci_swebench_inputs::InputError;

/// Why a run cannot be evaluated, handed over or gathered. What goes wrong with one instance is its outcome.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// What it starts from.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The dataset does not have the instances that are asked for.
    #[error(transparent)]
    Instances(#[from] RowError),
    /// The predictions are for another dataset.
    #[error("cannot use the predictions: {0}")]
    Predictions(#[source] PredictionError),
    /// Its folder.
    #[error(transparent)]
    Folder(#[from] RunFolderError),
    /// What carries its parts.
    #[error(transparent)]
    Carry(#[from] CarryError),
    /// The program that makes sandboxes.
    #[error(transparent)]
    Bubblewrap(RunError),
    /// The file system that sandboxes are made in.
    #[error("cannot make sandboxes: {0}")]
    Sandboxes(#[source] io::Error),
    /// The store of unpacked layers.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The image of httpbin.
    #[error("cannot use an image as httpbin: {}: {}", .0.what(), .0.why())]
    Httpbin(#[source] ohoci_store::Error),
    /// Images that are to be built.
    #[error(transparent)]
    Images(#[from] ImagesError),
    /// What starts shards cannot be written.
    #[error("{what}: {why}")]
    HandOver {
        /// What was being done.
        what: &'static str,
        /// Why it failed.
        why: io::Error,
    },
    /// Slurm does not take a batch script.
    #[error("cannot run {} by Slurm: {why}", script.display())]
    Slurm {
        /// The script.
        script: PathBuf,
        /// Why.
        why: String,
    },
}
