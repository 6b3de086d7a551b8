//! Runs that are divided into shards for a scheduler.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::COMMENT;
use super::scene::{GOLD, Scene};

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
}
