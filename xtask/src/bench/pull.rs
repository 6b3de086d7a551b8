//! What the position of the shared layer costs a node: Docker pulls composed images.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use tempfile::TempDir;
use testbed::{DockerRegistry, Settings};

use super::batch::push_deps;
use super::docker;
use super::inputs::{DEPS, ENTRYPOINT};
use super::process;
use super::table::bytes;
use super::tools::{self, at_home, renew};
use crate::bases;
use crate::command::output;

/// Let Docker pull images that were composed with the deps layer at the bottom and at the top.
///
/// Docker keeps a layer once for each chain of layers below it, so a layer on top of many bases is
/// unpacked once for each of them. Each position gets a daemon with an empty store.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How many images.
    #[arg(long, default_value_t = 10)]
    images: usize,
    /// Size of the deps layer, in MB.
    #[arg(long, default_value_t = 60)]
    size: usize,
    /// The binary to compose with; without it, a release build is made.
    #[arg(long)]
    ohoci: Option<PathBuf>,
    /// Write the table to this file as well.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Measures and prints the table.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.images == 0 {
        bail!("--images must be at least 1");
    }
    let registry =
        DockerRegistry::start(&Settings::default()).context("the registry to pull from")?;
    let work = TempDir::with_prefix("bench-")?;
    let program = tools::ohoci_program(arguments.ohoci.as_deref())?;
    let address = registry.address();
    let bases = bases::push(arguments.images, address, "swebench", None)?;
    drop(push_deps(address, arguments.size)?);
    let list: String = bases
        .iter()
        .map(|base| format!("{address}/{}:latest\n", base.repository))
        .collect();
    let names: Vec<&str> = bases
        .iter()
        .filter_map(|base| base.repository.rsplit('/').next())
        .collect();

    let mut text = format!(
        "{} bases shaped like SWE-bench's, a deps layer of {} MB, pulled into an empty Docker.\n\n\
         | position | wall | disk |\n|---|---:|---:|\n",
        arguments.images, arguments.size
    );
    for position in ["top", "bottom"] {
        let home = work.path().join("ohoci");
        renew(&home)?;
        fs_err::write(home.join("bases"), &list)?;
        let mut command = at_home(&program, &home);
        command.args(["batch", "--bases", "bases", "--position", position]);
        command.args(["--deps", &format!("{address}/{DEPS}:v1")]);
        command.args(["--push", &format!("{address}/{position}:{{name}}")]);
        command.args(["--entrypoint", ENTRYPOINT]);
        let run = process::watched(&mut command, &home)?;
        if run.code != Some(0) {
            bail!("ohoci ended with {:?}: {}", run.code, run.stderr);
        }
        let (wall, disk) = pulled(&work.path().join("docker"), address, position, &names)?;
        let _ = writeln!(
            text,
            "| {position} | {:.2} s | {} |",
            wall.as_secs_f64(),
            bytes(disk)
        );
    }
    println!("{text}");
    if let Some(out) = &arguments.out {
        fs_err::write(out, &text)?;
    }
    Ok(())
}

/// How long it takes to pull the images one after the other, and how much the daemon's store grows.
fn pulled(
    home: &Path,
    address: SocketAddr,
    repository: &str,
    tags: &[&str],
) -> Result<(Duration, u64)> {
    let docker = docker::start(home)?;
    let before = disk(home)?;
    let start = Instant::now();
    for tag in tags {
        docker.pull(&format!("{address}/{repository}:{tag}"))?;
    }
    let wall = start.elapsed();
    let after = disk(home)?;
    docker.forget_all()?;
    Ok((wall, after.saturating_sub(before)))
}

/// Bytes that the daemon's store takes on disk.
fn disk(home: &Path) -> Result<u64> {
    let text = output(
        Command::new("du")
            .args(["--summarize", "--one-file-system", "--block-size=1"])
            .arg(home.join("data")),
    )?;
    text.split_whitespace()
        .next()
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("du printed {text:?}"))
}
