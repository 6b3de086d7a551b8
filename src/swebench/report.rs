//! `ohoci swebench report`: grades a finished run anew, from the logs that it left.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::failures;
use super::grader::GraderArguments;
use super::time::now;
use crate::arguments::Format;
use crate::failure::Failure;
use crate::{exit_code, output, printable};
use ohoci_config::Environment;
use ohoci_swebench_evaluation::regrade::{ModelReport, Regrade, State, regrade};

/// Grade a finished run again, from the logs that it left.
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

    /// The dataset's rows, as .json, .jsonl or .parquet, or the dataset's name on Hugging Face's hub;
    /// by default what the run recorded
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

    /// The split of a dataset that has several; by default what the run recorded, else test
    #[arg(long, short, value_name = "NAME")]
    pub split: Option<String>,

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

    #[command(flatten)]
    pub(super) grader: GraderArguments,
}

/// What `--format json` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    run_id: &'a str,
    models: Vec<ModelReport>,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let regrade = Regrade {
        run_id: &arguments.run_id,
        logs: &arguments.logs,
        dataset: arguments.dataset_name.as_deref(),
        split: arguments.split.as_deref(),
        predictions: arguments.predictions_path.as_deref(),
        instance_ids: &arguments.instance_ids,
        report_dir: &arguments.report_dir,
        grader: &arguments.grader.grader()?,
        scripts: arguments.grader.scripts_dir.as_deref(),
        environment: &Environment::of_process(),
        clock: now,
    };
    grade(&regrade, arguments.format)
}

/// Grades a finished run anew, and prints what came of it.
pub(super) fn grade(run: &Regrade<'_>, format: Format) -> Result<u8, Failure> {
    let models = regrade(run, &output::warning);
    let report = Report {
        run_id: run.run_id,
        models: models.map_err(|error| failures::regrade(run.run_id, error))?,
    };
    match format {
        Format::Json => output::json(&report)?,
        Format::Text => output::result(text(&report).trim_end())?,
    }
    let any = |count: fn(&ModelReport) -> usize| report.models.iter().any(|model| count(model) > 0);
    Ok(if any(|model| model.ungradable + model.error) {
        exit_code::PARTLY
    } else if any(|model| model.unresolved + model.empty_patch) {
        exit_code::WANTING
    } else {
        exit_code::DONE
    })
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
