//! Documents by digest: in memory as far as they fit, and in the cache. What is in neither can be made
//! again.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use ohoci_image::{Digest, Manifest};
use ohoci_store::cache::Cache;

use crate::compact::CompactDigest;
use crate::segments::Segments;

/// How many bytes are kept in memory, by all together.
pub(crate) const MEMORY: usize = 12 << 20;

/// Largest document, in bytes. Manifests and configs are smaller, and so are the layers that ohoci
/// makes itself.
pub(crate) const MAX_DOCUMENT: u64 = 16 << 20;

/// Documents by digest.
pub(crate) struct Documents {
    memory: Mutex<Segments>,
    cache: Arc<Cache>,
}

impl fmt::Debug for Documents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Documents")
            .field("count", &self.in_memory().0)
            .finish_non_exhaustive()
    }
}

impl Documents {
    /// Keeps so many bytes in memory, and everything in the cache.
    pub(crate) fn new(cache: Arc<Cache>, memory: usize) -> Self {
        Self {
            memory: Mutex::new(Segments::new(memory)),
            cache,
        }
    }

    pub(crate) fn put(&self, digest: &Digest, bytes: &Bytes) {
        self.memory.lock().put(CompactDigest::of(digest), bytes);
        self.cache.put(digest, bytes);
    }

    pub(crate) async fn get(&self, digest: &Digest) -> Option<Bytes> {
        let key = CompactDigest::of(digest);
        let known = self.memory.lock().get(&key);
        if known.is_some() {
            return known;
        }
        if self.cache.is_disabled() {
            return None;
        }
        let (cache, wanted) = (Arc::clone(&self.cache), digest.clone());
        let read = tokio::task::spawn_blocking(move || cache.get(&wanted, MAX_DOCUMENT));
        // A reader that panicked has found nothing.
        let bytes = read.await.ok().flatten()?;
        self.memory.lock().put(key, &bytes);
        Some(bytes)
    }

    /// The same, if it is a manifest or index.
    pub(crate) async fn manifest(&self, digest: &Digest) -> Option<Manifest> {
        Manifest::parse(self.get(digest).await?, None).ok()
    }

    /// How many documents are in memory, and their bytes.
    pub(crate) fn in_memory(&self) -> (u64, u64) {
        self.memory.lock().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hundred_thousand_documents_take_no_more_memory_than_they_may() {
        let documents = Documents::new(Arc::new(Cache::disabled()), MEMORY);
        for number in 0..100_000_u32 {
            let mut bytes = vec![0; 2048];
            bytes.extend(number.to_be_bytes());
            let bytes = Bytes::from(bytes);
            documents.put(&Digest::of(&bytes), &bytes);
        }
        let (count, bytes) = documents.in_memory();
        assert!(count > 1000, "{count}");
        assert!(bytes <= MEMORY as u64, "{bytes}");
        let gone = Digest::of(b"never put");
        assert_eq!(documents.get(&gone).await, None);
    }
}
