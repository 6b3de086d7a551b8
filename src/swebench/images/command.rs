//! Parses what is asked for, has it planned or built, and prints what came of it.

use std::sync::Arc;

use super::arguments::Arguments;
use super::{Console, base, elsewhere, failures, plan_text, report_text};
use crate::arguments::{Format, RegistryArguments};
use crate::context::Context;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::swebench::cluster::EngineChoice;
use crate::swebench::{inputs, machine};
use crate::{exit_code, output};
use ohoci_image::Reference;
use ohoci_layer::pack::PackOptions;
use ohoci_swebench::row;
use ohoci_swebench_images::destination::Destination;
use ohoci_swebench_images::images::{self, default_workers};
use ohoci_swebench_images::plan::Plan;
use ohoci_swebench_images::report::Report;
use ohoci_swebench_images::repository::RepoSource;
use ohoci_swebench_images::request::{Instances, Means, Request};

/// Runs the command.
pub(crate) async fn run(
    arguments: &Arguments,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    let dataset = match &arguments.dataset_name {
        Some(dataset) if arguments.tasks.is_empty() => dataset,
        _ => {
            return Err(Failure::usage(format!(
                "`images {}` is for a repository of tasks with Dockerfiles, which are not run here",
                arguments.tasks.join(" ")
            ))
            .hinted(
                "ohoci swebench images --dataset-name FILE|NAME builds from the dataset's rows",
            ));
        }
    };
    let request = request(arguments)?;
    let context = Context::open(registry)?.signing(&arguments.signing).await?;
    let all = ohoci_swebench_inputs::rows(dataset, &arguments.split, &context.environment)?;
    let patches = match &arguments.with_patches {
        Some(name) => Some(inputs::predictions(name, &all)?),
        None => None,
    };
    let instances = Instances {
        rows: row::select(all, &arguments.instance_ids)
            .map_err(|error| Failure::usage(error.to_string()))?,
        catalogue: &ohoci_swebench_inputs::catalogue(arguments.specs.as_deref())?,
        patches: patches.as_ref(),
    };
    let progress = Progress::start();
    let console = Console {
        progress: Arc::clone(&progress),
        limits: &arguments.limits,
    };
    let context = context.shared();
    let means = machine::means(&context, &progress)?;
    let failed = |error| failures::failure(request.base.as_ref(), error);
    let cluster = &arguments.part.cluster;
    if arguments.dry_run {
        let shards = (cluster.engine != EngineChoice::Local).then_some(cluster.shards);
        let plan = images::plan(&request, instances, &means, shards, &console).await;
        progress.end();
        return show(arguments, &plan.map_err(failed)?);
    }
    if arguments.part.gather {
        progress.end();
        return gathered(arguments, &request, instances, &means, &console);
    }
    if let Some(over) = elsewhere::hand_over(arguments, &request.destinations)? {
        progress.end();
        let again = instances.clone();
        let handed = images::hand_over(&request, again, &means, &over, &console).await;
        if let Some(stages) = handed.map_err(failed)? {
            output::note(&format!(
                "start them: {}; when they are complete, gather: {}",
                stages.start,
                elsewhere::gathering(over.shards)
            ));
            for handout in &stages.handouts {
                output::result(&handout.path.display().to_string())?;
            }
            return Ok(exit_code::DONE);
        }
        return gathered(arguments, &request, instances, &means, &console);
    }
    let building = images::build(&request, instances, &means, &console);
    let report = Box::pin(building).await;
    progress.end();
    let code = finish(arguments, &report.map_err(failed)?)?;
    // A shard has done its part when it has left its report.
    Ok(match arguments.part.shard {
        Some(_) => exit_code::DONE,
        None => code,
    })
}

