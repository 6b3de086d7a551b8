//! Composes on hundreds of bases, beside other tools and what the registry itself sustains.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::{DockerRegistry, Relay, Settings, Traffic};

use super::docker;
use super::inputs::{DEPS, ENTRYPOINT};
use super::process::{self, Run};
use super::replay::Recording;
use super::table::bytes;
use super::tools::{self, Job, Tool, at_home, renew};
use crate::bases::{self, Base, Layer, noise, put_image, put_layer};
use crate::wire::Connection;

/// Compose on hundreds of bases that are shaped like SWE-bench's, in the real docker-registry.
///
/// All images go into one repository, a tag each. At each round-trip time ohoci starts with an
/// empty home and does in turn: everything for the first time; the same again; the same with
/// --resume; and everything with new deps on the bases by digest. crane and docker build do the
/// first images of the same list, one after the other, in the same run. Then, without the relay,
/// everything for the first time once more, beside the same requests sent again by a load
/// generator: what the registry sustains.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How many bases.
    #[arg(long, default_value_t = 500)]
    images: usize,
    /// Round-trip times to add, in milliseconds.
    #[arg(long, value_delimiter = ',', default_values_t = [0, 20])]
    rtt: Vec<u64>,
    /// How many images crane does.
    #[arg(long, default_value_t = 20)]
    crane_images: usize,
    /// How many images docker build does.
    #[arg(long, default_value_t = 5)]
    docker_images: usize,
    /// Size of the deps layer, in MB.
    #[arg(long, default_value_t = 20)]
    size: usize,
    /// Connections of the load generator.
    #[arg(long, value_delimiter = ',', default_values_t = [4, 16, 32])]
    connections: Vec<usize>,
    /// Runs of what is compared with the load generator, by turns; all are in the table.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// The binary to measure; without it, a release build is made.
    #[arg(long)]
    ohoci: Option<PathBuf>,
    /// Write the table to this file as well.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// One row of the table.
#[derive(Debug)]
struct Row {
    rtt: Option<u64>,
    what: String,
    images: usize,
    traffic: Option<Traffic>,
    wall: Duration,
    memory: Option<u64>,
}

struct Scene {
    registry: DockerRegistry,
    work: TempDir,
    bases: Vec<Base>,
    program: PathBuf,
}

/// Measures and prints the table.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.images == 0 || arguments.runs == 0 {
        bail!("--images and --runs must be at least 1");
    }
    let registry =
        DockerRegistry::start(&Settings::default()).context("the registry to measure against")?;
    let work = TempDir::with_prefix("bench-")?;
    let program = tools::ohoci_program(arguments.ohoci.as_deref())?;
    eprintln!("pushing {} bases", arguments.images);
    let bases = bases::push(arguments.images, registry.address(), "swebench", None)?;
    let layer = push_deps(registry.address(), arguments.size)?;
    let layer_file = work.path().join("deps.tar.gz");
    fs_err::write(&layer_file, layer)?;
    let scene = Scene {
        registry,
        work,
        bases,
        program,
    };

    let mut rows = Vec::new();
    let mut notes = Vec::new();
    let mut recording = None;
    for &rtt in &arguments.rtt {
        eprintln!("ohoci at {rtt} ms");
        let recorded = scene.ohoci(rtt, &mut rows)?;
        recording.get_or_insert(recorded);
        if arguments.crane_images > 0 {
            match tools::crane(&layer_file, &scene.work.path().join("crane")) {
                Some(crane) => {
                    scene.loop_over(crane.as_ref(), rtt, arguments.crane_images, &mut rows)?;
                }
                None => notes.push(tools::NO_CRANE.to_owned()),
            }
        }
        if arguments.docker_images > 0 {
            match docker::start(&scene.work.path().join("docker")) {
                Ok(docker) => {
                    scene.loop_over(&docker, rtt, arguments.docker_images, &mut rows)?;
                }
                Err(error) => notes.push(format!("docker is not measured: {error:#}")),
            }
        }
    }
    if let Some(recording) = recording {
        let note = scene.throughput(&recording, arguments, &mut rows)?;
        notes.push(note);
    }
    notes.dedup();
    let text = markdown(&rows, arguments, &notes);
    println!("{text}");
    if let Some(out) = &arguments.out {
        fs_err::write(out, &text)?;
    }
    Ok(())
}

/// Pushes two versions of the deps image; returns the first one's layer.
pub(super) fn push_deps(registry: SocketAddr, megabytes: usize) -> Result<Vec<u8>> {
    let mut connection = Connection::open(registry)?;
    let mut first = Vec::new();
    for (seed, tags) in [(7, ["v1", "latest"].as_slice()), (8, &["v2"])] {
        let layer = Layer::of_files(&[
            ("openhands/bin/tool", b"#!/bin/sh\nexec \"$@\"\n", 0o755),
            (
                "openhands/lib/data",
                &noise(seed, megabytes * 1_000_000),
                0o644,
            ),
        ])?;
        put_layer(&mut connection, DEPS, &layer, None)?;
        for tag in tags {
            put_image(&mut connection, DEPS, tag, &[&layer], &json!({}))?;
        }
        if first.is_empty() {
            first = layer.bytes;
        }
    }
    Ok(first)
}

