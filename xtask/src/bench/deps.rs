//! How long it takes to build a deps image, how large it gets, and how long other tools need only to
//! pack the same files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use tempfile::TempDir;

use super::deps_docker;
use super::process::{Run, watched};
use super::table::bytes;
use super::tools::ohoci_program;
use crate::command::{find, output, root};

/// Build a deps image cold and from the cache, pack the same files with tar, pigz and zstd, and install
/// the same packages with `docker build`.
///
/// The first build downloads; what that takes is the mirrors' doing. All others are offline.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The recipe.
    #[arg(long, default_value = "layers/agent-server.toml")]
    recipe: PathBuf,
    /// Features to leave out; repeatable.
    #[arg(long)]
    without: Vec<String>,
    /// How often each is done; the median counts.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// The binary; without it, a release build is made.
    #[arg(long)]
    ohoci: Option<PathBuf>,
    /// Nothing of Docker, which otherwise runs where it is installed and may be started.
    #[arg(long)]
    without_docker: bool,
    /// Write the table to this file as well.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Measures and prints the table.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.runs == 0 {
        bail!("--runs must be at least 1");
    }
    let program = ohoci_program(arguments.ohoci.as_deref())?;
    let recipe = root().join(&arguments.recipe);
    let work = TempDir::with_prefix("bench-")?;
    let build = |out: &str, more: &[&str]| -> Result<Run> {
        let mut command = Command::new(&program);
        command
            .current_dir(work.path())
            .arg("--cache-dir")
            .arg(work.path().join("cache"));
        command.args(["deps", "build", "--locked"]).arg(&recipe);
        command.args(["--platform", platform()?, "--output", out]);
        for feature in &arguments.without {
            command.args(["--without", feature]);
        }
        let run = watched(command.args(more), work.path())?;
        if run.code != Some(0) {
            bail!("ohoci ended with {:?}: {}", run.code, run.stderr);
        }
        Ok(run)
    };
    let mut text = format!(
        "{}{}; medians of {}, but for the download.\n\n\
         | what | wall | peak memory | size |\n|---|---:|---:|---:|\n",
        arguments.recipe.display(),
        arguments
            .without
            .iter()
            .map(|name| format!(" without {name}"))
            .collect::<String>(),
        arguments.runs
    );
    let cold = build("oci:gzip:1", &[])?;
    row(
        &mut text,
        "build, everything downloaded",
        &[&cold],
        Some(size(&work.path().join("gzip"))?),
    );
    for compression in ["gzip", "zstd"] {
        let mut runs = Vec::new();
        for number in 0..arguments.runs {
            let out = format!("oci:{compression}-{number}:1");
            runs.push(build(&out, &["--offline", "--compression", compression])?);
        }
        let runs: Vec<&Run> = runs.iter().collect();
        let layout = work.path().join(format!("{compression}-0"));
        row(
            &mut text,
            &format!("build from the cache, {compression}"),
            &runs,
            Some(size(&layout)?),
        );
    }
    let rootfs = work.path().join("rootfs");
    let umoci = find("umoci").context("umoci is not installed")?;
    let mut umoci = Command::new(umoci);
    umoci
        .current_dir(work.path())
        .args(["raw", "unpack", "--rootless", "--image", "gzip:1"]);
    output(umoci.arg(&rootfs))?;
    for compression in ["gzip", "zstd"] {
        let mut runs = Vec::new();
        for number in 0..arguments.runs {
            let mut command = Command::new(&program);
            command
                .current_dir(work.path())
                .args(["compose", "--base", "scratch", "--layer"]);
            command.args([
                "rootfs/openhands:/openhands",
                "--compression",
                compression,
                "--push",
            ]);
            let out = format!("oci:packed-{compression}-{number}:1");
            let run = watched(command.arg(out), work.path())?;
            if run.code != Some(0) {
                bail!("ohoci ended with {:?}: {}", run.code, run.stderr);
            }
            runs.push(run);
        }
        let runs: Vec<&Run> = runs.iter().collect();
        let layout = work.path().join(format!("packed-{compression}-0"));
        let what = format!("only pack the unpacked files: ohoci, {compression}");
        row(&mut text, &what, &runs, Some(size(&layout)?));
    }
    for (name, packer) in [("pigz", "pigz -6"), ("zstd -T0", "zstd -q -T0 -3")] {
        let first = packer.split(' ').next().unwrap_or_default();
        if find(first).is_none() {
            println!("{first} is not installed");
            continue;
        }
        // Into a file, as ohoci packs; and with the two digests that make it a layer.
        let pack = format!("tar --create --sort=name openhands | {packer} > ../packed");
        let hashed = format!(
            "mkfifo ../fifo; sha256sum < ../fifo > ../diff-id & tar --create --sort=name openhands \
             | tee ../fifo | {packer} | tee ../packed | sha256sum; wait; rm ../fifo"
        );
        for (what, script) in [("", &pack), (", both digests", &hashed)] {
            let mut times = Vec::new();
            for _ in 0..arguments.runs {
                let _ = fs_err::remove_file(work.path().join("packed"));
                let start = Instant::now();
                output(Command::new("sh").current_dir(&rootfs).args(["-c", script]))?;
                times.push(start.elapsed());
            }
            times.sort();
            line(
                &mut text,
                &format!("only pack the unpacked files: tar, {name}{what}"),
                times.get(times.len() / 2).copied().unwrap_or_default(),
                None,
                fs_err::metadata(work.path().join("packed"))?.len(),
            );
        }
    }
    if !arguments.without_docker {
        docker(&mut text, &program, &recipe, arguments, work.path());
    }
    println!("{text}");
    if let Some(out) = &arguments.out {
        fs_err::write(out, &text)?;
    }
    Ok(())
}

/// The rows of Docker, or why there are none.
fn docker(text: &mut String, program: &Path, recipe: &Path, arguments: &Arguments, work: &Path) {
    let lock = recipe.with_extension("lock");
    match deps_docker::build(program, &lock, &arguments.without, work) {
        Ok(built) => {
            let what = "docker build of the same packages";
            let size = built.size;
            line(
                text,
                &format!("{what}, everything downloaded"),
                built.first,
                None,
                size,
            );
            let changed = format!("{what}, a Python package changed");
            line(text, &changed, built.changed, None, size);
        }
        Err(error) => println!("nothing of Docker: {error:#}"),
    }
}

fn platform() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("linux/amd64"),
        "aarch64" => Ok("linux/arm64"),
        other => bail!("there are no layers for {other}"),
    }
}

fn row(text: &mut String, what: &str, runs: &[&Run], size: Option<u64>) {
    let mut walls: Vec<Duration> = runs.iter().map(|run| run.wall).collect();
    walls.sort();
    let median = walls.get(walls.len() / 2).copied().unwrap_or_default();
    let memory = runs.iter().map(|run| run.memory).max();
    line(text, what, median, memory, size.unwrap_or_default());
}

fn line(text: &mut String, what: &str, wall: Duration, memory: Option<u64>, size: u64) {
    let _ = writeln!(
        text,
        "| {what} | {:.1} s | {} | {} |",
        wall.as_secs_f64(),
        memory.map_or("–".to_owned(), bytes),
        bytes(size)
    );
}

/// Bytes of all blobs of a layout.
fn size(layout: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs_err::read_dir(layout.join("blobs/sha256"))? {
        sum += entry?.metadata()?.len();
    }
    Ok(sum)
}
