//! What a batch came to, in numbers: as data, as text, as Markdown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::record::{Record, RecordStatus};
use crate::report::Cost;
use ohoci_image::Digest;
use ohoci_image::Role;

/// How many of the slowest are named.
const SLOWEST: usize = 5;

/// How an image ended, and what there is of it now.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageResult {
    /// The base as it was asked for.
    pub base: String,
    /// How it ended.
    pub status: RecordStatus,
    /// The references that name the result.
    pub references: Vec<String>,
    /// Digest of the result.
    pub digest: Option<Digest>,
    /// Sum of its layers' sizes in bytes, as stored.
    pub layer_bytes: u64,
    /// How many times it was tried.
    pub attempts: u32,
    /// Time of all tries, in seconds.
    pub seconds: f64,
    /// Why it failed.
    pub error: Option<String>,
    /// What may help when it failed.
    pub hint: Option<String>,
}

impl From<&Record> for ImageResult {
    fn from(record: &Record) -> Self {
        let sizes = record.layers.iter().map(|layer| layer.size);
        Self {
            base: record.base_image.clone(),
            status: record.status,
            references: record.tags.clone(),
            digest: record.digest.clone(),
            layer_bytes: sizes.fold(0, u64::saturating_add),
            attempts: record.attempt_count,
            seconds: record.duration_seconds,
            error: record.error.clone(),
            hint: record.hint.clone(),
        }
    }
}

/// The numbers of a batch.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Images that ended, of this run and, with `--resume`, of earlier ones.
    pub total: usize,
    /// Images that were pushed.
    pub built: usize,
    /// Images that were there already.
    pub skipped: usize,
    /// Images that failed.
    pub failed: usize,
    /// Images that were never started.
    pub left: usize,
    /// Images that took more than one try.
    pub retried: usize,
    /// Mean time of an image, in seconds.
    pub mean_seconds: f64,
    /// Median time of an image, in seconds.
    pub median_seconds: f64,
    /// The slowest images and their times, in seconds.
    pub slowest: Vec<(String, f64)>,
    /// The failed images and why.
    pub failures: Vec<(String, String)>,
    /// The images that were never started and why not.
    pub not_started: Vec<(String, String)>,
    /// Bytes of all layers, each image counted by itself.
    pub layer_bytes: u64,
    /// Bytes of all layers, each blob counted once.
    pub unique_layer_bytes: u64,
    /// Every image that ended, by the name of its base.
    pub results: Vec<ImageResult>,
    /// Requests, bytes and time of this run.
    #[serde(flatten)]
    pub cost: Cost,
}

/// A layer and the images that have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SharedLayer {
    /// The blob.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Where it is from.
    pub origin: Role,
    /// How many images have it.
    pub images: usize,
}

/// Every layer of the images, those that save most by being shared first.
#[must_use]
pub(crate) fn shared_layers(records: &[Record]) -> Vec<SharedLayer> {
    let mut layers: BTreeMap<&Digest, SharedLayer> = BTreeMap::new();
    for layer in records.iter().flat_map(|record| &record.layers) {
        layers
            .entry(&layer.digest)
            .or_insert_with(|| SharedLayer {
                digest: layer.digest.clone(),
                size: layer.size,
                origin: layer.origin,
                images: 0,
            })
            .images += 1;
    }
    let mut list: Vec<SharedLayer> = layers.into_values().collect();
    list.sort_by_key(|layer| {
        let images = layer.images as u64;
        std::cmp::Reverse((layer.size.saturating_mul(images), layer.digest.clone()))
    });
    list
}

impl Summary {
    /// Adds up.
    #[must_use]
    pub fn new(records: &[Record], left: &[(String, String)], cost: Cost) -> Self {
        let count = |status| records.iter().filter(|r| r.status == status).count();
        let mut times: Vec<(String, f64)> = records
            .iter()
            .map(|record| (record.base_image.clone(), record.duration_seconds))
            .collect();
        times.sort_by(|a, b| b.1.total_cmp(&a.1));
        let median = times.get(times.len() / 2).map_or(0.0, |(_, time)| *time);
        #[expect(clippy::cast_precision_loss, reason = "a mean of some thousand times")]
        let mean = times.iter().map(|(_, time)| time).sum::<f64>() / times.len().max(1) as f64;
        times.truncate(SLOWEST);
        let shared = shared_layers(records);
        let mut results: Vec<ImageResult> = records.iter().map(ImageResult::from).collect();
        results.sort_by(|a, b| (&a.base, &a.references).cmp(&(&b.base, &b.references)));
        Self {
            total: records.len(),
            built: count(RecordStatus::Built),
            skipped: count(RecordStatus::SkippedRemoteExists),
            failed: count(RecordStatus::Failed),
            left: left.len(),
            retried: records.iter().filter(|r| r.attempt_count > 1).count(),
            mean_seconds: mean,
            median_seconds: median,
            slowest: times,
            failures: records
                .iter()
                .filter_map(|r| Some((r.base_image.clone(), r.error.clone()?)))
                .collect(),
            not_started: left.to_vec(),
            layer_bytes: shared.iter().fold(0, |sum: u64, layer| {
                sum.saturating_add(layer.size.saturating_mul(layer.images as u64))
            }),
            unique_layer_bytes: shared
                .iter()
                .fold(0, |sum: u64, layer| sum.saturating_add(layer.size)),
            results,
            cost,
        }
    }

