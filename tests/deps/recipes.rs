//! `ohoci deps recipes`: what the program brings is what stands in `layers` and `wrappers`.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;

use crate::support::command::Ohoci;

/// Files below a directory, by their paths: whether they are programs, and their contents.
fn files(root: &Path, directory: &str, found: &mut BTreeMap<String, (bool, Vec<u8>)>) {
    for entry in fs_err::read_dir(root.join(directory)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{directory}/{}", entry.file_name().to_str().unwrap());
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            files(root, &path, found);
        } else {
            let program = metadata.permissions().mode() & 0o100 != 0;
            found.insert(path, (program, fs_err::read(entry.path()).unwrap()));
        }
    }
}

fn recipes(root: &Path) -> BTreeMap<String, (bool, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for directory in ["layers", "wrappers"] {
        files(root, directory, &mut found);
    }
    found
}

#[test]
fn what_is_written_is_what_the_sources_have_and_can_be_used() {
    let ohoci = Ohoci::new();
    let outcome = ohoci.run(["deps", "recipes", "mine"]).exits(0);
    assert!(
        outcome.stdout.contains("mine/layers/agent-server.toml  "),
        "{}",
        outcome.stdout
    );
    let written = ohoci.work().join("mine");
    let sources = recipes(Path::new(env!("CARGO_MANIFEST_DIR")));
    assert!(sources.len() > 50, "{}", sources.len());
    // Not compared as a whole: nobody wants to read two megabytes of a failure.
    let there = recipes(&written);
    assert!(there.keys().eq(sources.keys()), "{:?}", there.keys());
    for (path, file) in &sources {
        assert!(there[path] == *file, "{path}");
    }
    ohoci
        .run(["deps", "lock", "--check", "mine/layers/minimal.toml"])
        .exits(0);
}

#[test]
fn files_of_ones_own_are_left_unless_that_is_asked_for() {
    let ohoci = Ohoci::new();
    ohoci.run(["deps", "recipes", "."]).exits(0);
    let changed = ohoci.work().join("layers/core.toml");
    fs_err::write(&changed, "mine").unwrap();
    let gone = ohoci.work().join("layers/tools.toml");
    fs_err::remove_file(&gone).unwrap();
    let outcome = ohoci.run(["deps", "recipes", "."]).exits(1);
    for expected in ["there are other files: ./layers/core.toml", "--force"] {
        assert!(outcome.stderr.contains(expected), "{}", outcome.stderr);
    }
    assert!(!gone.exists(), "a run that refused wrote something");

    // A link is replaced, and what it leads to stays.
    let elsewhere = ohoci.work().join("elsewhere");
    fs_err::rename(&changed, &elsewhere).unwrap();
    fs_err::os::unix::fs::symlink(&elsewhere, &changed).unwrap();
    let outcome = ohoci.run(["deps", "recipes", ".", "--force"]).exits(0);
    assert!(
        outcome.stderr.starts_with("2 files written below .; "),
        "{}",
        outcome.stderr
    );
    assert_eq!(fs_err::read_to_string(&elsewhere).unwrap(), "mine");
    assert!(fs_err::symlink_metadata(&changed).unwrap().is_file());
    assert!(gone.exists());
}

#[test]
fn all_recipes_of_images_are_listed() {
    let ohoci = Ohoci::new();
    let outcome = ohoci.run(["deps", "recipes", "--format", "json"]).exits(0);
    let listed: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let listed = listed["recipes"].as_array().unwrap();
    let locks = recipes(Path::new(env!("CARGO_MANIFEST_DIR")));
    let locks = locks.keys().filter_map(|path| path.strip_suffix(".lock"));
    let names = listed.iter().map(|entry| {
        let name = entry["recipe"].as_str().unwrap();
        assert!(!entry["description"].as_str().unwrap().is_empty(), "{name}");
        name.strip_suffix(".toml").unwrap()
    });
    assert!(locks.eq(names), "{listed:?}");
    let of_agents = listed
        .iter()
        .find(|entry| entry["recipe"] == "layers/agent-server.toml");
    assert_eq!(of_agents.unwrap()["features"][0], "core");
    assert!(!ohoci.work().join("layers").exists());
}
