//! What an evaluation costs beyond its tests: a made-up instance whose repository has many files, evaluated
//! over and over.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::watched;
use super::tools::ohoci_program;
use crate::command::{find, output, run as run_command};

/// Evaluate made-up instances, with the layers known and not, and print what each step takes.
///
/// Their images hold bash and git of this machine, and a repository of that many files; their tests take a
/// third of a second.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How many files the repositories have.
    #[arg(long, value_delimiter = ',', default_value = "3000,30000")]
    files: Vec<u32>,
    /// Evaluations with known layers; the table has the medians.
    #[arg(long, default_value_t = 7)]
    runs: usize,
    /// The binary to measure; without it, a release build is made.
    #[arg(long)]
    ohoci: Option<PathBuf>,
    /// Write the table to this file as well.
    #[arg(long)]
    out: Option<PathBuf>,
}

const INSTANCE: &str = "pallets__flask-1";
const IMAGE: &str = "oci:images:swebench/sweb.eval.x86_64.pallets_1776_flask-1:latest";

/// What the image has of this machine.
const PROGRAMS: [&str; 4] = ["bash", "git", "patch", "sleep"];

const PATCH: &str =
    "diff --git a/a.sh b/a.sh\n--- a/a.sh\n+++ b/a.sh\n@@ -1 +1 @@\n-false\n+true\n";
const TEST_PATCH: &str =
    "diff --git a/t.sh b/t.sh\n--- a/t.sh\n+++ b/t.sh\n@@ -1 +1 @@\n-old\n+. ./a.sh\n";

/// Steps, in the order of the table.
const STEPS: [&str; 8] = [
    "image there",
    "patch applied",
    "first `git diff`",
    "tests",
    "second `git diff`, verdict",
    "teardown",
    "all",
    "beyond the tests",
];

/// Measures and prints the table.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.runs == 0 {
        bail!("--runs must be at least 1");
    }
    let program = ohoci_program(arguments.ohoci.as_deref())?;
    let mut text = format!(
        "Medians of {} evaluations with known layers.\n\n| files | layers | {} |\n|---:|---|{}\n",
        arguments.runs,
        STEPS.join(" | "),
        "---:|".repeat(STEPS.len())
    );
    for &files in &arguments.files {
        let work = TempDir::with_prefix("bench-")?;
        make(work.path(), files, &program)?;
        let first = evaluate(work.path(), &program)?;
        line(&mut text, files, "new", std::slice::from_ref(&first));
        let known: Vec<_> = (0..arguments.runs)
            .map(|_| evaluate(work.path(), &program))
            .collect::<Result<_>>()?;
        line(&mut text, files, "known", &known);
    }
    println!("{text}");
    if let Some(out) = &arguments.out {
        fs_err::write(out, &text)?;
    }
    Ok(())
}

/// Makes the image and the dataset.
fn make(work: &Path, files: u32, program: &Path) -> Result<()> {
    let root = work.join("root");
    let repository = root.join("testbed");
    for directory in ["etc", "proc", "dev", "tmp", "root", "opt/miniconda3/bin"] {
        fs_err::create_dir_all(root.join(directory))?;
    }
    fs_err::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/bash\n")?;
    fs_err::write(root.join("opt/miniconda3/bin/activate"), "conda() { :; }\n")?;
    for name in PROGRAMS {
        put_program(name, &root)?;
    }
    for number in 0..files {
        let directory = repository.join(format!("package{:03}", number / 100));
        if number % 100 == 0 {
            fs_err::create_dir_all(&directory)?;
        }
        let mut content = String::new();
        for at in 0..10 + number % 200 {
            let _ = writeln!(
                content,
                "value_{at} = {}",
                number.wrapping_mul(2_654_435_761)
            );
        }
        fs_err::write(directory.join(format!("module{number}.py")), content)?;
    }
    fs_err::write(repository.join("a.sh"), "false\n")?;
    let git = |words: &[&str]| {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=a", "-c", "user.email=a@registry.example"])
            .args(["-c", "gc.auto=0", "-C"])
            .arg(&repository)
            .args(words)
            .env("GIT_CONFIG_GLOBAL", "/dev/null");
        output(&mut git)
    };
    git(&["init", "--quiet"])?;
    git(&["add", "."])?;
    git(&["commit", "--quiet", "-m", "files"])?;
    // What scripts show of the last commit is little.
    fs_err::write(repository.join("t.sh"), "old\n")?;
    git(&["add", "."])?;
    git(&["commit", "--quiet", "-m", "tests"])?;
    git(&["repack", "-adq", "--window=0"])?;
    let commit = git(&["rev-parse", "HEAD"])?.trim().to_owned();
    let script = format!(
        "#!/bin/bash\nset -uxo pipefail\nsource /opt/miniconda3/bin/activate\nconda activate testbed\ncd /testbed\n\
         git config --global --add safe.directory /testbed\ncd /testbed\ngit status\ngit show\n\
         git -c core.fileMode=false diff {commit}\ngit checkout {commit} t.sh\ngit apply -v - <<'EOF'\n{TEST_PATCH}\nEOF\n\
         : '>>>>> Start Test Output'\nsleep 0.3\nbash t.sh && echo PASSED t.sh::works\n\
         : '>>>>> End Test Output'\ngit checkout {commit} t.sh\n"
    );
    let row = json!({
        "instance_id": INSTANCE, "repo": "pallets/flask", "version": "2.3", "base_commit": commit,
        "patch": PATCH, "test_patch": TEST_PATCH, "eval_script": script, "log_parser": "parse_log_flask",
        "eval_type": "pass_and_fail", "image": IMAGE.trim_start_matches("oci:images:"),
        "FAIL_TO_PASS": ["t.sh::works"], "PASS_TO_PASS": [],
    });
    fs_err::write(work.join("rows.jsonl"), row.to_string())?;
    let mut compose = ohoci(program, work);
    compose.args(["compose", "--base", "scratch", "--layer", "root"]);
    run_command(compose.args(["--push", IMAGE]))
}