    /// Whether everything that was asked for is done.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.failed == 0 && self.left == 0
    }

    /// As Markdown, for a job's summary page.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "## ohoci batch\n\n| images | pushed | already there | failed | not started | retried |\n\
             |---:|---:|---:|---:|---:|---:|\n| {} | {} | {} | {} | {} | {} |\n\n",
            self.total + self.left,
            self.built,
            self.skipped,
            self.failed,
            self.left,
            self.retried
        );
        let _ = writeln!(
            text,
            "{} requests, {} bytes up, {} bytes down, {:.1} s; per image {:.2} s mean, {:.2} s median.\n",
            self.cost.total_requests(),
            self.cost.bytes_up,
            self.cost.bytes_down,
            seconds(self.cost.elapsed_ms),
            self.mean_seconds,
            self.median_seconds
        );
        let mut table = |title: &str, rows: &[(String, String)]| {
            if rows.is_empty() {
                return;
            }
            let _ = writeln!(text, "### {title}\n\n| base | |\n|---|---|");
            for (base, what) in rows {
                let _ = writeln!(text, "| `{}` | {} |", cell(base), cell(what));
            }
            text.push('\n');
        };
        let slowest: Vec<(String, String)> = self
            .slowest
            .iter()
            .map(|(base, time)| (base.clone(), format!("{time:.2} s")))
            .collect();
        table("Slowest", &slowest);
        table("Failed", &self.failures);
        table("Not started", &self.not_started);
        text
    }
}

#[expect(clippy::cast_precision_loss, reason = "one decimal of it is shown")]
pub(super) fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1000.0
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r', '`'], " ")
}

#[cfg(test)]
mod tests {
    use super::super::record::RecordLayer;
    use super::*;
    use ohoci_registry::Statistics;

    fn record(base: &str, seconds: f64, layers: &[(&[u8], u64)]) -> Record {
        Record {
            time: String::new(),
            base_image: base.to_owned(),
            tags: Vec::new(),
            error: None,
            log_path: None,
            status: RecordStatus::Built,
            skip_reason: None,
            attempt_count: 1,
            started_at: String::new(),
            finished_at: String::new(),
            duration_seconds: seconds,
            remote_check_seconds: 0.0,
            build_seconds: seconds,
            post_build_seconds: 0.0,
            key: base.to_owned(),
            digest: None,
            hint: None,
            warning: None,
            layers: layers
                .iter()
                .map(|(content, size)| RecordLayer {
                    digest: Digest::of(content),
                    size: *size,
                    origin: Role::Base,
                })
                .collect(),
        }
    }

    #[test]
    fn sharing_is_counted() {
        let mut failed = record("c|d", 9.0, &[]);
        failed.status = RecordStatus::Failed;
        failed.error = Some("no\nway".to_owned());
        let records = [
            record("a", 1.0, &[(b"root", 100), (b"one", 5)]),
            record("b", 3.0, &[(b"root", 100), (b"two", 7)]),
            failed,
        ];
        let cost = Cost::new(&Statistics::default(), std::time::Duration::from_secs(2));
        let summary = Summary::new(&records, &[("e".to_owned(), "spent".to_owned())], cost);
        assert_eq!((summary.built, summary.failed, summary.left), (2, 1, 1));
        assert_eq!(summary.layer_bytes, 212);
        assert_eq!(summary.unique_layer_bytes, 112);
        assert_eq!(summary.slowest[0].0, "c|d");
        assert!(!summary.is_whole());
        let shared = shared_layers(&records);
        assert_eq!((shared[0].images, shared[0].size), (2, 100));
        let markdown = summary.markdown();
        assert!(markdown.contains("| `c\\|d` | no way |"), "{markdown}");
    }
}
