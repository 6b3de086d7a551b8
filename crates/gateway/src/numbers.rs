//! What a gateway has done so far.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters since the start.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    pub(crate) composed: Counter,
    pub(crate) refused: Counter,
    pub(crate) outdated_answers: Counter,
    pub(crate) searches: Counter,
    pub(crate) blobs_handed_on: Counter,
    pub(crate) blobs_relayed: Counter,
}

impl Numbers {
    /// The numbers in Prometheus' text format, with gauges and counters that others keep.
    pub(crate) fn text(
        &self,
        gauges: &[(&str, &str, u64)],
        counters: &[(&str, &str, u64)],
    ) -> String {
        let mut text = String::new();
        let mut put = |name: &str, kind: &str, help: &str, value: u64| {
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"
            );
        };
        for (name, help, counter) in [
            (
                "ohoci_composed_total",
                "Images that were composed.",
                &self.composed,
            ),
            (
                "ohoci_compose_refused_total",
                "Images that could not be composed.",
                &self.refused,
            ),
            (
                "ohoci_outdated_answers_total",
                "Tags that were answered from memory because the base's registry did not answer.",
                &self.outdated_answers,
            ),
            (
                "ohoci_digest_searches_total",
                "Digests that were looked for by composing.",
                &self.searches,
            ),
            (
                "ohoci_blobs_handed_on_total",
                "Blobs for which clients were sent to another server.",
                &self.blobs_handed_on,
            ),
            (
                "ohoci_blobs_relayed_total",
                "Blobs whose bytes came from another server through this one.",
                &self.blobs_relayed,
            ),
        ] {
            put(name, "counter", help, counter.get());
        }
        for (name, help, value) in gauges {
            put(name, "gauge", help, *value);
        }
        for (name, help, value) in counters {
            put(name, "counter", help, *value);
        }
        text
    }
}
