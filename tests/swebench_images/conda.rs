//! Promises that every environment that upstream froze is planned of the same packages of conda where a channel
//! has them, and that what a channel lacks is named.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use std::process::Command;

use serde_json::{Value, json};

use super::base::said;
use super::scene::Scene;
use crate::support::command::{Ohoci, Outcome};

/// An instance whose environment upstream froze.
const FROZEN: &str = "pallets__flask-5014";

/// Its image.
const IMAGE: &str = "swebench/sweb.eval.x86_64.pallets_1776_flask-5014:latest";

/// Writes empty wheels: python -c WHEELS DIRECTORY NAME==VERSION...
const WHEELS: &str = r#"
import sys, zipfile
for pin in sys.argv[2:]:
    name, version = pin.split("==")
    stem = name.replace("-", "_") + "-" + version
    with zipfile.ZipFile(f"{sys.argv[1]}/{stem}-py3-none-any.whl", "w") as wheel:
        info = stem + ".dist-info"
        wheel.writestr(info + "/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(info + "/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(info + "/RECORD", "")
"#;

/// The environments of Verified's instances, as they are part of ohoci.
fn frozen() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs_err::read_to_string(root.join("crates/swebench/src/environments.txt")).unwrap()
}

/// Writes a channel that has what frozen environments name, but for some packages.
fn channel(ohoci: &Ohoci, text: &str, without: &[&str]) {
    let mut packages = BTreeMap::new();
    let pins = text.lines().filter_map(|line| line.strip_prefix("  - "));
    for pin in pins.filter(|pin| pin.matches('=').count() == 2 && !pin.contains("==")) {
        let parts: Vec<&str> = pin.split('=').collect();
        let [name, version, build] = parts.as_slice() else {
            panic!("{pin}");
        };
        if without.contains(name) {
            continue;
        }
        let record = json!({"name": name, "version": version, "build": build, "build_number": 0,
            "depends": [], "size": 1, "sha256": "0".repeat(64)});
        packages.insert(format!("{name}-{version}-{build}.conda"), record);
    }
    let list = json!({"info": {"subdir": "linux-64"}, "packages": {}, "packages.conda": packages});
    ohoci.write("work/channel/linux-64/repodata.json", list.to_string());
}

/// A row for each instance, of some version of its repository.
fn rows(ohoci: &Ohoci, text: &str) -> usize {
    let specs = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/swebench/src/specs.json");
    let specs: Value = serde_json::from_slice(&fs_err::read(specs).unwrap()).unwrap();
    let mut rows = Vec::new();
    for heading in text.lines().filter_map(|line| line.strip_prefix("== ")) {
        let mut words = heading.split(' ');
        let owner_and_name = words.next().unwrap();
        let repository = owner_and_name.replace("__", "/");
        let version = &specs["repositories"][&repository][0]["versions"][0];
        for number in words {
            let row = json!({"instance_id": format!("{owner_and_name}-{number}"), "repo": repository,
                "version": version, "base_commit": "0".repeat(40)});
            rows.push(row.to_string());
        }
    }
    ohoci.write("work/rows.jsonl", rows.join("\n"));
    rows.len()
}

fn plan(ohoci: &Ohoci, channels: &[&str], more: &[&str]) -> Outcome {
    let mut command = ohoci.command();
    command.args([
        "swebench",
        "images",
        "--dataset-name",
        "rows.jsonl",
        "--dry-run",
    ]);
    for channel in channels {
        command.args(["--channel", channel]);
    }
    Outcome::of(command.args(more))
}

#[test]
fn every_frozen_environment_is_planned_of_a_channels_packages() {
    let ohoci = Ohoci::new();
    let text = frozen();
    assert_eq!(rows(&ohoci, &text), 500);
    channel(&ohoci, &text, &[]);
    let all = plan(&ohoci, &["channel"], &["--format", "json"])
        .exits(0)
        .json();
    let environments = all["environments"].as_array().unwrap();
    assert_eq!(environments.len(), 63);
    for environment in environments {
        let packages = environment["condaPackages"].as_array().unwrap();
        let name = |package: &Value| package["package"].as_str().unwrap().to_owned();
        assert!(
            packages
                .iter()
                .any(|package| name(package).starts_with("python=3."))
        );
        assert!(
            packages
                .iter()
                .all(|package| package["channel"] == "channel")
        );
        assert_eq!(environment["unavailable"], json!([]), "{environment}");
        for absent in [
            "condaMissing",
            "condaSolved",
            "condaConflict",
            "pythonMissing",
        ] {
            assert_eq!(environment[absent], Value::Null, "{environment}");
        }
    }
    let said = plan(&ohoci, &["channel"], &[]).exits(0).stdout;
    assert!(
        said.contains("500 of 500 instances have all their packages"),
        "{said}"
    );
    assert!(!said.contains("nothing brings"), "{said}");
}

