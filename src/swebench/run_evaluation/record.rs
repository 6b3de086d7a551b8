//! What a run keeps of what it was asked for: upstream's `run.json`, with the predictions beside it.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::Arguments;
use crate::failure::Failure;
use crate::swebench::time::timestamp;
use ohoci_swebench_evaluation::carrier::Inputs;
use ohoci_swebench_evaluation::run_folder::RunFolder;

/// What was asked for; with `--resume`, what the run recorded where nothing else is said.
pub(super) fn inputs(arguments: &Arguments, folder: &RunFolder) -> Result<Inputs, Failure> {
    let recorded = match arguments.again.resume {
        false => Value::Null,
        true => folder.record()?.ok_or_else(|| {
            let run_json = folder.path().join("run.json");
            Failure::new(
                format!("there is no run {} to go on with", arguments.run_id),
                format!("{} is not there", run_json.display()),
            )
            .hinted("name the folder that holds the folders of runs with --logs")
        })?,
    };
    let text = |field: &str| recorded.get(field).and_then(Value::as_str);
    let missing = |flag: &str| {
        Failure::usage(format!("{flag} is missing"))
            .hinted("only --resume knows what an earlier run was given")
    };
    Ok(Inputs {
        dataset: arguments
            .dataset_name
            .clone()
            .or_else(|| text("dataset").map(PathBuf::from))
            .ok_or_else(|| missing("--dataset-name"))?,
        predictions: arguments
            .predictions_path
            .clone()
            .or_else(|| text("predictions").map(str::to_owned))
            .ok_or_else(|| missing("--predictions-path"))?,
        specs: arguments.specs.clone(),
    })
}

/// Makes the run's folder and records what it was given, as upstream does
/// (`write_run_metadata` of SWE-bench 5.0.2).
pub(super) fn begin(
    arguments: &Arguments,
    inputs: &Inputs,
    folder: &RunFolder,
) -> Result<(), Failure> {
    let record = json!({
        "dataset": inputs.dataset,
        "split": arguments.ignored.split.as_deref().unwrap_or("test"),
        "task_repo": null,
        "created_at": timestamp().replace('Z', "+00:00"),
        "predictions": inputs.predictions,
    });
    Ok(folder.begin(&record)?)
}
