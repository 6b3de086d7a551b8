//! What is asked for when predictions are evaluated, and what that is done with.

use std::path::Path;

use serde_json::Value;

use super::carried::Depot;
use super::carrier::Inputs;
use super::grader::Grader;
use super::image::ImageNames;
use super::instance_log::Clock;
use super::output::Follow;
use super::roots::Afterwards;
use super::run_folder::RunFolder;
use ohoci_image::Reference;
use ohoci_image::timestamp::Timestamp;
use ohoci_sandbox::{AskedLimits, Network};
use ohoci_swebench_images::engine::{HandOver, Shard};
use ohoci_swebench_images::observer::Observer as ImageObserver;
use ohoci_swebench_images::request as images;

/// The split that is evaluated by default.
pub(super) const SPLIT: &str = "test";

/// A run, or a part of one.
#[derive(Debug)]
pub struct Request<'a> {
    /// The name of the run.
    pub run_id: &'a str,
    /// Its folder.
    pub folder: &'a RunFolder,
    /// What it starts from.
    pub inputs: Inputs,
    /// The split of a dataset that has several; `None` for upstream's default.
    pub split: Option<&'a str>,
    /// Only these instances; none for all.
    pub instance_ids: &'a [String],
    /// What the run recorded earlier.
    pub recorded: &'a Value,
    /// What the record is to say of the command line that began it.
    pub remembered: Value,
    /// Which part of it is done, and where.
    pub mode: Mode,
    /// What carries parts of the run between machines.
    pub depot: Option<Depot>,
    /// Who grades.
    pub grader: Grader,
    /// How instances are run.
    pub runs: Runs,
    /// How images are built that are not there, if they are to be; as many side by side as are evaluated.
    pub build: Option<images::Request>,
    /// Where summary and results are written.
    pub report_dir: &'a Path,
}

/// How much of a run is done here.
#[derive(Clone, Debug)]
pub enum Mode {
    /// All of it.
    Whole,
    /// One shard, whose outcomes another process gathers.
    Shard(Shard),
    /// What so many shards have left is gathered.
    Gather(usize),
    /// Shards are handed to a scheduler.
    HandOver(Box<HandOver>),
}

/// How instances are run.
#[derive(Clone)]
pub struct Runs {
    /// How images are called.
    pub names: ImageNames,
    /// What becomes of unpacked images.
    pub afterwards: Afterwards,
    /// What tests can reach.
    pub network: Network,
    /// The image of what answers in httpbin.org's place, for tests that ask it.
    pub httpbin: Option<Reference>,
    /// Variables of their environment, over the image's.
    pub environment: Vec<(String, String)>,
    /// What they may use.
    pub limits: AskedLimits,
    /// How many at once; `None` for as many as this machine bears.
    pub workers: Option<usize>,
    /// How often each.
    pub repeat: usize,
    /// How often once more when something failed for which the patch cannot be blamed.
    pub retry_infra: usize,
    /// Whether outcomes of earlier runs count that depend on the same.
    pub reuse: bool,
    /// Who watches what tests write.
    pub follow: Option<Follow>,
}

impl std::fmt::Debug for Runs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runs")
            .field("names", &self.names)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// What this machine has for it.
pub struct Means<'a> {
    /// What images are read, built and pushed with.
    pub images: &'a images::Means<'a>,
    /// Hears of images that are built.
    pub images_observer: &'a dyn ImageObserver,
    /// Tells the time for logs and records.
    pub clock: Clock,
}

impl std::fmt::Debug for Means<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Means")
            .field("images", &self.images)
            .finish_non_exhaustive()
    }
}

/// The time, as RFC 3339 writes it.
pub(super) fn timestamp(clock: Clock) -> String {
    let seconds = i64::try_from(clock().as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_epoch(seconds).to_string()
}
