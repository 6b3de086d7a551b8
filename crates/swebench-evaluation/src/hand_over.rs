//! Runs on other machines: shards are handed to a scheduler.

use std::path::Path;

use super::evaluate_error::EvaluateError;
use super::observer::{Note, Observer};
use ohoci_swebench_images::engine::{HandOver, Handout, Scheduler, Shards, Submitted, submit};

/// Hands shards of a run to the scheduler. Returns what a person has to start, where one has to.
pub(super) async fn hand_over(
    (run_id, run): (&str, &Path),
    over: &HandOver,
    instances: usize,
    observer: &dyn Observer,
) -> Result<Option<Handout>, EvaluateError> {
    let failed = |what| move |why| EvaluateError::HandOver { what, why };
    let shards = Shards {
        name: run_id,
        file: "job",
        log: "shard",
        count: count(over.shards, instances),
        at_once: over.at_once,
        command: &over.command,
        directory: &over.directory,
    };
    let folder = run.join(over.scheduler.name());
    fs_err::create_dir_all(&folder).map_err(failed("cannot make the run's folder"))?;
    let folder = fs_err::canonicalize(&folder).map_err(failed("cannot find the run's folder"))?;
    let handout = over.scheduler.handout(&shards, &folder);
    handout
        .write()
        .map_err(failed("cannot write what starts the shards"))?;
    if matches!(over.scheduler, Scheduler::Slurm { .. }) && !over.only_writes {
        submitted(&handout, observer).await?;
        return Ok(None);
    }
    Ok(Some(handout))
}

/// Into how many shards a run of so many instances is divided: no more than there are.
pub(super) fn count(shards: usize, instances: usize) -> usize {
    shards.min(instances).max(1)
}

/// Submits a batch script and waits until all of its tasks have ended.
async fn submitted(script: &Handout, observer: &dyn Observer) -> Result<(), EvaluateError> {
    observer.noted(&Note::Submitted(&script.path));
    let failed = |why: String| EvaluateError::Slurm {
        script: script.path.clone(),
        why,
    };
    let done = submit(&script.path).await;
    match done.map_err(|error| failed(format!("sbatch: {error}")))? {
        Submitted::Done => Ok(()),
        // What the shard lacks shows in the results.
        Submitted::TaskFailed => {
            observer.warned("a shard did not end well; its instances have no verdict");
            Ok(())
        }
        Submitted::Refused(said) => Err(failed(said)),
    }
}
