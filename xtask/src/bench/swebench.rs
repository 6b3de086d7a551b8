//! How long SWE-bench's images and evaluations take, step by step.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::Value;
use tempfile::TempDir;

use super::process::{Run, watched};
use super::swebench_docker::{Inputs, measure};
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
    /// The first instance with Docker, too, from this clone of its repository.
    #[arg(long, value_name = "CLONE", requires = "python_dir")]
    docker: Option<PathBuf>,
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
    if let Some(clone) = &arguments.docker {
        let first = instances.first().context("nothing was built")?;
        let id = first["instanceId"].as_str().unwrap_or_default();
        text.push_str(&beside_docker(
            &program,
            &here,
            arguments,
            (work.path(), clone),
            first,
            &record(work.path(), id)?,
        ));
    }
    println!("{text}");
    if let Some(out) = &arguments.out {
        fs_err::write(out, &text)?;
    }
    Ok(())
}

/// The same with Docker, or why not.
fn beside_docker(
    program: &Path,
    here: &Path,
    arguments: &Arguments,
    (work, clone): (&Path, &Path),
    built: &Value,
    evaluated: &Value,
) -> String {
    let text = |name: &str| built[name].as_str().unwrap_or_default();
    let pythons = arguments.python_dir.as_deref().map(|path| here.join(path));
    let inputs = Inputs {
        program,
        work,
        base_image: &arguments.base_image,
        pythons: &pythons.unwrap_or_default(),
        clone: &here.join(clone),
        instance: text("instanceId"),
        base_commit: &base_commit(&here.join(&arguments.dataset), text("instanceId")),
        image: text("image"),
        environment: text("environmentImage"),
    };
    let docker = match measure(&inputs) {
        Ok(times) => times,
        Err(error) => return format!("\nWith Docker: not measured here: {error:#}\n"),
    };
    let levels = built["levels"].as_array().cloned().unwrap_or_default();
    let level = |name: &str| -> f64 {
        let own = levels.iter().filter(|level| level["level"] == name);
        own.map(|level| seconds(&level["seconds"])).sum()
    };
    let times = &evaluated["seconds"];
    let (unpacking, teardown) = (seconds(&times["image"]), seconds(&times["teardown"]));
    let mut table = format!(
        "\n`{}` with Docker, from the same base, packages and clone; its tests: {}\n\n\
         | step | ohoci | docker | ratio |\n|---|---:|---:|---:|\n",
        inputs.instance, docker.said
    );
    let evaluation = seconds(&times["total"]) - unpacking - teardown;
    for (step, ours, theirs) in [
        (
            "environment, with Python",
            level("python") + level("environment"),
            Some(docker.environment),
        ),
        (
            "instance, with history",
            level("history") + level("instance"),
            Some(docker.instance),
        ),
        // A daemon keeps images unpacked.
        ("unpack the image, once", unpacking, None),
        ("evaluation", evaluation, Some(docker.evaluation)),
        ("teardown", teardown, Some(docker.teardown)),
    ] {
        let theirs = theirs.map(|theirs| theirs.as_secs_f64());
        let (theirs, ratio) = match theirs {
            Some(theirs) => (
                format!("{theirs:.2} s"),
                format!("{:.1}", theirs / ours.max(0.001)),
            ),
            None => ("–".to_owned(), "–".to_owned()),
        };
        let _ = writeln!(table, "| {step} | {ours:.2} s | {theirs} | {ratio} |");
    }
    table
}

/// The commit of an instance, as lines of JSON have it.
fn base_commit(dataset: &Path, instance: &str) -> String {
    let text = fs_err::read_to_string(dataset).unwrap_or_default();
    let rows = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let row = rows.into_iter().find(|row| row["instance_id"] == instance);
    row.and_then(|row| Some(row["base_commit"].as_str()?.to_owned()))
        .unwrap_or_default()
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
