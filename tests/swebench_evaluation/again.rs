//! What is run once more, and what is not.

use serde_json::{Value, json};

use super::scene::{GOLD, ID, Scene};
use super::{COMMENT, MISFIT};

const EARLIER: &str = "(from an earlier run)";

#[test]
fn an_outcome_is_used_again_only_for_the_same_patch_script_and_image() {
    let scene = Scene::new();
    scene.dataset(&[scene.row()]);
    scene.predictions(&[(ID, COMMENT)]);
    let run = |flags: &[&str], code| scene.run("preds.jsonl", flags).exits(code).stdout;
    assert!(!run(&[], 4).contains(EARLIER));
    assert!(run(&[], 4).contains(EARLIER));
    assert!(!run(&["--fresh"], 4).contains(EARLIER));

    scene.predictions(&[(ID, GOLD)]);
    assert!(!run(&[], 0).contains(EARLIER), "another patch");
    scene.dataset(&[scene.row_testing("true; bash run_tests.sh")]);
    assert!(!run(&[], 0).contains(EARLIER), "another script");
    assert!(run(&[], 0).contains(EARLIER));

    scene.predictions(&[(ID, MISFIT)]);
    assert!(!run(&[], 4).contains(EARLIER));
    assert!(
        !scene.has_file("org__m", "report.json"),
        "of the patch before"
    );
    assert!(run(&[], 4).contains(EARLIER));
}

#[test]
fn a_corrected_dataset_grades_the_kept_log_anew() {
    let scene = Scene::new();
    scene.dataset(&[scene.row()]);
    let run = |code| scene.run("gold", &[]).exits(code).stdout;
    run(0);
    let log = scene.file("gold", "test_output.txt");
    let mut row = scene.row();
    row["FAIL_TO_PASS"] = json!(["tests/test_greet.sh::test_that_is_not_there"]);
    scene.dataset(&[row]);
    let said = run(4);
    assert!(said.contains("unresolved"), "{said}");
    assert!(said.contains(EARLIER), "its tests were run once: {said}");
    assert_eq!(scene.file("gold", "test_output.txt"), log);
    assert!(scene.file("gold", "run_instance.log").contains("once more"));
    let report: Value = serde_json::from_str(&scene.file("gold", "report.json")).unwrap();
    assert_eq!(report[ID]["resolved"], false);
    scene.dataset(&[scene.row()]);
    assert!(run(0).contains(EARLIER));
}

#[test]
fn under_other_conditions_tests_are_run_again() {
    let scene = Scene::new();
    scene.dataset(&[scene.row()]);
    let run = |flags: &[&str]| scene.run("gold", flags).exits(0).stdout;
    run(&[]);
    assert!(run(&[]).contains(EARLIER));
    for flags in [["--timeout", "77"], ["--env", "A=b"], ["--memory", "3G"]] {
        assert!(!run(&flags).contains(EARLIER), "{flags:?}");
        assert!(run(&flags).contains(EARLIER), "{flags:?}");
    }
}

#[test]
fn what_names_no_tests_is_not_resolved() {
    let scene = Scene::new();
    for (spoil, words) in [
        ("missing", "field `FAIL_TO_PASS` is missing"),
        ("null", "field `FAIL_TO_PASS` is missing"),
        ("lower", "there is a field `fail_to_pass`"),
    ] {
        let mut row = scene.row();
        let fields = row.as_object_mut().unwrap();
        let tests = fields.shift_remove("FAIL_TO_PASS").unwrap();
        match spoil {
            "null" => drop(fields.insert("FAIL_TO_PASS".to_owned(), Value::Null)),
            "lower" => drop(fields.insert("fail_to_pass".to_owned(), tests)),
            _ => {}
        }
        scene.dataset(&[row]);
        let refused = scene.run("gold", &[]).exits(1);
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
        assert!(!scene.has_file("gold", "report.json"));
    }
    let mut row = scene.row();
    row["FAIL_TO_PASS"] = json!([]);
    row["PASS_TO_PASS"] = json!([]);
    scene.dataset(&[row]);
    let said = scene.run("gold", &[]).stderr;
    assert!(said.contains("names no tests"), "{said}");
}