impl Scene {
    /// The four things a batch is used for; returns what was sent in the first of them.
    fn ohoci(&self, rtt: u64, rows: &mut Vec<Row>) -> Result<Recording> {
        let relay = Relay::start(self.registry.address(), Duration::from_millis(rtt))?;
        // New ones each time: ext4 is slow to make files for minutes after many were removed.
        let home = self.work.path().join(format!("ohoci-{rtt}"));
        renew(&home)?;
        let address = relay.address();
        let target = format!("out-{rtt}/runtime");
        let mut seen = None;
        for (what, pinned, deps, resume) in [
            ("first time", false, "v1", false),
            ("nothing changed", false, "v1", false),
            ("--resume of a finished run", false, "v1", true),
            ("new deps, bases by digest", true, "v2", false),
        ] {
            drop(relay.take_traffic());
            process::settle()?;
            let run = self.batch(&home, address, &target, pinned, deps, resume)?;
            let traffic = relay.take_traffic();
            if seen.is_none() {
                // Now, since the tags will move on.
                seen = Some(Recording::new(&traffic, self.registry.address(), &target)?);
            }
            rows.push(Row {
                rtt: Some(rtt),
                what: format!("ohoci batch: {what}"),
                images: self.bases.len(),
                traffic: Some(traffic),
                wall: run.wall,
                memory: Some(run.memory),
            });
        }
        seen.context("nothing was measured")
    }

    fn batch(
        &self,
        home: &Path,
        address: SocketAddr,
        target: &str,
        pinned: bool,
        deps: &str,
        resume: bool,
    ) -> Result<Run> {
        let mut list = String::new();
        for base in &self.bases {
            let suffix = if pinned {
                format!("@{}", base.digest)
            } else {
                ":latest".to_owned()
            };
            let _ = writeln!(list, "{address}/{}{suffix}", base.repository);
        }
        fs_err::write(home.join("bases"), list)?;
        let mut command = at_home(&self.program, home);
        command.args(["batch", "--bases", "bases", "--format", "json"]);
        command.args(["--deps", &format!("{address}/{DEPS}:{deps}")]);
        command.args(["--push", &format!("{address}/{target}:{{name}}")]);
        command.args(["--env", "PATH=/openhands/bin:${PATH}"]);
        command.args(["--entrypoint", ENTRYPOINT]);
        if resume {
            command.arg("--resume");
        }
        let run = process::watched(&mut command, home)?;
        let summary: Value = serde_json::from_str(&run.stdout).unwrap_or_default();
        if run.code != Some(0) || summary["total"] != json!(self.bases.len()) {
            bail!(
                "ohoci ended with {:?}: {}{}",
                run.code,
                run.stdout,
                run.stderr
            );
        }
        Ok(run)
    }

    /// The first images of the list with another tool, one after the other.
    fn loop_over(
        &self,
        tool: &dyn Tool,
        rtt: u64,
        images: usize,
        rows: &mut Vec<Row>,
    ) -> Result<()> {
        let relay = Relay::start(self.registry.address(), Duration::from_millis(rtt))?;
        tool.forget()?;
        eprintln!("{} at {rtt} ms", tool.name());
        let start = Instant::now();
        let bases = self.bases.iter().take(images);
        let count = bases.len();
        let family = tool.name().split(' ').next().unwrap_or_default();
        let target = format!("{family}-{rtt}/runtime");
        for base in bases {
            let job = Job {
                registry: relay.address(),
                base: &base.repository,
                target: &target,
                tag: base.repository.rsplit('/').next().unwrap_or_default(),
            };
            tool.prepare(&job)?;
            tool.run(&job)?;
        }
        rows.push(Row {
            rtt: Some(rtt),
            what: format!("{}, one by one", tool.name()),
            images: count,
            traffic: Some(relay.take_traffic()),
            wall: start.elapsed(),
            memory: None,
        });
        Ok(())
    }

