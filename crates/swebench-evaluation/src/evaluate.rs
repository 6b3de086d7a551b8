//! A run as a whole: read, recorded, evaluated here or by others, gathered, and written of.

use std::collections::BTreeMap;
use std::path::Path;

use super::carrier::{Carrier, Inputs};
use super::evaluate_error::EvaluateError;
use super::evaluator::Evaluator;
use super::finished::{Finished, Written};
use super::observer::{Note, Observer};
use super::outcome::Outcome;
use super::read::Read;
use super::request::{Means, Mode, Request, SPLIT, timestamp};
use super::run::{self, Run, Task};
use super::{building, fetch_assets, hand_over, record};
use ohoci_swebench::specs::Catalogue;
use ohoci_swebench_images::engine::{Handout, Shard};
use ohoci_swebench_inputs::{catalogue, files};

/// How many instances are named where many are concerned.
const NAMED: usize = 4;

/// How a call of [`evaluate`] ended.
#[derive(Debug)]
pub enum End {
    /// The run is done.
    Finished {
        /// Whose predictions it is about.
        model: String,
        /// What became of them, in the dataset's order.
        outcomes: Vec<Outcome>,
        /// Where it is written.
        written: Written,
    },
    /// A shard is done; who gathers writes of it.
    Shard,
    /// A person has to start this.
    HandedOver(Handout),
}

/// Evaluates a run or a shard of it, hands it to a scheduler, or gathers what shards have left.
///
/// # Errors
/// See [`EvaluateError`]. What goes wrong with one instance is its outcome.
///
/// ```no_run
/// # use ohoci_swebench_evaluation::{End, EvaluateError, Status, evaluate};
/// # use ohoci_swebench_evaluation::observer::Observer;
/// # use ohoci_swebench_evaluation::request::{Means, Request};
/// # async fn example(
/// #     request: Request<'_>,
/// #     means: &Means<'_>,
/// #     observer: &dyn Observer,
/// # ) -> Result<(), EvaluateError> {
/// if let End::Finished { outcomes, .. } = evaluate(request, means, observer).await? {
///     let resolved = outcomes.iter().filter(|one| one.status == Status::Resolved);
///     assert!(resolved.count() <= outcomes.len());
/// }
/// # Ok(())
/// # }
/// ```
pub async fn evaluate(
    request: Request<'_>,
    means: &Means<'_>,
    observer: &dyn Observer,
) -> Result<End, EvaluateError> {
    let environment = means.images.environment;
    let folder = request.folder;
    let shard = match request.mode {
        Mode::Shard(shard) => Some(shard),
        _ => None,
    };
    let carrier = request.depot.clone().map(|depot| Carrier {
        depot,
        run_id: request.run_id,
        resolver: &means.images.resolver,
        work_dir: &means.images.work_dir,
    });
    let given = match (&carrier, shard) {
        (Some(carrier), Some(_)) => carrier.fetch_inputs(request.inputs.clone()).await?,
        _ => request.inputs.clone(),
    };
    let Read {
        rows,
        predictions,
        scope,
    } = Read::of(&request, &given, environment, observer)?;
    let model = predictions.model().unwrap_or_default();
    let lock = folder.lock(shard, &timestamp(means.clock))?;
    record::begin(&request, (model, &scope), &timestamp(means.clock))?;
    let catalogue = catalogue(given.specs.as_deref())?;
    let whole = run::tasks(
        folder.path(),
        &rows,
        &predictions,
        &catalogue,
        &request.grader,
    )?;
    let mut tasks = whole.clone();
    tasks.retain(|task| is_asked(&request, &task.row.instance_id));
    let instances = tasks.len();
    for warning in ungradable(&tasks) {
        observer.warned(&warning);
    }
    let shards = match &request.mode {
        Mode::Gather(shards) => Some(*shards),
        Mode::HandOver(over) => Some(over.shards),
        Mode::Whole | Mode::Shard(_) => None,
    };
    if let Mode::HandOver(over) = &request.mode {
        // Now it is the shards' run.
        drop(lock);
        if let Some(carrier) = &carrier {
            let split = request.split.unwrap_or(SPLIT);
            let inputs = &request.inputs;
            let files = files(&inputs.dataset, split, environment)?;
            let pushed = carrier.push_inputs(inputs, &files, split, &rows).await?;
            observer.noted(&Note::Pushed(&pushed));
        }
        let run = (request.run_id, folder.path());
        let handed = hand_over::hand_over(run, over, instances, observer).await?;
        if let Some(handout) = handed {
            return Ok(End::HandedOver(handout));
        }
    }
    let mut outcomes = if let Some(shards) = shards {
        if let Some(carrier) = &carrier {
            let shards = hand_over::count(shards, instances);
            fetch_results(carrier, folder.path(), shards, &tasks, observer).await?;
        }
        run::gather(&tasks)
    } else {
        if let Some(shard) = shard {
            run::keep_shard(&mut tasks, shard);
        }
        let evaluating = here(&request, &given, tasks, &catalogue, means, observer);
        Box::pin(evaluating).await?
    };
    if let Some(shard) = shard {
        if let Some(carrier) = &carrier {
            let pushed = carrier.push_results(folder.path(), shard, &outcomes);
            observer.noted(&Note::Pushed(&pushed.await?));
        }
        return Ok(End::Shard);
    }
    if whole.len() > instances {
        outcomes = run::complete(&whole, outcomes);
    }
    let finished = Finished {
        run_id: request.run_id,
        folder,
        dataset: &request.inputs.dataset.display().to_string(),
        rows: &rows,
        predictions: &predictions,
        outcomes: &outcomes,
        ended: &timestamp(means.clock),
    };
    let written = finished.write(request.report_dir)?;
    Ok(End::Finished {
        model: model.to_owned(),
        outcomes,
        written,
    })
}

