//! Counting what goes over the wire.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use reqwest::Method;
use serde::Serialize;

/// What a client has sent and received so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Statistics {
    /// Requests that were sent, by method; those to token servers, mirrors and redirected ones
    /// count too.
    pub requests: BTreeMap<String, u64>,
    /// Bytes of bodies that were sent.
    pub bytes_up: u64,
    /// Bytes of bodies that were received.
    pub bytes_down: u64,
    /// Requests that were sent again because the first attempt failed.
    pub retries: u64,
    /// Answers that said "too many requests".
    pub throttled: u64,
    /// What is left of the limits that registries announced, by host.
    pub rate_limits: BTreeMap<String, RateLimit>,
}

impl Statistics {
    /// All requests together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.requests.values().sum()
    }
}

/// A limit that a registry announced (`ratelimit-limit` and `ratelimit-remaining`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RateLimit {
    /// Requests that are permitted per window.
    pub limit: Option<u64>,
    /// Requests that are left in this window.
    pub remaining: Option<u64>,
    /// Length of the window in seconds.
    pub window: Option<u64>,
}

impl RateLimit {
    /// Reads values such as `100;w=21600` (draft-ietf-httpapi-ratelimit-headers, as Docker Hub
    /// sends them).
    pub(crate) fn parse(limit: Option<&str>, remaining: Option<&str>) -> Option<Self> {
        let number = |text: &str| text.split(';').next().and_then(|n| n.trim().parse().ok());
        let window = |text: &str| {
            text.split(';')
                .find_map(|part| part.trim().strip_prefix("w="))
                .and_then(|seconds| seconds.parse().ok())
        };
        let found = Self {
            limit: limit.and_then(number),
            remaining: remaining.and_then(number),
            window: limit
                .and_then(window)
                .or_else(|| remaining.and_then(window)),
        };
        (found != Self::default()).then_some(found)
    }
}

/// Counters that many requests share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters(Arc<Mutex<Statistics>>);

impl Counters {
    fn with<T>(&self, change: impl FnOnce(&mut Statistics) -> T) -> T {
        change(&mut self.0.lock())
    }

    /// One more request.
    pub(crate) fn request(&self, method: &Method) {
        self.with(|s| match s.requests.get_mut(method.as_str()) {
            Some(count) => *count += 1,
            None => {
                s.requests.insert(method.as_str().to_owned(), 1);
            }
        });
    }

    /// One more attempt at the same.
    pub(crate) fn retry(&self) {
        self.with(|s| s.retries += 1);
    }

    /// One more answer that said "too many requests".
    pub(crate) fn throttled(&self) {
        self.with(|s| s.throttled += 1);
    }

    /// Bytes of a body that went out.
    pub(crate) fn up(&self, bytes: usize) {
        self.with(|s| s.bytes_up = s.bytes_up.saturating_add(bytes as u64));
    }

    /// Bytes of a body that came in.
    pub(crate) fn down(&self, bytes: usize) {
        self.with(|s| s.bytes_down = s.bytes_down.saturating_add(bytes as u64));
    }

    /// What a host said about its limit.
    pub(crate) fn rate_limit(&self, host: &str, limit: RateLimit) {
        self.with(|s| s.rate_limits.insert(host.to_owned(), limit));
    }

    /// The counts as they are now.
    pub(crate) fn snapshot(&self) -> Statistics {
        self.with(|s| s.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_as_docker_hub_sends_them() {
        assert_eq!(
            RateLimit::parse(Some("100;w=21600"), Some("76;w=21600")),
            Some(RateLimit {
                limit: Some(100),
                remaining: Some(76),
                window: Some(21600)
            })
        );
        assert_eq!(RateLimit::parse(Some("lots"), None), None);
    }
}
