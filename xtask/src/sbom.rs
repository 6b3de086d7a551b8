//! The bill of materials of the binary, in CycloneDX 1.6: what cargo would link, from `cargo
//! metadata`, and its checksums, from `Cargo.lock`. The same sources make the same document: it
//! has neither a date nor a serial number.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::command::{cargo, output, root};

/// Checksums by name and version.
type Checksums = BTreeMap<(String, String), String>;

/// The document, with a line end.
pub(crate) fn document() -> Result<String> {
    let host = host()?;
    let metadata = output(cargo().args([
        "metadata",
        "--format-version=1",
        "--locked",
        "--filter-platform",
        &host,
    ]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata is no JSON")?;
    let lock = fs_err::read_to_string(root().join("Cargo.lock"))?;
    let document = bill(&metadata, &checksums(&lock))?;
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = output(Command::new(rustc).arg("-vV").current_dir(root()))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

/// The checksums of a lock file. Packages of the workspace have none.
fn checksums(lock: &str) -> Checksums {
    let field = |package: &str, key: &str| {
        let start = format!("{key} = \"");
        let value = package.lines().find_map(|line| line.strip_prefix(&start))?;
        Some(value.trim_end_matches('"').to_owned())
    };
    let packages = lock.split("[[package]]").skip(1);
    packages
        .filter_map(|package| {
            let key = (field(package, "name")?, field(package, "version")?);
            Some((key, field(package, "checksum")?))
        })
        .collect()
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key]
        .as_str()
        .with_context(|| format!("cargo metadata has no {key}"))
}

fn list<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    value[key]
        .as_array()
        .with_context(|| format!("cargo metadata has no {key}"))
}

fn bill(metadata: &Value, checksums: &Checksums) -> Result<Value> {
    let mut packages = BTreeMap::new();
    for package in list(metadata, "packages")? {
        packages.insert(text(package, "id")?, package);
    }
    let mut nodes = BTreeMap::new();
    for node in list(&metadata["resolve"], "nodes")? {
        nodes.insert(text(node, "id")?, node);
    }
    let own = packages
        .iter()
        .find(|(_, package)| package["name"] == "ohoci")
        .map(|(id, _)| *id)
        .context("there is no package ohoci")?;

    let linked = reached(own, &nodes, false)?;
    let used = reached(own, &nodes, true)?;
    let reference = |id: &str| -> Result<String> {
        let package = packages.get(id).context("an unknown package")?;
        Ok(format!(
            "pkg:cargo/{}@{}",
            text(package, "name")?,
            text(package, "version")?
        ))
    };
    let mut components = BTreeMap::new();
    let mut dependencies = BTreeMap::new();
    for id in &used {
        let package = packages.get(id).context("an unknown package")?;
        let name = reference(id)?;
        let mut needs = BTreeSet::new();
        for dependency in list(nodes.get(id).context("an unknown node")?, "deps")? {
            let needed = text(dependency, "pkg")?;
            if used.contains(needed) && kinds(dependency).any(|kind| kind != "dev") {
                needs.insert(reference(needed)?);
            }
        }
        let depends = json!({ "ref": name, "dependsOn": needs });
        let key = (
            text(package, "name")?.to_owned(),
            text(package, "version")?.to_owned(),
        );
        let is_linked = linked.contains(id);
        let component = component(package, &name, checksums.get(&key), *id == own, is_linked);
        if dependencies.insert(name.clone(), depends).is_some() {
            bail!("{name} is there twice, from two places");
        }
        components.insert(name, component?);
    }
    let main = components
        .remove(&reference(own)?)
        .context("no main component")?;
    Ok(json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": { "component": main },
        "components": components.into_values().collect::<Vec<_>>(),
        "dependencies": dependencies.into_values().collect::<Vec<_>>(),
    }))
}

fn component(
    package: &Value,
    reference: &str,
    checksum: Option<&String>,
    own: bool,
    linked: bool,
) -> Result<Value> {
    let mut component = json!({
        "type": if own { "application" } else { "library" },
        "bom-ref": reference,
        "name": text(package, "name")?,
        "version": text(package, "version")?,
        "purl": reference,
    });
    if !own && !linked {
        // Build scripts, procedural macros and what those use.
        component["scope"] = "excluded".into();
    }
    if let Some(checksum) = checksum {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    if let Some(license) = package["license"].as_str() {
        // Older manifests separate alternatives by a slash, which SPDX does not know.
        let expression = license.replace('/', " OR ");
        component["licenses"] = json!([{ "expression": expression }]);
    }
    Ok(component)
}

fn kinds(dependency: &Value) -> impl Iterator<Item = &str> {
    let kinds = dependency["dep_kinds"].as_array();
    kinds
        .into_iter()
        .flatten()
        .map(|kind| kind["kind"].as_str().unwrap_or("normal"))
}

/// The packages that one leads to, itself among them: those that are linked, or with `built` also
/// those that are used to build.
fn reached<'a>(
    own: &'a str,
    nodes: &BTreeMap<&'a str, &'a Value>,
    built: bool,
) -> Result<BTreeSet<&'a str>> {
    let mut found = BTreeSet::from([own]);
    let mut waiting = vec![own];
    while let Some(id) = waiting.pop() {
        let node = *nodes.get(id).context("an unknown node")?;
        for dependency in list(node, "deps")? {
            let counts =
                kinds(dependency).any(|kind| kind == "normal" || (built && kind == "build"));
            let needed = text(dependency, "pkg")?;
            if counts && found.insert(needed) {
                waiting.push(needed);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bill_has_what_the_lock_file_pins_and_nothing_that_only_tests_use() {
        let first = document().unwrap();
        assert_eq!(first, document().unwrap());
        let bill: Value = serde_json::from_str(&first).unwrap();
        let lock = fs_err::read_to_string(root().join("Cargo.lock")).unwrap();
        let locked = checksums(&lock);
        let mut names = BTreeSet::new();
        for component in bill["components"].as_array().unwrap() {
            let name = component["name"].as_str().unwrap();
            let version = component["version"].as_str().unwrap();
            names.insert(name);
            let listed = lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"\n"));
            assert!(listed, "{name} {version} is not in Cargo.lock");
            let checksum = locked.get(&(name.to_owned(), version.to_owned()));
            assert_eq!(
                component["hashes"][0]["content"].as_str(),
                checksum.map(String::as_str),
                "{name} {version}"
            );
            assert_eq!(component["purl"], format!("pkg:cargo/{name}@{version}"));
        }
        for linked in ["rustls", "serde_json", "pgp", "bcrypt", "tokio"] {
            assert!(names.contains(linked), "{linked}");
        }
        for tests_only in ["proptest", "insta", "oci-client", "xtask"] {
            assert!(!names.contains(tests_only), "{tests_only}");
        }
        assert_eq!(bill["metadata"]["component"]["name"], "ohoci");
        let known: BTreeSet<&str> = bill["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["ref"].as_str().unwrap())
            .collect();
        for one in bill["dependencies"].as_array().unwrap() {
            for needed in one["dependsOn"].as_array().unwrap() {
                assert!(known.contains(needed.as_str().unwrap()), "{needed}");
            }
        }
    }
}
