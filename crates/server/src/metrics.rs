//! What a server has done so far, as numbers in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::access_log::RequestRecord;

/// Counters since the start.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    /// By method and status. Methods that registries do not know are counted as one.
    requests: Mutex<BTreeMap<(&'static str, u16), u64>>,
    in_flight: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct InFlight<'a>(&'a Metrics);

impl Metrics {
    pub(super) fn begin(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self)
    }

    pub(super) fn count(&self, record: &RequestRecord) {
        let known = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"];
        let method = known.into_iter().find(|known| *known == record.method);
        let key = (method.unwrap_or("other"), record.status);
        *self.requests.lock().entry(key).or_default() += 1;
        self.received.fetch_add(record.received, Ordering::Relaxed);
        self.sent.fetch_add(record.sent, Ordering::Relaxed);
    }

    /// The numbers.
    pub(super) fn text(&self) -> String {
        let mut text = String::from(
            "# HELP ohoci_requests_total Requests that were answered.\n\
             # TYPE ohoci_requests_total counter\n",
        );
        for ((method, status), count) in self.requests.lock().iter() {
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "ohoci_requests_total{{method=\"{method}\",status=\"{status}\"}} {count}"
            );
        }
        for (name, kind, help, value) in [
            (
                "ohoci_requests_in_flight",
                "gauge",
                "Requests whose answers are being made.",
                &self.in_flight,
            ),
            (
                "ohoci_received_bytes_total",
                "counter",
                "Bytes of request bodies.",
                &self.received,
            ),
            (
                "ohoci_sent_bytes_total",
                "counter",
                "Bytes that the bodies of answers have.",
                &self.sent,
            ),
        ] {
            let value = value.load(Ordering::Relaxed);
            let _ = writeln!(
                text,
                "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"
            );
        }
        text
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
