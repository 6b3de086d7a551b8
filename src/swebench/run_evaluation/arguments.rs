//! The flags of `ohoci swebench run-evaluation`: upstream's, of versions 4 and 5, and ohoci's own.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::build_arguments::BuildArguments;
use super::engine_arguments::EngineArguments;
use crate::arguments::Format;
use crate::failure::Failure;
use crate::limits::LimitArguments;
use crate::run::NetworkChoice;
use crate::swebench::grader::GraderArguments;
use ohoci_image::{Reference, env};
use ohoci_swebench::names;
use ohoci_swebench::predictions::GOLD;
use ohoci_swebench_evaluation::ImageNames;
use ohoci_swebench_evaluation::roots::Afterwards;
use ohoci_swebench_inputs::is_one_file;

/// Where the folders of runs are.
pub(super) const LOGS: &str = "logs/run_evaluation";

/// Evaluate predictions: apply each patch in its instance's image, run the tests, grade them.
///
/// Takes the command lines of SWE-bench's own harness, versions 4 and 5, and leaves the same files:
/// logs/run_evaluation/RUN_ID/MODEL/INSTANCE/ and the summary MODEL.RUN_ID.json. More is in
/// evaluation_results/: JSON, JUnit XML, Markdown and a page. No Docker, no daemon and no root:
/// every instance runs in a sandbox of its own (needs bubblewrap), without a network unless it is
/// given one, and nothing of it is left afterwards.
///
/// Exit code 0: everything is resolved. 4: some patches do not resolve their instances. 3: some
/// instances have no verdict, because of this machine, their images or their logs. 1: nothing was
/// evaluated.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The dataset's rows, as .json, .jsonl or .parquet; or its name on Hugging Face's hub, looked for
    /// among what this machine has downloaded: OWNER/NAME, full, lite, verified, multilingual or
    /// multimodal
    #[arg(long, short, value_name = "FILE|NAME", alias = "dataset_name")]
    pub dataset_name: Option<PathBuf>,

    /// The dataset, as `swebench eval` takes it
    #[arg(value_name = "DATASET", hide = true, conflicts_with = "dataset_name")]
    pub dataset: Option<PathBuf>,

    /// Take the dataset's own patches, as `--predictions-path gold`
    #[arg(long, conflicts_with = "predictions_path")]
    pub gold: bool,

    /// The split of a dataset that has several [default: test]
    #[arg(long, short, value_name = "NAME")]
    pub(super) split: Option<String>,

    /// The predictions, as .json or .jsonl, or `gold` for the dataset's own patches
    #[arg(long, short, value_name = "FILE", alias = "predictions_path")]
    pub predictions_path: Option<String>,

    /// The name of the run, after which its folder and its summary are called; also -id, as upstream
    /// has it
    #[arg(long, value_name = "NAME", alias = "run_id")]
    pub run_id: String,

    /// Only these instances
    #[arg(long, short, value_name = "ID", num_args = 1.., alias = "instance_ids")]
    pub instance_ids: Vec<String>,

    /// How many instances are evaluated at once
    /// [default: 3/4 of the processors, 24 at most, fewer where memory or disk are scarce]
    #[arg(long, short = 'j', value_name = "N", alias = "max_workers")]
    pub max_workers: Option<NonZeroUsize>,

    /// Where the summary and evaluation_results/ are written
    #[arg(long, value_name = "DIR", default_value = ".", alias = "report_dir")]
    pub report_dir: PathBuf,

    /// The folder that holds the folders of runs
    #[arg(long, value_name = "DIR", default_value = LOGS)]
    pub logs: PathBuf,

    /// Run nothing, only grade anew what an earlier run left
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", alias = "rewrite_reports")]
    pub rewrite_reports: Option<String>,

    /// How versions of repositories are installed and tested, in the form of upstream's table in
    /// crates/swebench/src/specs.json, which it goes before; for rows that do not hold their script
    #[arg(long, value_name = "FILE")]
    pub specs: Option<PathBuf>,

    /// How the result is written to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,

    #[command(flatten)]
    pub(super) grader: GraderArguments,

    /// Show what the tests write, as it comes, on stderr
    #[arg(long)]
    pub follow: bool,

    #[command(flatten)]
    pub(super) images: ImageArguments,

    #[command(flatten)]
    pub(super) build: BuildArguments,

    #[command(flatten)]
    pub(super) sandbox: SandboxArguments,

    #[command(flatten)]
    pub(super) limits: LimitArguments,

    #[command(flatten)]
    pub(super) again: AgainArguments,

    #[command(flatten)]
    pub(super) engine: EngineArguments,

    #[command(flatten)]
    pub(super) ignored: IgnoredArguments,
}

