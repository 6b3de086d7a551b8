//! Ctrl-C and SIGTERM, which end work that is under way.

use rustix::process::Signal as Number;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Both signals, which no longer end the process by themselves.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes them over from now on. `None` when that cannot be done: then they end the process,
    /// which is what they are for.
    pub(super) fn take() -> Option<Self> {
        Some(Self {
            interrupt: signal(SignalKind::interrupt()).ok()?,
            terminate: signal(SignalKind::terminate()).ok()?,
        })
    }

    /// Waits for the next of either, and gives which it was.
    pub(super) async fn next(signals: &mut Option<Self>) -> Number {
        match signals {
            Some(signals) => {
                tokio::select! {
                    _ = signals.interrupt.recv() => Number::INT,
                    _ = signals.terminate.recv() => Number::TERM,
                }
            }
            None => std::future::pending().await,
        }
    }
}
