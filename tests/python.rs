//! The Python package does what it says, with each Python from 3.9 on that this machine has: its own tests
//! in `python/tests` run against this build and a registry of their own.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::command::Ohoci;

/// The versions that the package is made for.
const VERSIONS: [&str; 6] = ["3.9", "3.10", "3.11", "3.12", "3.13", "3.14"];

/// The Pythons of this machine: on the path, and where pyenv keeps them; one for each version.
fn pythons() -> Vec<(String, PathBuf)> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates: Vec<PathBuf> = std::env::split_paths(&path)
        .flat_map(|directory| {
            let names = VERSIONS.map(|version| format!("python{version}"));
            names
                .into_iter()
                .chain(["python3".to_owned()])
                .map(move |name| directory.join(name))
        })
        .collect();
    let pyenv = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let pyenv = pyenv.or_else(|| Some(std::env::home_dir()?.join(".pyenv")));
    if let Some(versions) = pyenv.and_then(|pyenv| fs_err::read_dir(pyenv.join("versions")).ok()) {
        candidates.extend(versions.map(|entry| entry.unwrap().path().join("bin/python3")));
    }
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    for program in candidates {
        let script = "import sys; print('%d.%d' % sys.version_info[:2])";
        let Ok(output) = Command::new(&program).args(["-c", script]).output() else {
            continue;
        };
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let is_new = found.iter().all(|(known, _)| *known != version);
        if output.status.success() && VERSIONS.contains(&version.as_str()) && is_new {
            found.push((version, program));
        }
    }
    found
}

#[test]
fn the_packages_own_tests_pass_with_every_python_that_is_here() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
    let pythons = pythons();
    assert!(!pythons.is_empty(), "no Python of {VERSIONS:?} is here");
    for (version, program) in pythons {
        let ohoci = Ohoci::new();
        let plain = ohoci.command();
        let mut command = Command::new(&program);
        command.env_clear().current_dir(ohoci.work());
        for (name, value) in plain.get_envs() {
            command.env(name, value.unwrap());
        }
        let output = command
            .args(["-B", "-W", "error", "-m", "unittest", "discover", "-s"])
            .arg(sources.join("tests"))
            .env("PYTHONPATH", &sources)
            .env("OHOCI_PROGRAM", plain.get_program())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "Python {version}: {told}");
        let ran = told.lines().find(|line| line.starts_with("Ran "));
        // Says which Pythons there were (`--nocapture`).
        println!("Python {version}: {}", ran.expect("a number of tests"));
        assert!(!told.contains("Ran 0 tests"), "Python {version}: {told}");
        assert!(!told.contains("skipped="), "Python {version}: {told}");
    }
}
