//! What was built, as data and as JSON.

mod gathered;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::base::Base;
use super::beyond::{Layer, RepositoryTotal, beyond};
use super::builder::Made;
pub use super::disk::DiskReport;
use super::division::{Stage, Unit};
use super::planned::PlannedImage;
use super::push::Pushed;
use crate::{BuildError, BuiltInstance};

/// What became of one instance.
#[derive(Clone, Debug)]
pub struct ImageOutcome {
    /// The instance.
    pub instance_id: String,
    image: String,
    environment_image: Option<String>,
    repository: String,
    /// Its levels, lowest first.
    pub levels: Vec<LevelReport>,
    /// The bytes above its environment that no other instance of the run has.
    unique: u64,
    /// How long its own level took, in seconds.
    pub seconds: f64,
    script_seconds: f64,
    /// Where it is now.
    pub pushed: Vec<Pushed>,
    /// Why it is not there.
    pub error: Option<BuildError>,
}

/// One level of an instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LevelReport {
    /// The level.
    pub level: String,
    key: String,
    digest: String,
    size: u64,
    uncompressed: u64,
    /// Whether an earlier run left it.
    pub from_cache: bool,
    seconds: f64,
}

impl LevelReport {
    fn of(level: &'static str, made: &Made) -> Self {
        Self {
            level: level.to_owned(),
            key: made.key.clone(),
            digest: made.layer.layer.descriptor.digest.to_string(),
            size: made.layer.size(),
            uncompressed: made.layer.uncompressed,
            from_cache: made.layer.from_cache,
            seconds: rounded(made.seconds),
        }
    }
}

/// Milliseconds are enough.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

impl ImageOutcome {
    pub(crate) fn of(planned: &PlannedImage) -> Self {
        Self {
            instance_id: planned.instance_id.clone(),
            image: planned.image.clone(),
            environment_image: planned.environment_image.clone(),
            repository: match &planned.order {
                Ok(order) => order.row.repo.clone(),
                Err(_) => String::new(),
            },
            levels: Vec::new(),
            unique: 0,
            seconds: 0.0,
            script_seconds: 0.0,
            pushed: Vec::new(),
            error: None,
        }
    }

    /// What instances share, by its own name.
    pub(crate) fn of_shared(unit: &Unit) -> Self {
        match unit {
            Unit::Environment(planned) => {
                let name = planned.environment_image.clone().unwrap_or_default();
                Self {
                    instance_id: name.clone(),
                    image: name,
                    ..Self::of(planned)
                }
            }
            Unit::History(repository, _) => Self {
                instance_id: format!("history of {repository}"),
                image: String::new(),
                environment_image: None,
                repository: repository.clone(),
                levels: Vec::new(),
                unique: 0,
                seconds: 0.0,
                script_seconds: 0.0,
                pushed: Vec::new(),
                error: None,
            },
        }
    }

    pub(crate) fn add_built(&mut self, built: &BuiltInstance) {
        let levels = built.levels.iter();
        self.levels = levels
            .map(|(level, made)| LevelReport::of(level, made))
            .collect();
        self.seconds = built.seconds;
        self.script_seconds = built.script_seconds;
    }

    fn json(&self) -> Value {
        json!({
            "instanceId": self.instance_id,
            "image": self.image,
            "environmentImage": self.environment_image,
            "repository": self.repository,
            "status": if self.error.is_none() { "built" } else { "failed" },
            "levels": self.levels,
            "uniqueBytes": self.unique,
            "seconds": rounded(self.seconds),
            "scriptSeconds": rounded(self.script_seconds),
            "pushed": self.pushed,
            "error": self.error.as_ref().map(|error| json!({
                "level": error.level.to_string(),
                "step": error.step,
                "why": error.why,
                "hint": error.hint,
                "log": error.log,
                "tail": error.tail,
            })),
        })
    }
}

/// All layers of a level, each once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LevelTotal {
    /// The level.
    pub level: String,
    /// How many layers there are.
    pub layers: usize,
    /// Their bytes.
    pub size: u64,
    /// The bytes of their tars; `None` where no manifest tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uncompressed: Option<u64>,
}

/// The whole run.
#[derive(Debug)]
pub struct Report {
    base: Value,
    /// The stage that it is about; `None` where that is all.
    stage: Option<Stage>,
    /// What became of each instance, in the dataset's order.
    pub outcomes: Vec<ImageOutcome>,
    /// The layers of each level.
    pub levels: Vec<LevelTotal>,
    /// What instances have beyond their environments, by repository.
    pub repositories: Vec<RepositoryTotal>,
    /// How the disk was used, where the run was held to a budget.
    pub disk: Option<DiskReport>,
    /// The bytes that all layers have together.
    pub stored: u64,
    /// The bytes that they would have if no image shared any.
    apart: u64,
}