/// Which images are taken, and what becomes of them.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Images")]
pub(super) struct ImageArguments {
    /// Take images of this namespace, under upstream's names; '' or `none` for names without one
    /// [default: the image that the row names, else swebench]
    #[arg(long, short, value_name = "NAMESPACE")]
    pub(super) namespace: Option<String>,

    /// Put this registry, perhaps with a path, before each image's name
    #[arg(long, value_name = "HOST[/PATH]")]
    pub(super) registry: Option<String>,

    /// Take images from here, under upstream's names, instead of from a registry
    /// (oci:DIR, oci-archive:FILE, docker-archive:FILE or dir:DIR)
    #[arg(long, value_name = "PLACE", conflicts_with = "registry")]
    pub(super) images: Option<String>,

    /// Where files are that tests need and no patch holds (`image_assets`): DIR/INSTANCE/PATH, or
    /// upstream's repository of tasks; else they are fetched, before anything runs
    #[arg(long, value_name = "DIR")]
    pub(super) assets: Option<PathBuf>,

    /// The tag of the images
    #[arg(
        long,
        value_name = "TAG",
        default_value = "latest",
        alias = "instance_image_tag"
    )]
    pub(super) instance_image_tag: String,

    /// `instance` keeps unpacked images in the cache; at the other levels, which have nothing else
    /// to keep here, each is removed when it is no longer needed, unless it was there before
    #[arg(
        long,
        value_enum,
        value_name = "LEVEL",
        default_value_t,
        alias = "cache_level"
    )]
    pub(super) cache_level: CacheLevel,

    /// Remove also unpacked images that were there before
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(super) clean: Option<String>,
}

/// Upstream's levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum CacheLevel {
    /// Nothing stays.
    None,
    /// Nothing stays.
    Base,
    /// Nothing stays.
    #[default]
    Env,
    /// Unpacked images stay.
    Instance,
}

/// What the tests find.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Sandbox")]
pub(super) struct SandboxArguments {
    /// What the tests reach: this machine's network where nothing stands behind it; `dead-end` is a way
    /// out that leads nowhere, for tests that wait for an answer in vain
    #[arg(
        long,
        value_enum,
        value_name = "WHAT",
        num_args = 0..=1,
        default_value = "none",
        default_missing_value = "host"
    )]
    pub(super) network: NetworkChoice,

    /// An image that answers in httpbin.org's place, for the tests of psf/requests: one that `ohoci deps
    /// build layers/httpbin.toml` makes
    #[arg(long, value_name = "REF")]
    pub(super) httpbin: Option<String>,

    /// Set a variable for the tests; repeatable
    #[arg(long, value_name = "NAME=VALUE")]
    pub(super) env: Vec<String>,
}

/// What is run once more, and what is not.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Running again")]
pub(super) struct AgainArguments {
    /// Go on with a run that was interrupted, with the dataset and the predictions that it recorded
    #[arg(long)]
    pub(super) resume: bool,

    /// Run everything, even where the run has the outcome for the same image, patch and script
    #[arg(long, conflicts_with = "resume")]
    pub(super) fresh: bool,

    /// Run each instance so many times, and tell which tests do not always do the same
    #[arg(long, value_name = "N", default_value = "1")]
    pub(super) repeat: NonZeroUsize,

    /// Run an instance once more, so many times at most, when something failed for which its patch
    /// cannot be blamed
    #[arg(long, value_name = "N", num_args = 0..=1, default_value_t = 0, default_missing_value = "1")]
    pub(super) retry_infra: usize,
}

/// Upstream's flags that mean nothing here.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Accepted for SWE-bench's command lines")]
pub(super) struct IgnoredArguments {
    /// Files that may be open; ohoci needs few
    #[arg(long, value_name = "N", alias = "open_file_limit")]
    pub(super) open_file_limit: Option<u64>,

    /// Build images anew; images are not built here
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", alias = "force_rebuild")]
    pub(super) force_rebuild: Option<String>,

    /// The tag of environment images; they are not needed to evaluate
    #[arg(long, value_name = "TAG", alias = "env_image_tag")]
    pub(super) env_image_tag: Option<String>,

    /// A repository of tasks with Dockerfiles; cannot be used
    #[arg(long, value_name = "DIR", alias = "task_repo")]
    pub(super) task_repo: Option<String>,

    /// Run in Modal's cloud; cannot be done
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(super) modal: Option<String>,
}

impl Arguments {
    /// The dataset that is named.
    pub(super) fn dataset(&self) -> Option<&Path> {
        self.dataset_name.as_deref().or(self.dataset.as_deref())
    }

    /// The predictions that are named.
    pub(super) fn predictions(&self) -> Option<&str> {
        let gold = self.gold.then_some(GOLD);
        self.predictions_path.as_deref().or(gold)
    }

