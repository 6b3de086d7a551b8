//! What shards have left, put together.

use std::collections::HashMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{ImageOutcome, LevelReport, Report};
use crate::error::{BuildError, Details, Level};
use crate::planned::PlannedImage;
use crate::push::Pushed;

impl Report {
    /// The report of all, from those of shards; in the order of the dataset. What no shard tells of is
    /// missing.
    pub(crate) fn gathered(reports: &[Value], images: &[PlannedImage]) -> Self {
        let mut bases = reports.iter().filter_map(|report| report.get("base"));
        let base = bases.rfind(|base| !base.is_null()).cloned();
        let instances = reports
            .iter()
            .filter_map(|report| report.get("instances")?.as_array());
        let mut told: HashMap<String, ImageOutcome> = instances
            .flatten()
            .filter_map(outcome)
            .map(|outcome| (outcome.instance_id.clone(), outcome))
            .collect();
        let outcomes = images.iter().map(|image| {
            told.remove(&image.instance_id).unwrap_or_else(|| {
                let why = "no shard has left it";
                let missing = BuildError::new(Level::Instance, "gather", why);
                ImageOutcome {
                    error: Some(missing.hinted(
                        "the same command again builds what is missing; shards' logs tell more",
                    )),
                    ..ImageOutcome::of(image)
                }
            })
        });
        Self::adding_up(base.unwrap_or(Value::Null), outcomes.collect(), None)
    }
}

/// An instance in a shard's report.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    instance_id: String,
    image: String,
    environment_image: Option<String>,
    repository: String,
    levels: Vec<LevelReport>,
    seconds: f64,
    script_seconds: f64,
    pushed: Vec<Pushed>,
    error: Option<ToldError>,
}

/// Why it could not be built.
#[derive(Deserialize)]
struct ToldError {
    level: String,
    step: String,
    why: String,
    hint: Option<String>,
    log: Option<PathBuf>,
    tail: Vec<String>,
}

fn outcome(value: &Value) -> Option<ImageOutcome> {
    let told: Told = read(value)?;
    Some(ImageOutcome {
        instance_id: told.instance_id,
        image: told.image,
        environment_image: told.environment_image,
        repository: told.repository,
        levels: told.levels,
        unique: 0,
        seconds: told.seconds,
        script_seconds: told.script_seconds,
        pushed: told.pushed,
        error: told.error.map(|error| {
            BuildError::of(Details {
                level: Level::named(&error.level).unwrap_or(Level::Instance),
                step: error.step,
                why: error.why,
                hint: error.hint,
                log: error.log,
                tail: error.tail,
            })
        }),
    })
}

fn read<T: DeserializeOwned>(value: &Value) -> Option<T> {
    T::deserialize(value).ok()
}
