//! What a run keeps of what it was asked for: upstream's `run.json`, with the predictions beside it.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::Arguments;
use crate::failure::Failure;
use crate::swebench::inputs::read_if_there;
use crate::swebench::run_tree::write;
use ohoci_image::timestamp::Timestamp;
use ohoci_swebench::names;

/// The dataset and the predictions of a run.
#[derive(Clone, Debug)]
pub(super) struct Inputs {
    pub(super) dataset: PathBuf,
    pub(super) predictions: String,
}

/// What was asked for; with `--resume`, what the run recorded where nothing else is said.
pub(super) fn inputs(arguments: &Arguments) -> Result<Inputs, Failure> {
    names::check_run_id(&arguments.run_id).map_err(|error| {
        Failure::usage(format!("the run's name {:?} {error}", arguments.run_id))
    })?;
    let recorded = if arguments.again.resume {
        let path = path(&arguments.logs, &arguments.run_id);
        let document = read_if_there(&path)?.ok_or_else(|| {
            Failure::new(
                format!("there is no run {} to go on with", arguments.run_id),
                format!("{} is not there", path.display()),
            )
            .hinted("name the folder that holds the folders of runs with --logs")
        })?;
        serde_json::from_slice(&document).map_err(|error| {
            Failure::new(format!("cannot use {}", path.display()), error.to_string())
        })?
    } else {
        Value::Null
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
    })
}

/// Makes the run's folder and records what it was given, as upstream does
/// (`write_run_metadata` of SWE-bench 5.0.2).
pub(super) fn begin(arguments: &Arguments, inputs: &Inputs) -> Result<PathBuf, Failure> {
    let folder = arguments.logs.join(&arguments.run_id);
    fs_err::create_dir_all(&folder)
        .map_err(|error| Failure::new("cannot make the run's folder", error.to_string()))?;
    let document = json!({
        "dataset": inputs.dataset,
        "split": arguments.ignored.split.as_deref().unwrap_or("test"),
        "task_repo": null,
        "created_at": timestamp().replace('Z', "+00:00"),
        "predictions": inputs.predictions,
    });
    let text = serde_json::to_string_pretty(&document)
        .map_err(|error| Failure::new("cannot write run.json", error.to_string()))?;
    write(&path(&arguments.logs, &arguments.run_id), &(text + "\n"))?;
    Ok(folder)
}

fn path(logs: &Path, run_id: &str) -> PathBuf {
    logs.join(run_id).join("run.json")
}

/// The time, as RFC 3339 writes it.
pub(super) fn timestamp() -> String {
    let seconds = i64::try_from(now().as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_epoch(seconds).to_string()
}

/// The time since 1970, which logs and records tell; no digest depends on it.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the edge at which time is taken"
)]
pub(super) fn now() -> Duration {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default()
}
