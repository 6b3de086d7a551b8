//! `ohoci swebench images`: instances' images under upstream's names.

mod arguments;
mod base;
mod forecast;
mod place;
mod plan;
mod planned;
mod push;
mod report;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::Mutex;

use crate::arguments::{Format, RegistryArguments};
use crate::compose::{CompressionArgument, epoch};
use crate::context::Context;
use crate::failure::Failure;
use crate::{exit_code, output};
use ohoci_config::environment::PATH;
use ohoci_image::Reference;
use ohoci_image::media_type::Compression;
use ohoci_image::timestamp::Timestamp;
use ohoci_layer::pack::PackOptions;
use ohoci_sandbox::{Limiter, Network, abstract_sockets, private_in};
use ohoci_swebench_images::builder::{Order, clones};
use ohoci_swebench_images::git::Git;
use ohoci_swebench_images::pip::PipSettings;
use ohoci_swebench_images::repository::RepoSource;
use ohoci_swebench_images::stage::Tools;
use ohoci_swebench_images::{BuildError, Builder, Level, Settings};

pub use arguments::Arguments;
use base::{BuiltBase, PlannedBase};
use forecast::Forecast;
use place::Place;
use plan::Plan;
use planned::Planned;
use push::Pusher;
use report::{Outcome, Report};

/// The share of processors that upstream recommends, and its cap.
const WORKERS: (usize, usize, usize) = (3, 4, 24);

/// How long each program of a build may take where nobody says.
const PROGRAM_TIME: Duration = Duration::from_secs(2 * 60 * 60);

/// What became of the images.
enum Done {
    /// The plan was shown, with this exit code.
    Planned(u8),
    /// They were built.
    Built(Report, Vec<Outcome>),
}

/// Runs the command.
pub(super) async fn run(
    arguments: &Arguments,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    match Box::pin(plan_and_build(arguments, registry)).await? {
        Done::Planned(code) => Ok(code),
        Done::Built(report, outcomes) => finish(arguments, &report, &outcomes),
    }
}

/// Builds images for another command, which is told what could not be built.
pub(super) async fn build(
    arguments: &Arguments,
    registry: &RegistryArguments,
) -> Result<BTreeMap<String, BuildError>, Failure> {
    match Box::pin(plan_and_build(arguments, registry)).await? {
        Done::Planned(_) => Ok(BTreeMap::new()),
        Done::Built(_, outcomes) => Ok(outcomes
            .into_iter()
            .filter_map(Outcome::into_error)
            .collect()),
    }
}

