//! Why an archive cannot be unpacked.

use std::io;

use super::spool::SpoolError;
use ohoci_layer::directory::DirectoryError;
use ohoci_layer::path::printable;
use ohoci_layer::tar_read::TarError;
use ohoci_layer::tree::TreeError;

/// Why an archive or directory cannot become a tree.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Reading it or writing the spool failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is damaged, or not to be trusted as a whole.
    #[error("{0}")]
    Malformed(String),
    /// One of its members is at fault.
    #[error("{path}: {reason}")]
    Member {
        /// The member, as it is named there.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A tar cannot be read.
    #[error(transparent)]
    Tar(TarError),
    /// A directory cannot be read.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// Its members contradict each other.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl ArchiveError {
    /// The member at `path` is at fault, for `reason`.
    pub(crate) fn member(path: &[u8], reason: impl Into<String>) -> Self {
        Self::Member {
            path: printable(path),
            reason: reason.into(),
        }
    }

    /// Content of the member at `path` could not be taken.
    pub(crate) fn spool(path: &[u8], error: SpoolError) -> Self {
        match error {
            SpoolError::Input(error) => Self::member(path, error.to_string()),
            SpoolError::Output(_) => Self::Io(io::Error::other(error)),
        }
    }
}

impl From<TarError> for ArchiveError {
    fn from(error: TarError) -> Self {
        match error {
            TarError::Io(error) => Self::Io(error),
            error @ TarError::Malformed { .. } => Self::Tar(error),
        }
    }
}
