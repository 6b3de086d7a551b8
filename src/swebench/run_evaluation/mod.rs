//! `ohoci swebench run-evaluation`: predictions are run and graded.

mod arguments;
mod carrier;
mod engine;
mod engine_arguments;
mod finish;
mod missing;
mod record;
mod schedule;
pub(crate) mod words;

use crate::arguments::RegistryArguments;
use crate::context::Context;
use crate::failure::Failure;
use crate::{exit_code, output};
use ohoci_swebench::row;

use super::{inputs, report};
pub use arguments::Arguments;
use carrier::Carrier;
use engine_arguments::EngineChoice;

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
    let shard = arguments.engine.shard()?;
    let carrier = Carrier::open(arguments, registry)?;
    let mut arguments = arguments.clone();
    let given = match (&carrier, shard) {
        (Some(carrier), Some(_)) => {
            carrier
                .fetch_inputs(&mut arguments, recorded.clone())
                .await?
        }
        _ => recorded.clone(),
    };
    let arguments = &arguments;
    let all = inputs::rows(&given.dataset)?;
    let rows = row::select(all.clone(), &arguments.instance_ids)
        .map_err(|error| Failure::usage(error.to_string()))?;
    inputs::check_graded(&rows)?;
    // As upstream does: `gold` is for the instances that are asked for.
    let of = if given.predictions == ohoci_swebench::predictions::GOLD {
        &rows
    } else {
        &all
    };
    let predictions = inputs::predictions(&given.predictions, of)?;
    predictions
        .check_known(&all)
        .map_err(|error| Failure::new("cannot use the predictions", error.to_string()))?;
    for id in predictions.replaced() {
        output::warning(&format!(
            "{id} is predicted more than once; the last counts"
        ));
    }
    let run = record::begin(arguments, &recorded)?;
    let tasks: Vec<(&str, &str)> = rows
        .iter()
        .filter_map(|row| predictions.get(&row.instance_id))
        .map(|prediction| (prediction.model.as_str(), prediction.instance_id.as_str()))
        .collect();
    let instances = predictions.iter().count();
    let handed_over = shard.is_none()
        && !arguments.engine.gather
        && arguments.engine.engine != EngineChoice::Local;
    if handed_over {
        if let Some(carrier) = &carrier {
            carrier
                .push_inputs(&recorded, arguments.specs.as_deref())
                .await?;
        }
        if let Some(code) = engine::hand_over(arguments, &run, instances)? {
            return Ok(code);
        }
    }
    if handed_over || arguments.engine.gather {
        if let Some(carrier) = &carrier {
            let shards = arguments.engine.count(instances);
            carrier.fetch_results(&run, shards, &tasks).await?;
        }
        let outcomes = schedule::gather(arguments, &run, &rows, &predictions)?;
        return finish::finish(arguments, &recorded, &rows, &predictions, &outcomes);
    }
    let build = builds.then_some(registry);
    let outcomes =
        schedule::evaluate(arguments, context, &run, &rows, &predictions, shard, build).await?;
    if let (Some(carrier), Some(shard)) = (&carrier, shard) {
        carrier.push_results(&run, shard, &outcomes).await?;
    }
    if shard.is_some() {
        return Ok(exit_code::DONE);
    }
    finish::finish(arguments, &recorded, &rows, &predictions, &outcomes)
}
