//! The time, which logs and records tell; no digest depends on it.

use std::time::{Duration, SystemTime};

use ohoci_image::timestamp::Timestamp;

/// The time, as RFC 3339 writes it.
pub(super) fn timestamp() -> String {
    let seconds = i64::try_from(now().as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_epoch(seconds).to_string()
}

/// The time since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the edge at which time is taken"
)]
pub(super) fn now() -> Duration {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default()
}
