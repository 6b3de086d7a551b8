//! Finished runs, graded anew from the logs that they left.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::finished::write_summary;
use super::grader::{Grader, NoGrade, Verdict};
use super::instance_log::Clock;
use super::outcome::Count;
use super::request::{SPLIT, timestamp};
use super::run_folder::{RunFolder, RunFolderError};
use ohoci_config::Environment;
use ohoci_swebench::predictions::{PredictionError, Predictions};
use ohoci_swebench::row::{self, Row, RowError};
use ohoci_swebench::summary::Summary;
use ohoci_swebench_inputs::{InputError, check_graded, predictions, repairs, rows, take_scripts};

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

/// What is graded anew.
#[derive(Clone, Copy, Debug)]
pub struct Regrade<'a> {
    /// The run.
    pub run_id: &'a str,
    /// The folder that holds the folders of runs.
    pub logs: &'a Path,
    /// The dataset; by default what the run recorded.
    pub dataset: Option<&'a Path>,
    /// Its split; by default what the run recorded.
    pub split: Option<&'a str>,
    /// The predictions; by default what the folders of the run's models hold.
    pub predictions: Option<&'a str>,
    /// Only these instances.
    pub instance_ids: &'a [String],
    /// Where summaries are written.
    pub report_dir: &'a Path,
    /// Who grades.
    pub grader: &'a Grader,
    /// Scripts of SWE-bench Pro; by default where the run had them.
    pub scripts: Option<&'a Path>,
    /// The variables by which datasets are found that are named.
    pub environment: &'a Environment,
    /// Tells the time for who waits for the run.
    pub clock: Clock,
}

/// Why a run cannot be graded anew.
#[derive(Debug, thiserror::Error)]
pub enum RegradeError {
    /// The run did not record its dataset, and none is named.
    #[error("run {0} did not record its dataset")]
    NoDataset(String),
    /// No model has left anything.
    #[error("no model has a folder in it")]
    NoModel,
    /// The dataset or the predictions.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The dataset does not have the instances that are asked for.
    #[error(transparent)]
    Instances(#[from] RowError),
    /// The predictions are for another dataset.
    #[error("cannot use the predictions: {0}")]
    Predictions(#[source] PredictionError),
    /// The run's folder.
    #[error(transparent)]
    Folder(#[from] RunFolderError),
}

/// Grades all logs of a run, model by model. `warn` is told what stops nothing.
///
/// # Errors
/// When something cannot be read or written.
pub fn regrade(
    regrade: &Regrade<'_>,
    warn: &dyn Fn(&str),
) -> Result<Vec<ModelReport>, RegradeError> {
    let run_id = regrade.run_id;
    let folder = RunFolder::open(regrade.logs, run_id)?;
    let _lock = folder.lock(None, &timestamp(regrade.clock))?;
    let dataset = match regrade.dataset {
        Some(dataset) => dataset.to_owned(),
        None => folder
            .dataset()?
            .ok_or_else(|| RegradeError::NoDataset(run_id.to_owned()))?,
    };
    let record = folder.record()?.unwrap_or_default();
    let recorded = record.get("split").and_then(Value::as_str);
    let split = regrade.split.or(recorded).unwrap_or(SPLIT);
    let mut all = rows(&dataset, split, regrade.environment)?;
    let ohoci = record.get("ohoci");
    let recorded = ohoci.and_then(|ohoci| ohoci.get("scripts")?.as_str());
    take_scripts(&mut all, regrade.scripts.or(recorded.map(Path::new)))?;
    let sets = match regrade.predictions {
        Some(name) => {
            let named = predictions(name, &all)?;
            repairs(&named).iter().for_each(|warning| warn(warning));
            vec![named]
        }
        None => folder.predictions()?,
    };
    if sets.is_empty() {
        return Err(RegradeError::NoModel);
    }
    for predictions in &sets {
        predictions
            .check_known(&all)
            .map_err(RegradeError::Predictions)?;
    }
    let rows = row::select(all, regrade.instance_ids)?;
    for warning in check_graded(&rows)? {
        warn(&warning);
    }
    let models = sets.iter().map(|predictions| {
        let run = (run_id, &folder);
        Ok(model(
            run,
            &rows,
            predictions,
            regrade.grader,
            regrade.report_dir,
        )?)
    });
    models.collect()
}

/// Grades all logs of one model, and writes `report.json` beside each and the summary.
fn model(
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
