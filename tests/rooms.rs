//! The crates depend on each other as `docs/architecture.md` says: each only on those that stand
//! above it in the table there. Cargo refuses circles; this keeps the table true.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The crates in the order of the table.
fn table(root: &Path) -> Vec<String> {
    let page = fs_err::read_to_string(root.join("docs/architecture.md")).unwrap();
    let table = page.split("\n## ").find(|part| part.starts_with("Rooms\n"));
    table
        .expect("a section about the rooms")
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// The crates of this project that a crate is built with.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let manifest: toml::Table = manifest.parse().unwrap();
    let dependencies = manifest
        .get("dependencies")
        .and_then(|table| table.as_table());
    dependencies
        .into_iter()
        .flat_map(toml::Table::keys)
        .filter_map(|name| name.strip_prefix("ohoci-"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_crate_uses_only_what_stands_above_it() {
    let root = root();
    let crates = table(&root);
    let mut wrong = Vec::new();
    for (at, name) in crates.iter().enumerate() {
        let manifest = root.join("crates").join(name).join("Cargo.toml");
        let used = dependencies(&fs_err::read_to_string(manifest).unwrap());
        let above: BTreeSet<String> = crates[..at].iter().cloned().collect();
        wrong.extend(
            used.difference(&above)
                .map(|other| format!("{name} uses {other}")),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_crate_stands_in_the_table() {
    let root = root();
    let directories: BTreeSet<String> = fs_err::read_dir(root.join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(directories, table(&root).into_iter().collect());
}

#[test]
fn dependencies_are_found_in_a_manifest() {
    let manifest = "[dependencies]\nohoci-layer.workspace = true\nserde.workspace = true\n\
        [dev-dependencies]\nohoci-image.workspace = true\n";
    assert_eq!(dependencies(manifest), BTreeSet::from(["layer".to_owned()]));
}
