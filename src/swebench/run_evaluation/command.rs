//! Parses what is asked for, has it evaluated, handed over or gathered, and prints what came of it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::arguments::Arguments;
use super::assets;
use super::engine;
use super::engine_arguments::EngineChoice;
use super::evaluator::evaluator;
use super::missing;
use super::record::{self, Scope};
use super::remembered::Remembered;
use super::told::{self, Console};
use crate::arguments::RegistryArguments;
use crate::context::Context;
use crate::failure::Failure;
use crate::swebench::time::timestamp;
use crate::swebench::{inputs, report};
use crate::{exit_code, output};
use ohoci_swebench::predictions::{GOLD, Predictions};
use ohoci_swebench::row::{self, Row};
use ohoci_swebench::specs::Catalogue;
use ohoci_swebench_evaluation::carried::Depot;
use ohoci_swebench_evaluation::carrier::{Carrier, Inputs};
use ohoci_swebench_evaluation::engine::Shard;
use ohoci_swebench_evaluation::finished::Finished;
use ohoci_swebench_evaluation::run::{self, Run, Task};
use ohoci_swebench_evaluation::run_folder::RunFolder;
use ohoci_swebench_evaluation::{Grader, Outcome};

/// The split that is evaluated by default.
const SPLIT: &str = "test";

/// How many instances are named where many are concerned.
const NAMED: usize = 4;

/// Runs the command.
pub(crate) async fn run(
    arguments: &Arguments,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    let folder = RunFolder::of(&arguments.logs, &arguments.run_id)?;
    let given = Remembered::of(std::env::args_os());
    if !arguments.again.resume {
        let recorded = folder.record().ok().flatten().unwrap_or_default();
        return run_with(arguments, registry, &given, &folder, &recorded).await;
    }
    let recorded = record::of_earlier(&arguments.run_id, &folder)?;
    let remembered = given.or(Remembered::of_record(&recorded));
    let (arguments, registry) = remembered.arguments(arguments)?;
    run_with(&arguments, &registry, &remembered, &folder, &recorded).await
}

async fn run_with(
    arguments: &Arguments,
    registry: &RegistryArguments,
    remembered: &Remembered,
    folder: &RunFolder,
    recorded: &Value,
) -> Result<u8, Failure> {
    for said in arguments.ignored()? {
        output::note(&said);
    }
    let asked = record::inputs(arguments, recorded)?;
    if arguments.only_rewrites()? {
        return report::grade(&report::Request {
            run_id: &arguments.run_id,
            dataset: Some(&asked.dataset),
            split: arguments.split.as_deref(),
            predictions: Some(&asked.predictions),
            instance_ids: &arguments.instance_ids,
            logs: &arguments.logs,
            report_dir: &arguments.report_dir,
            grader: &arguments.grader.grader()?,
            scripts: arguments.grader.scripts_dir.as_deref(),
            format: arguments.format,
        });
    }
    missing::check(arguments)?;
    let shard = arguments.engine.shard()?;
    let depot = depot(arguments)?;
    let context = depot
        .is_some()
        .then(|| Context::open(registry))
        .transpose()?;
    let carrier = depot.zip(context.as_ref()).map(|(depot, context)| Carrier {
        depot,
        run_id: &arguments.run_id,
        resolver: &context.resolver,
        work_dir: &context.work_dir,
    });
    let given = match (&carrier, shard) {
        (Some(carrier), Some(_)) => carrier.fetch_inputs(asked.clone()).await?,
        _ => asked.clone(),
    };
    let read = read(arguments, &given, recorded)?;
    let Read {
        rows,
        predictions,
        scope,
    } = &read;
    let model = predictions.model().unwrap_or_default();
    let lock = folder.lock(shard, &timestamp())?;
    let inputs = (&asked, recorded);
    record::begin(arguments, inputs, (model, scope), remembered, folder)?;
    let catalogue = inputs::catalogue(given.specs.as_deref())?;
    let grader = arguments.grader.grader()?;
    let whole = run::tasks(folder.path(), rows, predictions, &catalogue, &grader)?;
    let mut tasks = whole.clone();
    tasks.retain(|task| is_asked(arguments, &task.row.instance_id));
    let instances = tasks.len();
    tell_ungradable(&tasks);
    let handed_over = shard.is_none()
        && !arguments.engine.gather
        && arguments.engine.engine != EngineChoice::Local;
    if handed_over {
        // Now it is the shards' run.
        drop(lock);
        if let Some(carrier) = &carrier {
            let split = arguments.split.as_deref().unwrap_or(SPLIT);
            let files = inputs::files(&asked.dataset, split)?;
            tell_pushed(&carrier.push_inputs(&asked, &files, split, rows).await?);
        }
        let handed = engine::hand_over(arguments, remembered, folder.path(), instances);
        if let Some(code) = handed.await? {
            return Ok(code);
        }
    }
    let mut outcomes = if handed_over || arguments.engine.gather {
        if let Some(carrier) = &carrier {
            let shards = arguments.engine.count(instances);
            fetch_results(carrier, folder, shards, &tasks).await?;
        }
        run::gather(&tasks)
    } else {
        if let Some(shard) = shard {
            run::keep_shard(&mut tasks, shard);
        }
        let with = (grader, given.assets.as_deref());
        let evaluating = evaluate(arguments, registry, &tasks, &catalogue, with);
        Box::pin(evaluating).await?
    };
    if let Some(shard) = shard {
        if let Some(carrier) = &carrier {
            let pushed = carrier.push_results(folder.path(), shard, &outcomes);
            tell_pushed(&pushed.await?);
        }
        return Ok(exit_code::DONE);
    }
    if whole.len() > instances {
        outcomes = run::complete(&whole, outcomes);
    }
    let finished = Finished {
        run_id: &arguments.run_id,
        folder,
        dataset: &asked.dataset.display().to_string(),
        rows,
        predictions,
        outcomes: &outcomes,
        ended: &timestamp(),
    };
    let written = finished.write(&arguments.report_dir)?;
    told::finish(arguments.format, model, &outcomes, &written)
}

