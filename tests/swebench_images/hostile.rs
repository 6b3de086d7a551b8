//! Packages and images that would have ohoci read, write or delete outside of a sandbox.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::base::{python, said};
use super::scene::{self, Scene};

/// Writes a package whose build puts a symlink in the place of `/root`.
const PACKAGE: &str = r#"
import io, sys, tarfile
directory, target = sys.argv[1:]
backend = """
import os, shutil, zipfile
def build_wheel(directory, config_settings=None, metadata_directory=None):
    shutil.rmtree("/root")
    os.symlink(%r, "/root")
    name = "example_hostile-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(directory, name), "w") as wheel:
        info = "example_hostile-1.0.dist-info"
        wheel.writestr("example_hostile.py", "VALUE = 7\\n")
        wheel.writestr(info + "/METADATA", "Metadata-Version: 2.1\\nName: example-hostile\\nVersion: 1.0\\n")
        wheel.writestr(info + "/WHEEL", "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "/RECORD", "example_hostile.py,,\\n")
    return name
""" % target
files = {
    "PKG-INFO": "Metadata-Version: 2.1\nName: example-hostile\nVersion: 1.0\n",
    "pyproject.toml": "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n",
    "backend.py": backend,
}
with tarfile.open(directory + "/example_hostile-1.0.tar.gz", "w:gz") as sdist:
    for name, text in files.items():
        entry = tarfile.TarInfo("example_hostile-1.0/" + name)
        entry.size = len(text.encode())
        sdist.addfile(entry, io.BytesIO(text.encode()))
"#;

/// A directory of this machine, with a file of each name that ohoci uses.
fn elsewhere(scene: &Scene) -> PathBuf {
    let directory = scene.ohoci.work().join("elsewhere");
    fs_err::create_dir(&directory).unwrap();
    for name in ["requirements.txt", "setup_repo.sh"] {
        fs_err::write(directory.join(name), "kept").unwrap();
    }
    directory
}

#[test]
fn a_packages_build_makes_nothing_be_written_or_deleted_outside() {
    let scene = Scene::new();
    let directory = elsewhere(&scene);
    let wheels = scene.ohoci.work().join("wheels");
    said(
        Command::new("python3")
            .args(["-c", PACKAGE])
            .arg(&wheels)
            .arg(&directory),
    );
    let specs = json!({"repositories": {"example/tool": [
        {"versions": ["1.0"], "python": python().version, "packages": "",
            "pip_packages": ["example-hostile==1.0"], "install": "python -m pip install -e .",
            "test_cmd": "python -m tests"}
    ]}});
    scene.ohoci.write("work/specs.json", specs.to_string());
    let report = scene.built(&["example__tool-1"], &[]);
    assert!(report["instances"][0]["pushed"][0]["digest"].is_string());
    let mut left: Vec<(String, String)> = fs_err::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs_err::read_to_string(entry.path()).unwrap())
        })
        .collect();
    left.sort();
    let kept =
        ["requirements.txt", "setup_repo.sh"].map(|name| (name.to_owned(), "kept".to_owned()));
    assert_eq!(left, kept, "what is outside is as it was");
    let image = format!("oci:images:{}", scene::IMAGE);
    let built =
        "python -c 'import example_hostile; print(example_hostile.VALUE)'; cat /root/setup_repo.sh";
    let inside = scene.says(&image, built);
    assert!(
        inside.starts_with("7\n#!/bin/bash"),
        "the package did build: {inside}"
    );
}

#[test]
fn an_audit_looks_at_no_repository_of_this_machine() {
    let scene = Scene::new();
    let linked = scene.ohoci.work().join("linked");
    fs_err::create_dir(&linked).unwrap();
    fs_err::os::unix::fs::symlink(scene.repository().0, linked.join("testbed")).unwrap();
    let compose = [
        "compose",
        "--base",
        "oci:base:1",
        "--layer",
        "linked",
        "--push",
        "oci:leaks:1",
    ];
    scene.ohoci.run(compose).exits(0);
    let audit = [
        "swebench",
        "audit-leak",
        "oci:leaks:1",
        "--base-commit",
        &scene.first,
    ];
    let outcome = scene.ohoci.run(audit).exits(1);
    assert!(
        outcome.stderr.contains("/testbed/.git"),
        "{}",
        outcome.stderr
    );
    assert!(
        !outcome.stdout.contains(&scene.future),
        "{}",
        outcome.stdout
    );
}

#[test]
fn a_patch_to_gits_own_files_is_baked_into_nothing() {
    let scene = Scene::new();
    let text = fs_err::read_to_string(scene.ohoci.work().join("rows.jsonl")).unwrap();
    let mut row: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let own = "--- a/.git/hooks/x\n+++ b/.git/hooks/x\n@@ -1 +1 @@\n-a\n+b\n";
    row["patch"] = format!("{}{own}", row["patch"].as_str().unwrap()).into();
    scene.ohoci.write("work/rows.jsonl", row.to_string());
    let words = [
        "--push",
        "oci:images",
        "--with-patches",
        "gold",
        "--tag",
        "gold",
    ];
    let outcome = scene.images(&["example__tool-1"], &words).exits(1);
    let expected = "apply model.patch\n  a/.git/hooks/x: it belongs to git itself, which refuses patches to it";
    assert!(outcome.stderr.contains(expected), "{}", outcome.stderr);
}
