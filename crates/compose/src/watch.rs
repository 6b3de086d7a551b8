//! What a transfer tells those who watch it.

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt as _;

use ohoci_store::{Body, BodyError, ByteStream};

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// What is being done now, in words.
    Step(String),
    /// That many bytes will have to move.
    Expect(u64),
    /// That many bytes have moved.
    Moved(u64),
}

/// Is told what happens. Called from many tasks at once; must not block.
pub trait Observer: Debug + Send + Sync {
    /// Takes notice of one event.
    fn event(&self, event: &Event);
}

/// Ignores every event.
#[derive(Debug)]
pub struct Unwatched;

impl Observer for Unwatched {
    fn event(&self, _event: &Event) {}
}

/// A body that reports the bytes read from it.
#[derive(Debug)]
pub(super) struct WatchedBody {
    pub(super) inner: Arc<dyn Body>,
    pub(super) observer: Arc<dyn Observer>,
}

#[async_trait]
impl Body for WatchedBody {
    async fn open(&self, offset: u64) -> Result<ByteStream, BodyError> {
        let observer = Arc::clone(&self.observer);
        let stream = self.inner.open(offset).await?;
        Ok(Box::pin(stream.inspect(move |piece| {
            if let Ok(piece) = piece {
                observer.event(&Event::Moved(piece.len() as u64));
            }
        })))
    }

    fn file(&self) -> Option<PathBuf> {
        self.inner.file()
    }
}
