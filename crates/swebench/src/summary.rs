//! The summary of a run: `MODEL.RUN_ID.json`, `schema_version` 2.
//!
//! Source: SWE-bench 5.0.2, `make_run_report` of `swebench/harness/reporting.py`. The document is
//! upstream's byte by byte.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::infra_failure::{self, Tier};
use super::names::{self, NameError};
use super::predictions::{Prediction, Predictions};
use super::python_json;
use super::python_text::read_text;
use super::row::Row;

/// What a run left of one instance: its files, each `None` where it is not there.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// `report.json`
    pub report: Option<Vec<u8>>,
    /// `test_output.txt`; needed only where the instance is not resolved.
    pub test_output: Option<Vec<u8>>,
    /// `run_instance.log`; likewise.
    pub run_log: Option<Vec<u8>>,
}

/// What a report says.
enum Verdict {
    Resolved,
    Unresolved,
    Unreadable,
}

/// What of an engine was left running or stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Containers of this run.
    pub containers: BTreeSet<String>,
    /// Images of the dataset's instances.
    pub images: BTreeSet<String>,
}

/// A summary in the making.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    total: usize,
    completed: BTreeSet<String>,
    incomplete: BTreeSet<String>,
    empty: BTreeSet<String>,
    resolved: BTreeSet<String>,
    unresolved: BTreeSet<String>,
    errors: BTreeSet<String>,
    infra: BTreeSet<String>,
    ambiguous: BTreeSet<String>,
    reasons: BTreeMap<String, &'static str>,
}

/// The document, its members in upstream's order.
#[derive(Serialize)]
struct Document<'a> {
    total_instances: usize,
    submitted_instances: usize,
    completed_instances: usize,
    resolved_instances: usize,
    unresolved_instances: usize,
    infra_failure_instances: usize,
    ambiguous_failure_instances: usize,
    empty_patch_instances: usize,
    error_instances: usize,
    completed_ids: &'a BTreeSet<String>,
    incomplete_ids: &'a BTreeSet<String>,
    empty_patch_ids: &'a BTreeSet<String>,
    submitted_ids: BTreeSet<&'a str>,
    resolved_ids: &'a BTreeSet<String>,
    unresolved_ids: &'a BTreeSet<String>,
    infra_failure_ids: &'a BTreeSet<String>,
    ambiguous_failure_ids: &'a BTreeSet<String>,
    failure_reasons: &'a BTreeMap<String, &'static str>,
    error_ids: &'a BTreeSet<String>,
    schema_version: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    unstopped_instances: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unstopped_containers: Option<&'a BTreeSet<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unremoved_images: Option<&'a BTreeSet<String>>,
}

impl Summary {
    /// Counts one instance of the dataset. `evidence` is asked only where a patch was to be run.
    ///
    /// # Errors
    ///
    /// Those of `evidence`.
    pub fn add<E>(
        &mut self,
        row: &Row,
        prediction: Option<&Prediction>,
        evidence: impl FnOnce(&Prediction) -> Result<Evidence, E>,
    ) -> Result<(), E> {
        self.total += 1;
        let id = &row.instance_id;
        let Some(prediction) = prediction else {
            self.incomplete.insert(id.clone());
            return Ok(());
        };
        if prediction.is_empty() {
            self.empty.insert(id.clone());
            return Ok(());
        }
        let evidence = evidence(prediction)?;
        let list = match evidence.report.as_deref().map(|report| verdict(id, report)) {
            Some(Verdict::Resolved) => &mut self.resolved,
            Some(Verdict::Unresolved) => &mut self.unresolved,
            Some(Verdict::Unreadable) | None => &mut self.errors,
        };
        list.insert(id.clone());
        if evidence.report.is_some() {
            self.completed.insert(id.clone());
        }
        if !self.resolved.contains(id) {
            self.classify(id, &evidence);
        }
        Ok(())
    }

    fn classify(&mut self, id: &str, evidence: &Evidence) {
        let logs: Vec<_> = [&evidence.test_output, &evidence.run_log]
            .into_iter()
            .flatten()
            .map(|log| read_text(log))
            .collect();
        let logs: Vec<&str> = logs.iter().map(AsRef::as_ref).collect();
        let Some(sign) = infra_failure::classify(&logs) else {
            return;
        };
        self.reasons.insert(id.to_owned(), sign.reason);
        let list = match sign.tier {
            Tier::Environment => &mut self.infra,
            Tier::Ambiguous => &mut self.ambiguous,
        };
        list.insert(id.to_owned());
    }

    /// Instances whose tests pass.
    #[must_use]
    pub fn resolved(&self) -> &BTreeSet<String> {
        &self.resolved
    }

    /// Instances whose tests do not all pass, or whose log holds no results.
    #[must_use]
    pub fn unresolved(&self) -> &BTreeSet<String> {
        &self.unresolved
    }

    /// Instances without a report that can be read.
    #[must_use]
    pub fn errors(&self) -> &BTreeSet<String> {
        &self.errors
    }

    /// Instances with a prediction that has nothing to apply.
    #[must_use]
    pub fn empty(&self) -> &BTreeSet<String> {
        &self.empty
    }

    /// Instances without a prediction.
    #[must_use]
    pub fn incomplete(&self) -> &BTreeSet<String> {
        &self.incomplete
    }

    /// How many instances were counted.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }

