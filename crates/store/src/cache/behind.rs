//! A thread that writes what nobody waits for.

use std::fmt;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};

/// How many writes wait at most. Then whoever has another one does it itself.
const WAITING: usize = 256;

type Write = Box<dyn FnOnce() + Send>;

/// Writes in the order in which they come. Dropping it waits for them.
pub(super) struct Behind {
    /// There until this is dropped.
    writes: Option<SyncSender<Write>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behind").finish_non_exhaustive()
    }
}

impl Behind {
    /// Starts the thread; `None` where the machine has no room for one.
    pub(super) fn start() -> Option<Self> {
        let (writes, waiting) = sync_channel::<Write>(WAITING);
        let work = move || waiting.into_iter().for_each(|write| write());
        let thread = Builder::new().name("cache".to_owned()).spawn(work).ok()?;
        Some(Self {
            writes: Some(writes),
            thread: Some(thread),
        })
    }

    /// Writes soon.
    pub(super) fn write(&self, write: impl FnOnce() + Send + 'static) {
        let Some(writes) = &self.writes else {
            return write();
        };
        match writes.try_send(Box::new(write)) {
            Ok(()) => {}
            Err(TrySendError::Full(write) | TrySendError::Disconnected(write)) => write(),
        }
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        drop(self.writes.take());
        if let Some(thread) = self.thread.take() {
            // A write that panicked has said so itself.
            let _ = thread.join();
        }
    }
}
