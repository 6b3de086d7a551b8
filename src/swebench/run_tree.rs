//! The folder of a run: `logs/run_evaluation/RUN_ID/MODEL/INSTANCE/`, laid out as upstream does.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::inputs::read_if_there;
use crate::failure::Failure;
use ohoci_store::staged;
use ohoci_swebench::names;
use ohoci_swebench::predictions::{Prediction, Predictions};
use ohoci_swebench::summary::Evidence;

/// A run's folder.
#[derive(Clone, Debug)]
pub(super) struct RunTree {
    path: PathBuf,
}

/// One instance's folder.
#[derive(Clone, Debug)]
pub(super) struct InstanceFolder {
    path: PathBuf,
}

impl RunTree {
    /// The run of this name, which has to be there.
    pub(super) fn open(logs: &Path, run_id: &str) -> Result<Self, Failure> {
        names::check_run_id(run_id)
            .map_err(|error| Failure::usage(format!("the run's name {run_id:?} {error}")))?;
        let path = logs.join(run_id);
        if !path.is_dir() {
            return Err(Failure::new(
                format!("there is no run {run_id}"),
                format!("{} is no folder", path.display()),
            )
            .hinted("name the folder that holds the folders of runs with --logs"));
        }
        Ok(Self { path })
    }

    /// The dataset that the run recorded (`run.json`); harnesses before version 5 record none.
    pub(super) fn dataset(&self) -> Result<Option<PathBuf>, Failure> {
        let path = self.path.join("run.json");
        let Some(document) = read_if_there(&path)? else {
            return Ok(None);
        };
        let document: Value = serde_json::from_slice(&document).map_err(|error| {
            Failure::new(
                format!("cannot use {}", path.display()),
                format!("it is no JSON: {error}"),
            )
        })?;
        Ok(document
            .get("dataset")
            .and_then(Value::as_str)
            .map(PathBuf::from))
    }

    /// What each model's folder tells of its predictions, by the folders' names.
    pub(super) fn predictions(&self) -> Result<Vec<Predictions>, Failure> {
        let mut all = Vec::new();
        for model in folders(&self.path)? {
            let mut predictions = Vec::new();
            for instance_id in folders(&self.path.join(&model))? {
                let patch = self.path.join(&model).join(&instance_id).join("patch.diff");
                let patch = match read_if_there(&patch)? {
                    Some(patch) => String::from_utf8_lossy(&patch).into_owned(),
                    // The run has a folder, so there was something to apply.
                    None => "\n".to_owned(),
                };
                predictions.push(Prediction {
                    instance_id,
                    model: model.clone(),
                    patch: Some(patch),
                });
            }
            if let Ok(predictions) = Predictions::new(predictions) {
                all.push(predictions);
            }
        }
        Ok(all)
    }

    /// Where the run of a prediction left its files.
    pub(super) fn instance(&self, prediction: &Prediction) -> Result<InstanceFolder, Failure> {
        let model = names::model_directory(&prediction.model).map_err(|error| {
            Failure::usage(format!("the model's name {:?} {error}", prediction.model))
        })?;
        Ok(InstanceFolder {
            path: self.path.join(model).join(&prediction.instance_id),
        })
    }
}

impl InstanceFolder {
    /// What the tests wrote; `None` where they were not run.
    pub(super) fn test_output(&self) -> Result<Option<Vec<u8>>, Failure> {
        read_if_there(&self.path.join("test_output.txt"))
    }

    /// Writes `report.json`.
    pub(super) fn write_report(&self, document: &str) -> Result<(), Failure> {
        write(&self.path.join("report.json"), document)
    }

    /// What the summary needs to know.
    pub(super) fn evidence(&self) -> Result<Evidence, Failure> {
        Ok(Evidence {
            report: read_if_there(&self.path.join("report.json"))?,
            test_output: self.test_output()?,
            run_log: read_if_there(&self.path.join("run_instance.log"))?,
        })
    }
}

/// Writes a file at once: a reader sees the old content or the new.
pub(super) fn write(path: &Path, content: &str) -> Result<(), Failure> {
    staged::replace(path, content.as_bytes()).map_err(|error| {
        Failure::new(
            format!("cannot write {}", path.display()),
            error.to_string(),
        )
    })
}

/// The names of the folders in a folder, in order.
fn folders(path: &Path) -> Result<Vec<String>, Failure> {
    let fail = |error: std::io::Error| {
        Failure::new(format!("cannot read {}", path.display()), error.to_string())
    };
    let mut names = Vec::new();
    for entry in fs_err::read_dir(path).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        if let (true, Ok(name)) = (entry.path().is_dir(), entry.file_name().into_string()) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
