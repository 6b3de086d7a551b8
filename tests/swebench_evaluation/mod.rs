//! `ohoci swebench run-evaluation`: predictions run in sandboxes and graded.

mod scene;

use serde_json::{Value, json};

use scene::{ID, Scene};

#[test]
fn gold_resolves_and_leaves_upstreams_files() {
    let scene = Scene::new();
    scene.dataset(&[scene.row()]);
    let outcome = scene.run("gold", &[]).exits(0);
    assert!(
        outcome.stdout.starts_with("gold: 1 of 1 resolved\n"),
        "{}",
        outcome.stdout
    );
    for name in [
        "patch.diff",
        "eval.sh",
        "test_output.txt",
        "report.json",
        "run_instance.log",
    ] {
        assert!(scene.has_file("gold", name), "{name}");
    }
    assert_eq!(scene.file("gold", "patch.diff"), scene::GOLD);
    let log = scene.file("gold", "run_instance.log");
    assert!(log.contains(" - INFO - >>>>> Applied Patch:\n"), "{log}");
    assert_eq!(scene.summary("gold")["resolved_ids"], json!([ID]));
    assert_eq!(scene.summary("gold")["schema_version"], 2);

    // Graded anew from what it left, the run is what it was.
    let report = scene.file("gold", "report.json");
    let summary = scene.summary("gold");
    let again = scene.ohoci.run(["swebench", "report", "r"]).exits(0);
    assert!(again.stdout.contains("FAIL_TO_PASS 1/1, PASS_TO_PASS 1/1"));
    assert_eq!(scene.file("gold", "report.json"), report);
    assert_eq!(scene.summary("gold"), summary);
}

mod again;
mod carried;
mod datasets;
mod elsewhere;
mod httpbin;
mod index;
mod traps;

/// A patch that changes nothing that counts.
const COMMENT: &str = "diff --git a/greet.sh b/greet.sh\n--- a/greet.sh\n+++ b/greet.sh\n@@ -1,3 +1,4 @@\n+# greets\n greet() {\n   echo \"hello $1\"\n }\n";

/// A patch for a file that looks otherwise.
const MISFIT: &str = "diff --git a/greet.sh b/greet.sh\n--- a/greet.sh\n+++ b/greet.sh\n@@ -1,3 +1,3 @@\n greet() {\n-  echo \"hi $1\"\n+  echo \"hi ${1:-world}\"\n }\n";

/// A patch after which nothing ends.
const SLEEPER: &str = "diff --git a/greet.sh b/greet.sh\n--- a/greet.sh\n+++ b/greet.sh\n@@ -1,3 +1,4 @@\n+(trap '' TERM HUP; busybox sleep 600) & busybox sleep 600\n greet() {\n   echo \"hello $1\"\n }\n";

#[test]
fn every_status_is_told_from_the_others() {
    let scene = Scene::new();
    let named = |id: &str| {
        let mut row = scene.row();
        row["instance_id"] = json!(id);
        row
    };
    let mut lost = named("a__lost-1");
    lost["image"] = json!("swebench/nothing:latest");
    let mut foreign = named("a__foreign-1");
    foreign["log_parser"] = json!("parse_log_make");
    let mut scriptless = named("a__scriptless-1");
    scriptless["eval_script"] = json!(null);
    scriptless["repo"] = json!("a/b");
    scene.dataset(&[
        named("a__good-1"),
        named("a__comment-1"),
        named("a__empty-1"),
        named("a__misfit-1"),
        named("a__sleeper-1"),
        lost,
        foreign,
        scriptless,
        named("a__nobody-1"),
    ]);
    scene.predictions(&[
        ("a__good-1", scene::GOLD),
        ("a__comment-1", COMMENT),
        ("a__empty-1", ""),
        ("a__misfit-1", MISFIT),
        ("a__sleeper-1", SLEEPER),
        ("a__lost-1", COMMENT),
        ("a__foreign-1", COMMENT),
        ("a__scriptless-1", COMMENT),
    ]);
    let outcome = scene
        .run("preds.jsonl", &["--timeout", "5", "--format", "json"])
        .exits(3);
    let outcomes: Vec<serde_json::Value> = serde_json::from_str(&outcome.stdout).unwrap();
    let statuses: Vec<_> = outcomes
        .iter()
        .map(|one| one["status"].as_str().unwrap())
        .collect();
    assert_eq!(
        statuses,
        [
            "resolved",
            "unresolved",
            "empty_patch",
            "patch_failed",
            "timeout",
            "build_failed",
            "ungradable",
            "ungradable",
        ],
        "{outcomes:#?}"
    );
    let why = |at: usize| outcomes[at]["why"].as_str().unwrap();
    assert_eq!(
        why(3),
        r#"greet.sh, hunk 1: the file differs from what it expects (line 1: 2 of 3 lines are as expected; expected "  echo \"hi $1\"", found "  echo \"hello $1\"")"#
    );
    assert_eq!(why(4), "Test timed out after 5 seconds.");
    assert!(
        why(5).contains("there is no image oci:images:swebench/nothing:latest"),
        "{}",
        why(5)
    );
    assert!(why(6).contains("parse_log_make"), "{}", why(6));
    let summary = scene.summary("org__m");
    assert_eq!(summary["resolved_ids"], json!(["a__good-1"]));
    assert_eq!(summary["unresolved_ids"], json!(["a__comment-1"]));
    assert_eq!(summary["empty_patch_ids"], json!(["a__empty-1"]));
    assert_eq!(summary["incomplete_ids"], json!(["a__nobody-1"]));
    assert_eq!(
        summary["error_ids"],
        json!([
            "a__foreign-1",
            "a__lost-1",
            "a__misfit-1",
            "a__scriptless-1",
            "a__sleeper-1"
        ])
    );
}

