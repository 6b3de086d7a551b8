//! How many requests one host gets, at once and per second.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Small requests in flight at once on one host, unless its settings say otherwise.
const CONCURRENCY: usize = 16;

/// Blobs on their way to clients of this process at once, from one host. They move as slowly as
/// whoever reads them, so that few would keep all others waiting.
const RELAYS: usize = 512;

/// What a request moves.
///
/// Each kind has its own limit: big bodies do not hold up small requests, and an upload that is
/// fed by a download of the same host cannot wait for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Documents and control.
    Small,
    /// Documents about images, such as signatures: where a registry lists no referrers, one takes as many
    /// requests as an image, and would hold it up.
    Attachment,
    /// The body of a blob, to the registry.
    Upload,
    /// The body of a blob, from the registry.
    Download,
    /// The body of a blob, from the registry to a client of this process, which may take its time.
    Relay,
    /// Asking for a token: a request of any other kind may be waiting for it.
    Token,
}

/// Permission to have a request in flight; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Permit(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

/// The pace of one host.
#[derive(Debug)]
pub(crate) struct Pacing {
    small: Arc<Semaphore>,
    attachments: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
    downloads: Arc<Semaphore>,
    relays: Arc<Semaphore>,
    tokens: Arc<Semaphore>,
    interval: Option<Duration>,
    next: Mutex<Next>,
}

#[derive(Debug, Default)]
struct Next {
    /// When the next request may start, to keep the rate.
    slot: Option<Instant>,
    /// Until when the registry wants no requests at all.
    pause: Option<Instant>,
}

impl Pacing {
    /// A pace of so many requests per second and so many at once.
    pub(crate) fn new(requests_per_second: Option<f64>, concurrency: Option<usize>) -> Self {
        let small = concurrency.unwrap_or(CONCURRENCY).clamp(1, 4096);
        let bodies = small.saturating_mul(3).div_ceil(8);
        Self {
            small: Arc::new(Semaphore::new(small)),
            attachments: Arc::new(Semaphore::new(small)),
            uploads: Arc::new(Semaphore::new(bodies)),
            downloads: Arc::new(Semaphore::new(bodies)),
            relays: Arc::new(Semaphore::new(RELAYS)),
            tokens: Arc::new(Semaphore::new(small)),
            interval: requests_per_second
                .filter(|rate| rate.is_finite() && *rate > 0.0)
                .and_then(|rate| Duration::try_from_secs_f64(1.0 / rate).ok()),
            next: Mutex::default(),
        }
    }

    /// Waits until a request may be sent.
    pub(crate) async fn admit(&self, lane: Lane) -> Option<Permit> {
        let semaphore = match lane {
            Lane::Small => &self.small,
            Lane::Attachment => &self.attachments,
            Lane::Upload => &self.uploads,
            Lane::Download => &self.downloads,
            Lane::Relay => &self.relays,
            Lane::Token => &self.tokens,
        };
        // The semaphores are never closed.
        let permit = Arc::clone(semaphore).acquire_owned().await.ok()?;
        if let Some(slot) = self.reserve(Instant::now()) {
            tokio::time::sleep_until(slot).await;
        }
        // A pause may have begun, or grown, while this request waited.
        while let Some(until) = self.pause().filter(|until| *until > Instant::now()) {
            tokio::time::sleep_until(until).await;
        }
        Some(Permit(permit))
    }

    /// Keeps every request to this host back for a while.
    pub(crate) fn pause_for(&self, duration: Duration) {
        let Some(until) = Instant::now().checked_add(duration) else {
            return;
        };
        let mut next = self.next.lock();
        next.pause = next.pause.max(Some(until));
    }

    fn pause(&self) -> Option<Instant> {
        self.next.lock().pause
    }

    /// Takes the next free moment at the rate given.
    fn reserve(&self, now: Instant) -> Option<Instant> {
        let interval = self.interval?;
        let mut next = self.next.lock();
        let slot = next.slot.map_or(now, |slot| slot.max(now));
        next.slot = slot.checked_add(interval);
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_follow_the_rate_and_unused_time_is_not_saved_up() {
        let pacing = Pacing::new(Some(10.0), None);
        let start = Instant::now();
        let tenth = Duration::from_millis(100);
        assert_eq!(pacing.reserve(start), Some(start));
        assert_eq!(pacing.reserve(start), Some(start + tenth));
        let later = start + tenth * 50;
        assert_eq!(pacing.reserve(later), Some(later));
        assert_eq!(pacing.reserve(later), Some(later + tenth));
    }

    #[test]
    fn nonsense_rates_are_no_rate() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-300] {
            assert_eq!(Pacing::new(Some(rate), None).interval, None, "{rate}");
        }
    }

    #[tokio::test]
    async fn bodies_and_attachments_leave_room_for_small_requests() {
        let pacing = Pacing::new(None, Some(1));
        let upload = pacing.admit(Lane::Upload).await;
        let download = pacing.admit(Lane::Download).await;
        let attachment = pacing.admit(Lane::Attachment).await;
        assert!(pacing.admit(Lane::Small).await.is_some());
        drop((upload, download, attachment));
    }
}
