//! What a run keeps of what it was asked for: upstream's `run.json`, with what ohoci needs to go on
//! with it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::arguments::Arguments;
use super::remembered::Remembered;
use crate::failure::Failure;
use crate::swebench::time::timestamp;
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

/// The instances that a model's run is about; `None` for all of the dataset's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope(Option<BTreeSet<String>>);

impl Scope {
    /// What is asked for now, together with what was asked for under the same name before: a part that
    /// is run again leaves the whole what it was. Another dataset begins anew.
    pub(super) fn new(asked: &[String], recorded: &Value, inputs: &Inputs, model: &str) -> Self {
        let asked = match asked {
            [] => None,
            asked => Some(asked.iter().cloned().collect::<BTreeSet<String>>()),
        };
        let is_same = recorded.get("dataset") == Some(&json!(inputs.dataset));
        let ohoci = recorded.get("ohoci").filter(|_| is_same);
        let scopes = ohoci.and_then(|ohoci| ohoci.get("instances"));
        let earlier = scopes.and_then(|scopes| scopes.get(model));
        Self(match (asked, earlier) {
            (asked, None) => asked,
            (None, _) | (_, Some(Value::Null)) => None,
            (Some(mut asked), Some(earlier)) => {
                let ids = earlier.as_array().into_iter().flatten();
                asked.extend(ids.filter_map(|id| id.as_str().map(str::to_owned)));
                Some(asked)
            }
        })
    }

    /// Whether an instance belongs to it.
    pub(super) fn has(&self, instance_id: &str) -> bool {
        self.0
            .as_ref()
            .is_none_or(|instances| instances.contains(instance_id))
    }
}

/// Makes the run's folder and records what it was given, as upstream does
/// (`write_run_metadata` of SWE-bench 5.0.2). What only goes on with a run, or does a part of it,
/// leaves the command line that it remembers.
pub(super) fn begin(
    arguments: &Arguments,
    (inputs, recorded): (&Inputs, &Value),
    (model, scope): (&str, &Scope),
    remembered: &Remembered,
    folder: &RunFolder,
) -> Result<(), Failure> {
    let is_part = arguments.engine.shard.is_some() || arguments.engine.gather;
    if is_part && !recorded.is_null() {
        return Ok(());
    }
    let ohoci = recorded.get("ohoci");
    let earlier = ohoci.and_then(|ohoci| ohoci.get("arguments")).cloned();
    let earlier = earlier.filter(|_| arguments.again.resume);
    let mut instances = ohoci
        .and_then(|ohoci| ohoci.get("instances")?.as_object())
        .filter(|_| recorded.get("dataset") == Some(&json!(inputs.dataset)))
        .cloned()
        .unwrap_or_default();
    instances.insert(model.to_owned(), json!(scope.0));
    let record = json!({
        "dataset": inputs.dataset,
        "split": arguments.split.as_deref().unwrap_or("test"),
        "task_repo": null,
        "created_at": timestamp().replace('Z', "+00:00"),
        "predictions": inputs.predictions,
        "ohoci": {
            "arguments": earlier.unwrap_or_else(|| remembered.to_record()),
            "instances": instances,
            "scripts": arguments.grader.scripts_dir,
        },
    });
    Ok(folder.begin(&record)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_is_run_again_leaves_the_whole_what_it_was() {
        let inputs = Inputs {
            dataset: "rows.jsonl".into(),
            predictions: "gold".to_owned(),
            specs: None,
            scripts: None,
            assets: None,
        };
        let record =
            |instances: Value| json!({"dataset": "rows.jsonl", "ohoci": {"instances": instances}});
        let has = |asked: &[&str], recorded: &Value| {
            let asked: Vec<String> = asked.iter().map(ToString::to_string).collect();
            let scope = Scope::new(&asked, recorded, &inputs, "m");
            ["a", "b", "c"].map(|id| scope.has(id))
        };
        assert_eq!(has(&["a"], &Value::Null), [true, false, false]);
        assert_eq!(
            has(&["a"], &record(json!({"m": ["b"]}))),
            [true, true, false]
        );
        assert_eq!(has(&["a"], &record(json!({"m": null}))), [true; 3]);
        assert_eq!(has(&[], &record(json!({"m": ["b"]}))), [true; 3]);
        assert_eq!(
            has(&["a"], &record(json!({"n": null}))),
            [true, false, false]
        );
        let mut other = record(json!({"m": null}));
        other["dataset"] = json!("other.jsonl");
        assert_eq!(has(&["a"], &other), [true, false, false]);
    }
}