#[test]
fn an_interrupted_run_goes_on_with_what_it_recorded() {
    let scene = Scene::new();
    scene.dataset(&[scene.row()]);
    scene.run("gold", &[]).exits(0);
    let resume = |run: &str| {
        let arguments = ["swebench", "run-evaluation", "--run-id", run, "--resume"];
        scene
            .ohoci
            .run(arguments.iter().chain(&["--images", "oci:images"]))
    };
    assert!(resume("r").exits(0).stdout.contains(EARLIER));
    let words = ["swebench", "run-evaluation", "--run-id", "r", "--resume"];
    let all = scene.ohoci.run(words).exits(0);
    assert!(all.stdout.contains(EARLIER), "it knows the images, too");
    assert!(resume("other").exits(1).stderr.contains("no run other"));
}

#[test]
fn what_is_not_always_the_same_is_told() {
    let scene = Scene::new();
    // By chance about every second time; all twenty alike come once in half a million runs.
    let flaky = "n=$(cat /proc/sys/kernel/random/uuid); case $n in [0-7]*) sed -i 's/hello world/x/' tests/test_greet.sh;; esac; bash run_tests.sh";
    scene.dataset(&[scene.row_testing(flaky)]);
    let outcome = scene.run("gold", &["--repeat", "20"]);
    assert!(
        outcome.stdout.contains("of 20 times, flaky"),
        "{}",
        outcome.stdout
    );
    assert!(scene.has_file("gold", "attempt-20/test_output.txt"));
}

#[test]
fn two_processes_do_not_work_on_one_run_at_once() {
    let scene = Scene::new();
    scene.dataset(&[scene.row()]);
    let holder = "process 1 on host.example, since 2026-01-01T00:00:00Z";
    let path = "work/logs/run_evaluation/r/.lock";
    let lock = fs_err::File::open(scene.ohoci.write(path, holder)).unwrap();
    lock.file().try_lock().unwrap();
    for flags in [&[][..], &["--rewrite-reports"], &["--shard", "0/2"]] {
        let outcome = scene.run("gold", flags).exits(1);
        let said = format!("run r is in use\n  {holder} works on it\n");
        assert!(outcome.stderr.contains(&said), "{}", outcome.stderr);
    }
    lock.file().unlock().unwrap();
    scene.run("gold", &[]).exits(0);
}

#[test]
fn a_part_that_is_run_again_leaves_the_summary_whole() {
    let scene = Scene::new();
    let named = |id: &str| {
        let mut row = scene.row();
        row["instance_id"] = json!(id);
        row
    };
    scene.dataset(&[named("a__one-1"), named("a__two-2"), named("a__three-3")]);
    scene.predictions(&[("a__one-1", GOLD), ("a__two-2", COMMENT)]);
    scene.run("preds.jsonl", &["-i", "a__one-1"]).exits(0);
    assert_eq!(scene.summary("org__m")["total_instances"], 1);
    scene.run("preds.jsonl", &["-i", "a__two-2"]).exits(4);
    let summary = scene.summary("org__m");
    assert_eq!(summary["resolved_ids"], json!(["a__one-1"]));
    assert_eq!(summary["unresolved_ids"], json!(["a__two-2"]));
    scene.run("preds.jsonl", &[]).exits(4);
    assert_eq!(scene.summary("org__m")["total_instances"], 3);

    scene.predictions(&[("a__one-1", GOLD), ("a__two-2", GOLD)]);
    let words = ["swebench", "run-evaluation", "--run-id", "r", "--resume"];
    let part = [&words[..], &["-i", "a__two-2"]].concat();
    let outcome = scene.ohoci.run(part).exits(0);
    assert!(
        outcome.stdout.contains("2 of 2 resolved"),
        "{}",
        outcome.stdout
    );
    assert!(outcome.stderr.contains("[1/1]"), "{}", outcome.stderr);
    let summary = scene.summary("org__m");
    assert_eq!(summary["resolved_ids"], json!(["a__one-1", "a__two-2"]));
    assert_eq!(summary["incomplete_ids"], json!(["a__three-3"]));
    let outcome = scene.ohoci.run(words).exits(0);
    assert!(outcome.stderr.contains("[2/2]"), "{}", outcome.stderr);
}
