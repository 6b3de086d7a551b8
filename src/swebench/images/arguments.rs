//! The command line of `ohoci swebench images`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::arguments::Format;
use crate::choices;
use crate::limits::{LimitArguments, number_of_bytes};
use crate::signing::SigningArguments;
use crate::swebench::cluster::ClusterArguments;
use ohoci_image::media_type::Compression;

/// Build instances' images under upstream's names, without Docker and without root
///
/// An instance's image is the base, Python, the packages of its environment, the repository's history
/// up to the nearest tag, and the repository at the base commit, each a layer of its own that others
/// share and that the cache keeps. What has to run runs in a sandbox. Nothing newer than the base
/// commit gets in.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The dataset's rows, as .json, .jsonl or .parquet, or the dataset's name on Hugging Face's hub
    #[arg(
        long,
        short,
        value_name = "FILE|NAME",
        alias = "dataset_name",
        alias = "dataset",
        required_unless_present = "tasks"
    )]
    pub dataset_name: Option<PathBuf>,

    /// The split of a dataset that has several
    #[arg(long, short, value_name = "NAME", default_value = "test")]
    pub split: String,

    /// Only these instances
    #[arg(long, short, value_name = "ID", num_args = 1.., alias = "instance_ids")]
    pub instance_ids: Vec<String>,

    /// Where repositories come from: a repository, a folder of them (as OWNER/NAME, OWNER__NAME or
    /// NAME), a URL in front of OWNER/NAME, or one with {repo} in it; after OWNER/NAME= for that
    /// repository only; repeatable
    #[arg(long, value_name = "[OWNER/NAME=]DIR|URL", alias = "repo_source")]
    pub repo_source: Vec<String>,

    /// What upstream's `images build`, `check`, `clean` and `push` take
    #[arg(value_name = "TASKS", hide = true, num_args = 0..)]
    pub tasks: Vec<String>,

    /// The base level: an image with bash, git, patch and what Python needs
    #[arg(
        long,
        value_name = "REF",
        required_unless_present_any = ["dry_run", "base_recipe", "tasks"],
        alias = "base_image"
    )]
    pub base_image: Option<String>,

    /// The base level assembled from Debian packages: a recipe with a rootfs table, such as
    /// layers/swebench-base.toml, and its lock, which is made where there is none
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "base_image",
        alias = "base_recipe"
    )]
    pub base_recipe: Option<PathBuf>,

    /// Pythons, a folder with one prefix for each version, such as uv's or pyenv's [default: the
    /// base's own where it has the version, else uv's, which is asked to install what is missing]
    #[arg(long, value_name = "DIR", alias = "python_dir")]
    pub python_dir: Option<PathBuf>,

    /// Where images go: a registry with or without a path, oci:DIR, oci-archive:FILE,
    /// docker-archive:FILE or dir:DIR (root directories); repeatable
    #[arg(long, value_name = "PLACE", required_unless_present_any = ["dry_run", "tasks"])]
    pub push: Vec<String>,

    /// The namespace in images' names; '' for none [default: as the row's `image` says, else
    /// swebench]
    #[arg(long, short, value_name = "NAME")]
    pub namespace: Option<String>,

    /// The tag in images' names
    #[arg(
        long,
        value_name = "TAG",
        default_value = "latest",
        alias = "instance_image_tag"
    )]
    pub tag: String,

    /// Push the images of base and environments, too
    #[arg(long)]
    pub all_levels: bool,

    /// Add the layers of a deps image and its settings, as `compose --deps` does
    #[arg(long, value_name = "REF")]
    pub deps: Vec<String>,

    /// Bake patches in: those of this file of predictions, or `gold`, and then the tests' patch. Such
    /// an image holds the answer; it needs a --tag of its own
    #[arg(long, value_name = "FILE", alias = "with_patches")]
    pub with_patches: Option<String>,

    /// How versions of repositories are installed, for those that SWE-bench does not know: JSON in
    /// the form of its own table
    #[arg(long, value_name = "FILE")]
    pub specs: Option<PathBuf>,

    /// A channel of conda's packages: a URL, a directory, or a name that conda's settings say the place of;
    /// repeatable, the first one preferred. Environments that upstream froze are then made of the same
    /// packages as upstream's [default: those of CONDA_CHANNELS and .condarc; without any, pip's index]
    #[arg(long, value_name = "URL|DIR|NAME")]
    pub channel: Vec<String>,

    /// A directory for locks of environments that upstream did not freeze: the packages of conda that were chosen
    /// are written there, and the next run takes the same
    #[arg(long, value_name = "DIR", alias = "conda_locks")]
    pub conda_locks: Option<PathBuf>,

    /// A conda package to do without, where no Python package index has it; repeatable
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub leave_out: Vec<String>,

    /// Let nothing that runs use the network: packages then have to come from directories
    #[arg(long)]
    pub offline: bool,

    /// Leave base and levels unpacked in the store of layers (`ohoci store`): later runs then begin
    /// at once, for the disk that it takes
    #[arg(long)]
    pub keep_unpacked: bool,

    /// Keep no more bytes of layers on this machine, such as 40G, than this, as far as what is being built
    /// lets: unpacked layers and layers that are pushed go, and instances are built environment by
    /// environment
    #[arg(long, value_name = "SIZE", value_parser = budget, alias = "disk_budget")]
    pub disk_budget: Option<u64>,

    /// How many images are built side by side [default: three quarters of the processors, at most 24]
    #[arg(long, value_name = "COUNT", alias = "max_workers")]
    pub max_workers: Option<NonZeroUsize>,

    /// Where build logs are written, as upstream lays them out
    #[arg(long, value_name = "DIR", default_value = "logs/build_images")]
    pub logs: PathBuf,

    /// How layers are compressed
    #[arg(long, value_parser = choices::compression(), default_value = "gzip")]
    pub compression: Compression,

    /// Take levels from this repository of a registry (or from oci:DIR) where they are there, and leave there
    /// what is built: machines share them, and another run goes on from them
    /// [default with --engine: sweb.levels, where the first --push goes]
    #[arg(long, value_name = "REPOSITORY")]
    pub levels: Option<String>,

    /// Print the images with their levels and keys; build nothing
    #[arg(long, alias = "dry_run")]
    pub dry_run: bool,

    /// How the result is written to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,

    /// Signatures of what is pushed.
    #[command(flatten)]
    pub(crate) signing: SigningArguments,

    #[command(flatten)]
    pub(crate) limits: LimitArguments,

    #[command(flatten)]
    pub(super) part: PartArguments,
}

/// Which part is built, and by which machines.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Other machines")]
pub(super) struct PartArguments {
    #[command(flatten)]
    pub(super) cluster: ClusterArguments,

    /// Build only what instances share, environments and histories, what most of them need first; or only
    /// the instances, those of one environment side by side
    #[arg(long, value_enum, value_name = "STAGE", conflicts_with = "gather")]
    pub(super) stage: Option<StageChoice>,

    /// Build only this shard of the stage [default stage: instances], and leave its report to --gather
    #[arg(long, value_name = "INDEX/COUNT", conflicts_with = "gather")]
    pub(super) shard: Option<String>,

    /// Build nothing: gather the reports that shards have left
    #[arg(long, conflicts_with = "dry_run")]
    pub(super) gather: bool,
}

/// The stages of a run that is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum StageChoice {
    /// What several instances stand on.
    Shared,
    /// The instances.
    Instances,
}

/// A number of bytes.
fn budget(text: &str) -> Result<u64, String> {
    number_of_bytes(text).ok_or_else(|| format!("{text:?} is no size, such as 40G"))
}
