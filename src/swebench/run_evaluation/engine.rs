//! Runs on other machines, as the flags ask for them.

use std::path::Path;

use super::arguments::{Arguments, LOGS};
use super::engine_arguments::{EngineArguments, EngineChoice};
use super::remembered::Remembered;
use crate::failure::Failure;
use ohoci_swebench_evaluation::carried::Depot;
use ohoci_swebench_evaluation::request::{HandOver, Mode};
use ohoci_swebench_images::engine::{Cluster, Scheduler, quoted};

/// How much of the run is done, and where.
pub(super) fn mode(arguments: &Arguments, remembered: &Remembered) -> Result<Mode, Failure> {
    let engine = &arguments.engine;
    if let Some(shard) = engine.shard()? {
        return Ok(Mode::Shard(shard));
    }
    if engine.gather {
        return Ok(Mode::Gather(engine.shards));
    }
    let Some(scheduler) = scheduler(arguments)? else {
        return Ok(Mode::Whole);
    };
    let directory = std::env::current_dir()
        .map_err(|error| Failure::new("cannot find the working directory", error.to_string()))?;
    // Where it is on this machine says nothing of an image.
    let here = std::env::current_exe().ok();
    let here = here.filter(|_| matches!(scheduler, Scheduler::Slurm { .. }));
    let program = here.map_or_else(|| "ohoci".to_owned(), |path| path.display().to_string());
    Ok(Mode::HandOver(Box::new(HandOver {
        scheduler,
        shards: engine.shards,
        at_once: engine.at_once,
        command: remembered.of_shard(&program, &arguments.run_id),
        directory: directory.display().to_string(),
        only_writes: engine.write_only,
    })))
}

/// What carries parts of the run.
pub(super) fn depot(arguments: &Arguments) -> Result<Option<Depot>, Failure> {
    let Some(text) = &arguments.engine.results else {
        return Ok(None);
    };
    Depot::new(text.parse()?)
        .map(Some)
        .map_err(|why| Failure::usage(format!("--results: {why}")))
}

/// The scheduler that the flags ask for; `None` is this machine.
fn scheduler(arguments: &Arguments) -> Result<Option<Scheduler>, Failure> {
    let engine = &arguments.engine;
    Ok(match engine.engine {
        EngineChoice::Local => None,
        EngineChoice::Slurm => Some(Scheduler::Slurm {
            options: engine.sbatch.clone(),
        }),
        EngineChoice::Kubernetes => {
            let cpus = arguments
                .limits
                .asked()
                .only()
                .cpus
                .map(|cpus| cpus.to_string());
            Some(Scheduler::Kubernetes(cluster(engine, cpus)?))
        }
    })
}

fn cluster(engine: &EngineArguments, cpus: Option<String>) -> Result<Cluster, Failure> {
    let needed = |value: &Option<String>, flag: &str| {
        value
            .clone()
            .ok_or_else(|| Failure::usage(format!("--engine kubernetes needs {flag}")))
    };
    Ok(Cluster {
        image: needed(&engine.engine_image, "--engine-image")?,
        claim: match (&engine.engine_volume, &engine.results) {
            (None, Some(_)) => None,
            (claim, _) => Some(needed(claim, "--engine-volume or --results")?),
        },
        secret: engine.engine_secret.clone(),
        memory: None,
        cpus,
    })
}

/// The command line that gathers what shards have left: the run remembers the rest.
pub(super) fn gathering(arguments: &Arguments) -> String {
    let mut words = [
        "ohoci",
        "swebench",
        "run-evaluation",
        "--resume",
        "--gather",
    ]
    .map(str::to_owned)
    .to_vec();
    words.push(format!("--run-id={}", arguments.run_id));
    if arguments.logs != Path::new(LOGS) {
        words.push(format!("--logs={}", arguments.logs.display()));
    }
    quoted(&words)
}
