//! What instances need beyond their environments: the bytes of the layers above those, each counted once.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

/// The levels that instances share however many there are.
const SHARED: [&str; 3] = ["base", "python", "environment"];

/// A layer of an instance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layer<'a> {
    /// Its level.
    pub level: &'a str,
    /// What tells it from others.
    pub name: &'a str,
    /// Its bytes, where they are known.
    pub size: Option<u64>,
    /// Whether those are an estimate.
    pub estimated: bool,
}

/// What a repository's instances need beyond their environments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryTotal {
    /// The repository.
    pub repository: String,
    /// How many instances of it there are.
    pub instances: usize,
    /// The bytes of all layers above environments, each once.
    pub size: u64,
    /// That, divided by the instances.
    pub size_per_instance: u64,
    /// The most bytes of an instance that no other of these has.
    pub most_unique_bytes: u64,
    /// Whether some of that is estimated.
    pub estimated: bool,
    /// How many layers there are of whose bytes nothing is known.
    pub unknown_layers: usize,
}

/// Adds up instances' layers above their environments. `instances` are their repositories and layers.
/// Gives the sum of each repository by name, and of each instance the bytes that only it has.
#[must_use]
pub(crate) fn beyond(instances: &[(&str, Vec<Layer<'_>>)]) -> (Vec<RepositoryTotal>, Vec<u64>) {
    let mut users: HashMap<(&str, &str), usize> = HashMap::new();
    for (_, layers) in instances {
        for layer in own(layers) {
            *users.entry((layer.level, layer.name)).or_default() += 1;
        }
    }
    let mut totals: BTreeMap<&str, RepositoryTotal> = BTreeMap::new();
    let mut counted: HashSet<(&str, &str)> = HashSet::new();
    let mut unique = Vec::new();
    for (repository, layers) in instances {
        let total = totals.entry(repository).or_insert_with(|| RepositoryTotal {
            repository: (*repository).to_owned(),
            instances: 0,
            size: 0,
            size_per_instance: 0,
            most_unique_bytes: 0,
            estimated: false,
            unknown_layers: 0,
        });
        total.instances += 1;
        let mut alone = 0;
        for layer in own(layers) {
            let name = (layer.level, layer.name);
            let size = layer.size.unwrap_or_default();
            if users.get(&name) == Some(&1) {
                alone += size;
            }
            if counted.insert(name) {
                total.size += size;
                total.estimated |= layer.estimated;
                total.unknown_layers += usize::from(layer.size.is_none());
            }
        }
        total.most_unique_bytes = total.most_unique_bytes.max(alone);
        unique.push(alone);
    }
    let mut totals: Vec<RepositoryTotal> = totals.into_values().collect();
    for total in &mut totals {
        let instances = u64::try_from(total.instances).unwrap_or(u64::MAX);
        total.size_per_instance = total.size.checked_div(instances).unwrap_or_default();
    }
    (totals, unique)
}

/// Those of these layers that stand above environments, each once.
fn own<'a>(layers: &[Layer<'a>]) -> Vec<Layer<'a>> {
    let above = layers.iter().filter(|layer| !SHARED.contains(&layer.level));
    let mut all: Vec<Layer<'a>> = above.copied().collect();
    all.sort_by_key(|layer| (layer.level, layer.name));
    all.dedup_by_key(|layer| (layer.level, layer.name));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer<'a>(level: &'a str, name: &'a str, size: Option<u64>) -> Layer<'a> {
        Layer {
            level,
            name,
            size,
            estimated: false,
        }
    }

    #[test]
    fn what_instances_share_is_counted_once_and_is_nobodys_own() {
        let shared = [
            layer("environment", "e", Some(1000)),
            layer("history", "h", Some(100)),
        ];
        let of = |own: &[Layer<'static>]| [&shared[..], own].concat();
        let instances = [
            ("a/b", of(&[layer("instance", "1", Some(10))])),
            (
                "a/b",
                of(&[
                    layer("history", "i", Some(20)),
                    layer("instance", "2", Some(10)),
                ]),
            ),
            ("c/d", vec![layer("instance", "3", None)]),
        ];
        let (totals, unique) = beyond(&instances);
        assert_eq!(unique, [10, 30, 0]);
        assert_eq!(
            (totals[0].size, totals[0].size_per_instance),
            (140, 70),
            "the history is there once"
        );
        assert_eq!(totals[0].most_unique_bytes, 30);
        assert_eq!((totals[0].unknown_layers, totals[1].unknown_layers), (0, 1));
        assert_eq!(totals[1].repository, "c/d");
    }
}
