//! A run: which instances are evaluated, how many at once, and which once more.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use futures_util::StreamExt as _;

use super::coming::Coming;
use super::evaluator::Evaluator;
use super::grader::Grader;
use super::instance::{Job, record, recorded};
use super::observer::Observer;
use super::outcome::{Outcome, Status};
use super::run_folder::RunFolderError;
use ohoci_swebench::eval_script;
use ohoci_swebench::names;
use ohoci_swebench::predictions::{Prediction, Predictions};
use ohoci_swebench::row::Row;
use ohoci_swebench::specs::Catalogue;
use ohoci_swebench_images::engine::Shard;

/// One instance to be evaluated.
#[derive(Clone, Debug)]
pub(super) struct Task<'a> {
    /// The instance.
    pub(super) row: &'a Row,
    /// What a model says of it.
    pub(super) prediction: &'a Prediction,
    /// The script that runs its tests, or why there is none.
    pub(super) script: Result<String, String>,
    /// The folder for its files.
    pub(super) folder: PathBuf,
}

/// How tasks are evaluated.
#[derive(Debug)]
pub(super) struct Run<'a> {
    /// What there is to do, in the dataset's order.
    pub(super) tasks: &'a [Task<'a>],
    /// What does it.
    pub(super) evaluator: &'a Evaluator,
    /// How many at once.
    pub(super) workers: usize,
    /// How often each.
    pub(super) repeat: usize,
    /// How often once more when something failed for which the patch cannot be blamed.
    pub(super) retry_infra: usize,
    /// Whether outcomes of earlier runs count that depend on the same.
    pub(super) reuse: bool,
}

/// The predictions for these rows, in the rows' order. What cannot be graded is known before it runs.
///
/// # Errors
/// When a model's name cannot name a folder.
pub(super) fn tasks<'a>(
    run: &Path,
    rows: &'a [Row],
    predictions: &'a Predictions,
    catalogue: &Catalogue,
    grader: &Grader,
) -> Result<Vec<Task<'a>>, RunFolderError> {
    rows.iter()
        .filter_map(|row| Some((row, predictions.get(&row.instance_id)?)))
        .map(|(row, prediction)| {
            let model = names::model_directory(&prediction.model)
                .map_err(|why| RunFolderError::model(&prediction.model, why))?;
            Ok(Task {
                row,
                prediction,
                script: grader
                    .can_grade(row)
                    .and_then(|()| script(row, catalogue))
                    .map(|script| eval_script::with_assets(&script, &row.way.assets)),
                folder: run.join(model).join(&row.instance_id),
            })
        })
        .collect()
}

/// Those of a shard.
pub(super) fn keep_shard(tasks: &mut Vec<Task<'_>>, shard: Shard) {
    let mut place = 0..;
    tasks.retain(|_| place.next().is_some_and(|place| shard.has(place)));
}

/// The script of a row: its own, or as version 4 makes it from the table.
fn script(row: &Row, catalogue: &Catalogue) -> Result<String, String> {
    if row.eval_script.is_some() {
        return eval_script::of_row(row).map_err(|error| error.to_string());
    }
    let version = row.version.as_deref().unwrap_or_default();
    let known = row.specs.as_ref();
    let specs = known
        .or_else(|| catalogue.specs(&row.repo, version))
        .ok_or_else(|| {
            format!(
                "the row has no eval_script, and nothing is known of {} {version}",
                row.repo
            )
        })?;
    if specs.test_cmd.trim().is_empty() {
        return Err(format!(
            "what is known of {} {version} has no test_cmd",
            row.repo
        ));
    }
    let script = eval_script::from_patch(row, &specs.steps()).map_err(|error| error.to_string())?;
    Ok(eval_script::version_5(&script))
}

