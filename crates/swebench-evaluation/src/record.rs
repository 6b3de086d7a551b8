//! What a run keeps of what it was asked for: upstream's `run.json`, with what ohoci needs to go on
//! with it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::carrier::Inputs;
use super::request::{Mode, Request, SPLIT};
use super::run_folder::RunFolderError;

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
    request: &Request<'_>,
    (model, scope): (&str, &Scope),
    now: &str,
) -> Result<(), RunFolderError> {
    let (inputs, recorded) = (&request.inputs, request.recorded);
    let is_part = matches!(request.mode, Mode::Shard(_) | Mode::Gather(_));
    if is_part && !recorded.is_null() {
        return Ok(());
    }
    let mut instances = recorded
        .get("ohoci")
        .and_then(|ohoci| ohoci.get("instances")?.as_object())
        .filter(|_| recorded.get("dataset") == Some(&json!(inputs.dataset)))
        .cloned()
        .unwrap_or_default();
    instances.insert(model.to_owned(), json!(scope.0));
    let record = json!({
        "dataset": inputs.dataset,
        "split": request.split.unwrap_or(SPLIT),
        "task_repo": null,
        "created_at": now.replace('Z', "+00:00"),
        "predictions": inputs.predictions,
        "ohoci": {
            "arguments": request.remembered,
            "instances": instances,
            "scripts": inputs.scripts,
        },
    });
    request.folder.begin(&record)
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
