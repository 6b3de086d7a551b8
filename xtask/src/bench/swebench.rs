//! How long SWE-bench's images and evaluations take, step by step.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::Value;
use tempfile::TempDir;

use super::process::{Run, watched};
use super::table::bytes;
use super::tools::ohoci_program;

/// Build instances' images from nothing, evaluate their gold patches without a network, and plan all of
/// a dataset.
///
/// Repositories come from this machine; packages from where pip's configuration says.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The dataset's rows.
    #[arg(long)]
    dataset: PathBuf,
    /// The instances; repeatable.
    #[arg(long = "instance", required = true)]
    instances: Vec<String>,
    /// Where repositories come from; repeatable.
    #[arg(long, required = true)]
    repo_source: Vec<String>,
    /// The base image.
    #[arg(long)]
    base_image: String,
    /// A folder with one Python for each version.
    #[arg(long)]
    python_dir: Option<PathBuf>,
    /// The binary; without it, a release build is made.
    #[arg(long)]
    ohoci: Option<PathBuf>,
    /// Write the table to this file as well.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Measures and prints the table.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let program = ohoci_program(arguments.ohoci.as_deref())?;
    let work = TempDir::with_prefix("bench-")?;
    let here = std::env::current_dir()?;
    let dataset = here.join(&arguments.dataset);
    let swebench = |name: &str, more: &[&str]| -> Result<Run> {
        let mut command = Command::new(&program);
        command
            .current_dir(work.path())
            .args(["--cache-dir", "cache", "swebench", name, "--dataset-name"])
            .arg(&dataset)
            .args(more);
        watched(&mut command, work.path())
    };
    let mut build = vec!["--base-image", &arguments.base_image];
    for source in &arguments.repo_source {
        build.extend(["--repo-source", source]);
    }
    let pythons = arguments.python_dir.as_ref().map(|path| here.join(path));
    let pythons = pythons.map(|path| path.display().to_string());
    if let Some(pythons) = &pythons {
        build.extend(["--python-dir", pythons]);
    }
    let mut ids = vec!["--instance-ids"];
    ids.extend(arguments.instances.iter().map(String::as_str));

    let mut more = vec![
        "--push",
        "oci:images",
        "--format",
        "json",
        "--max-workers",
        "1",
    ];
    more.extend(build.iter().chain(&ids));
    let built = checked("images", swebench("images", &more)?)?;
    let report: Value = serde_json::from_str(&built.stdout)?;
    let mut more = vec!["--predictions-path", "gold", "--run-id", "bench"];
    more.extend(["--images", "oci:images", "--max-workers", "1"]);
    more.extend(&ids);
    // The exit code tells of verdicts, which the table has.
    swebench("run-evaluation", &more)?;

    let mut text = "| instance | environment | instance | its install command | beyond that | evaluation | of that tests | teardown | verdict |\n\
                    |---|---:|---:|---:|---:|---:|---:|---:|---|\n"
        .to_owned();
    let instances = report["instances"].as_array().cloned().unwrap_or_default();
    for instance in &instances {
        let id = instance["instanceId"].as_str().unwrap_or_default();
        line(&mut text, id, instance, &record(work.path(), id)?);
    }
    let planned = checked(
        "the plan",
        swebench("images", &["--dry-run", "--format", "json"])?,
    )?;
    let plan: Value = serde_json::from_str(&planned.stdout)?;
    let _ = writeln!(
        text,
        "\nThe plan of the dataset's {} instances: {:.2} s, {} at most.",
        plan["instances"].as_array().map_or(0, Vec::len),
        planned.wall.as_secs_f64(),
        bytes(planned.memory)
    );
    println!("{text}");
    if let Some(out) = &arguments.out {
        fs_err::write(out, &text)?;
    }
    Ok(())
}

fn checked(what: &str, run: Run) -> Result<Run> {
    if run.code != Some(0) {
        bail!("{what} ended with {:?}: {}", run.code, run.stderr);
    }
    Ok(run)
}

/// What an evaluation has left of an instance.
fn record(work: &Path, id: &str) -> Result<Value> {
    let path = work.join("logs/run_evaluation/bench/gold").join(id);
    Ok(serde_json::from_slice(&fs_err::read(
        path.join("ohoci.json"),
    )?)?)
}

fn line(text: &mut String, id: &str, built: &Value, evaluated: &Value) {
    let levels = built["levels"].as_array().cloned().unwrap_or_default();
    let level = |name: &str| levels.iter().find(|level| level["level"] == name);
    let environment = level("environment").map_or_else(String::new, |level| {
        let size = bytes(level["size"].as_u64().unwrap_or_default());
        match level["fromCache"] == true {
            true => format!("there, {size}"),
            false => format!("{:.1} s, {size}", seconds(&level["seconds"])),
        }
    });
    let own = level("instance").map_or(0.0, |level| seconds(&level["seconds"]));
    let script = seconds(&built["scriptSeconds"]);
    let times = &evaluated["seconds"];
    let _ = writeln!(
        text,
        "| `{id}` | {environment} | {own:.1} s | {script:.1} s | {:.1} s | {:.1} s | {:.1} s | {:.2} s | {} |",
        (own - script).max(0.0),
        seconds(&times["total"]),
        seconds(&times["tests"]),
        seconds(&times["teardown"]),
        evaluated["status"].as_str().unwrap_or("none"),
    );
}

fn seconds(value: &Value) -> f64 {
    value.as_f64().unwrap_or_default()
}
