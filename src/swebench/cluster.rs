//! The flags of commands that can hand their work to other machines.

use clap::{Args, ValueEnum};

use crate::failure::Failure;
use ohoci_swebench_images::engine::{Cluster, Scheduler};

/// Which machines do the work, and how they are told.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Other machines")]
pub(super) struct ClusterArguments {
    /// Hand shards of the run to a scheduler; all of them have to see this directory, where they
    /// leave their files. For Slurm, job arrays are submitted, waited for and gathered; for
    /// Kubernetes, manifests of Indexed Jobs are written
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

    /// An option of sbatch for the jobs, such as --sbatch=--partition=long; repeatable
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    pub(super) sbatch: Vec<String>,

    /// The image of Kubernetes' shards: one with ohoci, bubblewrap and a shell
    #[arg(long, value_name = "IMAGE", alias = "engine_image")]
    pub(super) engine_image: Option<String>,

    /// The claim of the volume that Kubernetes' shards work in; without one, where something else carries
    /// their files, each has an empty one
    #[arg(long, value_name = "CLAIM", alias = "engine_volume")]
    pub(super) engine_volume: Option<String>,

    /// The secret of type kubernetes.io/dockerconfigjson with what registries ask Kubernetes' shards for
    #[arg(long, value_name = "SECRET", alias = "engine_secret")]
    pub(super) engine_secret: Option<String>,
}

/// What divides a run, which is nothing to its shards, by clap's names.
pub(super) const DIVIDING: [&str; 7] = [
    "engine",
    "shards",
    "at_once",
    "sbatch",
    "engine_image",
    "engine_volume",
    "engine_secret",
];

/// Where the work is done.
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

/// Whether Kubernetes' shards need a volume that all of them see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Volume {
    /// Nothing else carries files between them; the flags that would do, in words.
    Needed(&'static str),
    /// Something else does.
    Optional,
}

impl ClusterArguments {
    /// The scheduler that the flags ask for; `None` is this machine.
    ///
    /// # Errors
    /// When Kubernetes lacks something.
    pub(super) fn scheduler(
        &self,
        cpus: Option<String>,
        volume: Volume,
    ) -> Result<Option<Scheduler>, Failure> {
        let needed = |value: &Option<String>, flags: &str| {
            value
                .clone()
                .ok_or_else(|| Failure::usage(format!("--engine kubernetes needs {flags}")))
        };
        Ok(match self.engine {
            EngineChoice::Local => None,
            EngineChoice::Slurm => Some(Scheduler::Slurm {
                options: self.sbatch.clone(),
            }),
            EngineChoice::Kubernetes => Some(Scheduler::Kubernetes(Cluster {
                image: needed(&self.engine_image, "--engine-image")?,
                claim: match volume {
                    Volume::Needed(flags) => Some(needed(&self.engine_volume, flags)?),
                    Volume::Optional => self.engine_volume.clone(),
                },
                secret: self.engine_secret.clone(),
                memory: None,
                cpus,
            })),
        })
    }
}

/// The directory that shards are started in, and the program that they start, as the machines that run
/// them see both.
///
/// # Errors
/// When the working directory cannot be found.
pub(super) fn place(scheduler: &Scheduler) -> Result<(String, String), Failure> {
    let directory = std::env::current_dir()
        .map_err(|error| Failure::new("cannot find the working directory", error.to_string()))?;
    // Where it is on this machine says nothing of an image.
    let here = std::env::current_exe().ok();
    let here = here.filter(|_| matches!(scheduler, Scheduler::Slurm { .. }));
    let program = here.map_or_else(|| "ohoci".to_owned(), |path| path.display().to_string());
    Ok((directory.display().to_string(), program))
}