    /// ohoci and the load generator by turns, without a relay between.
    fn throughput(
        &self,
        recording: &Recording,
        arguments: &Arguments,
        rows: &mut Vec<Row>,
    ) -> Result<String> {
        let address = self.registry.address();
        let mut ours: Vec<Run> = Vec::new();
        let mut theirs: Vec<(Duration, usize)> = Vec::new();
        for number in 0..arguments.runs {
            eprintln!("ohoci and the load generator, {}", number + 1);
            let home = self.work.path().join(format!("direct-{number}"));
            renew(&home)?;
            let target = format!("direct-{number}/runtime");
            ours.push(self.batch(&home, address, &target, false, "v1", false)?);
            for &connections in &arguments.connections {
                let from = format!("out-{}/runtime", arguments.rtt.first().unwrap_or(&0));
                let into = format!("replay-{number}-{connections}/runtime");
                let wall = recording.replay(address, &from, &into, connections)?;
                theirs.push((wall, connections));
            }
        }
        for run in &ours {
            rows.push(self.without_relay("ohoci batch: first time", run.wall, Some(run.memory)));
        }
        for (wall, connections) in &theirs {
            let what = format!("the same requests replayed, {connections} connections");
            rows.push(self.without_relay(&what, *wall, None));
        }
        let ours: Vec<Duration> = ours.iter().map(|run| run.wall).collect();
        let theirs: Vec<Duration> = theirs.iter().map(|(wall, _)| *wall).collect();
        share(recording.requests(), ours, theirs)
    }

    fn without_relay(&self, what: &str, wall: Duration, memory: Option<u64>) -> Row {
        Row {
            rtt: None,
            what: what.to_owned(),
            images: self.bases.len(),
            traffic: None,
            wall,
            memory,
        }
    }
}

/// What ohoci reaches of what the load generator does, by the best and by the median run: where
/// the two differ much, the machine did other work meanwhile.
fn share(requests: usize, mut ours: Vec<Duration>, mut theirs: Vec<Duration>) -> Result<String> {
    ours.sort();
    theirs.sort();
    let mut text =
        "Without the relay, requests per second of ohoci and of the load generator:".to_owned();
    let mut beyond = false;
    for (name, pick) in [
        ("best", best as fn(&[Duration]) -> Option<Duration>),
        ("median", median),
    ] {
        let pick = |walls: &[Duration]| pick(walls).map(|wall| per_second(requests, wall));
        let (Some(ohoci), Some(generator)) = (pick(&ours), pick(&theirs)) else {
            bail!("nothing was measured");
        };
        let percent = ohoci / generator * 100.0;
        beyond |= percent > 100.0;
        let _ = write!(
            text,
            " {name} {ohoci:.0} of {generator:.0} ({percent:.0} %);"
        );
    }
    // Nobody gets more out of a registry than it sustains.
    text.push_str(if beyond {
        " more than all of it means that the load generator did not find the registry's limit."
    } else {
        " each run is in the table."
    });
    Ok(text)
}

fn best(sorted: &[Duration]) -> Option<Duration> {
    sorted.first().copied()
}

fn median(sorted: &[Duration]) -> Option<Duration> {
    let upper = sorted.get(sorted.len() / 2)?;
    let lower = sorted.get(sorted.len().saturating_sub(1) / 2)?;
    Some((*upper + *lower) / 2)
}

fn per_second(count: usize, wall: Duration) -> f64 {
    count as f64 / wall.as_secs_f64()
}

fn markdown(rows: &[Row], arguments: &Arguments, notes: &[String]) -> String {
    let mut text = format!(
        "{} bases shaped like SWE-bench's, a deps layer of {} MB.\n\n\
         | RTT | what | images | wall | images/s | requests per image | sent | received | peak memory |\n\
         |---:|---|---:|---:|---:|---:|---:|---:|---:|\n",
        arguments.images, arguments.size
    );
    for row in rows {
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
        let traffic = row.traffic.as_ref();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.2} s | {:.1} | {} | {} | {} | {} |",
            row.rtt
                .map_or("no relay".to_owned(), |rtt| format!("{rtt} ms")),
            row.what,
            row.images,
            row.wall.as_secs_f64(),
            per_second(row.images, row.wall),
            or_dash(traffic.map(|traffic| format!(
                "{:.2}",
                traffic.exchanges.len() as f64 / row.images as f64
            ))),
            or_dash(traffic.map(|traffic| bytes(traffic.sent()))),
            or_dash(traffic.map(|traffic| bytes(traffic.received()))),
            or_dash(row.memory.map(bytes)),
        );
    }
    for note in notes {
        let _ = write!(text, "\n* {note}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_above_the_whole_is_called_what_it_is() {
        let seconds = |list: &[u64]| list.iter().copied().map(Duration::from_secs).collect();
        let text = share(100, seconds(&[10, 5, 20]), seconds(&[4, 8, 6, 4])).unwrap();
        assert!(
            text.contains("best 20 of 25 (80 %); median 10 of 20 (50 %)"),
            "{text}"
        );
        assert!(text.ends_with("in the table."), "{text}");
        let text = share(100, seconds(&[4]), seconds(&[5])).unwrap();
        assert!(text.contains("did not find the registry's limit"), "{text}");
    }
}