/// A program of this machine with its libraries, below `/bin`.
fn put_program(name: &str, root: &Path) -> Result<()> {
    let program = find(name).with_context(|| format!("{name} is not installed"))?;
    let said = output(Command::new("ldd").arg(&program))?;
    let libraries = said.split_whitespace().filter(|word| word.starts_with('/'));
    let mut files: BTreeSet<(PathBuf, PathBuf)> =
        libraries.map(|path| (path.into(), path.into())).collect();
    files.insert((program, Path::new("/bin").join(name)));
    for (from, to) in files {
        let to = root.join(to.strip_prefix("/").unwrap_or(&to));
        if let Some(directory) = to.parent() {
            fs_err::create_dir_all(directory)?;
        }
        fs_err::copy(from, to)?;
    }
    Ok(())
}

fn ohoci(program: &Path, work: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(work).args(["--cache-dir", "cache"]);
    command
}

/// Evaluates the patch that solves it, and gives how many seconds each step took.
fn evaluate(work: &Path, program: &Path) -> Result<[f64; 8]> {
    let mut command = ohoci(program, work);
    command
        .args(["swebench", "run-evaluation", "--dataset-name", "rows.jsonl"])
        .args(["--predictions-path", "gold", "--run-id", "bench", "--fresh"])
        .args(["--images", "oci:images", "--cache-level", "instance"]);
    let run = watched(&mut command, work)?;
    let folder = work.join("logs/run_evaluation/bench/gold").join(INSTANCE);
    let record: Value = serde_json::from_slice(&fs_err::read(folder.join("ohoci.json"))?)?;
    if record["status"] != "resolved" {
        bail!("it came to {}: {}", record["status"], run.stderr);
    }
    let log = fs_err::read_to_string(folder.join("run_instance.log"))?;
    let at = |word: &str| -> Result<f64> {
        let line = log.lines().find(|line| line.contains(word));
        let time = line.and_then(seconds_of_day);
        time.with_context(|| format!("run_instance.log does not say when: {word}"))
    };
    let seconds = |name: &str| record["seconds"][name].as_f64().unwrap_or_default();
    let diff = (at("Git diff before")? - at("Applied Patch")?).rem_euclid(86_400.0);
    let (tests, teardown, total) = (seconds("tests"), seconds("teardown"), seconds("total"));
    let before = seconds("image") + seconds("patch") + diff;
    Ok([
        seconds("image"),
        seconds("patch"),
        diff,
        tests,
        (total - before - tests - teardown).max(0.0),
        teardown,
        total,
        total - tests,
    ])
}

/// `2026-01-02 03:04:05,678 - …` as seconds since midnight.
fn seconds_of_day(line: &str) -> Option<f64> {
    let time = line.get(11..23)?;
    let (clock, millis) = time.split_once(',')?;
    let mut seconds = f64::from(millis.parse::<u32>().ok()?) / 1000.0;
    for (part, unit) in clock.split(':').zip([3600.0, 60.0, 1.0]) {
        seconds += f64::from(part.parse::<u32>().ok()?) * unit;
    }
    Some(seconds)
}

fn line(text: &mut String, files: u32, layers: &str, runs: &[[f64; 8]]) {
    let _ = write!(text, "| {files} | {layers} |");
    for step in 0..STEPS.len() {
        let mut times: Vec<f64> = runs
            .iter()
            .filter_map(|run| run.get(step))
            .copied()
            .collect();
        times.sort_by(f64::total_cmp);
        let median = times.get(times.len() / 2).copied().unwrap_or_default();
        let _ = write!(text, " {:.0} ms |", median * 1e3);
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_line_is_read() {
        let line = "2026-11-29 01:02:03,250 - INFO - Git diff before:";
        assert_eq!(seconds_of_day(line), Some(3723.25));
        assert_eq!(seconds_of_day("+x"), None);
    }
}
