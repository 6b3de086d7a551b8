//! `ohoci swebench report`: finished runs are graded anew, with upstream's files as the result.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::command::Ohoci;

const ID: &str = "pallets__flask-5014";

fn fixture(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs_err::read_to_string(root.join("fixtures/swebench").join(name)).unwrap()
}

/// A run as SWE-bench leaves it, without its reports.
fn run_of(ohoci: &Ohoci, model: &str, log: &str) {
    let run = "work/logs/run_evaluation/gold_run";
    let folder = format!("{run}/{model}/{ID}");
    ohoci.write(format!("{folder}/test_output.txt"), log);
    ohoci.write(
        format!("{folder}/patch.diff"),
        fixture(&format!("{ID}/patch.diff")),
    );
    let record = json!({"dataset": "instances.jsonl", "split": "test", "task_repo": null});
    ohoci.write(format!("{run}/run.json"), record.to_string());
    ohoci.write("work/instances.jsonl", fixture("instances.jsonl"));
}

fn recorded_log() -> String {
    fixture(&format!("{ID}/test_output.txt"))
}

#[test]
fn a_recorded_run_gets_upstreams_report_and_summary() {
    let ohoci = Ohoci::new();
    run_of(&ohoci, "gold", &recorded_log());
    let outcome = ohoci
        .run([
            "swebench", "report", "gold_run", "-i", ID, "--format", "json",
        ])
        .exits(0);
    let report = ohoci.work().join(format!(
        "logs/run_evaluation/gold_run/gold/{ID}/report.json"
    ));
    assert_eq!(
        fs_err::read_to_string(report).unwrap(),
        fixture(&format!("{ID}/report.json"))
    );
    let summary = fs_err::read_to_string(ohoci.work().join("gold.gold_run.json")).unwrap();
    assert_eq!(summary, fixture("gold.gold_run.json"));
    let printed: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let expected = json!({
        "runId": "gold_run",
        "models": [{
            "model": "gold", "summary": "gold.gold_run.json", "total": 1, "resolved": 1,
            "unresolved": 0, "emptyPatch": 0, "ungradable": 0, "error": 0, "incomplete": 0,
            "instances": [{
                "instanceId": ID, "state": "resolved",
                "failToPass": {"success": 1, "total": 1},
                "passToPass": {"success": 59, "total": 59},
            }],
        }],
    });
    assert_eq!(printed, expected);
}

#[test]
fn each_models_verdict_is_told_and_one_that_is_not_resolved_shows_in_the_exit_code() {
    let ohoci = Ohoci::new();
    run_of(&ohoci, "gold", &recorded_log());
    let test = "tests/test_blueprints.py::test_empty_name_not_allowed";
    let broken = recorded_log()
        .replace(&format!("PASSED {test}"), &format!("FAILED {test}"))
        .replace("Test Exit Code: 0", "Test Exit Code: 1");
    run_of(&ohoci, "org__other", &broken);
    let outcome = ohoci
        .run([
            "swebench",
            "report",
            "gold_run",
            "--instance_ids",
            ID,
            "--report_dir",
            "out/deep",
        ])
        .exits(4);
    assert_eq!(
        outcome.stdout,
        format!(
            "gold: 1 of 1 resolved\n  resolved     {ID}  FAIL_TO_PASS 1/1, PASS_TO_PASS 59/59\n  summary: out/deep/gold.gold_run.json\n\
             org__other: 0 of 1 resolved\n  unresolved   {ID}  FAIL_TO_PASS 0/1, PASS_TO_PASS 59/59\n  summary: out/deep/org__other.gold_run.json\n"
        )
    );
    let summary = fs_err::read(ohoci.work().join("out/deep/org__other.gold_run.json")).unwrap();
    let summary: Value = serde_json::from_slice(&summary).unwrap();
    assert_eq!(summary["unresolved_ids"], json!([ID]));
}

