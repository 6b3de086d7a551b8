//! The shapes that predictions have in the files of harnesses and agents.
//!
//! Sources: SWE-bench 5.0.2 (`model_patch`), SWE-bench-Live's evaluation (`{id: {"model_patch"}}`),
//! SWE-bench Pro's `swe_bench_pro_eval.py` (`patch`, `prefix`), Multi-SWE-bench's `PullRequest`
//! (`org`, `repo`, `number`, `fix_patch`), OpenHands' `EvalOutput` and its `process_git_patch`
//! (`test_result.git_patch`).

use serde_json::{Map, Value};

use super::{Prediction, PredictionError};
use crate::names;
use crate::row::Location;

/// Where a patch may be, best first.
const PATCHES: [&[&str]; 5] = [
    &["model_patch"],
    &["test_result", "git_patch"],
    &["fix_patch"],
    &["prediction"],
    &["patch"],
];

/// Where the name of the model may be, best first.
const MODELS: [&[&str]; 5] = [
    &["model_name_or_path"],
    &["metadata", "llm_config", "model"],
    &["metadata", "llm", "model"],
    &["model"],
    &["prefix"],
];

/// A field that only rows of a dataset have.
const OF_ROWS: [&str; 3] = ["test_patch", "FAIL_TO_PASS", "fail_to_pass"];

/// Reads one prediction. `key` is what it is called in an object of predictions, `model` what the
/// model is called where none is named.
pub(super) fn prediction(
    value: &Value,
    place: Location,
    key: Option<&str>,
    model: Option<&str>,
) -> Result<Prediction, PredictionError> {
    let Value::Object(members) = value else {
        return Err(PredictionError::NoObject { place });
    };
    let named = |field| move |why| PredictionError::Name { place, field, why };
    let instance_id = instance_id(members, place, key)?;
    names::check_path_component(&instance_id).map_err(named("instance_id"))?;
    let found = patch(members, place)?;
    let is_row = |field: &&str| members.contains_key(*field);
    if !members.contains_key("model_patch") && OF_ROWS.iter().any(is_row) {
        return Err(PredictionError::Row { place });
    }
    let field = "model_name_or_path";
    let named_model = first(members, &MODELS, place)?.flatten();
    let model = named_model
        .or_else(|| model.map(str::to_owned))
        .ok_or(PredictionError::Field { place, field })?;
    names::model_directory(&model).map_err(named(field))?;
    let Some(patch) = found else {
        let fields = members.keys().cloned().collect();
        return Err(PredictionError::NoPatch { place, fields });
    };
    Ok(Prediction {
        instance_id,
        model,
        patch,
    })
}

/// The instance's name: its own field, the key that it stands under, or Multi-SWE-bench's parts.
fn instance_id(
    members: &Map<String, Value>,
    place: Location,
    key: Option<&str>,
) -> Result<String, PredictionError> {
    let field = "instance_id";
    let fail = || PredictionError::Field { place, field };
    match members.get(field) {
        Some(Value::String(name)) => return Ok(name.clone()),
        None | Some(Value::Null) => {}
        Some(_) => return Err(fail()),
    }
    let part = |name: &str| match members.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    if let (Some(owner), Some(repository), Some(number)) =
        (part("org"), part("repo"), part("number"))
    {
        return Ok(format!("{owner}__{repository}-{number}"));
    }
    key.map(str::to_owned).ok_or_else(fail)
}

/// The patch; `None` where no field may hold one.
fn patch(
    members: &Map<String, Value>,
    place: Location,
) -> Result<Option<Option<String>>, PredictionError> {
    if members.contains_key("model_patch") {
        return first(members, &PATCHES[..1], place);
    }
    // An agent that failed leaves no result; upstream takes a prediction that holds nothing for one
    // without a patch.
    let is_name = |field: &String| ["instance_id", "model_name_or_path"].contains(&field.as_str());
    if members.get("test_result").is_some_and(Value::is_null) || members.keys().all(is_name) {
        return Ok(Some(None));
    }
    let Some(found) = first(members, &PATCHES, place)? else {
        return Ok(None);
    };
    let is_of_openhands = members.contains_key("test_result");
    Ok(Some(match is_of_openhands {
        true => found.map(|patch| of_openhands(&patch)),
        false => found,
    }))
}

/// What OpenHands makes of a `git_patch` before it has it graded: what a terminal wrote before the
/// first file goes, and the last line ends.
fn of_openhands(patch: &str) -> String {
    let patch = patch.replace("\r\n", "\n");
    let start = match patch.starts_with("diff --git") {
        true => Some(0),
        false => patch.find("\ndiff --git").map(|at| at + 1),
    };
    match start.and_then(|start| patch.get(start..)) {
        Some(patch) => format!("{}\n", patch.trim_end()),
        None => match patch.trim() {
            "" => String::new(),
            _ => patch,
        },
    }
}

/// The first of these fields that is there: its text, or `Some(None)` where it is null.
fn first(
    members: &Map<String, Value>,
    paths: &[&'static [&'static str]],
    place: Location,
) -> Result<Option<Option<String>>, PredictionError> {
    for path in paths {
        let (Some((last, above)), Some(field)) = (path.split_last(), path.last()) else {
            continue;
        };
        let inner = above.iter().try_fold(members, |members, name| {
            members.get(*name).and_then(Value::as_object)
        });
        match inner.and_then(|members| members.get(*last)) {
            None => {}
            Some(Value::Null) => return Ok(Some(None)),
            Some(Value::String(text)) => return Ok(Some(Some(text.clone()))),
            Some(_) => return Err(PredictionError::Field { place, field }),
        }
    }
    Ok(None)
}
