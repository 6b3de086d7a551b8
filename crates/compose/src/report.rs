//! What was made and how it got there, as data: what `--format json` prints.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::fit::Fitted;
use ohoci_image::diff::Change;
use ohoci_image::{Digest, Role};
use ohoci_registry::Statistics;
use ohoci_store::Arrival;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The image is in every target under every tag.
    Pushed,
    /// It was there already, the very same.
    Unchanged,
    /// A tag existed and `--if-exists skip` left it alone.
    Skipped,
    /// `--dry-run`: nothing was done.
    Planned,
}

/// What of an earlier image is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Reused {
    /// All of it.
    Source,
    /// Its base and its deps.
    Lock,
    /// Its base.
    Versioned,
    /// Nothing: there is no earlier image, or none that was made from this base and these deps.
    Scratch,
}

/// The result of a compose run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ComposeReport {
    /// How the run ended.
    pub status: Status,
    /// Names the result in the first target, by digest where the target can.
    pub reference: Option<String>,
    /// Digest of the manifest or index.
    pub digest: Digest,
    /// Its media type; `None` when the image that was left as it is was not read.
    pub media_type: Option<String>,
    /// Its size in bytes; `None` likewise.
    pub size: Option<u64>,
    /// What the result runs on.
    pub platforms: Vec<String>,
    /// What it was composed on; `None` for scratch.
    pub base: Option<Named>,
    /// The deps images.
    pub deps: Vec<Named>,
    /// Every layer of every platform's image, lowest first.
    pub layers: Vec<LayerReport>,
    /// Every place that was pushed to.
    pub targets: Vec<TargetReport>,
    /// What composing changed in the config, of the first platform's image.
    pub changes: Vec<Change>,
    /// What deserves a second look.
    pub warnings: Vec<String>,
    /// What making an image anew dropped; for whoever made the job, and no part of the JSON.
    #[serde(skip)]
    pub dropped: Option<String>,
    /// What an earlier image left to do, where one was looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reused: Option<Reused>,
    /// What was made on the way that was not there; for people, and no part of the JSON.
    #[serde(skip)]
    pub made: Vec<String>,
    /// What bases lacked and got, for each platform, where they were looked into.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fitted: Vec<Fitted>,
    /// Requests, bytes and time.
    #[serde(flatten)]
    pub cost: Cost,
}

/// An image by the name it was asked for and the digest that it resolved to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Named {
    /// The reference.
    pub name: String,
    /// What it resolved to: the index, if it was one.
    pub digest: Digest,
}

/// One layer of the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerReport {
    /// The platform of the image it is in.
    pub platform: String,
    /// The blob.
    pub digest: Digest,
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Its media type in the new manifest.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
    /// Where it is from.
    pub origin: Role,
    /// How it got into the first target; `None` when nothing was done.
    pub arrival: Option<Arrival>,
}

/// One place that was pushed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetReport {
    /// Names the result there.
    pub reference: String,
    /// The references that were asked for.
    pub references: Vec<String>,
    /// How this target ended.
    pub status: Status,
    /// How each layer gets or got there, once per digest.
    pub layers: Vec<TargetLayer>,
}

/// A layer's way into one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetLayer {
    /// The blob.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Where it is from.
    pub origin: Role,
    /// What was planned, in words.
    pub plan: String,
    /// How it got there; `None` when nothing was done.
    pub arrival: Option<Arrival>,
}

/// What a run cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// Requests by method.
    pub requests: BTreeMap<String, u64>,
    /// Bytes of request bodies.
    pub bytes_up: u64,
    /// Bytes of answers' bodies.
    pub bytes_down: u64,
    /// Requests that were sent again.
    pub retries: u64,
    /// Wall time in milliseconds.
    pub elapsed_ms: u64,
}

impl Cost {
    /// Takes the counters of a client and the time since the start.
    #[must_use]
    pub fn new(statistics: &Statistics, elapsed: Duration) -> Self {
        let mut cost = Self {
            requests: statistics.requests.clone(),
            bytes_up: statistics.bytes_up,
            bytes_down: statistics.bytes_down,
            retries: statistics.retries,
            elapsed_ms: 0,
        };
        cost.set_elapsed(elapsed);
        cost
    }

    /// Counts the time from an earlier start.
    pub fn set_elapsed(&mut self, elapsed: Duration) {
        self.elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    }

    /// How many requests there were.
    #[must_use]
    pub fn total_requests(&self) -> u64 {
        self.requests.values().sum()
    }
}
