//! What is written down of each image: one JSON line.

use serde::{Deserialize, Serialize};

use crate::report::{ComposeReport, Status};
use ohoci_image::Digest;
use ohoci_image::Role;

/// How an image ended. The names are those of OpenHands' `BuildOutput`
/// (`benchmarks/utils/build_utils.py`), so that its tools read the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordStatus {
    /// It was pushed.
    Built,
    /// It was there already.
    SkippedRemoteExists,
    /// It failed.
    Failed,
}

/// One image's line. The first fields are those of OpenHands' `BuildOutput`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// When the line was written, RFC 3339.
    pub time: String,
    /// The base as it was asked for.
    pub base_image: String,
    /// The references that name the result.
    pub tags: Vec<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// No log is written per image; always absent.
    pub log_path: Option<String>,
    /// How it ended.
    pub status: RecordStatus,
    /// Why it was skipped.
    pub skip_reason: Option<String>,
    /// How many times it was tried.
    pub attempt_count: u32,
    /// When the first try began, RFC 3339.
    pub started_at: String,
    /// When the last try ended, RFC 3339.
    pub finished_at: String,
    /// Time of all tries, in seconds.
    pub duration_seconds: f64,
    /// Part of it that went into asking whether the image is there: not told apart, so 0.
    pub remote_check_seconds: f64,
    /// Part of it that made and pushed the image, in seconds.
    pub build_seconds: f64,
    /// Nothing is done after the push: 0.
    pub post_build_seconds: f64,
    /// Says what was asked for: equal for equal jobs.
    pub key: String,
    /// Digest of the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// What may help when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What the image lost: changes by others, which making it anew drops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// The result's layers, for the map of what is shared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<RecordLayer>,
}

/// A layer of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordLayer {
    /// The blob.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Where it is from.
    pub origin: Role,
}

impl Record {
    /// Whether nothing is left to do for this image.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.status != RecordStatus::Failed
    }

    /// Takes over what a finished job says.
    pub(super) fn fill(&mut self, report: &ComposeReport) {
        self.status = match report.status {
            Status::Pushed | Status::Planned => RecordStatus::Built,
            Status::Unchanged | Status::Skipped => RecordStatus::SkippedRemoteExists,
        };
        self.skip_reason = match report.status {
            Status::Unchanged => Some("the very same image is there".to_owned()),
            Status::Skipped => report.warnings.first().cloned(),
            Status::Pushed | Status::Planned => None,
        };
        self.tags = report
            .targets
            .iter()
            .flat_map(|target| target.references.clone())
            .collect();
        if self.tags.is_empty() {
            self.tags.extend(report.reference.clone());
        }
        self.warning.clone_from(&report.dropped);
        self.digest = Some(report.digest.clone());
        self.layers = report
            .layers
            .iter()
            .map(|layer| RecordLayer {
                digest: layer.digest.clone(),
                size: layer.size,
                origin: layer.origin,
            })
            .collect();
    }
}
