//! What is told of a finished run: upstream's summary, ohoci's own results, and the exit code.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::record::{self, Inputs};
use super::{Arguments, schedule};
use crate::arguments::Format;
use crate::failure::Failure;
use crate::swebench::run_tree::{RunTree, write};
use crate::{exit_code, output, printable};
use ohoci_swebench::names;
use ohoci_swebench::predictions::Predictions;
use ohoci_swebench::row::Row;
use ohoci_swebench::summary::{self, Leftovers, Summary};
use ohoci_swebench_evaluation::{Outcome, Results, Status};

/// Where the results are, beside the summary.
const FOLDER: &str = "evaluation_results";

/// Writes and prints everything.
pub(super) fn finish(
    arguments: &Arguments,
    inputs: &Inputs,
    rows: &[Row],
    predictions: &Predictions,
    outcomes: &[Outcome],
) -> Result<u8, Failure> {
    let tree = RunTree::open(&arguments.logs, &arguments.run_id)?;
    let mut counted = Summary::default();
    for row in rows {
        counted.add(row, predictions.get(&row.instance_id), |prediction| {
            tree.instance(prediction)?.evidence()
        })?;
    }
    fs_err::create_dir_all(&arguments.report_dir)
        .map_err(|error| Failure::new("cannot write the summary", error.to_string()))?;
    let model = predictions.model().unwrap_or_default().to_owned();
    let file = summary::file_name(&model, &arguments.run_id)
        .map_err(|error| Failure::usage(format!("the model's name {model:?} {error}")))?;
    let below = |path: PathBuf| match arguments.report_dir.as_path() {
        here if here == Path::new(".") => path,
        directory => directory.join(path),
    };
    let path = below(PathBuf::from(&file));
    // No engine is behind this, so nothing can be left in one.
    let document = counted
        .to_json(predictions, Some(&Leftovers::default()))
        .map_err(|error| Failure::new("cannot write the summary", error.to_string()))?;
    write(&path, &document)?;
    let written = results(
        arguments,
        inputs,
        &model,
        outcomes,
        counted.incomplete().len(),
    )?;
    let count = |wanted: &dyn Fn(Status) -> bool| {
        let outcomes = outcomes.iter();
        outcomes.filter(|outcome| wanted(outcome.status)).count()
    };
    let resolved = count(&|status| status == Status::Resolved);
    match arguments.format {
        Format::Json => output::json(&outcomes)?,
        Format::Text => {
            let mut text = format!(
                "{}: {resolved} of {} resolved\n",
                printable::line(&model),
                outcomes.len()
            );
            for outcome in outcomes {
                text.push_str("  ");
                text.push_str(&schedule::line(outcome));
                text.push('\n');
            }
            let _ = writeln!(text, "  summary: {}", path.display());
            let _ = write!(text, "  results: {}", written.display());
            output::result(&text)?;
        }
    }
    Ok(if count(&|status| !status.is_verdict()) > 0 {
        exit_code::PARTLY
    } else if resolved < outcomes.len() {
        exit_code::WANTING
    } else {
        exit_code::DONE
    })
}

/// Writes the results in all forms; returns what the files are called, without what tells them
/// apart.
fn results(
    arguments: &Arguments,
    inputs: &Inputs,
    model: &str,
    outcomes: &[Outcome],
    without_prediction: usize,
) -> Result<PathBuf, Failure> {
    let failed = |why: String| Failure::new("cannot write the results", why);
    let folder = arguments.report_dir.join(FOLDER);
    fs_err::create_dir_all(&folder).map_err(|error| failed(error.to_string()))?;
    let created = record::timestamp();
    let dataset = inputs.dataset.display().to_string();
    let run_id = &arguments.run_id;
    let results = Results::new(
        run_id,
        model,
        &dataset,
        &created,
        outcomes,
        without_prediction,
    );
    let json = results
        .to_json()
        .map_err(|error| failed(error.to_string()))?;
    let model = names::model_directory(model).map_err(|error| failed(error.to_string()))?;
    let path = |kind: &str| folder.join(format!("{model}.{run_id}.{kind}"));
    for (kind, content) in [
        ("json", json),
        ("xml", results.to_junit()),
        ("md", results.to_markdown()),
        ("html", results.to_html()),
    ] {
        write(&path(kind), &content)?;
    }
    Ok(path("{json,xml,md,html}"))
}