#[test]
fn predictions_decide_what_was_submitted_and_what_has_no_verdict() {
    let ohoci = Ohoci::new();
    run_of(&ohoci, "org__m", "no tests ran\n");
    let prediction = |id: &str, patch: &str| {
        json!({"instance_id": id, "model_name_or_path": "org/m", "model_patch": patch}).to_string()
    };
    let lines = [
        prediction(ID, "p"),
        prediction("sympy__sympy-24213", "p"),
        prediction("psf__requests-6028", ""),
    ];
    ohoci.write("work/preds.jsonl", lines.join("\n"));
    let arguments = [
        "swebench",
        "report",
        "gold_run",
        "-d",
        "instances.jsonl",
        "--predictions_path",
        "preds.jsonl",
    ];
    let outcome = ohoci.run(arguments).exits(3);
    assert_eq!(
        outcome.stdout,
        format!(
            "org/m: 0 of 5 resolved\n  unresolved   {ID}  (its log holds no results (no_tests_collected))\n  empty patch  psf__requests-6028\n  error        sympy__sympy-24213  (it has neither test_output.txt nor report.json)\n  2 without a prediction\n  summary: org__m.gold_run.json\n"
        )
    );
    let summary = fs_err::read(ohoci.work().join("org__m.gold_run.json")).unwrap();
    let summary: Value = serde_json::from_slice(&summary).unwrap();
    assert_eq!(summary["submitted_instances"], 3);
    assert_eq!(
        summary["failure_reasons"],
        json!({ID: "no_tests_collected"})
    );

    ohoci.write("work/preds.jsonl", prediction("no__such-1", "p"));
    let outcome = ohoci.run(arguments).exits(1);
    assert_eq!(
        outcome.stderr,
        "error: cannot use the predictions\n  the dataset has no instance no__such-1, which predictions name\nhint: name the dataset of the run with --dataset-name\n"
    );
}

#[test]
fn a_log_without_a_parser_is_ungradable_and_not_guessed_at() {
    let ohoci = Ohoci::new();
    run_of(&ohoci, "gold", &recorded_log());
    let row =
        json!({"instance_id": ID, "repo": "a/b", "FAIL_TO_PASS": "[\"a\"]", "PASS_TO_PASS": []});
    ohoci.write("work/rows.json", json!([row]).to_string());
    let outcome = ohoci
        .run(["swebench", "report", "gold_run", "-d", "rows.json"])
        .exits(3);
    assert!(
        outcome.stdout.contains(&format!(
            "ungradable   {ID}  (logs of a/b are read by a parser that the row does not name)"
        )),
        "{}",
        outcome.stdout
    );
}

#[test]
fn a_run_that_is_not_there_or_names_no_dataset_is_refused_with_what_helps() {
    let ohoci = Ohoci::new();
    let outcome = ohoci.run(["swebench", "report", "nothing"]).exits(1);
    assert!(outcome.stderr.contains("with --logs"), "{}", outcome.stderr);
    let outcome = ohoci.run(["swebench", "report", "../x"]).exits(2);
    assert!(outcome.stderr.contains("'/'"), "{}", outcome.stderr);
    ohoci.write("work/logs/run_evaluation/old/m/a/test_output.txt", "");
    let outcome = ohoci.run(["swebench", "report", "old"]).exits(2);
    assert_eq!(
        outcome.stderr,
        "error: run old did not record its dataset\nhint: name the file that holds its rows with --dataset-name\n"
    );
    let outcome = ohoci
        .run([
            "swebench",
            "report",
            "old",
            "-d",
            "SWE-bench/SWE-bench_Lite",
        ])
        .exits(1);
    let said = "hf download --repo-type dataset SWE-bench/SWE-bench_Lite";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    let words = ["swebench", "report", "old", "-d", "rows.txt"];
    let outcome = ohoci.run(words).exits(2);
    let said = "is no .json, .jsonl or .parquet file";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
}
