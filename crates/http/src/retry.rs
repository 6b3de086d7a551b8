//! How often to try again, and how long to wait before.

use std::time::Duration;

use reqwest::StatusCode;

/// How patient a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts per request, the first included; at least 1.
    pub attempts: u32,
    /// Upper bound of the wait before the second attempt; it doubles with each attempt.
    pub first_delay: Duration,
    /// Upper bound of the wait before any attempt that a registry did not set itself.
    pub longest_delay: Duration,
    /// Longest wait that a registry may ask for with `Retry-After`; more is an error.
    pub longest_retry_after: Duration,
    /// How long connecting may take, TLS included.
    pub connect_timeout: Duration,
    /// How long nothing may happen on a connection in use.
    pub idle_timeout: Duration,
    /// How long a small document may take from its first byte to its last.
    pub document_timeout: Duration,
    /// Fewest bytes per second that a body may come at, on average over
    /// [`speed_window`](Self::speed_window).
    pub least_speed: u64,
    /// How long a body is waited for before its speed is judged.
    pub speed_window: Duration,
    /// How long a registry may think about a blob after its last byte was sent.
    pub commit_timeout: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 5,
            first_delay: Duration::from_millis(500),
            longest_delay: Duration::from_secs(30),
            longest_retry_after: Duration::from_secs(300),
            connect_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(60),
            document_timeout: Duration::from_secs(120),
            least_speed: 1 << 10,
            speed_window: Duration::from_secs(30),
            commit_timeout: Duration::from_secs(300),
        }
    }
}

impl RetryPolicy {
    /// The wait after failed attempt number `attempt` (from 1), with full jitter: uniformly
    /// between nothing and an exponentially growing bound, so that a fleet does not retry in
    /// lockstep. `random` is in 0..1.
    #[must_use]
    pub fn delay(&self, attempt: u32, random: f64) -> Duration {
        let doubled = self.first_delay.saturating_mul(
            1_u32
                .checked_shl(attempt.saturating_sub(1))
                .unwrap_or(u32::MAX),
        );
        doubled
            .min(self.longest_delay)
            .mul_f64(random.clamp(0.0, 1.0))
    }

    /// The same with an own random number.
    #[must_use]
    pub fn jittered(&self, attempt: u32) -> Duration {
        self.delay(attempt, fastrand::f64())
    }
}

/// Whether an answer says that the same request may succeed later.
#[must_use]
pub fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_bound_and_are_jittered() {
        let policy = RetryPolicy {
            first_delay: Duration::from_secs(1),
            longest_delay: Duration::from_secs(10),
            ..RetryPolicy::default()
        };
        let longest: Vec<u64> = (1..=6).map(|n| policy.delay(n, 1.0).as_secs()).collect();
        assert_eq!(longest, [1, 2, 4, 8, 10, 10]);
        assert_eq!(policy.delay(3, 0.0), Duration::ZERO);
        assert_eq!(policy.delay(u32::MAX, 0.5), Duration::from_secs(5));
    }
}