/// What was left of every task, by whoever evaluated it.
pub(super) fn gather(tasks: &[Task<'_>]) -> Vec<Outcome> {
    tasks.iter().map(gathered).collect()
}

/// The outcomes of all tasks, of which only some were evaluated now: what was left of the others is
/// gathered.
pub(super) fn complete(tasks: &[Task<'_>], outcomes: Vec<Outcome>) -> Vec<Outcome> {
    let mut new: HashMap<String, Outcome> = outcomes
        .into_iter()
        .map(|outcome| (outcome.instance_id.clone(), outcome))
        .collect();
    let tasks = tasks.iter();
    tasks
        .map(|task| {
            let new = new.remove(&task.row.instance_id);
            new.unwrap_or_else(|| Outcome {
                from_earlier: true,
                ..gathered(task)
            })
        })
        .collect()
}

fn gathered(task: &Task<'_>) -> Outcome {
    let new = |status| Outcome::new(&task.row.instance_id, &task.prediction.model, status);
    if task.prediction.is_empty() {
        return new(Status::EmptyPatch);
    }
    if let Err(why) = &task.script {
        return new(Status::Ungradable).because(why);
    }
    let patch = task.prediction.patch.as_deref().unwrap_or_default();
    recorded(&task.folder, patch)
        .unwrap_or_else(|| new(Status::Infra).because("nothing is left of an evaluation of it"))
}

/// The rows of tasks for whose image there is nothing under any of its names.
pub(super) async fn without_image(run: &Run<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    for task in run.tasks.iter().filter(|task| !task.prediction.is_empty()) {
        let found = run
            .evaluator
            .roots
            .has(&run.evaluator.names, task.row)
            .await;
        // What cannot be found out is told when the instance is evaluated.
        if matches!(found, Ok(false)) {
            rows.push(task.row.clone());
        }
    }
    rows
}

/// Evaluates all tasks; outcomes are in their order. Instances whose images are still being built
/// come last, each as soon as its image is there.
pub(super) async fn evaluate(
    run: &Run<'_>,
    coming: &Coming,
    observer: &dyn Observer,
) -> Vec<Outcome> {
    let roots = &run.evaluator.roots;
    for task in run.tasks {
        roots.expect(&task.row.instance_id);
    }
    let count = run.tasks.len();
    let done = AtomicUsize::new(0);
    let one = async |(place, task): (usize, &Task<'_>)| {
        let unbuilt = coming.wait_for(&task.row.instance_id).await.err();
        let started = Instant::now();
        let mut outcome = attempts(run, task, observer).await;
        if let (Status::BuildFailed, Some(error)) = (outcome.status, unbuilt) {
            outcome = outcome.because(format!("level {}: {error}", error.level));
        }
        let evaluated = started.elapsed();
        if let Err(error) = roots.release(&task.row.instance_id).await {
            observer.warned(&format!("an unpacked image stays: {error}"));
        }
        if outcome.seconds.total > 0.0 && !outcome.from_earlier {
            let passed = started.elapsed();
            outcome.seconds.teardown += (passed - evaluated).as_secs_f64();
            outcome.seconds.total = passed.as_secs_f64();
            if let Err(error) = record(&task.folder, &outcome) {
                observer.warned(&format!("what became of it is not kept: {error}"));
            }
        }
        let number = done.fetch_add(1, Ordering::Relaxed) + 1;
        observer.ended(number, count, &outcome);
        (place, outcome)
    };
    let mut order: Vec<(usize, &Task<'_>)> = run.tasks.iter().enumerate().collect();
    order.sort_by_key(|(_, task)| coming.has(&task.row.instance_id));
    let mut outcomes: Vec<(usize, Outcome)> = futures_util::stream::iter(order)
        .map(one)
        .buffer_unordered(run.workers.max(1))
        .collect()
        .await;
    outcomes.sort_by_key(|(place, _)| *place);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// Evaluates one instance as often as is asked for.
async fn attempts(run: &Run<'_>, task: &Task<'_>, observer: &dyn Observer) -> Outcome {
    let mut attempts = Vec::new();
    for number in 1..=run.repeat.max(1) {
        let folder = match number {
            1 => task.folder.clone(),
            _ => task.folder.join(format!("attempt-{number}")),
        };
        attempts.push(attempt(run, task, &folder, observer).await);
    }
    let new = || Outcome::new(&task.row.instance_id, &task.prediction.model, Status::Infra);
    Outcome::of_attempts(attempts).unwrap_or_else(new)
}

async fn attempt(
    run: &Run<'_>,
    task: &Task<'_>,
    folder: &Path,
    observer: &dyn Observer,
) -> Outcome {
    let mut left = run.retry_infra;
    loop {
        let job = Job {
            row: task.row,
            prediction: task.prediction,
            script: task.script.as_deref().map_err(String::as_str),
            folder,
            reuse: run.reuse,
        };
        let outcome = run.evaluator.evaluate(job).await;
        if outcome.status != Status::Infra || left == 0 {
            return outcome;
        }
        left -= 1;
        let why = outcome.why.as_deref().unwrap_or("infra");
        observer.again(&task.row.instance_id, why);
    }
}
