//! What is told of a finished run: upstream's summary, ohoci's own results, and the exit code.

use std::path::{Path, PathBuf};

use super::{Arguments, schedule};
use crate::cli::arguments::Format;
use crate::cli::failure::Failure;
use crate::cli::swebench::run_tree::{RunTree, write};
use crate::cli::{exit_code, output, printable};
use crate::evaluation::{Outcome, Status};
use crate::swebench::predictions::Predictions;
use crate::swebench::row::Row;
use crate::swebench::summary::{self, Leftovers, Summary};

/// Writes and prints everything.
pub(super) fn finish(
    arguments: &Arguments,
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
            text.push_str(&format!("  summary: {}", path.display()));
            output::result(&text);
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
