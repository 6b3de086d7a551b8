//! Verdicts are upstream's byte by byte: recorded runs, and made-up logs that SWE-bench graded.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::path::{Path, PathBuf};

use ohoci_swebench::eval_script;
use ohoci_swebench::grading::{GradeError, Resolution, grade};
use ohoci_swebench::log_parser::{Instance, LogParser, names};
use ohoci_swebench::predictions::Predictions;
use ohoci_swebench::row::{Location, Row};
use ohoci_swebench::specs::Steps;
use ohoci_swebench::summary::{self, Evidence, Leftovers, Summary};
use serde_json::Value;

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/swebench")
}

fn rows() -> Vec<Row> {
    Row::from_json_lines(&fs_err::read(data().join("instances.jsonl")).unwrap()).unwrap()
}

#[test]
fn recorded_runs_are_graded_as_upstream_graded_them() {
    let mut graded = 0;
    for row in rows() {
        let folder = data().join(&row.instance_id);
        let Ok(expected) = fs_err::read_to_string(folder.join("report.json")) else {
            continue;
        };
        let log = fs_err::read(folder.join("test_output.txt")).unwrap();
        let report = grade(&row, row.patch.as_deref(), &log).unwrap();
        assert_eq!(report.to_json(&row.instance_id).unwrap(), expected);
        graded += 1;
    }
    assert_eq!(graded, 1);
}

#[test]
fn the_gold_patch_of_flask_resolves_and_an_empty_tree_does_not() {
    let rows = rows();
    let row = rows.iter().find(|row| row.repo == "pallets/flask").unwrap();
    let log = fs_err::read_to_string(data().join(&row.instance_id).join("test_output.txt"));
    let log = log.unwrap();
    let tests = |log: &str| {
        let report = grade(row, Some("patch"), log.as_bytes()).unwrap();
        report.tests_status.unwrap()
    };
    let resolved = tests(&log);
    assert_eq!(resolved.resolution(), Resolution::Full);
    assert_eq!(resolved.fail_to_pass.success.len(), 1);
    assert_eq!(resolved.pass_to_pass.success.len(), 59);
    let test = "tests/test_blueprints.py::test_empty_name_not_allowed";
    let broken = log
        .replace(
            &format!("PASSED {test}"),
            &format!("FAILED {test} - Failed: DID NOT RAISE"),
        )
        .replace("Test Exit Code: 0", "Test Exit Code: 1");
    let unresolved = tests(&broken);
    assert_eq!(unresolved.resolution(), Resolution::No);
    assert_eq!(unresolved.fail_to_pass.failure, [test]);
    assert_eq!(unresolved.pass_to_pass.success.len(), 59);
}

#[test]
fn the_summary_of_a_recorded_run_is_upstreams() {
    let rows: Vec<Row> = rows()
        .into_iter()
        .filter(|row| row.repo == "pallets/flask")
        .collect();
    let predictions = Predictions::gold(&rows).unwrap();
    let mut summary = Summary::default();
    for row in &rows {
        let folder = data().join(&row.instance_id);
        let prediction = predictions.get(&row.instance_id);
        let added = summary.add(row, prediction, |_| {
            Ok::<_, Infallible>(Evidence {
                report: Some(fs_err::read(folder.join("report.json")).unwrap()),
                ..Evidence::default()
            })
        });
        assert!(added.is_ok());
    }
    let expected = fs_err::read_to_string(data().join("gold.gold_run.json")).unwrap();
    let left = Leftovers::default();
    assert_eq!(
        summary.to_json(&predictions, Some(&left)).unwrap(),
        expected
    );
}

#[test]
fn made_up_runs_are_summed_up_as_upstream_does() {
    let cases = fs_err::read_to_string(data().join("summaries.jsonl")).unwrap();
    for line in cases.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let predictions = case["predictions"].to_string();
        let predictions = Predictions::from_json(predictions.as_bytes()).unwrap();
        let mut summary = Summary::default();
        for id in case["dataset"].as_array().unwrap() {
            let id = id.as_str().unwrap();
            let row = serde_json::json!({"instance_id": id, "repo": "a/b"});
            let row = Row::from_value(&row, Location::Line(1)).unwrap();
            let added = summary.add(&row, predictions.get(id), |_| {
                let file = |name: &str| {
                    let content = case["evidence"][id][name].as_str();
                    content.map(|content| content.as_bytes().to_vec())
                };
                Ok::<_, Infallible>(Evidence {
                    report: file("report"),
                    test_output: file("test_output"),
                    run_log: file("run_log"),
                })
            });
            assert!(added.is_ok());
        }
        let name = summary::file_name(predictions.model().unwrap(), "r").unwrap();
        assert_eq!(Some(name.as_str()), case["name"].as_str());
        let text = summary.to_json(&predictions, None).unwrap();
        assert_eq!(Some(text.as_str()), case["summary"].as_str(), "{line}");
    }
    assert!(cases.lines().count() >= 20);
}