impl Report {
    pub(crate) fn of(
        base: Option<&Base>,
        outcomes: Vec<ImageOutcome>,
        stage: Option<Stage>,
    ) -> Self {
        let base = base.map(|base| {
            json!({
                "reference": base.reference.to_string(),
                "digest": base.digest.to_string(),
                "layers": base.layers.len(),
                "size": base.layers.iter().map(|layer| layer.size).sum::<u64>(),
            })
        });
        Self::adding_up(base.unwrap_or(Value::Null), outcomes, stage)
    }

    /// `base` is what a report says of it.
    fn adding_up(base: Value, mut outcomes: Vec<ImageOutcome>, stage: Option<Stage>) -> Self {
        let number = |name: &str| base.get(name).and_then(Value::as_u64);
        let base_size = number("size").unwrap_or_default();
        let mut levels: Vec<LevelTotal> = Vec::new();
        levels.extend(number("layers").map(|layers| LevelTotal {
            level: "base".to_owned(),
            layers: usize::try_from(layers).unwrap_or_default(),
            size: base_size,
            uncompressed: None,
        }));
        let mut apart = 0;
        let mut seen = BTreeSet::new();
        for outcome in outcomes.iter().filter(|outcome| !outcome.levels.is_empty()) {
            apart += base_size;
            for level in &outcome.levels {
                apart += level.size;
                if !seen.insert(level.digest.clone()) {
                    continue;
                }
                match levels.iter_mut().find(|total| total.level == level.level) {
                    Some(total) => {
                        total.layers += 1;
                        total.size += level.size;
                        total.uncompressed = total.uncompressed.map(|sum| sum + level.uncompressed);
                    }
                    None => levels.push(LevelTotal {
                        level: level.level.clone(),
                        layers: 1,
                        size: level.size,
                        uncompressed: Some(level.uncompressed),
                    }),
                }
            }
        }
        let repositories = match stage {
            Some(Stage::Shared) => Vec::new(),
            Some(Stage::Instances) | None => repositories(&mut outcomes),
        };
        Self {
            base,
            stage,
            disk: None,
            stored: levels.iter().map(|total| total.size).sum(),
            levels,
            repositories,
            apart,
            outcomes,
        }
    }

    /// The report of a run whose base could not be made.
    #[must_use]
    pub(crate) fn without_base(
        outcomes: Vec<ImageOutcome>,
        error: &BuildError,
        stage: Option<Stage>,
    ) -> Self {
        let failed = outcomes.into_iter().map(|one| ImageOutcome {
            error: Some(error.clone()),
            ..one
        });
        Self::of(None, failed.collect(), stage)
    }

    /// The bytes that images do not have twice because they share layers.
    #[must_use]
    pub fn shared(&self) -> u64 {
        self.apart.saturating_sub(self.stored)
    }

    /// How many images are not there.
    #[must_use]
    pub fn failed(&self) -> usize {
        let outcomes = self.outcomes.iter();
        outcomes.filter(|outcome| outcome.error.is_some()).count()
    }

    /// The report as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "base": self.base,
            "stage": self.stage,
            "instances": self.outcomes.iter().map(ImageOutcome::json).collect::<Vec<_>>(),
            "levels": self.levels,
            "repositories": self.repositories,
            "disk": self.disk,
            "storedBytes": self.stored,
            "sharedBytes": self.shared(),
        })
    }
}

/// Adds up what instances that are built have beyond their environments, and notes with each what only it
/// has.
fn repositories(outcomes: &mut [ImageOutcome]) -> Vec<RepositoryTotal> {
    let mut built: Vec<&mut ImageOutcome> = outcomes
        .iter_mut()
        .filter(|outcome| !outcome.levels.is_empty())
        .collect();
    let layers: Vec<_> = built
        .iter()
        .map(|outcome| {
            let layers = outcome.levels.iter().map(|level| Layer {
                level: &level.level,
                name: &level.digest,
                size: Some(level.size),
                estimated: false,
            });
            (outcome.repository.as_str(), layers.collect())
        })
        .collect();
    let (totals, unique) = beyond(&layers);
    for (outcome, unique) in built.iter_mut().zip(unique) {
        outcome.unique = unique;
    }
    totals
}
