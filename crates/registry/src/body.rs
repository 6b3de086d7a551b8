//! Streams of bytes, and bodies that can be opened again.

use std::fmt::Debug;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;

/// Bytes as they arrive.
pub type ByteStream = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

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
    async fn open(&self, offset: u64) -> io::Result<ByteStream>;

    /// A file of ours on this machine that holds just this content, is never changed in endpoint, and
    /// may be given more names instead of being copied. Its content has not been checked.
    fn file(&self) -> Option<PathBuf> {
        None
    }
}

#[async_trait]
impl Body for Bytes {
    async fn open(&self, offset: u64) -> io::Result<ByteStream> {
        let at = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(self.len());
        let rest = self.slice(at..);
        Ok(Box::pin(futures_util::stream::once(
            async move { Ok(rest) },
        )))
    }
}
