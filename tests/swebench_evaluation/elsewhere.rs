//! Runs that are divided into shards for a scheduler.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::COMMENT;
use super::scene::{GOLD, Scene};
use crate::support::command::Outcome;
use crate::support::ohoci_registry::OhociRegistry;

/// Two instances: one that is solved, one that is not.
fn scene() -> Scene {
    let scene = Scene::new();
    let named = |id: &str| {
        let mut row = scene.row();
        row["instance_id"] = json!(id);
        row
    };
    scene.dataset(&[named("a__one-1"), named("a__two-2")]);
    scene.predictions(&[("a__one-1", GOLD), ("a__two-2", COMMENT)]);
    scene
}

#[test]
fn shards_leave_what_is_gathered_afterwards() {
    let scene = scene();
    scene.run("preds.jsonl", &["--shard", "1/2"]).exits(0);
    let outcome = scene.run("preds.jsonl", &["--gather"]).exits(3);
    assert!(
        outcome.stdout.contains("infra         a__one-1"),
        "{}",
        outcome.stdout
    );
    scene.run("preds.jsonl", &["--shard", "0/2"]).exits(0);
    let outcome = scene.run("preds.jsonl", &["--gather"]).exits(4);
    assert!(
        outcome.stdout.contains("resolved      a__one-1"),
        "{}",
        outcome.stdout
    );
    assert_eq!(
        scene.summary("org__m")["unresolved_ids"],
        json!(["a__two-2"])
    );

    scene.predictions(&[("a__one-1", COMMENT), ("a__two-2", COMMENT)]);
    let outcome = scene.run("preds.jsonl", &["--gather"]).exits(3);
    assert!(
        outcome.stdout.contains("infra         a__one-1"),
        "of another patch"
    );
}

#[test]
fn slurm_runs_an_array_of_shards() {
    let scene = scene();
    // What sbatch does, one task after another.
    let sbatch = "#!/bin/bash\nfor script; do :; done\nlast=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' \"$script\")\nfor task in $(seq 0 \"$last\"); do SLURM_ARRAY_TASK_ID=$task bash \"$script\" || exit 1; done\n";
    let program = scene.ohoci.write("home/bin/sbatch", sbatch);
    fs_err::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    let flags = ["--engine", "slurm", "--shards", "2", "--sbatch=--mem=4G"];
    let output = scene
        .command("preds.jsonl", &flags)
        .env(
            "PATH",
            format!("{}:{path}", program.parent().unwrap().display()),
        )
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert_eq!(scene.summary("org__m")["resolved_ids"], json!(["a__one-1"]));
    let script = scene
        .ohoci
        .work()
        .join("logs/run_evaluation/r/slurm/job.sh");
    let script = fs_err::read_to_string(script).unwrap();
    assert!(script.contains("#SBATCH --array=0-1\n"), "{script}");
    assert!(script.contains("#SBATCH --mem=4G\n"), "{script}");

    let outcome = scene.run("preds.jsonl", &["--engine", "slurm"]).exits(1);
    assert!(outcome.stderr.contains("sbatch"), "{}", outcome.stderr);
}

#[test]
fn kubernetes_is_given_a_manifest() {
    let scene = scene();
    let flags = ["--engine", "kubernetes", "--shards", "5"];
    let outcome = scene.run("preds.jsonl", &flags).exits(2);
    assert!(
        outcome.stderr.contains("--engine-image"),
        "{}",
        outcome.stderr
    );
    let place = [
        "--engine-image",
        "registry.example/ohoci:1",
        "--engine-volume",
        "runs",
    ];
    let outcome = scene
        .run("preds.jsonl", &[&flags[..], &place].concat())
        .exits(0);
    let path = scene.ohoci.work().join(outcome.stdout.trim());
    let job: Value = serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap();
    assert_eq!(job["spec"]["completions"], 2, "no more than instances");
    let script = &job["spec"]["template"]["spec"]["containers"][0]["command"][2];
    let script = script.as_str().unwrap();
    assert!(
        script.ends_with("--shard \"$JOB_COMPLETION_INDEX/2\""),
        "{script}"
    );
    assert!(
        script.starts_with("exec ohoci swebench run-evaluation "),
        "{script}"
    );
    assert!(!script.contains("kubernetes"), "{script}");
    assert!(script.contains(" --images=oci:images "), "{script}");
    let gather = "--resume --gather --run-id=r";
    assert!(outcome.stderr.contains(gather), "{}", outcome.stderr);

    // One that is only of a part has no more shards than that.
    let part = [&flags[..], &place, &["-i", "a__one-1"]].concat();
    let outcome = scene.run("preds.jsonl", &part).exits(0);
    let path = scene.ohoci.work().join(outcome.stdout.trim());
    let job: Value = serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap();
    assert_eq!(job["spec"]["completions"], 1);
    let script = &job["spec"]["template"]["spec"]["containers"][0]["command"][2];
    assert!(script.as_str().unwrap().contains("--instance-ids=a__one-1"));
}

/// All that is told of a run but for times: upstream's files and ohoci's statuses.
fn told(scene: &Scene, outcome: &Outcome) -> Vec<String> {
    let folder = scene.ohoci.work().join("logs/run_evaluation/r/org__m");
    let mut told: Vec<String> = ["a__one-1", "a__two-2"]
        .into_iter()
        .flat_map(|id| {
            ["patch.diff", "eval.sh", "test_output.txt", "report.json"]
                .map(|name| folder.join(id).join(name))
        })
        .map(|path| fs_err::read_to_string(path).unwrap())
        .collect();
    told.push(scene.summary("org__m").to_string());
    let lines = outcome.stdout.lines();
    told.extend(lines.map(|line| line.split("  ").take(4).collect()));
    told
}