async fn plan_and_build(
    arguments: &Arguments,
    registry: &RegistryArguments,
) -> Result<Done, Failure> {
    let places = arguments
        .push
        .iter()
        .map(|text| Place::parse(text))
        .collect::<Result<Vec<_>, _>>()?;
    let deps = arguments
        .deps
        .iter()
        .map(|text| text.parse::<Reference>().map_err(Failure::from))
        .collect::<Result<Vec<_>, _>>()?;
    if !deps.is_empty()
        && places
            .iter()
            .any(|place| matches!(place, Place::Directory(_)))
    {
        return Err(Failure::usage("--deps cannot be put into root directories")
            .hinted("push to oci:DIR, and unpack what you need with `ohoci run`"));
    }
    if arguments.with_patches.is_some() && arguments.tag == "latest" {
        return Err(Failure::usage(
            "--with-patches bakes the answer in: such an image must not be taken for the instance's",
        )
        .hinted("give it another name with --tag, such as --tag gold"));
    }
    let context = Context::open(registry)?;
    let git = Git::find(context.environment.get(PATH).as_deref())
        .ok_or_else(|| Failure::new("cannot build images", "the program git is not installed"))?;
    let sources: Vec<RepoSource> = arguments
        .repo_source
        .iter()
        .map(|text| RepoSource::parse(text))
        .collect();
    let planned = planned::plan(arguments, &context, &git, &sources)?;
    let created = epoch(&context)?.map(|seconds| Timestamp::from_epoch(seconds).to_string());
    let settings = |tools| settings(arguments, &context, git.clone(), sources.clone(), tools);
    let workers = workers(arguments);
    let limits = &arguments.limits;
    let limiter = Limiter::find(limits.limits(&context.work_dir, workers, Some(PROGRAM_TIME)));
    let tools = Tools::find(context.environment.get(PATH).as_deref(), Arc::new(limiter));
    let packing = packing(arguments);
    if arguments.dry_run {
        let base = base::planned(arguments, &context, &packing).await?;
        let clones = clones(context.cache_dir.as_deref(), &context.work_dir);
        let cache = Arc::clone(&context.resolver.cache);
        let forecast = Forecast::look(cache, &git, &sources, &clones, &planned);
        let (builder, recipe) = match (base, tools) {
            (PlannedBase::There(base), Ok(tools)) => {
                let settings = settings(tools)?;
                let builder = Builder::new(settings, *base, Arc::new(context.resolver));
                (Some(builder), None)
            }
            (PlannedBase::Recipe(recipe), _) => (None, Some(recipe)),
            _ => (None, None),
        };
        let left_out = &arguments.leave_out;
        let plan = Plan::of(&planned, builder.as_ref(), recipe, &forecast, left_out);
        return show_plan(arguments, &planned, &plan).map(Done::Planned);
    }
    let tools = tools.map_err(|name| {
        Failure::new("cannot build images", format!("the program {name} is not installed"))
            .hinted("on Debian and Ubuntu, the packages bubblewrap, util-linux and mount have what it takes")
    })?;
    arguments.limits.tell(tools.limiter());
    let built = Box::pin(base::built(arguments, &context, registry, &tools, &packing));
    let base = match built.await? {
        BuiltBase::There(base) => *base,
        BuiltBase::Failed(error) => {
            report::tell("base", &error);
            let outcomes = planned.iter().map(|one| Outcome::failed(one, &error));
            let outcomes: Vec<Outcome> = outcomes.collect();
            return Ok(Done::Built(Report::of(None, &outcomes), outcomes));
        }
    };
    let (settings, work_dir) = (settings(tools)?, context.work_dir.clone());
    if settings.network == Network::Host && !abstract_sockets::can_be_kept_away() {
        output::warning(abstract_sockets::UNPROTECTED);
    }
    // Threads that build may outlast what waits for them.
    let shared = Arc::new(context.resolver);
    let builder = Builder::new(settings, base, Arc::clone(&shared));
    let pusher = Pusher {
        places,
        deps,
        work_dir,
        created,
        all_levels: arguments.all_levels,
        collected: Mutex::default(),
    };
    let (report, outcomes) = build_all(arguments, planned, builder, &pusher).await;
    let finished = pusher.finish().await;
    shared.close().await;
    for warning in shared.client.warnings() {
        output::warning(&warning);
    }
    finished?;
    Ok(Done::Built(report, outcomes))
}

/// How many images are built side by side.
fn workers(arguments: &Arguments) -> usize {
    let (share, of, cap) = WORKERS;
    arguments.max_workers.map_or_else(
        || {
            let processors = std::thread::available_parallelism().map_or(1, usize::from);
            (processors * share / of).clamp(1, cap)
        },
        usize::from,
    )
}

/// Builds and pushes; the outcomes are in the dataset's order.
async fn build_all(
    arguments: &Arguments,
    planned: Vec<Planned>,
    builder: Builder,
    pusher: &Pusher,
) -> (Report, Vec<Outcome>) {
    let builder = Arc::new(builder);
    let outcomes: Vec<Outcome> = futures_util::stream::iter(planned)
        .map(|planned| one(&builder, pusher, planned))
        .buffered(workers(arguments))
        .collect()
        .await;
    (Report::of(Some(builder.base()), &outcomes), outcomes)
}

async fn one(builder: &Arc<Builder>, pusher: &Pusher, planned: Planned) -> Outcome {
    let outcome = build_one(builder, pusher, &planned).await;
    outcome.tell();
    outcome
}

