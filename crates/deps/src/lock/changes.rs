//! What is different between two locks, and whether a lock still is what its recipe asks for.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::document::{Lock, PythonPackage};
use super::inputs::inputs_of;
use crate::npm::manifest;
use crate::python::requirement_name;
use crate::recipe::{Feature, Recipe};

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

/// Why a lock is not what the recipe asks for any longer; empty when it still is. Sends no request: a
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
        reasons.extend(of_npm(feature).map(|why| format!("{name}: {why}")));
        let Some(known) = lock.feature.iter().find(|known| known.name == name) else {
            continue;
        };
        if known.inputs == inputs_of(feature) {
            continue;
        }
        let debian = feature.debian().into_iter().flat_map(|debian| {
            let packages = debian.packages.iter();
            packages.map(|package| package.get_ref().as_str().to_owned())
        });
        let debian = debian.filter(|package| !names.contains(package.as_str()));
        let missing: Vec<String> = debian.chain(missing_python(feature, lock)).collect();
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

/// The Python packages that a feature asks for and a lock does not have.
fn missing_python(feature: &Feature, lock: &Lock) -> impl Iterator<Item = String> {
    let name = feature.name.get_ref().as_str();
    let requirements = feature.python.iter().flat_map(|table| &table.requirements);
    requirements
        .filter_map(|requirement| requirement_name(requirement))
        .map(|package| package.to_string())
        .filter(move |package| {
            let has = |locked: &PythonPackage| locked.feature == name && locked.name == *package;
            !lock.python.iter().any(has)
        })
}

/// Why npm's own lockfile is not what its `package.json` asks for.
fn of_npm(feature: &Feature) -> impl Iterator<Item = String> {
    let npm = feature.npm.as_ref();
    let npm = npm.filter(|npm| !npm.content.is_empty());
    let reasons = npm.and_then(|npm| {
        let differences = manifest::differences(npm.manifest.as_deref()?, &npm.content);
        Some(differences.unwrap_or_else(|error| vec![error.to_string()]))
    });
    reasons.unwrap_or_default().into_iter()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::document::LockedFeature;
    use super::*;
    use crate::lock::DebianPackage;
    use ohoci_image::Digest;

    fn package(name: &str, version: &str) -> DebianPackage {
        DebianPackage {
            name: name.to_owned(),
            version: version.to_owned(),
            source: None,
            feature: "core".to_owned(),
            suite: None,
            needs: BTreeSet::new(),
            file: crate::lock::PlatformFiles::default(),
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
