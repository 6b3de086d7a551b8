//! One writer at a time for each list of referrers that is kept under a tag.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

type Locks = Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>;

/// Locks by name. Lists of different images are written side by side: each takes a GET and a PUT,
/// which for hundreds of signed images would otherwise add up.
#[derive(Debug, Default)]
pub(crate) struct OneWriter(Locks);

impl OneWriter {
    /// Waits until no other task of this process writes what has this name.
    pub(crate) async fn wait(&self, name: String) -> Turn<'_> {
        let lock = Arc::clone(self.0.lock().entry(name.clone()).or_default());
        let held = lock.lock_owned().await;
        Turn {
            locks: &self.0,
            name,
            held: Some(held),
        }
    }
}

/// Leave to write; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    locks: &'a Locks,
    name: String,
    held: Option<OwnedMutexGuard<()>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut locks = self.locks.lock();
        self.held = None;
        // No task waits for it, and one that came now would need the map, which is locked.
        if locks
            .get(&self.name)
            .is_some_and(|lock| Arc::strong_count(lock) == 1)
        {
            locks.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn other_names_do_not_wait_and_nothing_is_kept() {
        let writers = OneWriter::default();
        let first = writers.wait("a".to_owned()).await;
        let other = writers.wait("b".to_owned()).await;
        let again = writers.wait("a".to_owned());
        futures_util::pin_mut!(again);
        assert!(futures_util::poll!(again.as_mut()).is_pending());
        drop(other);
        drop(first);
        drop(again.await);
        assert!(writers.0.lock().is_empty());
    }
}