async fn build_one(builder: &Arc<Builder>, pusher: &Pusher, planned: &Planned) -> Outcome {
    let mut outcome = Outcome::of(planned);
    let order = match &planned.order {
        Ok(order) => order.clone(),
        Err(error) => {
            outcome.error = Some(error.clone());
            return outcome;
        }
    };
    let built = {
        let builder = Arc::clone(builder);
        tokio::task::spawn_blocking(move || builder.build(&order)).await
    };
    let built = built.unwrap_or_else(|error| Err(BuildError::new(Level::Instance, "build", error)));
    match built {
        Err(error) => outcome.error = Some(error),
        Ok(built) => {
            outcome.add_built(&built);
            match pusher.push(builder, planned, &built).await {
                Ok(pushed) => outcome.pushed = pushed,
                Err(error) => outcome.error = Some(error),
            }
        }
    }
    outcome
}

fn settings(
    arguments: &Arguments,
    context: &Context,
    git: Git,
    sources: Vec<RepoSource>,
    tools: Tools,
) -> Result<Settings, Failure> {
    let environment = &context.environment;
    let pip_cache = context
        .cache_dir
        .as_ref()
        .map(|directory| directory.join("pip"));
    if let (Some(directory), false) = (&pip_cache, arguments.dry_run) {
        fs_err::create_dir_all(directory)
            .map_err(|error| Failure::new("cannot use the cache", error.to_string()))?;
    }
    let files = PipSettings::files(environment.home(), environment.config_home().as_deref());
    Ok(Settings {
        cache: Arc::clone(&context.resolver.cache),
        cache_dir: context.cache_dir.clone(),
        work_dir: context.work_dir.clone(),
        logs: arguments.logs.clone(),
        tools,
        git,
        path: environment.get(PATH),
        pip: PipSettings::of_machine(std::env::vars_os(), &files, pip_cache.as_deref()),
        network: match arguments.offline {
            true => Network::None,
            false => Network::Host,
        },
        packing: packing(arguments),
        sources,
        python_dir: arguments.python_dir.as_deref().map(Path::to_owned),
        unpacked: context
            .cache_dir
            .as_ref()
            .filter(|_| arguments.keep_unpacked)
            .map(|directory| private_in(&directory.join("swebench/levels")))
            .transpose()
            .map_err(|error| Failure::new("cannot keep levels unpacked", error.to_string()))?,
        left_out: arguments.leave_out.clone(),
        architecture: planned::architecture(),
        tag: arguments.tag.clone(),
    })
}

fn packing(arguments: &Arguments) -> PackOptions {
    PackOptions {
        compression: match arguments.compression {
            CompressionArgument::Gzip => Compression::Gzip,
            CompressionArgument::Zstd => Compression::Zstd,
        },
        ..PackOptions::default()
    }
}

fn show_plan(arguments: &Arguments, planned: &[Planned], plan: &Plan) -> Result<u8, Failure> {
    match arguments.format {
        Format::Json => output::json(plan)?,
        Format::Text => output::result(plan.text().trim_end())?,
    }
    Ok(match planned.iter().any(|planned| planned.order.is_err()) {
        true => exit_code::PARTLY,
        false => exit_code::DONE,
    })
}

fn finish(arguments: &Arguments, report: &Report, outcomes: &[Outcome]) -> Result<u8, Failure> {
    match arguments.format {
        Format::Json => output::json(&report.json(outcomes))?,
        Format::Text => {
            output::note(report.text().trim_end());
            for reference in outcomes.iter().flat_map(|outcome| &outcome.pushed) {
                output::result(&reference.reference)?;
            }
        }
    }
    let failed = outcomes
        .iter()
        .filter(|outcome| outcome.error.is_some())
        .count();
    Ok(match failed {
        0 => exit_code::DONE,
        failed if failed == outcomes.len() => exit_code::FAILED,
        _ => exit_code::PARTLY,
    })
}

/// What an order needs beside the row, for those who build on the way.
pub(super) type PlannedOrder = Result<Order, BuildError>;