    /// What of upstream's flags is given and means nothing here, in words.
    ///
    /// # Errors
    /// When one asks for what cannot be done.
    pub(super) fn ignored(&self) -> Result<Vec<String>, Failure> {
        let ignored = &self.ignored;
        if flag("--modal", ignored.modal.as_deref())? {
            return Err(Failure::usage("--modal: ohoci runs on this machine only"));
        }
        if ignored.task_repo.is_some() {
            return Err(
                Failure::usage("--task-repo: Dockerfiles of tasks are not run here").hinted(
                    "the dataset's rows say what is run; `ohoci swebench images` builds images",
                ),
            );
        }
        let mut said = Vec::new();
        let mut say = |flag: &str, why: &str| said.push(format!("{flag} is ignored: {why}"));
        let is_other = self.split.as_deref().is_some_and(|split| split != "test");
        let is_file = self.dataset().is_some_and(is_one_file);
        if is_other && is_file {
            say("--split", "a file of rows is one split");
        }
        if ignored.open_file_limit.is_some() {
            say("--open-file-limit", "ohoci keeps few files open");
        }
        if flag("--force-rebuild", ignored.force_rebuild.as_deref())? {
            say("--force-rebuild", "images are not built here");
        }
        if ignored.env_image_tag.is_some() {
            say("--env-image-tag", "environment images are not needed here");
        }
        Ok(said)
    }

    /// Whether only grading is asked for.
    ///
    /// # Errors
    /// When the flag's value is none.
    pub(super) fn only_rewrites(&self) -> Result<bool, Failure> {
        flag("--rewrite-reports", self.rewrite_reports.as_deref())
    }
}

impl ImageArguments {
    /// How images are called.
    ///
    /// # Errors
    /// When a flag's value is none.
    pub(super) fn names(&self) -> Result<ImageNames, Failure> {
        Ok(ImageNames {
            namespace: self
                .namespace
                .as_deref()
                .map(|namespace| names::namespace(namespace).map(str::to_owned)),
            tag: self.instance_image_tag.clone(),
            registry: self.registry.clone(),
            images: match &self.images {
                None => ohoci_swebench_evaluation::Images::Registry,
                Some(place) => place
                    .parse()
                    .map_err(|error| Failure::usage(format!("--images: {error}")))?,
            },
        })
    }

    /// What becomes of unpacked images.
    ///
    /// # Errors
    /// When a flag's value is none.
    pub(super) fn afterwards(&self) -> Result<Afterwards, Failure> {
        Ok(
            match (self.cache_level, flag("--clean", self.clean.as_deref())?) {
                (CacheLevel::Instance, _) => Afterwards::Keep,
                (_, true) => Afterwards::Remove,
                (_, false) => Afterwards::RemoveOwn,
            },
        )
    }
}

impl SandboxArguments {
    /// The variables that are set.
    ///
    /// # Errors
    /// When one is none.
    pub(super) fn variables(&self) -> Result<Vec<(String, String)>, Failure> {
        let variable = |text: &String| {
            text.split_once('=')
                .filter(|(name, _)| env::is_name(name))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .ok_or_else(|| Failure::usage(format!("--env: {text:?} is no NAME=VALUE")))
        };
        self.env.iter().map(variable).collect()
    }

    /// The image that answers in httpbin.org's place.
    ///
    /// # Errors
    /// When it is none, or tests are to reach the one that this machine knows.
    pub(super) fn httpbin(&self) -> Result<Option<Reference>, Failure> {
        let Some(text) = &self.httpbin else {
            return Ok(None);
        };
        if self.network == NetworkChoice::Host {
            return Err(Failure::usage(
                "--httpbin and --network give the tests two servers of one name",
            )
            .hinted("leave out --network: those who ask httpbin.org need no more"));
        }
        match text.parse()? {
            Reference::Scratch => Err(Failure::usage("--httpbin scratch has no server")),
            reference => Ok(Some(reference)),
        }
    }
}

/// A flag that upstream's command line gives a value (`str2bool` of its `utils.py`).
fn flag(name: &str, value: Option<&str>) -> Result<bool, Failure> {
    match value.map(str::to_lowercase).as_deref() {
        None | Some("no" | "false" | "f" | "n" | "0") => Ok(false),
        Some("yes" | "true" | "t" | "y" | "1") => Ok(true),
        Some(other) => Err(Failure::usage(format!(
            "{name}: {other:?} is neither true nor false"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_truths_are_read() {
        assert!(flag("--x", Some("True")).unwrap());
        assert!(!flag("--x", Some("no")).unwrap());
        assert!(!flag("--x", None).unwrap());
        assert!(flag("--x", Some("maybe")).is_err());
    }
}
