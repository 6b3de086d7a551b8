//! Puts a folder on a base image in a registry, with every tool, at several round-trip times.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use tempfile::TempDir;
use testbed::{DockerRegistry, Relay, Settings};

use super::inputs::{self, BASES};
use super::table::{self, Sample, WORKLOADS};
use super::tools::{self, Job, Tool, Toolbox};

/// Put a folder on a base image in a registry, with every tool that is installed.
///
/// Every tool prepends PATH and sets an entrypoint as well, and is a fresh process each time. `first` starts with everything that
/// the tool keeps on this machine deleted; `next` puts the same folder on another base right after that. All requests go through a
/// relay that adds the round-trip time; round trips are wall time divided by it.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Round-trip times to add, in milliseconds.
    #[arg(long, value_delimiter = ',', default_values_t = [0, 20, 100])]
    rtt: Vec<u64>,
    /// Only these tools.
    #[arg(long, value_delimiter = ',')]
    tools: Vec<String>,
    /// Runs of everything; the table has the medians.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Size of the made-up folder, in MB.
    #[arg(long, default_value_t = 60)]
    size: usize,
    /// A tar with an `openhands` folder to use instead.
    #[arg(long)]
    deps_tar: Option<PathBuf>,
    /// A root file system as a tar for the base image; without it, a Debian is made if mmdebstrap is installed.
    #[arg(long)]
    base_tar: Option<PathBuf>,
    /// The binary to measure; without it, a release build is made.
    #[arg(long)]
    ohoci: Option<PathBuf>,
    /// Show every request of every tool's last run, with the time since the first.
    #[arg(long)]
    requests: bool,
    /// Write the table to this file as well.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Measures and prints the table.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.runs == 0 {
        bail!("--runs must be at least 1");
    }
    let work = TempDir::with_prefix("bench-")?;
    let registry =
        DockerRegistry::start(&Settings::default()).context("the registry to measure against")?;
    let inputs = inputs::prepare(
        work.path(),
        arguments.deps_tar.as_deref(),
        arguments.base_tar.as_deref(),
        arguments.size,
    )?;
    inputs.push(registry.address())?;

    let Toolbox { tools, missing } = tools::all(
        arguments.ohoci.as_deref(),
        &arguments.tools,
        &inputs,
        work.path(),
    )?;
    for note in &missing {
        eprintln!("not measured: {note}");
    }

    let mut samples = Vec::new();
    let mut failures = Vec::new();
    for &rtt in &arguments.rtt {
        for tool in &tools {
            eprintln!("{} at {rtt} ms", tool.name());
            for number in 0..arguments.runs {
                if let Err(error) = measure(tool.as_ref(), &registry, rtt, number, &mut samples) {
                    failures.push(format!("{} at {rtt} ms: {error:#}", tool.name()));
                    eprintln!("  failed: {error:#}");
                    break;
                }
            }
            if arguments.requests {
                for sample in samples.iter().rev().take(WORKLOADS.len()).rev() {
                    println!("{}", table::requests(sample));
                }
            }
        }
    }

    let notes: Vec<String> = missing
        .iter()
        .map(|note| format!("not measured: {note}"))
        .chain(failures)
        .collect();
    let text = table::markdown(&samples, &inputs.description(), arguments.runs, &notes);
    println!("{text}");
    if let Some(out) = &arguments.out {
        fs_err::write(out, &text)?;
    }
    if samples.is_empty() {
        bail!("nothing was measured");
    }
    Ok(())
}

/// One run with nothing kept, and one after it on the next base.
fn measure(
    tool: &dyn Tool,
    registry: &DockerRegistry,
    rtt: u64,
    number: usize,
    samples: &mut Vec<Sample>,
) -> Result<()> {
    tool.forget()?;
    // On a port of its own, so that nothing which a tool remembers of the registry helps it.
    let round_trip = Duration::from_millis(rtt);
    let relay = Relay::start(registry.address(), round_trip)?;
    for (base, workload) in BASES.iter().zip(WORKLOADS) {
        // A repository of its own, so that nothing is there already.
        let target = format!(
            "out/{}-{rtt}-{number}-{workload}",
            tool.name().replace([' ', '+', ','], "-")
        );
        let job = Job {
            registry: relay.address(),
            base,
            target: &target,
            tag: "latest",
        };
        tool.prepare(&job)?;
        drop(relay.take_traffic());
        let start = Instant::now();
        tool.run(&job)?;
        let wall = start.elapsed();
        let traffic = relay.take_traffic();
        inputs::check(registry.address(), &target)?;
        let name = tool.name().to_owned();
        samples.push(Sample {
            tool: name,
            rtt: round_trip,
            workload,
            wall,
            traffic,
        });
    }
    Ok(())
}
