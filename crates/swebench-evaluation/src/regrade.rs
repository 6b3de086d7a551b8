//! Finished runs, graded anew from the logs that they left.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::finished::write_summary;
use super::grader::{Grader, NoGrade, Verdict};
use super::outcome::Count;
use super::run_folder::{RunFolder, RunFolderError};
use ohoci_swebench::predictions::Predictions;
use ohoci_swebench::row::Row;
use ohoci_swebench::summary::Summary;

/// What became of one model's part of a run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelReport {
    /// The model.
    pub model: String,
    /// Where upstream's summary was written.
    pub summary: PathBuf,
    /// How many instances the run is about.
    pub total: usize,
    /// How many of them are resolved.
    pub resolved: usize,
    /// How many are not.
    pub unresolved: usize,
    /// How many patches are empty.
    pub empty_patch: usize,
    /// How many logs cannot be graded.
    pub ungradable: usize,
    /// How many left neither a log nor a report.
    pub error: usize,
    /// How many have no prediction.
    pub incomplete: usize,
    /// The instances with a prediction.
    pub instances: Vec<InstanceReport>,
}

/// What became of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its tests pass.
    Resolved,
    /// They do not all pass.
    Unresolved,
    /// There was nothing to apply.
    EmptyPatch,
    /// There is a log that cannot be graded.
    Ungradable,
    /// There is neither a log nor a report.
    Error,
}

/// One instance of a run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceReport {
    /// Its name.
    pub instance_id: String,
    /// What became of it.
    pub state: State,
    /// The tests to be fixed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_to_pass: Option<Count>,
    /// The tests not to be broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pass_to_pass: Option<Count>,
    /// Why, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What grading one log gave.
type Graded = Result<Verdict, String>;

/// Grades all logs of one model, and writes `report.json` beside each and the summary.
///
/// # Errors
/// When something cannot be read or written.
pub fn regrade(
    (run_id, folder): (&str, &RunFolder),
    rows: &[Row],
    predictions: &Predictions,
    grader: &Grader,
    report_dir: &Path,
) -> Result<ModelReport, RunFolderError> {
    let mut graded = BTreeMap::new();
    let mut summary = Summary::default();
    for row in rows {
        let prediction = predictions.get(&row.instance_id);
        if let Some(prediction) = prediction {
            let instance = folder.instance(prediction)?;
            let patch = prediction.patch.as_deref();
            if instance.log().is_file() {
                let verdict = match grader.grade(row, patch, &instance.log()) {
                    Ok(verdict) => {
                        instance.write_report(&verdict.document)?;
                        Ok(verdict)
                    }
                    Err(NoGrade::Failed(error)) => {
                        return Err(RunFolderError::at("cannot grade", &instance.log())(error));
                    }
                    Err(NoGrade::Ungradable(why) | NoGrade::Disagreement { why, .. }) => Err(why),
                };
                graded.insert(row.instance_id.as_str(), verdict);
            }
        }
        summary.add(row, prediction, |prediction| {
            folder.instance(prediction)?.evidence()
        })?;
    }
    let path = write_summary(run_id, report_dir, &summary, predictions)?;
    let instances: Vec<InstanceReport> = rows
        .iter()
        .filter(|row| !summary.incomplete().contains(&row.instance_id))
        .map(|row| instance(row, graded.get(row.instance_id.as_str()), &summary))
        .collect();
    let count = |state| {
        let instances = instances.iter();
        instances.filter(|instance| instance.state == state).count()
    };
    Ok(ModelReport {
        model: predictions.model().unwrap_or_default().to_owned(),
        summary: path,
        total: summary.total(),
        resolved: count(State::Resolved),
        unresolved: count(State::Unresolved),
        empty_patch: count(State::EmptyPatch),
        ungradable: count(State::Ungradable),
        error: count(State::Error),
        incomplete: summary.incomplete().len(),
        instances,
    })
}

fn instance(row: &Row, graded: Option<&Graded>, summary: &Summary) -> InstanceReport {
    let id = &row.instance_id;
    let verdict = graded.and_then(|graded| graded.as_ref().ok());
    let state = if summary.empty().contains(id) {
        State::EmptyPatch
    } else if matches!(graded, Some(Err(_))) {
        State::Ungradable
    } else if summary.resolved().contains(id) {
        State::Resolved
    } else if summary.unresolved().contains(id) {
        State::Unresolved
    } else {
        State::Error
    };
    let why = match (graded, state) {
        (Some(Err(why)), _) => Some(why.clone()),
        (Some(Ok(verdict)), State::Unresolved) => verdict.without_results(),
        (None, State::Error) => Some("it has neither test_output.txt nor report.json".to_owned()),
        _ => None,
    };
    InstanceReport {
        instance_id: id.clone(),
        state,
        fail_to_pass: verdict.and_then(|verdict| verdict.fail_to_pass),
        pass_to_pass: verdict.and_then(|verdict| verdict.pass_to_pass),
        why,
    }
}
