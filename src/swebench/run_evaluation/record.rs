//! What a run kept of what it was asked for, for whoever goes on with it.

use std::path::PathBuf;

use serde_json::Value;

use super::arguments::Arguments;
use super::remembered::Remembered;
use crate::failure::Failure;
use ohoci_swebench_evaluation::carrier::Inputs;
use ohoci_swebench_evaluation::run_folder::RunFolder;

/// What the run kept that is to be gone on with.
pub(super) fn of_earlier(run_id: &str, folder: &RunFolder) -> Result<Value, Failure> {
    folder.record()?.ok_or_else(|| {
        let run_json = folder.path().join("run.json");
        Failure::new(
            format!("there is no run {run_id} to go on with"),
            format!("{} is not there", run_json.display()),
        )
        .hinted("name the folder that holds the folders of runs with --logs")
    })
}

/// What was asked for; with `--resume`, what the run recorded where nothing else is said.
pub(super) fn inputs(arguments: &Arguments, recorded: &Value) -> Result<Inputs, Failure> {
    let recorded = match arguments.again.resume {
        true => recorded,
        false => &Value::Null,
    };
    let text = |field: &str| recorded.get(field).and_then(Value::as_str);
    let missing = |flag: &str| {
        Failure::usage(format!("{flag} is missing"))
            .hinted("only --resume knows what an earlier run was given")
    };
    Ok(Inputs {
        dataset: arguments
            .dataset()
            .map(PathBuf::from)
            .or_else(|| text("dataset").map(PathBuf::from))
            .ok_or_else(|| missing("--dataset-name"))?,
        predictions: arguments
            .predictions()
            .or_else(|| text("predictions"))
            .map(str::to_owned)
            .ok_or_else(|| missing("--predictions-path"))?,
        specs: arguments.specs.clone(),
        scripts: arguments.grader.scripts_dir.clone(),
        assets: arguments.images.assets.clone(),
    })
}

/// The command line that the run is to remember: with `--resume`, the one that it was begun with.
pub(super) fn remembered(
    arguments: &Arguments,
    recorded: &Value,
    remembered: &Remembered,
) -> Value {
    let ohoci = recorded.get("ohoci");
    let earlier = ohoci.and_then(|ohoci| ohoci.get("arguments")).cloned();
    let earlier = earlier.filter(|_| arguments.again.resume);
    earlier.unwrap_or_else(|| remembered.to_record())
}
