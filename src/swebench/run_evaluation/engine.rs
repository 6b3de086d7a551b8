//! Runs on other machines: hands shards to a scheduler, and gathers what they left.

use std::path::Path;

use super::arguments::{Arguments, LOGS};
use super::engine_arguments::{EngineArguments, EngineChoice};
use super::remembered::Remembered;
use crate::failure::Failure;
use crate::{exit_code, output};
use ohoci_swebench_evaluation::engine::{
    Cluster, Handout, Scheduler, Shards, Submitted, quoted, submit,
};

/// Hands the run to the scheduler. `Some` where that is all there is to do now.
pub(super) async fn hand_over(
    arguments: &Arguments,
    remembered: &Remembered,
    run: &Path,
    instances: usize,
) -> Result<Option<u8>, Failure> {
    let engine = &arguments.engine;
    let Some(scheduler) = scheduler(arguments)? else {
        return Ok(None);
    };
    let failed = |what: &str, why: String| Failure::new(what.to_owned(), why);
    let directory = std::env::current_dir()
        .map_err(|error| failed("cannot find the working directory", error.to_string()))?;
    // Where it is on this machine says nothing of an image.
    let here = std::env::current_exe().ok();
    let here = here.filter(|_| matches!(scheduler, Scheduler::Slurm { .. }));
    let program = here.map_or_else(|| "ohoci".to_owned(), |path| path.display().to_string());
    let shards = Shards {
        run_id: &arguments.run_id,
        count: engine.count(instances),
        at_once: engine.at_once,
        command: &remembered.of_shard(&program, &arguments.run_id),
        directory: &directory.display().to_string(),
    };
    let folder = run.join(scheduler.name());
    fs_err::create_dir_all(&folder)
        .map_err(|error| failed("cannot make the run's folder", error.to_string()))?;
    let folder = fs_err::canonicalize(&folder)
        .map_err(|error| failed("cannot find the run's folder", error.to_string()))?;
    let handout = scheduler.handout(&shards, &folder);
    handout
        .write()
        .map_err(|error| failed("cannot write what starts the shards", error.to_string()))?;
    if matches!(scheduler, Scheduler::Slurm { .. }) && !engine.write_only {
        submitted(&handout).await?;
        return Ok(None);
    }
    output::note(&format!(
        "start it: {}; when it is complete, gather: {}",
        handout.command(),
        gathering(arguments)
    ));
    output::result(&handout.path.display().to_string())?;
    Ok(Some(exit_code::DONE))
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
            let cpus = arguments.limits.asked().cpus.map(|cpus| cpus.to_string());
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

/// Submits a batch script and waits until all of its tasks have ended.
async fn submitted(script: &Handout) -> Result<(), Failure> {
    let path = script.path.display();
    output::note(&format!("submitted {path}; waiting for its shards"));
    let failed = |why: String| {
        Failure::new(format!("cannot run {path} by Slurm"), why).hinted(
            "its shards' logs are beside it; what they have done is kept: --gather takes it",
        )
    };
    let done = submit(&script.path).await;
    match done.map_err(|error| failed(format!("sbatch: {error}")))? {
        Submitted::Done => Ok(()),
        // What the shard lacks shows in the results.
        Submitted::TaskFailed => {
            output::warning("a shard did not end well; its instances have no verdict");
            Ok(())
        }
        Submitted::Refused(said) => Err(failed(said)),
    }
}

/// The command line that gathers what shards have left: the run remembers the rest.
fn gathering(arguments: &Arguments) -> String {
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