/// Tells what shards have left.
fn gathered(
    arguments: &Arguments,
    request: &Request,
    instances: Instances<'_>,
    means: &Means<'_>,
    console: &Console<'_>,
) -> Result<u8, Failure> {
    let shards = arguments.part.cluster.shards;
    let report = images::gather(request, instances, means, shards, console)
        .map_err(|error| failures::failure(request.base.as_ref(), error))?;
    for outcome in report.outcomes.iter().filter(|one| one.error.is_some()) {
        report_text::tell_outcome(outcome);
    }
    finish(arguments, &report)
}

fn show(arguments: &Arguments, plan: &Plan) -> Result<u8, Failure> {
    match arguments.format {
        Format::Json => output::json(plan)?,
        Format::Text => output::result(plan_text::text(plan).trim_end())?,
    }
    let mut instances = plan.instances.iter();
    Ok(match instances.any(|one| one.refused.is_some()) {
        true => exit_code::PARTLY,
        false => exit_code::DONE,
    })
}

fn request(arguments: &Arguments) -> Result<Request, Failure> {
    let destinations = arguments
        .push
        .iter()
        .map(|text| text.parse::<Destination>())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Failure::usage(format!("--push {error}")))?;
    let levels = elsewhere::levels(arguments, &destinations)?;
    let deps = arguments
        .deps
        .iter()
        .map(|text| text.parse::<Reference>().map_err(Failure::from))
        .collect::<Result<Vec<_>, _>>()?;
    if !deps.is_empty()
        && destinations
            .iter()
            .any(|destination| matches!(destination, Destination::Directory(_)))
    {
        return Err(Failure::usage("--deps cannot be put into root directories")
            .hinted("push to oci:DIR, and unpack what you need with `ohoci run`"));
    }
    if arguments.signing.is_asked_for()
        && let Some(at) = destinations.iter().position(|one| !one.holds_signatures())
    {
        let place = arguments.push.get(at).map_or("", String::as_str);
        return Err(Failure::usage(format!(
            "images in {place} cannot be signed: only registries and OCI layouts hold what is about images"
        )));
    }
    if arguments.with_patches.is_some() && arguments.tag == "latest" {
        return Err(Failure::usage(
            "--with-patches bakes the answer in: such an image must not be taken for the instance's",
        )
        .hinted("give it another name with --tag, such as --tag gold"));
    }
    Ok(Request {
        sources: sources(&arguments.repo_source),
        base: base::source(
            arguments.base_image.as_deref(),
            arguments.base_recipe.as_deref(),
        )?,
        python_dir: arguments.python_dir.clone(),
        destinations,
        namespace: arguments.namespace.clone(),
        tag: arguments.tag.clone(),
        all_levels: arguments.all_levels,
        deps,
        channels: arguments.channel.clone(),
        conda_locks: arguments.conda_locks.clone(),
        leave_out: arguments.leave_out.clone(),
        offline: arguments.offline,
        levels,
        part: elsewhere::part(arguments)?,
        disk_budget: arguments.disk_budget,
        keep_unpacked: arguments.keep_unpacked,
        workers: arguments
            .max_workers
            .map_or_else(default_workers, usize::from),
        logs: arguments.logs.clone(),
        packing: PackOptions {
            compression: arguments.compression,
            ..PackOptions::default()
        },
        limits: arguments.limits.asked(),
    })
}

fn sources(texts: &[String]) -> Vec<RepoSource> {
    texts.iter().map(|text| RepoSource::parse(text)).collect()
}

fn finish(arguments: &Arguments, report: &Report) -> Result<u8, Failure> {
    match arguments.format {
        Format::Json => output::json(&report.json())?,
        Format::Text => {
            output::note(report_text::text(report).trim_end());
            for pushed in report.outcomes.iter().flat_map(|outcome| &outcome.pushed) {
                output::result(&pushed.reference)?;
            }
        }
    }
    Ok(match report.failed() {
        0 => exit_code::DONE,
        failed if failed == report.outcomes.len() => exit_code::FAILED,
        _ => exit_code::PARTLY,
    })
}
