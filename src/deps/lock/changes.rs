//! What is different between two locks, and whether a lock still is what its recipe asks for.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::document::Lock;
use super::inputs::inputs_of;
use crate::deps::recipe::Recipe;

/// Packages by how they differ between two locks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// New ones.
    pub added: Vec<Change>,
    /// Those that are gone.
    pub removed: Vec<Change>,
    /// Those of which versions, files or layers changed.
    pub changed: Vec<Change>,
}

/// One package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its name.
    pub name: String,
    /// Its versions in the old lock.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<String>,
    /// Its versions in the new lock.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
}

impl Changes {
    /// What is different in `new`.
    #[must_use]
    pub fn between(old: Option<&Lock>, new: &Lock) -> Self {
        let old = old.map(by_name).unwrap_or_default();
        let new = by_name(new);
        let mut changes = Self::default();
        for name in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
            let (from, to) = (old.get(name), new.get(name));
            if from == to {
                continue;
            }
            let change = Change {
                name: name.clone(),
                from: from.map(|blocks| versions(blocks)).unwrap_or_default(),
                to: to.map(|blocks| versions(blocks)).unwrap_or_default(),
            };
            match (from, to) {
                (None, _) => changes.added.push(change),
                (_, None) => changes.removed.push(change),
                _ => changes.changed.push(change),
            }
        }
        changes
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// Versions of each package, with all that a lock says of them.
fn by_name(lock: &Lock) -> BTreeMap<String, Vec<(String, String)>> {
    let mut blocks: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for package in &lock.debian {
        let block = (package.version.clone(), format!("{package:?}"));
        blocks.entry(package.name.clone()).or_default().push(block);
    }
    for package in &lock.python {
        let block = (package.version.clone(), format!("{package:?}"));
        let name = format!("{} (Python)", package.name);
        blocks.entry(name).or_default().push(block);
    }
    for source in &lock.source {
        let version = source.version.clone().unwrap_or_default();
        let name = format!("{} ({})", source.name, source.kind.name());
        let block = (version, format!("{source:?}"));
        blocks.entry(name).or_default().push(block);
    }
    blocks
}

fn versions(blocks: &[(String, String)]) -> Vec<String> {
    blocks.iter().map(|(version, _)| version.clone()).collect()
}

/// Why a lock is not what the recipe asks for any longer; empty when it still is. Asks nobody: a
/// lock does not go stale because mirrors move on.
#[must_use]
pub fn stale(recipe: &Recipe, lock: &Lock) -> Vec<String> {
    let mut reasons = Vec::new();
    if lock.recipe != recipe.name.as_str() {
        reasons.push(format!("it is the lock of {}", lock.recipe));
    }
    let platforms: Vec<String> = recipe.platforms.iter().map(ToString::to_string).collect();
    if lock.platforms != platforms {
        reasons.push(format!(
            "it is for {}, the recipe for {}",
            lock.platforms.join(" and "),
            platforms.join(" and ")
        ));
    }
    let locked: Vec<&str> = lock
        .feature
        .iter()
        .map(|feature| feature.name.as_str())
        .collect();
    let wanted = recipe
        .features
        .iter()
        .map(|feature| feature.name.get_ref().as_str());
    let wanted: Vec<&str> = wanted.collect();
    if locked != wanted {
        reasons.push(format!(
            "it has the features {}, the recipe {}",
            locked.join(", "),
            wanted.join(", ")
        ));
    }
    let names: BTreeSet<&str> = lock
        .debian
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    for feature in &recipe.features {
        let name = feature.name.get_ref().as_str();
        let Some(known) = lock.feature.iter().find(|known| known.name == name) else {
            continue;
        };
        if known.inputs == inputs_of(feature) {
            continue;
        }
        let missing: Vec<&str> = feature
            .debian()
            .into_iter()
            .flat_map(|debian| &debian.packages)
            .map(|package| package.get_ref().as_str())
            .filter(|package| !names.contains(package))
            .collect();
        reasons.push(match missing.as_slice() {
            [] => format!("{name} asks for something else than when it was locked"),
            missing => format!("{name} asks for {}, not locked yet", missing.join(", ")),
        });
    }
    for package in &lock.debian {
        for need in &package.needs {
            if !names.contains(need.as_str()) {
                reasons.push(format!("{} needs {need}, which is not in it", package.name));
            }
        }
    }
    reasons
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::document::LockedFeature;
    use super::*;
    use crate::deps::lock::DebianPackage;
    use crate::oci::Digest;

    fn package(name: &str, version: &str) -> DebianPackage {
        DebianPackage {
            name: name.to_owned(),
            version: version.to_owned(),
            source: None,
            feature: "core".to_owned(),
            suite: None,
            needs: BTreeSet::new(),
            file: BTreeMap::new(),
        }
    }

    fn recipe(directory: &Path, packages: &str) -> Recipe {
        let path = directory.join("core.toml");
        let text = format!(
            "name = \"core\"\nplatforms = [\"linux/amd64\"]\n[debian]\nsuite = \"s\"\npackages = {packages}\n"
        );
        fs_err::write(&path, text).unwrap();
        Recipe::load(&path).unwrap()
    }

    #[test]
    fn packages_are_told_apart_by_how_they_differ() {
        let mut old = Lock::new("core", &[]);
        old.debian = vec![package("aa", "1"), package("bb", "1"), package("cc", "1")];
        let mut new = Lock::new("core", &[]);
        new.debian = vec![package("aa", "1"), package("bb", "2"), package("dd", "1")];
        let changes = Changes::between(Some(&old), &new);
        let names = |changes: &[Change]| -> Vec<String> {
            changes
                .iter()
                .map(|change| format!("{}:{:?}>{:?}", change.name, change.from, change.to))
                .collect()
        };
        assert_eq!(names(&changes.added), ["dd:[]>[\"1\"]"]);
        assert_eq!(names(&changes.removed), ["cc:[\"1\"]>[]"]);
        assert_eq!(names(&changes.changed), ["bb:[\"1\"]>[\"2\"]"]);
        assert!(Changes::between(Some(&new), &new).is_empty());
        assert_eq!(Changes::between(None, &new).added.len(), 3);
    }

    #[test]
    fn a_lock_goes_stale_with_its_recipe_only() {
        let directory = tempfile::tempdir().unwrap();
        let one = recipe(directory.path(), "[\"aa\"]");
        let mut lock = Lock::new("core", &one.platforms);
        lock.feature.push(LockedFeature {
            name: "core".to_owned(),
            inputs: inputs_of(&one.features[0]),
        });
        lock.debian.push(package("aa", "1"));
        assert_eq!(stale(&one, &lock), [""; 0]);

        let two = recipe(directory.path(), "[\"aa\", \"bb\"]");
        assert_eq!(stale(&two, &lock), ["core asks for bb, not locked yet"]);
        lock.feature[0].inputs = Digest::of(b"");
        assert_eq!(
            stale(&one, &lock),
            ["core asks for something else than when it was locked"]
        );
        lock.feature.clear();
        lock.recipe = "other".to_owned();
        lock.platforms.clear();
        lock.debian[0].needs.insert("zz".to_owned());
        assert_eq!(stale(&one, &lock).len(), 4);
    }
}