#[test]
fn what_a_channel_lacks_is_named_and_pip_is_left_where_it_suffices() {
    let ohoci = Ohoci::new();
    let text = frozen();
    rows(&ohoci, &text);
    channel(&ohoci, &text, &["six", "pandoc"]);
    let all = plan(&ohoci, &["channel"], &["--format", "json"])
        .exits(0)
        .json();
    let (mut lacking, mut unavailable) = (BTreeSet::new(), BTreeSet::new());
    for environment in all["environments"].as_array().unwrap() {
        let names = |key: &str| {
            let names = environment[key].as_array().into_iter().flatten();
            names
                .map(|name| name.as_str().unwrap().split('=').next().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        let missing = names("condaMissing");
        assert_eq!(
            missing.is_empty(),
            environment["condaPackages"].is_array(),
            "{environment}"
        );
        lacking.extend(missing);
        unavailable.extend(names("unavailable"));
    }
    assert!(lacking.iter().eq(["pandoc", "six"]), "{lacking:?}");
    assert!(unavailable.contains("pandoc") && !unavailable.contains("six"));
    let said = plan(&ohoci, &["channel"], &[]).exits(0).stdout;
    assert!(said.contains("; no channel has six="), "{said}");
}

#[test]
fn a_channel_that_is_not_there_fails_where_it_was_asked_for_and_is_told_of_where_it_was_not() {
    let ohoci = Ohoci::new();
    rows(&ohoci, &frozen());
    let said = plan(&ohoci, &["./nowhere"], &[]).exits(1).stderr;
    assert!(
        said.contains("there is no channel nowhere: ./nowhere/linux-64 has no repodata.json"),
        "{said}"
    );
    let said = plan(&ohoci, &["conda-forge"], &[]).exits(1).stderr;
    assert!(
        said.contains("nothing says where the channel conda-forge is"),
        "{said}"
    );
    assert!(said.contains("CONDA_CHANNEL_ALIAS"), "{said}");
    let mut command = ohoci.command();
    command
        .args([
            "swebench",
            "images",
            "--dataset-name",
            "rows.jsonl",
            "--dry-run",
        ])
        .env("CONDA_CHANNELS", "./nowhere");
    let outcome = Outcome::of(&mut command).exits(0);
    assert!(
        outcome
            .stderr
            .contains("environments are made by pip alone"),
        "{}",
        outcome.stderr
    );
    assert!(
        outcome
            .stdout
            .contains("Python 3.6 is older than those of uv"),
        "{}",
        outcome.stdout
    );
}

/// Where a new environment has its pip.
fn site_packages(work: &Path) -> String {
    let environment = work.join("venv");
    said(
        Command::new("python3")
            .args(["-m", "venv"])
            .arg(&environment),
    );
    let site = "import sysconfig; print(sysconfig.get_path('purelib'))";
    said(Command::new(environment.join("bin/python")).args(["-c", site]))
}

/// Makes a channel of a Python of this machine, that pip, and what is pinned besides.
fn pack<'a>(work: &Path, site: &str, pins: impl Iterator<Item = &'a str>) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/conda/interpreter.py");
    said(
        Command::new("python3")
            .arg(script)
            .arg(work.join("channel"))
            .arg(site)
            .args(pins),
    );
}