    /// The document, with the line end that upstream prints. `leftovers` is `None` where no engine
    /// was asked what it still has, as in re-grading without one.
    ///
    /// # Errors
    ///
    /// None are known: a summary has nothing that JSON cannot hold.
    pub fn to_json(
        &self,
        predictions: &Predictions,
        leftovers: Option<&Leftovers>,
    ) -> Result<String, serde_json::Error> {
        let document = Document {
            total_instances: self.total,
            submitted_instances: predictions.iter().count(),
            completed_instances: self.completed.len(),
            resolved_instances: self.resolved.len(),
            unresolved_instances: self.unresolved.len(),
            infra_failure_instances: self.infra.len(),
            ambiguous_failure_instances: self.ambiguous.len(),
            empty_patch_instances: self.empty.len(),
            error_instances: self.errors.len(),
            completed_ids: &self.completed,
            incomplete_ids: &self.incomplete,
            empty_patch_ids: &self.empty,
            submitted_ids: predictions
                .iter()
                .map(|prediction| prediction.instance_id.as_str())
                .collect(),
            resolved_ids: &self.resolved,
            unresolved_ids: &self.unresolved,
            infra_failure_ids: &self.infra,
            ambiguous_failure_ids: &self.ambiguous,
            failure_reasons: &self.reasons,
            error_ids: &self.errors,
            schema_version: 2,
            unstopped_instances: leftovers.map(|left| left.containers.len()),
            unstopped_containers: leftovers.map(|left| &left.containers),
            unremoved_images: leftovers.map(|left| &left.images),
        };
        python_json::dumps(&document).map(|text| text + "\n")
    }
}

/// What the summary of a run is called: `MODEL.RUN_ID.json`.
///
/// # Errors
///
/// When model or run cannot be part of a file's name.
pub fn file_name(model: &str, run_id: &str) -> Result<String, NameError> {
    names::check_run_id(run_id)?;
    Ok(format!("{}.{run_id}.json", names::model_directory(model)?))
}

/// What a `report.json` says of its instance. Everything that Python takes for true is.
fn verdict(instance_id: &str, report: &[u8]) -> Verdict {
    let document = serde_json::from_slice::<Value>(report).ok();
    let resolved = document
        .as_ref()
        .and_then(|document| document.get(instance_id)?.get("resolved"));
    match resolved {
        None => Verdict::Unreadable,
        Some(resolved) => {
            let is_false = match resolved {
                Value::Null | Value::Bool(false) => true,
                Value::Bool(true) => false,
                Value::Number(number) => number.as_f64() == Some(0.0),
                Value::String(text) => text.is_empty(),
                Value::Array(members) => members.is_empty(),
                Value::Object(members) => members.is_empty(),
            };
            if is_false {
                Verdict::Unresolved
            } else {
                Verdict::Resolved
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn rows(ids: &[&str]) -> Vec<Row> {
        let rows: Vec<String> = ids
            .iter()
            .map(|id| format!(r#"{{"instance_id":"{id}","repo":"x/y"}}"#))
            .collect();
        Row::from_json(format!("[{}]", rows.join(",")).as_bytes()).unwrap()
    }

    fn predictions(patches: &[(&str, &str)]) -> Predictions {
        let lines: Vec<String> = patches
            .iter()
            .map(|(id, patch)| {
                format!(
                    r#"{{"instance_id":"{id}","model_name_or_path":"m","model_patch":{patch}}}"#
                )
            })
            .collect();
        Predictions::from_json_lines(lines.join("\n").as_bytes()).unwrap()
    }

    #[test]
    fn every_instance_is_counted_where_upstream_counts_it() {
        let rows = rows(&["no", "yes", "none", "empty", "broken", "lost"]);
        let predictions = predictions(&[
            ("yes", "\"p\""),
            ("no", "\"p\""),
            ("empty", "\"\""),
            ("broken", "\"p\""),
            ("lost", "\"p\""),
        ]);
        let mut summary = Summary::default();
        for row in &rows {
            let id = row.instance_id.as_str();
            let added = summary.add(row, predictions.get(id), |_| {
                let (report, log) = match id {
                    "yes" => (Some(r#"{"yes":{"resolved":true}}"#), "Killed"),
                    "no" => (Some(r#"{"no":{"resolved":false}}"#), "a\r\nKilled\r\n"),
                    "broken" => (Some(" \n"), ""),
                    _ => (None, "no tests ran"),
                };
                Ok::<_, Infallible>(Evidence {
                    report: report.map(|report| report.as_bytes().to_vec()),
                    test_output: Some(log.as_bytes().to_vec()),
                    run_log: None,
                })
            });
            assert!(added.is_ok());
        }
        let text = summary.to_json(&predictions, None).unwrap();
        let found: Value = serde_json::from_str(&text).unwrap();
        let expected = serde_json::json!({
            "total_instances": 6, "submitted_instances": 5, "completed_instances": 3,
            "resolved_instances": 1, "unresolved_instances": 1, "infra_failure_instances": 1,
            "ambiguous_failure_instances": 1, "empty_patch_instances": 1, "error_instances": 2,
            "completed_ids": ["broken", "no", "yes"], "incomplete_ids": ["none"],
            "empty_patch_ids": ["empty"],
            "submitted_ids": ["broken", "empty", "lost", "no", "yes"],
            "resolved_ids": ["yes"], "unresolved_ids": ["no"], "infra_failure_ids": ["no"],
            "ambiguous_failure_ids": ["lost"],
            "failure_reasons": {"lost": "no_tests_collected", "no": "out_of_memory"},
            "error_ids": ["broken", "lost"], "schema_version": 2,
        });
        assert_eq!(found, expected);
        assert!(text.ends_with("\n}\n"));
    }

    #[test]
    fn the_file_is_called_after_model_and_run() {
        assert_eq!(file_name("org/m", "r").unwrap(), "org__m.r.json");
        assert!(file_name("m", "a/b").is_err());
    }
}