#[test]
fn a_registry_carries_what_shards_start_from_and_leave() {
    let scene = scene();
    let work = scene.ohoci.work();
    // In one directory that all see.
    for shard in ["0/2", "1/2"] {
        scene.run("preds.jsonl", &["--shard", shard]).exits(0);
    }
    let expected = told(&scene, &scene.run("preds.jsonl", &["--gather"]).exits(4));
    fs_err::remove_dir_all(work.join("logs")).unwrap();
    fs_err::remove_file(work.join("org__m.r.json")).unwrap();

    // In pods that see nothing but a registry and, here, the images.
    let registry = OhociRegistry::start();
    let results = format!("{}/runs", registry.host());
    let images = format!("oci:{}", work.join("images").display());
    let begin = |flags: &[&str]| {
        let mut command = scene.ohoci.command();
        command
            .args([
                "swebench",
                "run-evaluation",
                "-d",
                "rows.jsonl",
                "-p",
                "preds.jsonl",
            ])
            .args(["-id", "r", "--images", &images, "--results", &results])
            .args(flags)
            .env("TMPDIR", &scene.temporary);
        Outcome::of(&mut command)
    };
    let engine = [
        "--engine",
        "kubernetes",
        "--engine-image",
        "registry.example/ohoci:1",
    ];
    let outcome = begin(&[&engine[..], &["--shards", "2"]].concat()).exits(0);
    assert!(
        outcome.stderr.contains("runs:r.inputs"),
        "{}",
        outcome.stderr
    );
    let manifest = fs_err::read(work.join(outcome.stdout.trim())).unwrap();
    let job: Value = serde_json::from_slice(&manifest).unwrap();
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    let words: Vec<&str> = container["command"]
        .as_array()
        .unwrap()
        .iter()
        .map(|word| word.as_str().unwrap())
        .collect();
    let programs = work.join("programs");
    fs_err::create_dir(&programs).unwrap();
    fs_err::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ohoci"), programs.join("ohoci")).unwrap();
    let pod = |index: &str| {
        let directory = work.join(format!("pod-{index}"));
        fs_err::create_dir_all(&directory).unwrap();
        let command = scene.ohoci.command();
        let path = std::env::var("PATH").unwrap();
        let mut pod = Command::new(words[0]);
        pod.args(&words[1..])
            .env_clear()
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .env("PATH", format!("{}:{path}", programs.display()))
            .env("TMPDIR", &scene.temporary)
            .env("JOB_COMPLETION_INDEX", index)
            .current_dir(directory);
        Outcome::of(&mut pod)
    };
    pod("1").exits(0);
    let gather = ["--shards", "2", "--gather"];
    let outcome = begin(&gather).exits(3);
    let said = "shard 0/2 has pushed nothing yet";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    assert!(
        outcome.stdout.contains("infra         a__one-1"),
        "{}",
        outcome.stdout
    );
    pod("0").exits(0);
    assert_eq!(told(&scene, &begin(&gather).exits(4)), expected);
    let words = [
        "swebench",
        "run-evaluation",
        "--resume",
        "--gather",
        "--run-id=r",
    ];
    let outcome = scene.ohoci.run(words).exits(4);
    assert_eq!(
        told(&scene, &outcome),
        expected,
        "it knows where results are"
    );

    // Artifacts as others read them.
    let (_, manifest) = registry.peer().manifest("runs", "r.shard-0-of-2");
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(
        manifest["artifactType"],
        "application/vnd.ohoci.swebench.results.v1"
    );
    assert_eq!(manifest["annotations"]["ohoci.swebench.shard"], "0/2");
    let left: Vec<_> = fs_err::read_dir(work.join("logs/run_evaluation/r"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(".gathering"))
        .collect();
    assert!(left.is_empty(), "{left:?}");

    // A dataset that is a directory, or a name, is carried as the files that it comes to.
    fs_err::create_dir(work.join("data")).unwrap();
    fs_err::copy(work.join("rows.jsonl"), work.join("data/test.jsonl")).unwrap();
    let of_directory = |directory: &Path, flags: &[&str]| {
        let mut command = scene.ohoci.command();
        command
            .args(["swebench", "run-evaluation", "-d", "data", "-p", "gold"])
            .args(["-id", "d", "--images", &images, "--results", &results])
            .args(flags)
            .env("TMPDIR", &scene.temporary)
            .current_dir(directory);
        Outcome::of(&mut command)
    };
    let outcome = of_directory(&work, &[&engine[..], &["--shards", "1"]].concat()).exits(0);
    let pushed = outcome.stderr.contains("runs:d.inputs");
    assert!(pushed, "{}", outcome.stderr);
    let pod = work.join("pod-of-directory");
    fs_err::create_dir(&pod).unwrap();
    of_directory(&pod, &["--shard", "0/1"]).exits(0);

    // Something else under that name is refused.
    let words = ["compose", "--base", "scratch", "--layer", "pod-0", "--push"];
    let place = format!("{results}:r.shard-0-of-2");
    scene.ohoci.run([&words[..], &[&place]].concat()).exits(0);
    let outcome = begin(&gather).exits(1);
    let said = "it is no artifact of type application/vnd.ohoci.swebench.results.v1";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
}
