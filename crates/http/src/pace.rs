//! How slowly a body may come: not in silence, and not a byte now and then.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::retry::RetryPolicy;

/// Where to set the limits of this file, for hints.
pub const HINT: &str =
    "on a slow connection, raise the limits in [network] of your ohoci/config.toml";

/// The pace of one body.
#[derive(Clone, Debug)]
pub struct Pace {
    idle: Duration,
    window: Duration,
    least: u64,
    waited: Duration,
    moved: u64,
    pieces: u64,
}

/// Why a body is not waited for any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooSlow {
    /// Nothing came at all.
    #[error("nothing came for {} s", .0.as_secs())]
    Silent(Duration),
    /// Too little came.
    #[error("less than {least} bytes per second came, for {} s", .waited.as_secs())]
    Trickle {
        /// Least bytes per second.
        least: u64,
        /// For how long they were waited for.
        waited: Duration,
    },
}

impl Pace {
    /// The pace that a policy demands.
    #[must_use]
    pub fn of(policy: &RetryPolicy) -> Self {
        Self {
            idle: policy.idle_timeout,
            window: policy.speed_window,
            least: policy.least_speed,
            waited: Duration::ZERO,
            moved: 0,
            pieces: 0,
        }
    }

    /// Waits for the next piece of a body; `None` is its end.
    ///
    /// Only waiting counts: whoever reads slowly does not make the sender slow. A single piece that
    /// takes its time is none too slow; those that follow it are.
    ///
    /// # Errors
    /// When it is too slow.
    pub async fn next<E>(
        &mut self,
        piece: impl Future<Output = Result<Option<Bytes>, E>>,
    ) -> Result<Result<Option<Bytes>, E>, TooSlow> {
        let began = Instant::now();
        let piece = match tokio::time::timeout(self.idle, piece).await {
            Ok(Ok(Some(piece))) => piece,
            Ok(other) => return Ok(other),
            Err(_) => return Err(TooSlow::Silent(self.idle)),
        };
        self.arrived(piece.len() as u64, began.elapsed())?;
        Ok(Ok(Some(piece)))
    }

    /// Takes note of a piece of so many bytes that was waited for.
    fn arrived(&mut self, bytes: u64, waited: Duration) -> Result<(), TooSlow> {
        self.waited = self.waited.saturating_add(waited);
        self.moved = self.moved.saturating_add(bytes);
        self.pieces += 1;
        if self.waited >= self.window && self.pieces > 1 {
            let due = self.least.saturating_mul(self.waited.as_secs());
            if self.moved < due {
                return Err(TooSlow::Trickle {
                    least: self.least,
                    waited: self.waited,
                });
            }
            self.waited = Duration::ZERO;
            self.moved = 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace() -> Pace {
        Pace::of(&RetryPolicy::default())
    }

    /// What comes of pieces of so many bytes, each waited for so long, for ten minutes.
    fn ten_minutes(bytes: u64, seconds: u64) -> Result<(), TooSlow> {
        let mut pace = pace();
        (0..600 / seconds).try_for_each(|_| pace.arrived(bytes, Duration::from_secs(seconds)))
    }

    #[test]
    fn a_byte_now_and_then_is_too_slow_and_a_slow_line_is_not() {
        for (bytes, seconds) in [(1, 25), (1000, 1), (20_000, 59)] {
            let result = ten_minutes(bytes, seconds);
            assert!(matches!(result, Err(TooSlow::Trickle { .. })), "{bytes}");
        }
        assert_eq!(ten_minutes(1100, 1), Ok(()));
        assert_eq!(ten_minutes(64 << 10, 55), Ok(()));
    }

    #[test]
    fn one_piece_may_take_its_time_and_so_may_the_reader() {
        assert_eq!(pace().arrived(2, Duration::from_secs(50)), Ok(()));
        let mut pace = pace();
        for _ in 0..1000 {
            assert_eq!(pace.arrived(1, Duration::ZERO), Ok(()));
        }
    }

    #[tokio::test]
    async fn silence_ends_the_wait() {
        let mut pace = Pace {
            idle: Duration::from_millis(1),
            ..pace()
        };
        let silent = pace.next(std::future::pending::<Result<_, ()>>()).await;
        assert_eq!(silent, Err(TooSlow::Silent(Duration::from_millis(1))));
        assert_eq!(pace.next(async { Ok::<_, ()>(None) }).await, Ok(Ok(None)));
    }
}
