//! `ohoci swebench run-evaluation`: predictions are run and graded.

mod arguments;
mod engine;
mod finish;
mod missing;
mod record;
mod schedule;

use crate::cli::arguments::RegistryArguments;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::{exit_code, output};
use crate::swebench::row;

use super::{inputs, report};
pub use arguments::Arguments;
use arguments::EngineChoice;

/// Runs the command.
pub(super) async fn run(
    arguments: &Arguments,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    for said in arguments.ignored()? {
        output::note(&said);
    }
    let recorded = record::inputs(arguments)?;
    if arguments.only_rewrites()? {
        return report::run(&report::Arguments {
            run_id: arguments.run_id.clone(),
            dataset_name: Some(recorded.dataset),
            predictions_path: Some(recorded.predictions),
            instance_ids: arguments.instance_ids.clone(),
            logs: arguments.logs.clone(),
            report_dir: arguments.report_dir.clone(),
            format: arguments.format,
        });
    }
    let builds = arguments.build.check(arguments)?;
    let context = Context::open(registry)?;
    let all = inputs::rows(&recorded.dataset)?;
    let rows = row::select(all.clone(), &arguments.instance_ids)
        .map_err(|error| Failure::usage(error.to_string()))?;
    // As upstream does: `gold` is for the instances that are asked for.
    let of = if recorded.predictions == crate::swebench::predictions::GOLD {
        &rows
    } else {
        &all
    };
    let predictions = inputs::predictions(&recorded.predictions, of)?;
    predictions
        .check_known(&all)
        .map_err(|error| Failure::new("cannot use the predictions", error.to_string()))?;
    for id in predictions.replaced() {
        output::warning(&format!(
            "{id} is predicted more than once; the last counts"
        ));
    }
    let run = record::begin(arguments, &recorded)?;
    let shard = arguments.engine.shard()?;
    if shard.is_none() && !arguments.engine.gather {
        let instances = predictions.iter().count();
        match arguments.engine.engine {
            EngineChoice::Local => {}
            _ => {
                if let Some(code) = engine::hand_over(arguments, &run, instances)? {
                    return Ok(code);
                }
                let outcomes = schedule::gather(arguments, &run, &rows, &predictions)?;
                return finish::finish(arguments, &recorded, &rows, &predictions, &outcomes);
            }
        }
    }
    let outcomes = if arguments.engine.gather {
        schedule::gather(arguments, &run, &rows, &predictions)?
    } else {
        let build = builds.then_some((registry, recorded.dataset.as_path()));
        schedule::evaluate(arguments, context, &run, &rows, &predictions, shard, build).await?
    };
    if shard.is_some() {
        return Ok(exit_code::DONE);
    }
    finish::finish(arguments, &recorded, &rows, &predictions, &outcomes)
}