/// Whether an instance is evaluated now.
fn is_asked(request: &Request<'_>, instance_id: &str) -> bool {
    let asked = request.instance_ids;
    asked.is_empty() || asked.iter().any(|id| id == instance_id)
}

/// What there is to say of instances that will have no verdict, before anything runs.
fn ungradable(tasks: &[Task<'_>]) -> Vec<String> {
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for task in tasks.iter().filter(|task| !task.prediction.is_empty()) {
        if let Err(why) = &task.script {
            reasons.entry(why).or_default().push(&task.row.instance_id);
        }
    }
    let told = |(why, instances): (&str, Vec<&str>)| {
        let (named, rest) = instances.split_at(instances.len().min(NAMED));
        let more = match rest.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let named = named.join(", ");
        format!("{named}{more} cannot be graded: {why}")
    };
    reasons.into_iter().map(told).collect()
}

/// Evaluates these instances on this machine.
async fn here(
    request: &Request<'_>,
    given: &Inputs,
    mut tasks: Vec<Task<'_>>,
    catalogue: &Catalogue,
    means: &Means<'_>,
    observer: &dyn Observer,
) -> Result<Vec<Outcome>, EvaluateError> {
    let assets = given.assets.as_deref();
    let assets = fetch_assets::find(assets, &mut tasks, means.images, observer).await;
    let grader = request.grader.clone();
    let (evaluator, workers) =
        Evaluator::find(&request.runs, (grader, assets), means, observer).await?;
    let run = Run {
        tasks: &tasks,
        evaluator: &evaluator,
        workers,
        repeat: request.runs.repeat,
        retry_infra: request.runs.retry_infra,
        reuse: request.runs.reuse,
    };
    let build = request.build.as_ref();
    building::build_and_evaluate(build, &run, catalogue, means, observer).await
}

async fn fetch_results(
    carrier: &Carrier<'_>,
    run: &Path,
    shards: usize,
    tasks: &[Task<'_>],
    observer: &dyn Observer,
) -> Result<(), EvaluateError> {
    let tasks: Vec<(&str, &str)> = tasks
        .iter()
        .map(|task| (&*task.prediction.model, &*task.prediction.instance_id))
        .collect();
    for index in carrier.fetch_results(run, shards, &tasks).await? {
        let shard = Shard { index, of: shards };
        observer.warned(&format!(
            "shard {}/{} has pushed nothing yet",
            shard.index, shard.of
        ));
    }
    Ok(())
}
