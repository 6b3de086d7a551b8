//! How the images of many instances are divided between machines: first what instances share, in order of
//! how many need it, then the instances, side by side with those of the same environment.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::engine::Shard;
use super::planned::PlannedImage;
use ohoci_swebench::row::Row;

/// What is built before what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// What several instances stand on: environments and histories.
    Shared,
    /// The instances.
    Instances,
}

impl Stage {
    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Instances => "instances",
        }
    }
}

/// A part of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The stage.
    pub stage: Stage,
    /// Which of the parts that it is divided into.
    pub shard: Shard,
}

/// What is built once for all that need it.
#[derive(Clone, Debug)]
pub(crate) enum Unit {
    /// An environment, of which one instance tells all.
    Environment(Box<PlannedImage>),
    /// The parts of a repository's history that several of these may have.
    History(String, Vec<Row>),
}

/// What instances share, as the places of those that need it: what the most need comes first, and of
/// equals what the dataset has first.
fn shared(images: &[PlannedImage]) -> Vec<(bool, Vec<usize>)> {
    let mut found: Vec<(bool, Vec<usize>)> = Vec::new();
    let mut known: HashMap<(bool, &str), usize> = HashMap::new();
    for (place, image) in images.iter().enumerate() {
        let (Ok(order), Some(environment)) = (&image.order, &image.environment_image) else {
            continue;
        };
        for key in [
            (true, environment.as_str()),
            (false, order.row.repo.as_str()),
        ] {
            let at = *known.entry(key).or_insert_with(|| {
                found.push((key.0, Vec::new()));
                found.len() - 1
            });
            if let Some((_, places)) = found.get_mut(at) {
                places.push(place);
            }
        }
    }
    found.sort_by_key(|(_, places)| std::cmp::Reverse(places.len()));
    found
}

/// How many things instances share.
#[must_use]
pub(crate) fn count_shared(images: &[PlannedImage]) -> usize {
    shared(images).len()
}

/// What instances share of which a shard builds its part, each with the places of those that need it.
#[must_use]
pub(crate) fn units(images: &[PlannedImage], shard: Shard) -> Vec<(Unit, Vec<usize>)> {
    let all = shared(images).into_iter().enumerate();
    all.filter(|(place, _)| shard.has(*place))
        .filter_map(|(_, (is_environment, places))| {
            let mut of = places.iter().filter_map(|place| images.get(*place));
            let unit = if is_environment {
                Unit::Environment(Box::new(of.next()?.clone()))
            } else {
                let rows: Vec<Row> = of
                    .filter_map(|image| Some(image.order.as_ref().ok()?.row.clone()))
                    .collect();
                Unit::History(rows.first()?.repo.clone(), rows)
            };
            Some((unit, places))
        })
        .collect()
}

/// The places of the instances that a shard builds. Those of one environment are neighbours, so that few
/// machines need it; those that nothing can be built of come last.
#[must_use]
pub(crate) fn places(images: &[PlannedImage], shard: Shard) -> Vec<usize> {
    let mut order: Vec<usize> = shared(images)
        .into_iter()
        .filter(|(is_environment, _)| *is_environment)
        .flat_map(|(_, places)| places)
        .collect();
    let built: HashSet<usize> = order.iter().copied().collect();
    order.extend((0..images.len()).filter(|place| !built.contains(place)));
    let bound = |index: usize| index * order.len() / shard.of.max(1);
    let (from, to) = (bound(shard.index), bound(shard.index + 1));
    order.get(from..to).unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::Order;
    use ohoci_swebench::environment::environment;
    use ohoci_swebench::specs::Catalogue;

    /// An instance of a repository, with an environment of this name.
    fn image(id: &str, repository: &str, environment_image: &str) -> PlannedImage {
        let row = format!(
            r#"[{{"instance_id":"{id}","repo":"{repository}","base_commit":"a","version":"1.12"}}]"#
        );
        let row = Row::from_json(row.as_bytes()).unwrap().remove(0);
        let sympy = r#"[{"instance_id":"sympy__sympy-1","repo":"sympy/sympy","base_commit":"a","version":"1.12"}]"#;
        let known = Row::from_json(sympy.as_bytes()).unwrap().remove(0);
        let catalogue = Catalogue::upstream().unwrap();
        PlannedImage {
            instance_id: id.to_owned(),
            image: id.to_owned(),
            environment_image: Some(environment_image.to_owned()),
            base_image: "base".to_owned(),
            order: Ok(Order {
                specs: ohoci_swebench::environment::specs(&known, &catalogue)
                    .unwrap()
                    .clone(),
                environment: environment(&known, &catalogue, &|_, _| None).unwrap(),
                row,
                conda: None,
                model_patch: None,
                with_patches: false,
            }),
        }
    }

    fn images() -> Vec<PlannedImage> {
        let mut images = vec![
            image("1", "a/b", "rare"),
            image("2", "a/b", "common"),
            image("3", "c/d", "common"),
            image("4", "a/b", "common"),
            image("5", "c/d", "other"),
        ];
        let mut refused = image("6", "a/b", "none");
        refused.order = Err(crate::BuildError::new(crate::Level::Environment, "x", "y"));
        refused.environment_image = None;
        images.insert(0, refused);
        images
    }

    #[test]
    fn what_most_instances_need_comes_first_and_once() {
        let images = images();
        let names = |index, of| -> Vec<String> {
            let units = units(&images, Shard { index, of });
            units
                .into_iter()
                .map(|(unit, places)| match unit {
                    Unit::Environment(image) => {
                        format!("{} {}", image.environment_image.unwrap(), places.len())
                    }
                    Unit::History(repository, rows) => format!("{repository} {}", rows.len()),
                })
                .collect()
        };
        assert_eq!(
            names(0, 1),
            ["a/b 3", "common 3", "c/d 2", "rare 1", "other 1"]
        );
        assert_eq!(names(0, 2), ["a/b 3", "c/d 2", "other 1"]);
        assert_eq!(names(1, 2), ["common 3", "rare 1"]);
        assert_eq!(count_shared(&images), 5);
    }

    #[test]
    fn every_instance_is_in_one_shard_beside_those_of_its_environment() {
        let images = images();
        let places = |index, of| places(&images, Shard { index, of });
        assert_eq!(places(0, 1), [2, 3, 4, 1, 5, 0]);
        assert_eq!((places(0, 2), places(1, 2)), (vec![2, 3, 4], vec![1, 5, 0]));
        let all: Vec<usize> = (0..4).flat_map(|index| places(index, 4)).collect();
        assert_eq!(all, places(0, 1));
        assert!((0..10).any(|index| places(index, 10).is_empty()));
    }
}