/// Where upstream stops with an exception, there is no report.
#[test]
fn made_up_logs_are_graded_as_upstream_grades_them() {
    let cases = fs_err::read_to_string(data().join("grading.jsonl")).unwrap();
    let mut wrong = Vec::new();
    for (index, line) in cases.lines().enumerate() {
        let case: Value = serde_json::from_str(line).unwrap();
        let row = Row::from_value(&case["row"], Location::Line(index + 1)).unwrap();
        let log = case["log"].as_str().unwrap();
        let report = match grade(&row, case["patch"].as_str(), log.as_bytes()) {
            Ok(report) => Some(report.to_json(&row.instance_id).unwrap()),
            Err(GradeError::Log(_)) => None,
            Err(error) => panic!("{error}"),
        };
        if report.as_deref() != case["report"].as_str() {
            wrong.push(format!(
                "line {}: {}\n{log:?}\nupstream: {}\nohoci: {}",
                index + 1,
                case["row"],
                case["report"].as_str().unwrap_or("stops"),
                report.as_deref().unwrap_or("stops"),
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ; the first:\n{}",
        wrong.len(),
        wrong[0]
    );
    assert!(cases.lines().count() >= 82);
}

/// Every name of upstream's registry, over logs of all languages.
#[test]
fn made_up_logs_are_read_as_upstreams_parsers_read_them() {
    let cases = fs_err::read_to_string(data().join("parsers.jsonl")).unwrap();
    let mut parsers = BTreeSet::new();
    for line in cases.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let text = |field: &str| case[field].as_str().unwrap();
        let instance = Instance {
            id: text("id"),
            version: text("version"),
        };
        let parser = LogParser::named(text("parser"), instance);
        let found = parser
            .ok()
            .and_then(|parser| parser.parse(text("log")).ok());
        let found = found.map_or(Value::Null, |found| {
            let pairs = found.iter();
            pairs
                .map(|(test, status)| serde_json::json!([test, status.word()]))
                .collect()
        });
        assert_eq!(found, case["found"], "{}\n{}", text("parser"), text("log"));
        parsers.insert(text("parser").to_owned());
    }
    assert!(
        parsers
            .iter()
            .map(String::as_str)
            .eq(names().collect::<BTreeSet<_>>())
    );
}

#[test]
fn the_evaluation_script_of_a_recorded_run_is_upstreams() {
    for row in rows() {
        let Ok(expected) = fs_err::read_to_string(data().join(&row.instance_id).join("eval.sh"))
        else {
            continue;
        };
        assert_eq!(eval_script::of_row(&row).unwrap(), expected);
    }
}

#[test]
fn a_script_made_from_a_rows_patch_is_the_one_that_the_row_holds() {
    let pytest = "pytest -rA";
    let sympy = "PYTHONWARNINGS='ignore::UserWarning,ignore::SyntaxWarning' bin/test -C --verbose";
    let mut compared = 0;
    for row in rows() {
        let (install, test) = match row.repo.as_str() {
            "sympy/sympy" => ("python -m pip install -e .", sympy),
            "psf/requests" => ("python -m pip install .", pytest),
            "sphinx-doc/sphinx" => (
                "python -m pip install -e .[test]",
                "tox --current-env -epy39 -v --",
            ),
            _ => ("python -m pip install -e .", pytest),
        };
        let steps = Steps {
            before: Vec::new(),
            install: Some(install.to_owned()),
            test: test.to_owned(),
        };
        let script = eval_script::from_patch(&row, &steps).unwrap();
        assert_eq!(Some(script), row.eval_script);
        compared += 1;
    }
    assert_eq!(compared, 5);
}