#[test]
fn the_exit_code_tells_an_unsolved_instance_from_a_solved_one() {
    let scene = Scene::new();
    scene.dataset(&[scene.row()]);
    scene.predictions(&[(ID, COMMENT)]);
    let outcome = scene.run("preds.jsonl", &[]).exits(4);
    assert!(
        outcome
            .stdout
            .contains("unresolved    pallets__greeter-1  FAIL_TO_PASS 0/1, PASS_TO_PASS 1/1"),
        "{}",
        outcome.stdout
    );
}

#[test]
fn predictions_are_taken_as_upstream_takes_them() {
    let scene = Scene::new();
    scene.dataset(&[scene.row()]);
    scene.predictions(&[(ID, COMMENT), (ID, scene::GOLD)]);
    let outcome = scene.run("preds.jsonl", &[]).exits(0);
    assert!(
        outcome.stderr.contains("predicted more than once"),
        "{}",
        outcome.stderr
    );
    scene.predictions(&[(ID, COMMENT), ("no__such-1", COMMENT)]);
    let outcome = scene.run("preds.jsonl", &[]).exits(1);
    assert!(
        outcome.stderr.contains("no instance no__such-1"),
        "{}",
        outcome.stderr
    );
    let outcome = scene
        .run("gold", &["--instance_ids", "no__such-1"])
        .exits(2);
    assert!(
        outcome.stderr.contains("no instance no__such-1"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn upstreams_flags_are_taken_with_either_kind_of_dash() {
    let scene = Scene::new();
    scene.dataset(&[scene.row()]);
    let outcome = scene
        .run(
            "gold",
            &[
                "--instance_ids",
                ID,
                "--namespace",
                "swebench",
                "--timeout",
                "60",
                "--cache_level",
                "env",
                "--clean",
                "False",
                "--split",
                "dev",
                "--open_file_limit",
                "4096",
                "--force_rebuild",
                "True",
                "--instance_image_tag",
                "latest",
                "--env_image_tag",
                "latest",
                "--modal",
                "false",
                "--report_dir",
                "out",
            ],
        )
        .exits(0);
    for flag in [
        "--split",
        "--open-file-limit",
        "--force-rebuild",
        "--env-image-tag",
    ] {
        let said = format!("{flag} is ignored: ");
        assert!(outcome.stderr.contains(&said), "{flag}: {}", outcome.stderr);
    }
    assert!(scene.ohoci.work().join("out/gold.r.json").is_file());
    let outcome = scene.run("gold", &["--modal", "true"]).exits(2);
    assert!(outcome.stderr.contains("--modal"), "{}", outcome.stderr);
    let outcome = scene
        .run(
            "gold",
            &["--rewrite_reports", "true", "--report-dir", "anew"],
        )
        .exits(0);
    assert_eq!(outcome.stderr, "");
    assert!(scene.ohoci.work().join("anew/gold.r.json").is_file());
}

#[test]
fn unpacked_images_stay_at_the_level_of_instances_only() {
    let scene = Scene::new();
    scene.dataset(&[scene.row()]);
    let kept = || {
        let list = ["store", "list", "--format", "json"];
        let list = scene.ohoci.run(list).exits(0).stdout;
        serde_json::from_str::<Vec<Value>>(&list).unwrap().len()
    };
    let run = |flags: &[&str]| {
        let flags = [&["--fresh"], flags].concat();
        scene.run("gold", &flags).exits(0);
    };
    for level in ["none", "base", "env"] {
        run(&["--cache_level", level]);
        assert_eq!(kept(), 0, "{level}");
    }
    run(&["--cache_level", "instance"]);
    let layers = kept();
    assert!(layers > 0);
    run(&[]);
    assert_eq!(kept(), layers, "what was there before stays");
    run(&["--clean", "true"]);
    assert_eq!(kept(), 0);
}

#[test]
fn upstreams_short_flags_are_taken() {
    let scene = Scene::new();
    scene.dataset(&[scene.row()]);
    let mut command = scene.ohoci.command();
    command
        .args([
            "swebench",
            "run-evaluation",
            "-d",
            "rows.jsonl",
            "-s",
            "test",
        ])
        .args(["-p", "gold", "-i", ID, "-t", "60", "-id", "short", "-n", ""])
        .args(["--images", "oci:images"])
        .env("TMPDIR", &scene.temporary);
    let outcome = crate::support::command::Outcome::of(&mut command).exits(0);
    assert!(
        outcome.stdout.contains("1 of 1 resolved"),
        "{}",
        outcome.stdout
    );
    assert!(scene.ohoci.work().join("gold.short.json").is_file());
}

#[test]
fn upstreams_newer_command_takes_datasets_by_name() {
    let scene = Scene::new();
    let rows = scene.row().to_string();
    let snapshot = "hub/datasets--SWE-bench--SWE-bench_Verified/snapshots/c0ffee";
    scene
        .ohoci
        .write(format!("work/hf/{snapshot}/test.jsonl"), &rows);
    let evaluate = |words: &[&str]| {
        let mut command = scene.ohoci.command();
        command
            .args(["swebench", "eval"])
            .args(words)
            .args(["-j", "1", "--images", "oci:images"])
            .env("TMPDIR", &scene.temporary)
            .env("HF_HOME", scene.ohoci.work().join("hf"));
        crate::support::command::Outcome::of(&mut command)
    };
    let outcome = evaluate(&["verified", "--gold", "--run-id", "x", "-i", ID]).exits(0);
    assert!(
        outcome.stdout.contains("1 of 1 resolved"),
        "{}",
        outcome.stdout
    );
    let outcome = evaluate(&["lite", "--gold", "--run-id", "x"]).exits(1);
    let said = "hf download --repo-type dataset SWE-bench/SWE-bench_Lite";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    let outcome = evaluate(&["--task-repo", "x", "--gold", "--run-id", "x"]).exits(2);
    assert!(outcome.stderr.contains("--task-repo"), "{}", outcome.stderr);
}

#[test]
fn rows_that_hold_no_script_are_run_by_the_table_of_versions() {
    let scene = Scene::new();
    scene.dataset(&[scene.row_of(scene::TEST_PATCH)]);
    let table = json!({"repositories": {"pallets/flask": [
        {"versions": ["2.3"], "install": "echo installed", "test_cmd": "bash run_tests.sh"}
    ]}});
    scene.ohoci.write("work/specs.json", table.to_string());
    let outcome = scene.run("gold", &["--specs", "specs.json"]).exits(0);
    assert!(
        outcome.stdout.contains("FAIL_TO_PASS 1/1"),
        "{}",
        outcome.stdout
    );
    let script = scene.file("gold", "eval.sh");
    assert!(script.contains("\necho installed\n"), "{script}");
    assert!(
        script.contains("\nbash run_tests.sh tests/test_greet.sh\n"),
        "{script}"
    );
}

#[test]
fn results_are_there_for_people_and_for_ci() {
    let scene = Scene::new();
    scene.dataset(&[scene.row()]);
    scene.predictions(&[(ID, MISFIT)]);
    scene.run("preds.jsonl", &["--report_dir", "out"]).exits(4);
    let read = |kind: &str| {
        let file = format!("out/evaluation_results/org__m.r.{kind}");
        fs_err::read_to_string(scene.ohoci.work().join(file)).unwrap()
    };
    let document: serde_json::Value = serde_json::from_str(&read("json")).unwrap();
    assert_eq!(document["counts"], json!({"patch_failed": 1}));
    assert_eq!(
        document["instances"][0]["patchProblems"][0]["file"],
        "greet.sh"
    );
    assert!(read("xml").contains("<failure type=\"patch_failed\""));
    assert!(read("md").starts_with("## org/m: 0 of 1 resolved\n"));
    assert!(read("html").contains("hunk 1: the file differs"));
}

#[test]
fn without_the_package_upstreams_grader_is_refused_with_what_helps() {
    let scene = Scene::new();
    scene.dataset(&[scene.row()]);
    let outcome = scene
        .run("gold", &["--grader", "both", "--python", "/nowhere"])
        .exits(1);
    assert!(
        outcome.stderr.contains("pip install --no-deps swebench"),
        "{}",
        outcome.stderr
    );
}
