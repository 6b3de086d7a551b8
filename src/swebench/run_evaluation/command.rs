//! Parses what is asked for, has it evaluated, handed over or gathered, and prints what came of it.

use std::sync::Arc;

use serde_json::Value;

use super::arguments::Arguments;
use super::remembered::Remembered;
use super::told::{self, Console};
use super::{engine, record, request};
use crate::arguments::RegistryArguments;
use crate::context::Context;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::swebench::time::now;
use crate::swebench::{failures, images, machine, report};
use crate::{exit_code, output};
use ohoci_config::Environment;
use ohoci_swebench_evaluation::regrade::Regrade;
use ohoci_swebench_evaluation::request::{Means, Request};
use ohoci_swebench_evaluation::run_folder::RunFolder;
use ohoci_swebench_evaluation::{End, evaluate};

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
    let inputs = record::inputs(arguments, recorded)?;
    let grader = arguments.grader.grader()?;
    if arguments.only_rewrites()? {
        let regrade = Regrade {
            run_id: &arguments.run_id,
            logs: &arguments.logs,
            dataset: Some(&inputs.dataset),
            split: arguments.split.as_deref(),
            predictions: Some(&inputs.predictions),
            instance_ids: &arguments.instance_ids,
            report_dir: &arguments.report_dir,
            grader: &grader,
            scripts: arguments.grader.scripts_dir.as_deref(),
            environment: &Environment::of_process(),
            clock: now,
        };
        return report::grade(&regrade, arguments.format);
    }
    let build = request::build(arguments)?;
    let base = build.as_ref().and_then(|build| build.base.clone());
    let asked = Request {
        run_id: &arguments.run_id,
        folder,
        inputs,
        split: arguments.split.as_deref(),
        instance_ids: &arguments.instance_ids,
        recorded,
        remembered: record::remembered(arguments, recorded, remembered),
        mode: engine::mode(arguments, remembered)?,
        depot: engine::depot(arguments)?,
        grader,
        runs: request::runs(arguments)?,
        build,
        report_dir: &arguments.report_dir,
    };
    let context = Context::open(registry)?.shared();
    let progress = Progress::hidden();
    let means = Means {
        images: &machine::means(&context, &progress)?,
        images_observer: &images::Console {
            progress: Arc::clone(&progress),
            limits: &arguments.limits,
        },
        clock: now,
    };
    let console = Console {
        progress: Arc::clone(&progress),
        limits: &arguments.limits,
    };
    let end = Box::pin(evaluate(asked, &means, &console)).await;
    progress.end();
    match end.map_err(|error| failures::evaluate(base.as_ref(), error))? {
        End::Shard => Ok(exit_code::DONE),
        End::HandedOver(handout) => {
            output::note(&format!(
                "start it: {}; when it is complete, gather: {}",
                handout.command(),
                engine::gathering(arguments)
            ));
            output::result(&handout.path.display().to_string())?;
            Ok(exit_code::DONE)
        }
        End::Finished {
            model,
            outcomes,
            written,
        } => told::finish(arguments.format, &model, &outcomes, &written),
    }
}
