//! The flags of `ohoci swebench run-evaluation` about other machines.

use clap::{Args, ValueEnum};

use crate::failure::Failure;
use ohoci_swebench_images::engine::Shard;

/// Which machines evaluate, and how they are told.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Other machines")]
pub(super) struct EngineArguments {
    /// Hand shards of the run to a scheduler; all of them have to see this directory, where they
    /// leave their files. For Slurm, a job array is submitted, waited for and gathered; for
    /// Kubernetes, the manifest of an Indexed Job is written
    #[arg(long, value_enum, value_name = "ENGINE", default_value_t)]
    pub(super) engine: EngineChoice,

    /// Into how many shards the run is divided
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(super) shards: usize,

    /// How many shards run at once [default: as many as the scheduler lets]
    #[arg(long, value_name = "N", alias = "at_once")]
    pub(super) at_once: Option<usize>,

    /// Only write what the scheduler is to be given
    #[arg(long, alias = "write_only")]
    pub(super) write_only: bool,

    /// An option of sbatch for the job, such as --sbatch=--partition=long; repeatable
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    pub(super) sbatch: Vec<String>,

    /// Carry what shards start from and what they leave by a repository of a registry, as artifacts
    /// (or by oci:DIR): then they need not see this directory. --gather takes it from there
    #[arg(long, value_name = "REPOSITORY")]
    pub(super) results: Option<String>,

    /// The image of Kubernetes' shards: one with ohoci, bubblewrap and a shell
    #[arg(long, value_name = "IMAGE", alias = "engine_image")]
    pub(super) engine_image: Option<String>,

    /// The claim of the volume that Kubernetes' shards work in [default with --results: an empty one
    /// for each]
    #[arg(long, value_name = "CLAIM", alias = "engine_volume")]
    pub(super) engine_volume: Option<String>,

    /// The secret of type kubernetes.io/dockerconfigjson with what registries ask Kubernetes' shards for
    #[arg(long, value_name = "SECRET", alias = "engine_secret")]
    pub(super) engine_secret: Option<String>,

    /// Evaluate only this shard, and leave summary and results to --gather
    #[arg(long, value_name = "INDEX/COUNT", conflicts_with = "gather")]
    pub(super) shard: Option<String>,

    /// Evaluate nothing: gather what shards have left
    #[arg(long)]
    pub(super) gather: bool,
}

/// Where instances are evaluated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum EngineChoice {
    /// Here.
    #[default]
    Local,
    /// By Slurm.
    Slurm,
    /// By Kubernetes.
    Kubernetes,
}

impl EngineArguments {
    /// The shard that is asked for.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn shard(&self) -> Result<Option<Shard>, Failure> {
        let shard = self.shard.as_deref().map(str::parse).transpose();
        shard.map_err(|error| Failure::usage(format!("--shard: {error}")))
    }
}
