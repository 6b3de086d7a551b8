//! `ohoci swebench report`: grades a finished run anew, from the logs that it left.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::inputs;
use super::run_tree::{RunTree, write};
use crate::arguments::Format;
use crate::failure::Failure;
use crate::{exit_code, output, printable};
use ohoci_swebench::grading::{InstanceReport, Outcome, grade};
use ohoci_swebench::predictions::Predictions;
use ohoci_swebench::row::{self, Row};
use ohoci_swebench::summary::{self, Leftovers, Summary};

/// Grade a finished run anew, from the logs that it left.
///
/// Reads LOGS/RUN_ID/MODEL/INSTANCE/test_output.txt, writes report.json beside it and one summary
/// per model, MODEL.RUN_ID.json, as SWE-bench 5.0.2 writes them, byte by byte. Nothing is run. Exit
/// code 4 says that some patches do not resolve their instances, 3 that some instances have no
/// verdict.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The run
    #[arg(value_name = "RUN_ID")]
    pub run_id: String,

    /// The dataset's rows, as .json, .jsonl or .parquet; by default the file that the run recorded
    #[arg(
        long,
        short,
        value_name = "FILE",
        alias = "dataset_name",
        alias = "dataset"
    )]
    pub dataset_name: Option<PathBuf>,

    /// The predictions, as .json or .jsonl, or `gold`; by default what the folders of the run's
    /// models hold
    #[arg(long, short, value_name = "FILE", alias = "predictions_path")]
    pub predictions_path: Option<String>,

    /// Only these instances
    #[arg(long, short, value_name = "ID", num_args = 1.., alias = "instance_ids")]
    pub instance_ids: Vec<String>,

    /// The folder that holds the folders of runs
    #[arg(long, value_name = "DIR", default_value = "logs/run_evaluation")]
    pub logs: PathBuf,

    /// Where summaries are written
    #[arg(long, value_name = "DIR", default_value = ".", alias = "report_dir")]
    pub report_dir: PathBuf,

    /// How the result is written to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// What `--format json` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    run_id: &'a str,
    models: Vec<Model>,
}

/// One model's part of the run.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Model {
    model: String,
    summary: PathBuf,
    total: usize,
    resolved: usize,
    unresolved: usize,
    empty_patch: usize,
    ungradable: usize,
    error: usize,
    incomplete: usize,
    instances: Vec<Instance>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Resolved,
    Unresolved,
    EmptyPatch,
    /// There is a log that cannot be graded.
    Ungradable,
    /// There is neither a log nor a report.
    Error,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Instance {
    instance_id: String,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    fail_to_pass: Option<Count>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pass_to_pass: Option<Count>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// How many tests did as hoped.
#[derive(Clone, Copy, Serialize)]
struct Count {
    success: usize,
    total: usize,
}

/// What grading one log gave.
type Graded = Result<InstanceReport, String>;

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let tree = RunTree::open(&arguments.logs, &arguments.run_id)?;
    let dataset = match &arguments.dataset_name {
        Some(dataset) => dataset.clone(),
        None => tree.dataset()?.ok_or_else(|| {
            Failure::usage(format!(
                "run {} did not record its dataset",
                arguments.run_id
            ))
            .hinted("name the file that holds its rows with --dataset-name")
        })?,
    };
    let all = inputs::rows(&dataset)?;
    let sets = match &arguments.predictions_path {
        Some(name) => vec![inputs::predictions(name, &all)?],
        None => tree.predictions()?,
    };
    if sets.is_empty() {
        return Err(Failure::new(
            format!("cannot report on run {}", arguments.run_id),
            "no model has a folder in it",
        ));
    }
    for predictions in &sets {
        predictions.check_known(&all).map_err(|error| {
            Failure::new("cannot use the predictions", error.to_string())
                .hinted("name the dataset of the run with --dataset-name")
        })?;
    }
    let rows = row::select(all, &arguments.instance_ids)
        .map_err(|error| Failure::usage(error.to_string()))?;
    inputs::check_graded(&rows)?;
    fs_err::create_dir_all(&arguments.report_dir)
        .map_err(|error| Failure::new("cannot write summaries", error.to_string()))?;
    let mut models = Vec::new();
    for predictions in &sets {
        models.push(model(arguments, &tree, &rows, predictions)?);
    }
    let report = Report {
        run_id: &arguments.run_id,
        models,
    };
    match arguments.format {
        Format::Json => output::json(&report)?,
        Format::Text => output::result(text(&report).trim_end())?,
    }
    let any = |count: fn(&Model) -> usize| report.models.iter().any(|model| count(model) > 0);
    Ok(if any(|model| model.ungradable + model.error) {
        exit_code::PARTLY
    } else if any(|model| model.unresolved + model.empty_patch) {
        exit_code::WANTING
    } else {
        exit_code::DONE
    })
}

