//! Why a tree cannot be relocated.

use std::io;

use super::elf::ElfError;
use super::loader::LoaderError;
use super::search_path::SearchPathError;
use super::strings::StringError;
use ohoci_layer::LayerPath;

/// Why a tree cannot be relocated: the file, and what about it.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct RelocateError {
    path: LayerPath,
    reason: Reason,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Reason {
    #[error(transparent)]
    Elf(#[from] ElfError),
    #[error(transparent)]
    Loader(#[from] LoaderError),
    #[error(transparent)]
    String(#[from] StringError),
    #[error(transparent)]
    SearchPath(#[from] SearchPathError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it has {0} bytes, which is too much to be edited in memory")]
    TooLarge(u64),
    #[error("{0}")]
    Text(&'static str),
    #[error("{0}")]
    Tree(String),
}

impl RelocateError {
    pub(super) fn new(path: &LayerPath, reason: impl Into<Reason>) -> Self {
        Self {
            path: path.clone(),
            reason: reason.into(),
        }
    }

    /// The file, below the prefix.
    #[must_use]
    pub fn path(&self) -> &LayerPath {
        &self.path
    }
}