#[test]
fn a_frozen_environment_is_linked_with_its_own_python_and_pip_adds_the_rest() {
    let scene = Scene::new();
    let work = scene.ohoci.work();
    let text = fs_err::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fixtures/swebench/pallets__flask-5014/environment.yml"),
    );
    let text = text.unwrap();
    let lines: Vec<&str> = text
        .lines()
        .map(|line| line.trim_start_matches([' ', '-']))
        .collect();
    let is_pip = |line: &&&str| line.contains("==");
    let pip: Vec<&&str> = lines.iter().filter(is_pip).collect();
    let pins: Vec<&&str> = lines
        .iter()
        .filter(|line| !line.contains("==") && line.contains('='))
        .collect();
    said(
        Command::new("python3")
            .args(["-c", WHEELS])
            .arg(work.join("wheels"))
            .args(pip),
    );
    let site = site_packages(&work);
    pack(&work, &site, pins.iter().map(|pin| **pin));
    let row = json!({"instance_id": FROZEN, "repo": "pallets/flask", "version": "2.3", "base_commit": scene.first,
        "patch": "", "test_patch": "", "FAIL_TO_PASS": [], "PASS_TO_PASS": []});
    scene.ohoci.write("work/rows.jsonl", row.to_string());
    let more = [
        "--repo-source",
        "pallets/flask=repositories/example/tool",
        "--channel",
        "channel",
        "--push",
        "oci:images",
        "--format",
        "json",
    ];
    let base = ["--base-image", "oci:base:1"];
    let first = scene
        .images_without_pythons(&base, &[FROZEN], &more)
        .exits(0)
        .json();
    let image = format!("oci:images:{IMAGE}");
    let said = scene.says(
        &image,
        "python -c 'import sys; print(sys.prefix)'; cat $CONDA_PREFIX/post-link.txt; echo $OF_ZLIB; \
         python -m pip show pytest | sed -n 2p; python -m pip show example-tool | sed -n 2p; ls $CONDA_PREFIX/conda-meta",
    );
    let lines: Vec<&str> = said.lines().collect();
    let expected = [
        "/opt/miniconda3/envs/testbed",
        "zlib 1.2.13",
        "yes",
        "Version: 7.3.0",
        "Version: 1.0",
    ];
    assert_eq!(lines[..5], expected, "{said}");
    assert!(lines.contains(&"python-3.11.10-he870216_0.json"), "{said}");
    let log = work.join("logs/build_images/env");
    let of_conda = fs_err::read_dir(&log).unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_name()?.to_str()?.to_owned();
        name.starts_with("conda-")
            .then(|| fs_err::read_to_string(path.join("build_image.log")).unwrap())
    });
    let of_conda = of_conda.unwrap();
    assert!(
        of_conda.contains("script of zlib: /bin/.zlib-post-link.sh is run in the sandbox"),
        "{of_conda}"
    );
    // What was unpacked goes with the run.
    assert_eq!(packages_in_store(&scene), 0);
    // From the cache, without the channel's packages: the same.
    let list = work.join("channel/linux-64/repodata.json");
    let kept = fs_err::read(&list).unwrap();
    fs_err::remove_dir_all(work.join("channel/linux-64")).unwrap();
    fs_err::create_dir(work.join("channel/linux-64")).unwrap();
    fs_err::write(&list, kept).unwrap();
    let again = scene
        .images_without_pythons(&base, &[FROZEN], &more)
        .exits(0)
        .json();
    let digest = |report: &Value| {
        report["instances"][0]["levels"]
            .as_array()
            .unwrap()
            .iter()
            .map(|level| level["digest"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(digest(&first), digest(&again));
}

/// How many packages are in the store of layers.
fn packages_in_store(scene: &Scene) -> usize {
    let listed = scene.ohoci.run(["store", "list", "--format", "json"]);
    let listed = listed.exits(0).json();
    let kept = listed.as_array().unwrap().iter();
    kept.filter(|kept| kept["kind"] == "package").count()
}

/// Adds a layer to the scene's base by which it is Debian with that glibc.
fn base_with_glibc(scene: &Scene, version: &str) -> String {
    let status = format!("Package: libc6\nStatus: install ok installed\nVersion: {version}\n");
    scene.ohoci.write("work/list/status", status);
    let base = format!("oci:base:{}", version.replace(['.', '+'], "-"));
    let words = [
        "compose",
        "--base",
        "oci:base:1",
        "--layer",
        "list:/var/lib/dpkg",
        "--push",
        &base,
    ];
    scene.ohoci.run(words).exits(0);
    base
}

/// Says in the channel's list what packages need, by the beginnings of their files' names.
fn depend(scene: &Scene, all: &[(&str, &[&str])]) {
    let path = scene.ohoci.work().join("channel/linux-64/repodata.json");
    let mut list: Value = serde_json::from_slice(&fs_err::read(&path).unwrap()).unwrap();
    for (file, record) in list["packages"].as_object_mut().unwrap() {
        for (start, depends) in all.iter().filter(|(start, _)| file.starts_with(start)) {
            assert!(!start.is_empty());
            record["depends"] = json!(depends);
        }
    }
    fs_err::write(path, list.to_string()).unwrap();
}

#[test]
fn an_environment_that_is_not_frozen_is_solved_for_the_glibc_of_its_base_and_locked() {
    let scene = Scene::new();
    let work = scene.ohoci.work();
    let specs: Value =
        serde_json::from_slice(&fs_err::read(work.join("specs.json")).unwrap()).unwrap();
    let version = specs["repositories"]["example/tool"][0]["python"]
        .as_str()
        .unwrap();
    let site = site_packages(&work);
    let python = format!("python={version}.99=h_0");
    let pins = [
        "pip=24.2=py_0",
        "zlib=1.2.13=h_0",
        "zlib=1.3=h_0",
        "zlib=1.3.1=h_0",
        "zlib=1.4=h_0",
    ];
    let packed = |pins: &[&str]| {
        pack(
            &work,
            &site,
            [python.as_str()].into_iter().chain(pins.iter().copied()),
        );
        depend(
            &scene,
            &[
                ("python-", &["zlib >=1.2,<2", "__glibc >=2.17"]),
                ("pip-", &["python >=3"]),
                ("zlib-1.3", &["__glibc >=2.28"]),
                ("zlib-1.4", &["__glibc >=2.90"]),
            ],
        );
    };
    packed(&[pins[0], pins[1], pins[2], pins[4]]);
    let base = base_with_glibc(&scene, "2.36-9+deb12u8");
    let base = ["--base-image", base.as_str()];
    let id = ["example__tool-1"];
    let more = [
        "--channel",
        "channel",
        "--conda-locks",
        "locks",
        "--push",
        "oci:images",
        "--format",
        "json",
    ];
    let planned = |more: &[&str]| {
        let more = [more, &["--dry-run"]].concat();
        let plan = scene
            .images_without_pythons(&base, &id, &more)
            .exits(0)
            .json();
        let environment = &plan["environments"][0];
        assert_eq!(environment["condaSolved"], true, "{environment}");
        let packages = environment["condaPackages"].as_array().unwrap();
        let names = packages
            .iter()
            .map(|package| package["package"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    let expected = ["pip=24.2=py_0", python.as_str(), "zlib=1.3=h_0"];
    assert_eq!(planned(&more), expected);
    assert!(!work.join("locks").exists());
    let keeping = [more.as_slice(), &["--keep-unpacked"]].concat();
    let first = scene
        .images_without_pythons(&base, &id, &keeping)
        .exits(0)
        .json();
    assert_eq!(packages_in_store(&scene), expected.len());
    scene.ohoci.run(["store", "verify"]).exits(0);
    let found = scene.says(
        &format!("oci:images:{}", super::scene::IMAGE),
        "python -c 'import sys, example_package; print(sys.prefix)'; cat $CONDA_PREFIX/post-link.txt",
    );
    assert_eq!(found, "/opt/miniconda3/envs/testbed\nzlib 1.3\n");
    let locks: Vec<_> = fs_err::read_dir(work.join("locks")).unwrap().collect();
    let [Ok(lock)] = locks.as_slice() else {
        panic!("{locks:?}");
    };
    let lock = fs_err::read_to_string(lock.path()).unwrap();
    assert!(
        lock.contains("\"__glibc=2.36=0\"") && lock.contains("zlib-1.3-h_0.tar.bz2"),
        "{lock}"
    );
    assert!(
        !lock.contains("://") && !lock.contains(&work.display().to_string()),
        "{lock}"
    );
    // What the channel has since does not change what is locked.
    packed(&pins);
    assert_eq!(planned(&more), expected);
    let again = scene
        .images_without_pythons(&base, &id, &more)
        .exits(0)
        .json();
    assert_eq!(
        first["instances"][0]["levels"][0]["digest"],
        again["instances"][0]["levels"][0]["digest"]
    );
    let unlocked = ["--channel", "channel", "--format", "json"];
    assert_eq!(planned(&unlocked)[2], "zlib=1.3.1=h_0");
    let old = base_with_glibc(&scene, "2.10-1");
    let old = ["--base-image", old.as_str()];
    let more = ["--channel", "channel", "--dry-run", "--format", "json"];
    let outcome = scene.images_without_pythons(&old, &id, &more).exits(0);
    let conflict = &outcome.json()["environments"][0]["condaConflict"];
    assert!(
        conflict.as_str().unwrap().contains("__glibc >=2.17"),
        "{conflict}"
    );
    assert!(
        outcome.stderr.contains("__glibc=2.10=0"),
        "{}",
        outcome.stderr
    );
    assert!(
        outcome.stderr.contains("CONDA_OVERRIDE_GLIBC"),
        "{}",
        outcome.stderr
    );
}
