//! Which instances are evaluated, how many at once, and which once more.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;

use super::missing::{self, Unbuilt};
use super::{Arguments, record};
use crate::arguments::RegistryArguments;
use crate::context::Context;
use crate::failure::Failure;
use crate::swebench::inputs;
use crate::{output, printable};
use ohoci_config::environment::PATH;
use ohoci_sandbox::{Bubblewrap, CopyOnWrite, Limiter, Network, abstract_sockets};
use ohoci_swebench::eval_script;
use ohoci_swebench::names;
use ohoci_swebench::predictions::{Prediction, Predictions};
use ohoci_swebench::row::Row;
use ohoci_swebench::specs::Catalogue;
use ohoci_swebench_evaluation::engine::Shard;
use ohoci_swebench_evaluation::workers::{Machine, default_workers};
use ohoci_swebench_evaluation::{
    Evaluator, Follow, Job, Outcome, Roots, Status, record as keep, recorded,
};

/// Where unpacked images are, in the cache.
const ROOTS: &str = "swebench/roots";

/// How long the tests of an instance may take where nobody says, as upstream has it.
const TESTS_TIME: Duration = Duration::from_secs(1800);

/// One instance to be evaluated.
struct Task<'a> {
    row: &'a Row,
    prediction: &'a Prediction,
    script: Result<String, String>,
    folder: PathBuf,
}

/// What was left of every prediction for one of the rows, by whoever evaluated it.
pub(super) fn gather(
    arguments: &Arguments,
    run: &Path,
    rows: &[Row],
    predictions: &Predictions,
) -> Result<Vec<Outcome>, Failure> {
    let tasks = tasks(
        run,
        rows,
        predictions,
        &inputs::catalogue(arguments.specs.as_deref())?,
    )?;
    Ok(tasks.iter().map(gathered).collect())
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
        .unwrap_or_else(|| new(Status::Infra).because("no shard has left anything of it"))
}

/// Evaluates every prediction for one of the rows, or those of a shard; in the rows' order.
pub(super) async fn evaluate(
    arguments: &Arguments,
    context: Context,
    run: &Path,
    rows: &[Row],
    predictions: &Predictions,
    shard: Option<Shard>,
    build: Option<&RegistryArguments>,
) -> Result<Vec<Outcome>, Failure> {
    let catalogue = inputs::catalogue(arguments.specs.as_deref())?;
    let mut tasks = tasks(run, rows, predictions, &catalogue)?;
    if let Some(shard) = shard {
        let mut place = 0..;
        tasks.retain(|_| place.next().is_some_and(|place| shard.has(place)));
    }
    // The rest of the context lasts as long as this: its directory holds what runs write.
    let roots = Roots::new(
        context.resolver,
        context.cache_dir.as_ref().map(|cache| cache.join(ROOTS)),
        context.work_dir.clone(),
        arguments.images.afterwards()?,
    );
    let path = context.environment.get(PATH);
    let (evaluator, workers) = evaluator(arguments, path.as_deref(), &context.work_dir, roots)?;
    let unbuilt = match build {
        None => Unbuilt::new(),
        Some(registry) => {
            let run = tasks.iter().filter(|task| !task.prediction.is_empty());
            let rows: Vec<&Row> = run.map(|task| task.row).collect();
            missing::build(arguments, registry, &catalogue, &evaluator, workers, &rows).await?
        }
    };
    for task in &tasks {
        evaluator.roots.expect(&task.row.instance_id);
    }
    let count = tasks.len();
    let done = AtomicUsize::new(0);
    let one = async |(place, task): (usize, &Task<'_>)| {
        let mut outcome = attempts(arguments, &evaluator, task).await;
        if let (Status::BuildFailed, Some(error)) =
            (outcome.status, unbuilt.get(&outcome.instance_id))
        {
            outcome = outcome.because(format!("level {}: {error}", error.level));
            if let Err(error) = keep(&task.folder, &outcome) {
                output::warning(&format!("why it was not built is not kept: {error}"));
            }
        }
        if let Err(error) = evaluator.roots.release(&task.row.instance_id).await {
            output::warning(&format!("an unpacked image stays: {error}"));
        }
        let number = done.fetch_add(1, Ordering::Relaxed) + 1;
        output::note(&format!("[{number}/{count}] {}", line(&outcome)));
        (place, outcome)
    };
    let mut outcomes: Vec<(usize, Outcome)> = futures_util::stream::iter(tasks.iter().enumerate())
        .map(one)
        .buffer_unordered(workers)
        .collect()
        .await;
    outcomes.sort_by_key(|(place, _)| *place);
    Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
}

fn tasks<'a>(
    run: &Path,
    rows: &'a [Row],
    predictions: &'a Predictions,
    catalogue: &Catalogue,
) -> Result<Vec<Task<'a>>, Failure> {
    rows.iter()
        .filter_map(|row| Some((row, predictions.get(&row.instance_id)?)))
        .map(|(row, prediction)| {
            let model = names::model_directory(&prediction.model).map_err(|error| {
                Failure::usage(format!("the model's name {:?} {error}", prediction.model))
            })?;
            Ok(Task {
                row,
                prediction,
                script: script(row, catalogue),
                folder: run.join(model).join(&row.instance_id),
            })
        })
        .collect()
}

