//! The flags of `ohoci swebench run-evaluation` about other machines.

use clap::Args;

use crate::failure::Failure;
use crate::swebench::cluster::ClusterArguments;
use ohoci_swebench_images::engine::Shard;

/// Which machines evaluate, and how they are told.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Other machines")]
pub(super) struct EngineArguments {
    #[command(flatten)]
    pub(super) cluster: ClusterArguments,

    /// Carry what shards start from and what they leave by a repository of a registry, as artifacts
    /// (or by oci:DIR): then they need not see this directory. --gather takes it from there
    #[arg(long, value_name = "REPOSITORY")]
    pub(super) results: Option<String>,

    /// Evaluate only this shard, and leave summary and results to --gather
    #[arg(long, value_name = "INDEX/COUNT", conflicts_with = "gather")]
    pub(super) shard: Option<String>,

    /// Evaluate nothing: gather what shards have left
    #[arg(long)]
    pub(super) gather: bool,
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
