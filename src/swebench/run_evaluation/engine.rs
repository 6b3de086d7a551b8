//! Runs on other machines, as the flags ask for them.

use std::path::Path;

use super::arguments::{Arguments, LOGS};
use super::remembered::Remembered;
use crate::failure::Failure;
use crate::swebench::cluster::{Volume, place};
use ohoci_image::Reference;
use ohoci_image::untagged::Untagged;
use ohoci_swebench_evaluation::carried::Depot;
use ohoci_swebench_evaluation::request::Mode;
use ohoci_swebench_images::engine::{HandOver, Scheduler, quoted};

/// How much of the run is done, and where.
pub(super) fn mode(arguments: &Arguments, remembered: &Remembered) -> Result<Mode, Failure> {
    let engine = &arguments.engine;
    if let Some(shard) = engine.shard()? {
        return Ok(Mode::Shard(shard));
    }
    if engine.gather {
        return Ok(Mode::Gather(engine.cluster.shards));
    }
    let Some(scheduler) = scheduler(arguments)? else {
        return Ok(Mode::Whole);
    };
    let (directory, program) = place(&scheduler)?;
    Ok(Mode::HandOver(Box::new(HandOver {
        scheduler,
        shards: engine.cluster.shards,
        at_once: engine.cluster.at_once,
        command: remembered.of_shard(&program, &arguments.run_id),
        directory,
        only_writes: engine.cluster.write_only,
    })))
}

/// What carries parts of the run.
pub(super) fn depot(arguments: &Arguments) -> Result<Option<Depot>, Failure> {
    let Some(text) = &arguments.engine.results else {
        return Ok(None);
    };
    Untagged::try_from(text.parse::<Reference>()?)
        .map(|place| Some(place.into()))
        .map_err(|error| Failure::usage(format!("--results: {error}")))
}

/// The scheduler that the flags ask for; `None` is this machine.
fn scheduler(arguments: &Arguments) -> Result<Option<Scheduler>, Failure> {
    let engine = &arguments.engine;
    let cpus = arguments.limits.asked().only().cpus;
    let volume = match engine.results {
        Some(_) => Volume::Optional,
        None => Volume::Needed("--engine-volume or --results"),
    };
    let cpus = cpus.map(|cpus| cpus.to_string());
    engine.cluster.scheduler(cpus, volume)
}

/// The command line that gathers what shards have left: the run remembers the rest.
pub(super) fn gathering(arguments: &Arguments) -> String {
    let mut words = [
        "ohoci",
        "swebench",
        "run-evaluation",
        "--resume",
        "--gather",
    ]
    .map(str::to_owned)
    .to_vec();
    words.push(format!("--run-id={}", arguments.run_id));
    if arguments.logs != Path::new(LOGS) {
        words.push(format!("--logs={}", arguments.logs.display()));
    }
    quoted(&words)
}
