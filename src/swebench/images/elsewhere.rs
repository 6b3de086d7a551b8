//! Images that other machines build, as the flags ask for them.

use super::arguments::{Arguments, StageChoice};
use crate::failure::Failure;
use crate::swebench::cluster::{DIVIDING, EngineChoice, Volume, place};
use crate::swebench::given::given;
use ohoci_image::Reference;
use ohoci_image::untagged::Untagged;
use ohoci_swebench_images::destination::Destination;
use ohoci_swebench_images::division::{Part, Stage};
use ohoci_swebench_images::engine::{HandOver, Shard, quoted};
use ohoci_swebench_images::shared_levels::SharedLevels;

/// The command.
const NAME: &str = "images";

/// The repository beside images in which machines share levels, unless another is named.
const LEVELS: &str = "sweb.levels";

/// What is for one process only, by clap's names.
const OWN: [&str; 7] = [
    "stage",
    "shard",
    "gather",
    "write_only",
    "dry_run",
    "format",
    "verbose",
];

/// The part that is built here; `None` is all.
pub(super) fn part(arguments: &Arguments) -> Result<Option<Part>, Failure> {
    let given = &arguments.part;
    let shard = given.shard.as_deref().map(str::parse::<Shard>).transpose();
    let shard = shard.map_err(|error| Failure::usage(format!("--shard: {error}")))?;
    if shard.is_none() && given.stage.is_none() {
        return Ok(None);
    }
    Ok(Some(Part {
        stage: match given.stage {
            Some(StageChoice::Shared) => Stage::Shared,
            Some(StageChoice::Instances) | None => Stage::Instances,
        },
        shard: shard.unwrap_or(Shard { index: 0, of: 1 }),
    }))
}

/// Where levels are shared: what is asked for, else beside the images if other machines build them.
pub(super) fn levels(
    arguments: &Arguments,
    destinations: &[Destination],
) -> Result<Option<SharedLevels>, Failure> {
    let Some(text) = arguments.levels.clone().or_else(|| {
        let is_divided = arguments.part.cluster.engine != EngineChoice::Local;
        is_divided.then(|| beside(destinations)).flatten()
    }) else {
        return Ok(None);
    };
    Untagged::try_from(text.parse::<Reference>()?)
        .map(|place| Some(place.into()))
        .map_err(|error| Failure::usage(format!("--levels: {error}")))
}

fn beside(destinations: &[Destination]) -> Option<String> {
    destinations
        .iter()
        .find_map(|destination| match destination {
            Destination::Registry(registry) => Some(format!("{registry}/{LEVELS}")),
            Destination::Layout(path) => Some(format!("oci:{}", path.display())),
            _ => None,
        })
}

/// How the work is handed to a scheduler; `None` where it is done here.
pub(super) fn hand_over(
    arguments: &Arguments,
    destinations: &[Destination],
) -> Result<Option<HandOver>, Failure> {
    let cluster = &arguments.part.cluster;
    let cpus = arguments.limits.asked().only().cpus;
    let scheduler = cluster.scheduler(
        cpus.map(|cpus| cpus.to_string()),
        Volume::Needed("--engine-volume"),
    )?;
    let Some(scheduler) = scheduler.filter(|_| part(arguments).is_ok_and(|part| part.is_none()))
    else {
        return Ok(None);
    };
    if let Some(at) = destinations.iter().position(Destination::is_archive) {
        let place = arguments.push.get(at).map_or("", String::as_str);
        return Err(Failure::usage(format!(
            "{place} is one file, which several machines cannot write"
        ))
        .hinted("push to a registry, and `ohoci copy` from there"));
    }
    let Some(default) = arguments.levels.clone().or_else(|| beside(destinations)) else {
        return Err(
            Failure::usage("--engine needs a place in which machines share levels")
                .hinted("push to a registry, or name one with --levels"),
        );
    };
    let (directory, program) = place(&scheduler)?;
    let mut command = vec![program, "swebench".to_owned(), NAME.to_owned()];
    command.extend(words());
    if arguments.levels.is_none() {
        command.push(format!("--levels={default}"));
    }
    Ok(Some(HandOver {
        scheduler,
        shards: cluster.shards,
        at_once: cluster.at_once,
        command,
        directory,
        only_writes: cluster.write_only,
    }))
}

/// The flags of this process that are its shards', too.
fn words() -> impl Iterator<Item = String> {
    let skip = [&OWN[..], &DIVIDING].concat();
    let given = given(std::env::args_os(), NAME, &skip, &[]);
    given.into_iter().flat_map(|(_, words)| words)
}

/// The command line that gathers what shards have left.
pub(super) fn gathering(shards: usize) -> String {
    let mut all: Vec<String> = ["ohoci", "swebench", NAME].map(str::to_owned).into();
    all.extend(words());
    all.push("--gather".to_owned());
    all.push(format!("--shards={shards}"));
    quoted(&all)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    #[test]
    fn a_shard_is_started_as_the_whole_but_for_what_divides_it() {
        let line = "ohoci swebench images -d rows.jsonl --engine slurm --shards=4 --push h.example/x --leave-out a,b --write-only --dry-run -i c d --format json";
        let skip = [&OWN[..], &DIVIDING].concat();
        let words: Vec<String> = given(line.split(' ').map(OsString::from), NAME, &skip, &[])
            .into_iter()
            .flat_map(|(_, words)| words)
            .collect();
        assert_eq!(
            words.join(" "),
            "--dataset-name=rows.jsonl --instance-ids=c --instance-ids=d --push=h.example/x --leave-out=a --leave-out=b"
        );
    }

    #[test]
    fn levels_lie_beside_the_images() {
        let place = |texts: &[&str]| {
            let all: Vec<Destination> = texts.iter().map(|text| text.parse().unwrap()).collect();
            beside(&all)
        };
        assert_eq!(
            place(&["dir:roots", "registry.example/mirror/"]).unwrap(),
            "registry.example/mirror/sweb.levels"
        );
        assert_eq!(place(&["oci:images"]).unwrap(), "oci:images");
        assert_eq!(place(&["dir:roots"]), None);
    }
}
