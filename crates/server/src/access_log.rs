//! One record per request.

use std::time::Duration;

/// A request and how it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRecord {
    /// `GET`, `PUT`, …
    pub method: String,
    /// Path and query as they came.
    pub target: String,
    /// Status of the answer.
    pub status: u16,
    /// Bytes of the request's body that were read.
    pub received: u64,
    /// Bytes that the answer's body has; a client that goes away may have read fewer.
    pub sent: u64,
    /// How long it took until the answer was known.
    pub elapsed: Duration,
}

impl RequestRecord {
    /// Writes the access log.
    pub(super) fn trace(&self) {
        tracing::info!(
            target: "ohoci::access",
            method = %self.method,
            path = %self.target,
            status = self.status,
            received = self.received,
            sent = self.sent,
            milliseconds = u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX),
        );
    }
}
