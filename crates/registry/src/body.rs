//! Streams of bytes, and bodies that can be opened again.

use std::fmt::Debug;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;

use super::error::{Error, ErrorKind};

/// Bytes as they arrive.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send>>;

/// Why content cannot be had. Whoever reads it learns of which kind the failure was where it began.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BodyError {
    /// A registry does not give it.
    #[error(transparent)]
    Registry(#[from] Error),
    /// It cannot be read on this machine, or is not what it should be there.
    #[error(transparent)]
    Io(Arc<io::Error>),
}

impl From<io::Error> for BodyError {
    fn from(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

impl From<BodyError> for Error {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Registry(error) => error,
            BodyError::Io(error) => Self::new(ErrorKind::Io, error.to_string()).caused_by(error),
        }
    }
}

/// For readers that know no other errors.
impl From<BodyError> for io::Error {
    fn from(error: BodyError) -> Self {
        let kind = match &error {
            BodyError::Registry(_) => io::ErrorKind::Other,
            BodyError::Io(error) => error.kind(),
        };
        Self::new(kind, error)
    }
}

/// Content that can be opened any number of times, so that a failed upload can be replayed.
#[async_trait]
pub trait Body: Debug + Send + Sync {
    /// Opens the content `offset` bytes after its start.
    ///
    /// The stream yields exactly the rest of the content, or ends with an error; content read
    /// from offset 0 that does not hash to its digest ends with an error too.
    ///
    /// # Errors
    /// When the content cannot be opened now.
    async fn open(&self, offset: u64) -> Result<ByteStream, BodyError>;

    /// A file of ours on this machine that holds just this content, is never changed in place, and
    /// may be given more names instead of being copied. Its content has not been checked.
    fn file(&self) -> Option<PathBuf> {
        None
    }
}

#[async_trait]
impl Body for Bytes {
    async fn open(&self, offset: u64) -> Result<ByteStream, BodyError> {
        let at = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(self.len());
        let rest = self.slice(at..);
        Ok(Box::pin(futures_util::stream::once(
            async move { Ok(rest) },
        )))
    }
}
