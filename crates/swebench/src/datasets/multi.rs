//! Multi-SWE-bench: rows whose images hold the scripts that apply patches and run tests, and whose logs
//! its package reads, with a parser for each repository.
//!
//! Source: `multi_swe_bench/harness/` of Multi-SWE-bench 1.1: `run_evaluation.py`, `gen_report.py`,
//! `report.py`, `pull_request.py`, `image.py`.

use serde_json::{Map, Value, json};

use super::{Adapted, required, text};
use crate::eval_type::EvalType;
use crate::field::FieldProblem;
use crate::log_parser::markers;
use crate::way::{Dataset, Patching, Reader, Way};

/// Where its images are.
const IMAGES: &str = "mswebench";

/// Where its scripts find the model's patch, and that of the tests.
const FIX_PATCH: &str = "/home/fix.patch";
const TEST_PATCH: &str = "/home/test.patch";

/// What applies both and runs the tests.
const SCRIPT: &str = "/home/fix-run.sh";

/// Tests by what became of them under the tests' patch alone; all of them pass with the solution.
const FIXED: [&str; 3] = ["f2p_tests", "s2p_tests", "n2p_tests"];
const KEPT: &str = "p2p_tests";

pub(super) fn adapt(row: &Map<String, Value>) -> Result<Adapted, super::Wrong> {
    let (org, repo) = (required(row, "org")?, required(row, "repo")?);
    let number = match row.get("number") {
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => text.parse().ok(),
        _ => None,
    };
    let number = number.ok_or(("number", FieldProblem::NoNumber))?;
    let mut fields = Map::new();
    let mut set = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    let id = match text(row, "instance_id")? {
        "" => format!("{org}__{repo}-{number}"),
        id => id.to_owned(),
    };
    set("instance_id", json!(id));
    set("repo", json!(format!("{org}/{repo}")));
    let base = row.get("base").and_then(|base| base.get("sha"));
    set("base_commit", base.cloned().unwrap_or_default());
    set("patch", json!(text(row, "fix_patch")?));
    set("test_patch", json!(text(row, "test_patch")?));
    let image = format!("{IMAGES}/{org}_m_{repo}").to_lowercase();
    set("image", json!(format!("{image}:pr-{number}")));
    let mut fixed = Vec::new();
    for field in FIXED {
        fixed.extend(names(row, field)?.unwrap_or_default());
    }
    let kept = names(row, KEPT)?;
    let is_known = FIXED
        .iter()
        .any(|field| row.get(*field).is_some_and(|value| !value.is_null()));
    set(
        "FAIL_TO_PASS",
        if is_known { json!(fixed) } else { Value::Null },
    );
    let passed = row
        .get("test_patch_result")
        .and_then(|result| result.get("passed_tests"))
        .and_then(Value::as_array);
    let kept_ones = kept.as_deref().unwrap_or_default();
    let not_to_fail = passed
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .filter(|test| !kept_ones.iter().any(|kept| kept == test))
        .map(str::to_owned)
        .collect();
    set("PASS_TO_PASS", json!(kept));
    set(
        "eval_script",
        json!(format!(
            "#!/bin/bash\necho '{}'\nbash {SCRIPT} 2>&1\necho\necho '{}'\n",
            markers::START,
            markers::END
        )),
    );
    let way = Way {
        directory: format!("/home/{repo}"),
        patching: Patching::Handed(format!(
            "git apply --check --whitespace=nowarn {TEST_PATCH} \"$1\" && cp \"$1\" {FIX_PATCH}"
        )),
        reader: Some(Reader::Package {
            org: org.to_owned(),
            repo: repo.to_owned(),
            number,
            interval: text(row, "number_interval")?.to_owned(),
            tag: text(row, "tag")?.to_owned(),
        }),
        not_to_fail,
        ..Way::of(Dataset::Multi)
    };
    Ok(Adapted {
        fields,
        way,
        eval_type: EvalType::AllPassed,
        specs: None,
    })
}

/// The names in an object of tests, or in its JSON as text; `None` where it is missing or null.
fn names(
    row: &Map<String, Value>,
    field: &'static str,
) -> Result<Option<Vec<String>>, super::Wrong> {
    let wrong = || (field, FieldProblem::NoTests);
    let tests = match row.get(field) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => serde_json::from_str(text).map_err(|_| wrong())?,
        Some(tests) => tests.clone(),
    };
    match tests {
        // Where names cannot be fields, a list of them is one.
        Value::Object(tests) if tests.get("name").is_some_and(Value::is_array) => {
            let names = tests.get("name").cloned().unwrap_or_default();
            serde_json::from_value(names).map(Some).map_err(|_| wrong())
        }
        // Parquet gives every row the fields of all.
        Value::Object(tests) => Ok(Some(
            tests
                .into_iter()
                .filter(|(_, test)| !test.is_null())
                .map(|(name, _)| name)
                .collect(),
        )),
        _ => Err(wrong()),
    }
}