/// The script of a row: its own, or as version 4 makes it from the table.
fn script(row: &Row, catalogue: &Catalogue) -> Result<String, String> {
    if row.eval_script.is_some() {
        return eval_script::of_row(row).map_err(|error| error.to_string());
    }
    let version = row.version.as_deref().unwrap_or_default();
    let specs = catalogue.specs(&row.repo, version).ok_or_else(|| {
        format!(
            "the row has no eval_script, and nothing is known of {} {version}",
            row.repo
        )
    })?;
    let script = eval_script::from_patch(row, &specs.steps()).map_err(|error| error.to_string())?;
    Ok(eval_script::version_5(&script))
}

fn evaluator(
    arguments: &Arguments,
    path: Option<&OsStr>,
    scratch: &Path,
    roots: Roots,
) -> Result<(Evaluator, usize), Failure> {
    let bubblewrap = Bubblewrap::find(path).map_err(|error| {
        let failure = Failure::new("cannot run anything", error.to_string());
        match error.hint() {
            Some(hint) => failure.hinted(hint),
            None => failure,
        }
    })?;
    let (way, trouble) = CopyOnWrite::find(path, scratch)
        .map_err(|error| Failure::new("cannot make sandboxes", error.to_string()))?;
    if let Some(trouble) = trouble {
        output::note(&format!(
            "no overlay can be mounted here ({trouble}); sandboxes are made by {}",
            way.name()
        ));
    }
    if arguments.sandbox.network && !abstract_sockets::can_be_kept_away() {
        output::warning(abstract_sockets::UNPROTECTED);
    }
    let workers = match arguments.max_workers {
        Some(workers) => workers.get(),
        None => {
            let (workers, by) =
                default_workers(&Machine::here(scratch), arguments.limits.asked().memory);
            output::note(&format!(
                "{workers} at once, limited by {by} (--max-workers)"
            ));
            workers
        }
    };
    let limits = arguments.limits.limits(scratch, workers, Some(TESTS_TIME));
    let limiter = Limiter::find(limits);
    arguments.limits.tell(&limiter);
    let follow: Option<Follow> = arguments.follow.then(|| {
        let follow: Follow = Arc::new(|instance: &str, line: &str| {
            output::note(&format!("{instance} | {}", printable::line(line)));
        });
        follow
    });
    let evaluator = Evaluator {
        bubblewrap,
        way,
        limiter: Arc::new(limiter),
        roots: Arc::new(roots),
        names: arguments.images.names()?,
        scratch: scratch.to_owned(),
        asked_limits: arguments.limits.asked(),
        timeout: limits.time,
        environment: arguments.sandbox.variables()?,
        network: if arguments.sandbox.network {
            Network::Host
        } else {
            Network::None
        },
        grader: arguments.grader()?,
        clock: record::now,
        follow,
    };
    Ok((evaluator, workers))
}

/// Evaluates one instance as often as is asked for.
async fn attempts(arguments: &Arguments, evaluator: &Evaluator, task: &Task<'_>) -> Outcome {
    let mut attempts = Vec::new();
    for number in 1..=arguments.again.repeat.get() {
        let folder = match number {
            1 => task.folder.clone(),
            _ => task.folder.join(format!("attempt-{number}")),
        };
        attempts.push(attempt(arguments, evaluator, task, &folder).await);
    }
    let new = || Outcome::new(&task.row.instance_id, &task.prediction.model, Status::Infra);
    let outcome = Outcome::of_attempts(attempts).unwrap_or_else(new);
    if !outcome.attempts.is_empty()
        && let Err(error) = keep(&task.folder, &outcome)
    {
        output::warning(&format!("what the attempts gave is not kept: {error}"));
    }
    outcome
}

async fn attempt(
    arguments: &Arguments,
    evaluator: &Evaluator,
    task: &Task<'_>,
    folder: &Path,
) -> Outcome {
    let mut left = arguments.again.retry_infra;
    loop {
        let outcome = evaluator
            .evaluate(Job {
                row: task.row,
                prediction: task.prediction,
                script: task.script.as_deref().map_err(String::as_str),
                folder,
                reuse: !arguments.again.fresh,
            })
            .await;
        if outcome.status != Status::Infra || left == 0 {
            return outcome;
        }
        left -= 1;
        let why = outcome.why.as_deref().unwrap_or("infra");
        output::note(&format!("{} is run once more: {why}", task.row.instance_id));
    }
}

/// An outcome in a line.
pub(super) fn line(outcome: &Outcome) -> String {
    use std::fmt::Write as _;
    let mut line = format!("{:<12}  {}", outcome.status.name(), outcome.instance_id);
    if let (Some(fixed), Some(kept)) = (outcome.fail_to_pass, outcome.pass_to_pass) {
        let _ = write!(
            line,
            "  FAIL_TO_PASS {}/{}, PASS_TO_PASS {}/{}",
            fixed.success, fixed.total, kept.success, kept.total
        );
    }
    if outcome.from_earlier {
        line.push_str("  (from an earlier run)");
    } else if outcome.seconds.total > 0.0 {
        let _ = write!(line, "  {:.1} s", outcome.seconds.total);
    }
    if !outcome.attempts.is_empty() {
        let resolved = outcome
            .attempts
            .iter()
            .filter(|one| **one == Status::Resolved);
        let count = outcome.attempts.len();
        let _ = write!(line, "  resolved {} of {count} times", resolved.count());
        if outcome.is_flaky() {
            line.push_str(", flaky");
        }
    }
    if let Some(why) = &outcome.why {
        let _ = write!(line, "  ({})", printable::line(why));
    }
    line
}
