//! Datasets whose rows are not SWE-bench's own: each adapter says of such a row what a row of SWE-bench
//! would say, and what is done otherwise than by SWE-bench's harness.

mod gym;
mod live;
mod multi;
mod pro;
mod python_literal;

use serde_json::{Map, Value};

use super::eval_type::EvalType;
use super::field::FieldProblem;
use super::json_text;
use super::specs::Specs;
use super::way::{Asset, Dataset, Way};

/// Fields that only rows of such datasets have.
const FIELDS: [(&str, Dataset); 4] = [
    ("test_cmds", Dataset::Live),
    ("selected_test_files_to_run", Dataset::Pro),
    ("fix_patch", Dataset::Multi),
    ("expected_output_json", Dataset::R2eGym),
];

/// What a row of another dataset comes to.
pub(super) struct Adapted {
    /// Its fields by SWE-bench's names.
    pub(super) fields: Map<String, Value>,
    /// What is done with it.
    pub(super) way: Way,
    /// How tests are counted.
    pub(super) eval_type: EvalType,
    /// How it is tested, where a table says it.
    pub(super) specs: Option<Specs>,
}

/// What is wrong with a field of a row.
pub(super) type Wrong = (&'static str, FieldProblem);

/// Reads a row of another dataset; `None` for one of SWE-bench's.
pub(super) fn adapt(row: &Map<String, Value>) -> Result<Option<Adapted>, Wrong> {
    let known = FIELDS.iter().find(|(field, _)| row.contains_key(*field));
    match known.map(|(_, dataset)| *dataset) {
        Some(Dataset::Live) => live::adapt(row).map(Some),
        Some(Dataset::Pro) => pro::adapt(row).map(Some),
        Some(Dataset::Multi) => multi::adapt(row).map(Some),
        Some(dataset) => Ok(Some(Adapted {
            fields: row.clone(),
            way: Way {
                refused: Some(format!(
                    "it is a row of {dataset} (field `expected_output_json`), which has a harness of its own"
                )),
                ..Way::of(dataset)
            },
            eval_type: EvalType::default(),
            specs: None,
        })),
        None => Ok(gym::adapt(row)),
    }
}

/// The files that a row's patches cannot bring, in upstream's order. Other things stand there, too:
/// pictures of the problem's text, which are for models.
///
/// Source: SWE-bench 5.0.2, `_stage_image_assets` of `swebench/harness/run_evaluation.py`.
pub(super) fn assets(row: &Map<String, Value>) -> Result<Vec<Asset>, Wrong> {
    let wrong = || ("image_assets", FieldProblem::NoAssets);
    let declared = match row.get("image_assets") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::String(text)) if text.trim().is_empty() => return Ok(Vec::new()),
        Some(Value::String(text)) => serde_json::from_str(text).map_err(|_| wrong())?,
        Some(declared) => declared.clone(),
    };
    let mut assets = Vec::new();
    for kind in ["test_patch", "patch"] {
        let entries = declared.get(kind).and_then(Value::as_array);
        for entry in entries.into_iter().flatten() {
            let text = |field: &str| entry.get(field).and_then(Value::as_str);
            let Some(path) = text("path").filter(|path| !path.is_empty()) else {
                continue;
            };
            let is_inside = path
                .split('/')
                .all(|part| !part.is_empty() && !matches!(part, "." | ".." | ".git"));
            if !is_inside {
                return Err(wrong());
            }
            assets.push(Asset {
                path: path.to_owned(),
                url: text("url").map(str::to_owned),
            });
        }
    }
    Ok(assets)
}

/// A field that is text; empty where it is missing or null.
fn text<'a>(row: &'a Map<String, Value>, field: &'static str) -> Result<&'a str, Wrong> {
    match row.get(field) {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err((field, FieldProblem::NoText)),
    }
}

/// A field that has to be text.
fn required<'a>(row: &'a Map<String, Value>, field: &'static str) -> Result<&'a str, Wrong> {
    match text(row, field)? {
        "" => Err((field, FieldProblem::Missing)),
        text => Ok(text),
    }
}

/// A list of texts, or one that is written as JSON or as Python has it; `None` where it is missing or
/// null.
fn list(row: &Map<String, Value>, field: &'static str) -> Result<Option<Vec<String>>, Wrong> {
    let wrong = || (field, FieldProblem::NoList);
    match row.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => json_text::parse(text.as_bytes())
            .ok()
            .and_then(|(list, _)| serde_json::from_value(list).ok())
            .or_else(|| python_literal::list(text))
            .map(Some)
            .ok_or_else(wrong),
        Some(list) => serde_json::from_value(list.clone())
            .map(Some)
            .map_err(|_| wrong()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn files_that_patches_cannot_bring_are_told_from_pictures_of_the_problem() {
        let row = |assets: &str| {
            let row = json!({"image_assets": assets});
            super::assets(row.as_object().unwrap()).map_err(|(_, problem)| problem.to_string())
        };
        let text = r#"{"problem_statement":["https://registry.example/a.png"],"patch":[],"test_patch":[{"path":"test/b c.png","url":"https://registry.example/b.png"}]}"#;
        let asset = Asset {
            path: "test/b c.png".to_owned(),
            url: Some("https://registry.example/b.png".to_owned()),
        };
        assert_eq!(row(text).unwrap(), [asset]);
        assert_eq!(row("").unwrap(), []);
        for path in ["../x", "/x", ".git/config", "a//b"] {
            let text = format!(r#"{{"patch":[{{"path":"{path}"}}]}}"#);
            let error = row(&text).unwrap_err();
            assert!(error.contains("`path` and the `url`"), "{error}");
        }
    }
}