/// Grades all logs of one model and writes its summary.
fn model(
    arguments: &Arguments,
    tree: &RunTree,
    rows: &[Row],
    predictions: &Predictions,
) -> Result<Model, Failure> {
    let mut graded = BTreeMap::new();
    let mut summary = Summary::default();
    for row in rows {
        let prediction = predictions.get(&row.instance_id);
        if let Some(prediction) = prediction {
            let folder = tree.instance(prediction)?;
            if let Some(log) = folder.test_output()? {
                let verdict = grade(row, prediction.patch.as_deref(), &log);
                if let Ok(report) = &verdict {
                    folder.write_report(&written(report.to_json(&row.instance_id))?)?;
                }
                let verdict = verdict.map_err(|error| error.to_string());
                graded.insert(row.instance_id.as_str(), verdict);
            }
        }
        summary.add(row, prediction, |prediction| {
            tree.instance(prediction)?.evidence()
        })?;
    }
    let name = predictions.model().unwrap_or_default();
    let file = summary::file_name(name, &arguments.run_id)
        .map_err(|error| Failure::usage(format!("the model's name {name:?} {error}")))?;
    let path = if arguments.report_dir == Path::new(".") {
        PathBuf::from(file)
    } else {
        arguments.report_dir.join(file)
    };
    // No engine is behind this, so nothing can be left in one.
    let document = summary.to_json(predictions, Some(&Leftovers::default()));
    write(&path, &written(document)?)?;
    let instances: Vec<Instance> = rows
        .iter()
        .filter(|row| !summary.incomplete().contains(&row.instance_id))
        .map(|row| instance(row, graded.get(row.instance_id.as_str()), &summary))
        .collect();
    let count = |state| {
        let instances = instances.iter();
        instances.filter(|instance| instance.state == state).count()
    };
    Ok(Model {
        model: name.to_owned(),
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

fn instance(row: &Row, graded: Option<&Graded>, summary: &Summary) -> Instance {
    let id = &row.instance_id;
    let report = graded.and_then(|graded| graded.as_ref().ok());
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
    let tests = report.and_then(|report| report.tests_status.as_ref());
    let count = |outcome: &Outcome, expected: &[String]| Count {
        success: outcome.success.len(),
        total: expected.len(),
    };
    let why = match (graded, state) {
        (Some(Err(why)), _) => Some(why.clone()),
        (Some(Ok(report)), State::Unresolved) if tests.is_none() => {
            Some(report.infra_failure_reason.map_or_else(
                || "its log holds no results".to_owned(),
                |reason| format!("its log holds no results ({reason})"),
            ))
        }
        (None, State::Error) => Some("it has neither test_output.txt nor report.json".to_owned()),
        _ => None,
    };
    Instance {
        instance_id: id.clone(),
        state,
        fail_to_pass: tests.map(|tests| count(&tests.fail_to_pass, &row.fail_to_pass)),
        pass_to_pass: tests.map(|tests| count(&tests.pass_to_pass, &row.pass_to_pass)),
        why,
    }
}

fn written(document: Result<String, serde_json::Error>) -> Result<String, Failure> {
    document.map_err(|error| Failure::new("cannot write the report as JSON", error.to_string()))
}

fn text(report: &Report<'_>) -> String {
    let mut text = String::new();
    for model in &report.models {
        let _ = writeln!(
            text,
            "{}: {} of {} resolved",
            printable::line(&model.model),
            model.resolved,
            model.total
        );
        for instance in &model.instances {
            let state = match instance.state {
                State::Resolved => "resolved",
                State::Unresolved => "unresolved",
                State::EmptyPatch => "empty patch",
                State::Ungradable => "ungradable",
                State::Error => "error",
            };
            let _ = write!(text, "  {state:<11}  {}", instance.instance_id);
            if let (Some(fixed), Some(kept)) = (instance.fail_to_pass, instance.pass_to_pass) {
                let _ = write!(
                    text,
                    "  FAIL_TO_PASS {}/{}, PASS_TO_PASS {}/{}",
                    fixed.success, fixed.total, kept.success, kept.total
                );
            }
            if let Some(why) = &instance.why {
                let _ = write!(text, "  ({})", printable::line(why));
            }
            text.push('\n');
        }
        if model.incomplete > 0 {
            let _ = writeln!(text, "  {} without a prediction", model.incomplete);
        }
        let _ = writeln!(text, "  summary: {}", model.summary.display());
    }
    text
}
