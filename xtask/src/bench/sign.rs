//! What signatures cost: a batch with a key and the same batch without, by turns.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use tempfile::TempDir;
use testbed::{DockerRegistry, Relay, Settings};

use super::batch::push_deps;
use super::inputs::DEPS;
use super::own_registry::OwnRegistry;
use super::process;
use super::tools::{self, at_home, renew};
use crate::bases::{self, Base};

/// Compose on hundreds of bases with a signature for each image, and without, by turns.
///
/// In ohoci's own registry, which lists referrers and takes a blob in one POST, and in the real
/// docker-registry, which does neither. Every run begins with an empty home and a new repository.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How many bases.
    #[arg(long, default_value_t = 500)]
    images: usize,
    /// Round-trip time to add, in milliseconds.
    #[arg(long, default_value_t = 20)]
    rtt: u64,
    /// Runs of each; the table has the medians.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// The binary to measure; without it, a release build is made.
    #[arg(long)]
    ohoci: Option<PathBuf>,
    /// Write the table to this file as well.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// What the runs of one kind came to.
#[derive(Default)]
struct Measured {
    walls: Vec<Duration>,
    requests: usize,
}

impl Measured {
    fn median(&self) -> Duration {
        let mut walls = self.walls.clone();
        walls.sort();
        walls.get(walls.len() / 2).copied().unwrap_or_default()
    }
}

/// Measures and prints the table.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.images == 0 || arguments.runs == 0 {
        bail!("--images and --runs must be at least 1");
    }
    let work = TempDir::with_prefix("bench-")?;
    let program = tools::ohoci_program(arguments.ohoci.as_deref())?;
    let key = work.path().join("release");
    let mut generate = at_home(&program, work.path());
    generate.env("COSIGN_PASSWORD", "passphrase");
    generate.args(["key", "generate", "--out"]).arg(&key);
    succeed(&mut generate, work.path())?;
    let mut text = format!(
        "{} bases shaped like SWE-bench's, {} ms, medians of {} runs.\n\n\
         | registry | not signed | requests per image | signed | requests per image | more time |\n\
         |---|---:|---:|---:|---:|---:|\n",
        arguments.images, arguments.rtt, arguments.runs
    );
    let home = work.path().join("own");
    let directory = home.join("registry");
    let own = OwnRegistry::start(&program, &home, [Path::new("--dir"), &directory])?;
    let docker = DockerRegistry::start(&Settings::default()).context("the docker-registry")?;
    for (name, address) in [
        ("`ohoci registry serve`", own.address()),
        ("docker-registry", docker.address()),
    ] {
        eprintln!("pushing {} bases to {name}", arguments.images);
        let bases = bases::push(arguments.images, address, "swebench", None)?;
        push_deps(address, 20)?;
        let (mut plain, mut signed) = (Measured::default(), Measured::default());
        for number in 0..arguments.runs {
            for (measured, key) in [(&mut plain, None), (&mut signed, Some(key.as_path()))] {
                eprintln!("{name}, run {}", number + 1);
                let relay = Relay::start(address, Duration::from_millis(arguments.rtt))?;
                // A new one each time: ext4 is slow to make files for minutes after many were removed.
                let kind = key.map_or("plain", |_| "signed");
                let home = work
                    .path()
                    .join(format!("{}-{number}-{kind}", address.port()));
                renew(&home)?;
                let target = format!("out-{number}-{kind}");
                let mut command = batch(&program, &home, relay.address(), &bases, &target)?;
                if let Some(key) = key {
                    command.arg("--sign-key").arg(key.with_extension("key"));
                    command.env("COSIGN_PASSWORD", "passphrase");
                }
                process::settle()?;
                measured.walls.push(succeed(&mut command, &home)?);
                measured.requests = relay.take_traffic().exchanges.len();
            }
        }
        let per_image = |requests: usize| requests as f64 / arguments.images as f64;
        let more = signed.median().as_secs_f64() / plain.median().as_secs_f64() - 1.0;
        let _ = writeln!(
            text,
            "| {name} | {:.2} s | {:.2} | {:.2} s | {:.2} | {:.0} % |",
            plain.median().as_secs_f64(),
            per_image(plain.requests),
            signed.median().as_secs_f64(),
            per_image(signed.requests),
            more * 100.0
        );
    }
    println!("{text}");
    if let Some(out) = &arguments.out {
        fs_err::write(out, &text)?;
    }
    Ok(())
}

fn batch(
    program: &Path,
    home: &Path,
    address: SocketAddr,
    bases: &[Base],
    target: &str,
) -> Result<Command> {
    let mut list = String::new();
    for base in bases {
        let _ = writeln!(list, "{address}/{}:latest", base.repository);
    }
    fs_err::write(home.join("bases"), list)?;
    let mut command = at_home(program, home);
    command.args(["batch", "--bases", "bases", "--quiet"]);
    command.args(["--deps", &format!("{address}/{DEPS}:v1")]);
    command.args(["--push", &format!("{address}/{target}/runtime:{{name}}")]);
    Ok(command)
}

/// How long it took.
fn succeed(command: &mut Command, directory: &Path) -> Result<Duration> {
    let run = process::watched(command, directory)?;
    if run.code != Some(0) {
        bail!("ohoci ended with {:?}: {}", run.code, run.stderr);
    }
    Ok(run.wall)
}
