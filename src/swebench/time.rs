//! The time, which logs and records tell; no digest depends on it.

use std::time::{Duration, SystemTime};

/// The time since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the edge at which time is taken"
)]
pub(super) fn now() -> Duration {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default()
}
