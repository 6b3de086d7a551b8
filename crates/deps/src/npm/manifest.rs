//! `package.json` beside a lockfile: whether the lockfile still is its own, and what is to be
//! resolved again.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::NpmError;
use super::name::names_of;

/// What a project asks for, in its own file and in the root of its lockfile.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    #[serde(default)]
    dependencies: BTreeMap<String, String>,
    #[serde(default)]
    dev_dependencies: BTreeMap<String, String>,
    #[serde(default)]
    optional_dependencies: BTreeMap<String, String>,
    #[serde(default)]
    peer_dependencies: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Lockfile {
    #[serde(default)]
    packages: BTreeMap<String, Value>,
}

impl Asked {
    /// By package and by where it is asked for.
    fn ranges(self) -> BTreeMap<(String, &'static str), String> {
        let Self {
            mut dependencies,
            dev_dependencies,
            optional_dependencies,
            peer_dependencies,
        } = self;
        // npm takes what is in both for optional, and writes that.
        dependencies.retain(|name, _| !optional_dependencies.contains_key(name));
        [
            ("dependencies", dependencies),
            ("devDependencies", dev_dependencies),
            ("optionalDependencies", optional_dependencies),
            ("peerDependencies", peer_dependencies),
        ]
        .into_iter()
        .flat_map(|(table, all)| {
            let of = move |(name, range)| ((name, table), range);
            all.into_iter().map(of)
        })
        .collect()
    }
}

/// What a `package.json` asks for that its lockfile was not made for, and the other way round; empty
/// when they agree. Sends no request.
///
/// # Errors
/// When one of them cannot be understood.
pub fn differences(manifest: &str, lockfile: &str) -> Result<Vec<String>, NpmError> {
    let fail = |file: &str, error: serde_json::Error| NpmError::new(file, error.to_string());
    let asked: Asked =
        serde_json::from_str(manifest).map_err(|error| fail("package.json", error))?;
    let lockfile: Lockfile =
        serde_json::from_str(lockfile).map_err(|error| fail("package-lock.json", error))?;
    let root = lockfile.packages.get("").cloned().unwrap_or_default();
    let locked: Asked =
        serde_json::from_value(root).map_err(|error| fail("package-lock.json", error))?;
    let (asked, locked) = (asked.ranges(), locked.ranges());
    let keys: BTreeSet<_> = asked.keys().chain(locked.keys()).collect();
    let reasons = keys.into_iter().filter_map(|key| {
        let (name, table) = key;
        match (asked.get(key), locked.get(key)) {
            (Some(one), Some(other)) if one == other => None,
            (Some(one), Some(other)) => Some(format!(
                "package.json asks for {name} {one}, package-lock.json was made for {other}"
            )),
            (Some(one), None) => Some(format!(
                "package.json asks for {name} {one} ({table}), package-lock.json was made without"
            )),
            (None, _) => Some(format!(
                "package-lock.json was made for {name} ({table}), package.json asks for none"
            )),
        }
    });
    Ok(reasons.collect())
}

/// The lockfile without these packages and what is installed for each of them alone, so that npm
/// resolves them again; `None` when it has none of them.
///
/// # Errors
/// When it cannot be understood.
pub fn without(lockfile: &str, names: &BTreeSet<String>) -> Result<Option<String>, NpmError> {
    let fail = |error: serde_json::Error| NpmError::new("package-lock.json", error.to_string());
    let mut document: Value = serde_json::from_str(lockfile).map_err(fail)?;
    let Some(Value::Object(packages)) = document.get_mut("packages") else {
        return Ok(None);
    };
    let left: Vec<String> = packages
        .iter()
        .filter(|(location, package)| {
            // An alias has its own name in the place, and the package's in the entry.
            let last = names_of(location).and_then(|names| names.last().copied());
            let name = package.get("name").and_then(Value::as_str).or(last);
            name.is_some_and(|name| names.contains(name)) && last.is_some()
        })
        .map(|(location, _)| location.clone())
        .collect();
    if left.is_empty() {
        return Ok(None);
    }
    packages.retain(|location, _| {
        !left.iter().any(|gone| {
            let below = location.strip_prefix(gone.as_str());
            below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
        })
    });
    serde_json::to_string_pretty(&document)
        .map(Some)
        .map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCKFILE: &str = r#"{"lockfileVersion": 3, "packages": {
        "": {"name": "x", "dependencies": {"a": "^1", "@s/b": "*"},
             "optionalDependencies": {"c": "1"}},
        "node_modules/a": {"version": "1.2.3"},
        "node_modules/a/node_modules/d": {"version": "4.0.0"},
        "node_modules/aa": {"version": "9.0.0"},
        "node_modules/@s/b": {"version": "2.0.0"},
        "node_modules/@s/b/node_modules/a": {"version": "0.1.0"},
        "node_modules/other": {"name": "a", "version": "0.2.0"}}}"#;

    #[test]
    fn a_lockfile_fits_what_it_was_made_for() {
        let manifest = |text: &str| differences(text, LOCKFILE).unwrap();
        let fits = r#"{"name": "y", "version": "3", "scripts": {"install": "x"},
            "dependencies": {"c": "1", "@s/b": "*", "a": "^1"}, "optionalDependencies": {"c": "1"}}"#;
        assert_eq!(manifest(fits), [""; 0]);
        assert_eq!(
            manifest(&fits.replace("^1", "^2").replace("@s/b", "e")),
            [
                "package-lock.json was made for @s/b (dependencies), package.json asks for none",
                "package.json asks for a ^2, package-lock.json was made for ^1",
                "package.json asks for e * (dependencies), package-lock.json was made without",
            ]
        );
        // What is for development only is not built, and moving there is a change.
        assert_eq!(
            manifest(&fits.replace("\"dependencies\"", "\"devDependencies\"")).len(),
            5
        );
        assert!(
            differences("7", LOCKFILE)
                .unwrap_err()
                .to_string()
                .contains("package.json")
        );
        assert!(differences("{}", "{").is_err());
    }

    #[test]
    fn a_package_leaves_with_what_is_its_own_wherever_it_is() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let left = without(LOCKFILE, &names(&["a"])).unwrap().unwrap();
        let left: Value = serde_json::from_str(&left).unwrap();
        let places: Vec<&String> = left["packages"].as_object().unwrap().keys().collect();
        assert_eq!(places, ["", "node_modules/aa", "node_modules/@s/b"]);
        assert_eq!(
            without(LOCKFILE, &names(&["x", "other", "node_modules"])).unwrap(),
            None
        );
    }
}
