//! What each shard of a divided run would build.

use std::collections::HashSet;

use serde::Serialize;

use super::{EnvironmentPlan, InstancePlan, LevelPlan};
use crate::division::{self, Stage, Unit};
use crate::engine::Shard;
use crate::forecast::LayerPlan;
use crate::hand_over::Counts;
use crate::planned::PlannedImage;

/// A shard of one of the stages.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardPlan {
    /// Its stage.
    pub stage: Stage,
    /// Which of the stage's shards it is, from 0.
    pub index: usize,
    /// How many environments it builds, or reads.
    pub environments: usize,
    /// How many instances it builds, or how many wait for what it builds.
    pub instances: usize,
    /// The layers that it makes.
    pub makes: LevelPlan,
    /// The layers that it reads where an earlier stage has left them.
    pub reads: LevelPlan,
}

/// The shards of both stages.
pub(super) fn shards(
    shards: usize,
    images: &[PlannedImage],
    environments: &[EnvironmentPlan],
    instances: &[InstancePlan],
) -> Vec<ShardPlan> {
    let counts = Counts::of(shards, images);
    let environment = |name: &Option<String>| {
        let found = environments
            .iter()
            .find(|known| Some(&known.image) == name.as_ref());
        found.map_or(&[][..], |found| found.levels.as_slice())
    };
    let mut all = Vec::new();
    for index in 0..counts.shared {
        let of = counts.shared;
        let units = division::units(images, Shard { index, of });
        let mut built = 0;
        let mut waiting: HashSet<usize> = HashSet::new();
        let mut makes: Vec<&LayerPlan> = Vec::new();
        for (unit, places) in &units {
            waiting.extend(places);
            match unit {
                Unit::Environment(planned) => {
                    built += 1;
                    makes.extend(environment(&planned.environment_image));
                }
                Unit::History(..) => {
                    let of = places.iter().filter_map(|place| instances.get(*place));
                    let layers = of.flat_map(|one| &one.levels);
                    makes.extend(layers.filter(|layer| layer.level == "history"));
                }
            }
        }
        all.push(ShardPlan {
            stage: Stage::Shared,
            index,
            environments: built,
            instances: waiting.len(),
            makes: sum("makes", makes),
            reads: sum("reads", Vec::new()),
        });
    }
    for index in 0..counts.instances {
        let of = counts.instances;
        let places = division::places(images, Shard { index, of });
        let mine: Vec<&InstancePlan> = places
            .iter()
            .filter_map(|place| instances.get(*place))
            .collect();
        let names: HashSet<&str> = mine
            .iter()
            .filter_map(|one| one.environment_image.as_deref())
            .collect();
        let layers = || mine.iter().flat_map(|one| &one.levels);
        let mut reads: Vec<&LayerPlan> = mine
            .iter()
            .flat_map(|one| environment(&one.environment_image))
            .collect();
        reads.extend(layers().filter(|layer| layer.level == "history"));
        all.push(ShardPlan {
            stage: Stage::Instances,
            index,
            environments: names.len(),
            instances: mine.len(),
            makes: sum(
                "makes",
                layers().filter(|layer| layer.level != "history").collect(),
            ),
            reads: sum("reads", reads),
        });
    }
    all
}

/// These layers, each once.
fn sum(name: &'static str, layers: Vec<&LayerPlan>) -> LevelPlan {
    let mut sum = LevelPlan {
        level: name,
        ..LevelPlan::default()
    };
    let mut seen = HashSet::new();
    for layer in layers {
        if seen.insert((layer.level, &layer.name)) {
            sum.add(&layer.size);
        }
    }
    sum
}