/// Whether an instance is evaluated now.
fn is_asked(arguments: &Arguments, instance_id: &str) -> bool {
    let asked = &arguments.instance_ids;
    asked.is_empty() || asked.iter().any(|id| id == instance_id)
}

/// Warns of instances that will have no verdict, before anything runs.
fn tell_ungradable(tasks: &[Task<'_>]) {
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for task in tasks.iter().filter(|task| !task.prediction.is_empty()) {
        if let Err(why) = &task.script {
            reasons.entry(why).or_default().push(&task.row.instance_id);
        }
    }
    for (why, instances) in reasons {
        let (named, rest) = instances.split_at(instances.len().min(NAMED));
        let more = match rest.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let named = named.join(", ");
        output::warning(&format!("{named}{more} cannot be graded: {why}"));
    }
}

fn depot(arguments: &Arguments) -> Result<Option<Depot>, Failure> {
    let Some(text) = &arguments.engine.results else {
        return Ok(None);
    };
    Depot::new(text.parse()?)
        .map(Some)
        .map_err(|why| Failure::usage(format!("--results: {why}")))
}

/// What a run is about.
struct Read {
    rows: Vec<Row>,
    predictions: Predictions,
    scope: Scope,
}

/// The rows that the run is about, those of earlier parts of it too, and the predictions.
fn read(arguments: &Arguments, given: &Inputs, recorded: &Value) -> Result<Read, Failure> {
    let split = arguments.split.as_deref().unwrap_or(SPLIT);
    let mut all = inputs::rows(&given.dataset, split)?;
    inputs::take_scripts(&mut all, given.scripts.as_deref())?;
    row::select(all.clone(), &arguments.instance_ids)
        .map_err(|error| Failure::usage(error.to_string()))?;
    let scope = |model: &str| {
        let asked = &arguments.instance_ids;
        let scope = Scope::new(asked, recorded, given, model);
        let mut rows = all.clone();
        rows.retain(|row| scope.has(&row.instance_id));
        (scope, rows)
    };
    // As upstream does: `gold` is for the instances that are asked for.
    let of = match given.predictions == GOLD {
        true => scope(GOLD).1,
        false => all.clone(),
    };
    let predictions = inputs::predictions(&given.predictions, &of)?;
    predictions
        .check_known(&all)
        .map_err(|error| Failure::new("cannot use the predictions", error.to_string()))?;
    for id in predictions.replaced() {
        output::warning(&format!(
            "{id} is predicted more than once; the last counts"
        ));
    }
    let (scope, rows) = scope(predictions.model().unwrap_or_default());
    inputs::check_graded(&rows)?;
    Ok(Read {
        rows,
        predictions,
        scope,
    })
}

async fn evaluate(
    arguments: &Arguments,
    registry: &RegistryArguments,
    tasks: &[Task<'_>],
    catalogue: &Catalogue,
    (grader, assets): (Grader, Option<&Path>),
) -> Result<Vec<Outcome>, Failure> {
    // The rest of the context lasts as long as this: its directory holds what runs write.
    let context = Context::open(registry)?;
    let store = context.layer_store()?;
    let mut tasks = tasks.to_vec();
    let assets = assets::find(assets, &mut tasks, &context).await;
    let (evaluator, workers) = evaluator(
        arguments,
        (grader, assets),
        context.resolver,
        &context.environment,
        store,
        &context.work_dir,
    )?;
    let run = Run {
        tasks: &tasks,
        evaluator: &evaluator,
        workers,
        repeat: arguments.again.repeat.get(),
        retry_infra: arguments.again.retry_infra,
        reuse: !arguments.again.fresh,
    };
    missing::build_and_evaluate(arguments, registry, catalogue, &run, &Console).await
}

async fn fetch_results(
    carrier: &Carrier<'_>,
    folder: &RunFolder,
    shards: usize,
    tasks: &[Task<'_>],
) -> Result<(), Failure> {
    let tasks: Vec<(&str, &str)> = tasks
        .iter()
        .map(|task| (&*task.prediction.model, &*task.prediction.instance_id))
        .collect();
    let missing = carrier.fetch_results(folder.path(), shards, &tasks).await?;
    for index in missing {
        let shard = Shard { index, of: shards };
        output::warning(&format!(
            "shard {}/{} has pushed nothing yet",
            shard.index, shard.of
        ));
    }
    Ok(())
}

fn tell_pushed(what: &str) {
    output::note(&format!("pushed {what}"));
}
