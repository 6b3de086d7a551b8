//! Features of compiled modules. The interpreter is a script here, which leaves what each test wants
//! it to; that a real one's modules are used is tested with real packages.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use super::build::{document, json_of, listing};
use crate::support::command::{Ohoci, Outcome};

/// Leaves an archive of one module, which says what it was compiled with.
const WELL: &str = r#"
[ "$1 $2 $3" = "-s -P -B" ] && [ "$5 $6" = "all /openhands" ] || exit 9
[ "$9 ${10} $SETTING $PYTHONHASHSEED" = "one two on 0" ] || exit 8
grep -q py_compile "$4" || exit 7
mkdir -p /tmp/openhands/lib/__pycache__
echo compiled > /tmp/openhands/lib/__pycache__/a.cpython-313.pyc
tar -C /tmp -cf "$8" openhands/lib/__pycache__/a.cpython-313.pyc
"#;

/// A project with a feature of sources and one that compiles them.
fn project(interpreter: &str) -> Ohoci {
    let ohoci = Ohoci::new();
    ohoci.write(
        "work/layers/sources.toml",
        "name = \"sources\"\n[[directory]]\npath = \"sources\"\nto = \".\"\n[patch.env]\nSETTING = \"on\"\n",
    );
    ohoci.write(
        "work/layers/compiled.toml",
        "name = \"compiled\"\nrequires = [\"sources\"]\nplatforms = [\"linux/amd64\", \"linux/arm64\"]\n\
         [bytecode]\npython = \"bin/python\"\nimports = [\"one\", \"two\"]\n",
    );
    ohoci.write("work/layers/sources/lib/a.py", "print()");
    let busybox = fs_err::read("/bin/busybox").unwrap();
    let script = format!("#!/openhands/bin/sh\nPATH=/openhands/bin\n{interpreter}\n");
    let programs = [
        ("sh", busybox.clone()),
        ("tar", busybox.clone()),
        ("mkdir", busybox.clone()),
        ("grep", busybox.clone()),
        ("ln", busybox),
        ("python", script.into_bytes()),
    ];
    for (name, content) in programs {
        let path = ohoci.write(format!("work/layers/sources/bin/{name}"), content);
        fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    ohoci
}

/// Builds for the platform of this machine; without a `PATH` there is no bubblewrap.
fn build(ohoci: &Ohoci, tag: &str, path: bool) -> Outcome {
    build_with(ohoci, tag, path, &[])
}

fn build_with(ohoci: &Ohoci, tag: &str, path: bool, flags: &[&str]) -> Outcome {
    let mut command = ohoci.command();
    command.args(["deps", "build", "layers/compiled.toml", "--platform"]);
    command.args([here(), "-o", &format!("oci:deps:{tag}")]);
    command.args(flags);
    if !path {
        command.env("PATH", "/nonexistent");
    }
    Outcome::of(&mut command)
}

fn here() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "linux/arm64",
        _ => "linux/amd64",
    }
}

/// The layers of an image for one platform.
fn layers(ohoci: &Ohoci, tag: &str) -> Vec<Value> {
    let layout = ohoci.work().join("deps");
    let index = json_of(layout.join("index.json"));
    let image = index["manifests"].as_array().unwrap().iter();
    let name = "org.opencontainers.image.ref.name";
    let mut image = image.filter(|image| image["annotations"][name] == tag);
    let image = document(&layout, image.next_back().unwrap());
    image["layers"].as_array().unwrap().clone()
}

#[track_caller]
fn says(outcome: &Outcome, expected: &str) {
    let said = &outcome.stderr;
    assert!(said.contains(expected), "{expected}: {said}");
}

#[test]
fn modules_come_in_a_layer_of_their_own_and_are_kept() {
    let ohoci = project(WELL);
    build(&ohoci, "1", true).exits(0);
    assert!(is_remembered(&ohoci));
    let first = layers(&ohoci, "1");
    assert_eq!(first.len(), 2);
    let layout = ohoci.work().join("deps");
    let files = listing(&layout, &first[1]);
    assert_eq!(
        files["openhands/lib/__pycache__/a.cpython-313.pyc"],
        "compiled\n"
    );
    assert!(!files.contains_key("openhands/lib/a.py"), "{files:?}");

    // The same sources come to the same, and nothing runs again.
    build(&ohoci, "2", false).exits(0);
    assert_eq!(layers(&ohoci, "2"), first);

    // Other sources are compiled anew, for which there has to be a sandbox.
    ohoci.write("work/layers/sources/lib/a.py", "print(1)");
    let outcome = build(&ohoci, "3", false).exits(1);
    says(&outcome, "bwrap is not installed");
    says(&outcome, "--without compiled");
    build(&ohoci, "3", true).exits(0);
}

#[test]
fn what_an_interpreter_leaves_is_not_trusted() {
    for (interpreter, expected) in [
        (
            "echo no module named one >&2; exit 3",
            "exit code 3:\n  no module named one",
        ),
        ("exit 0", "cannot read the compiled modules"),
        ("ln -s /etc/passwd $8", "cannot read the compiled modules"),
        ("mkdir $8", "is no file"),
        ("echo no archive > $8", "cannot be read"),
        (
            "cd /openhands; tar -C / -cf $8 openhands/lib/a.py",
            "a.py: it is no compiled module",
        ),
        (
            "mkdir -p /tmp/lib/__pycache__; echo > /tmp/lib/__pycache__/a.x.pyc; tar -C /tmp -cf $8 lib",
            "it is a directory",
        ),
        (
            "mkdir -p /tmp/lib/__pycache__; echo > /tmp/lib/__pycache__/a.x.pyc
             tar -C /tmp -cf $8 lib/__pycache__/a.x.pyc",
            "there is no source for it",
        ),
    ] {
        let ohoci = project(interpreter);
        let outcome = build(&ohoci, "1", true).exits(1);
        says(&outcome, "cannot compile feature compiled");
        assert!(
            outcome.stderr.contains(expected),
            "{expected}: {}",
            outcome.stderr
        );
        assert!(!is_remembered(&ohoci), "{interpreter}");
    }
}

#[test]
fn who_compiles_without_end_is_stopped_and_the_limit_is_named() {
    for (interpreter, flags, words) in [
        (
            "while :; do :; done",
            ["--timeout", "0.5"],
            "the time limit of 500ms was exceeded",
        ),
        (
            "i=0; while :; do : > /.ohoci/$i; i=$((i+1)); done",
            ["--inodes", "50"],
            "the limit of 50 files and directories was exceeded",
        ),
    ] {
        let ohoci = project(interpreter);
        let outcome = build_with(&ohoci, "1", true, &flags).exits(1);
        says(&outcome, words);
        says(&outcome, &format!("hint: {} raises it", flags[0]));
        assert!(!is_remembered(&ohoci), "{interpreter}");
    }
}

/// Whether the cache knows of compiled modules.
fn is_remembered(ohoci: &Ohoci) -> bool {
    let facts = ohoci.work().join("../cache/ohoci/facts");
    let Ok(groups) = fs_err::read_dir(facts) else {
        return false;
    };
    let files = groups.flat_map(|group| fs_err::read_dir(group.unwrap().path()).unwrap());
    let mut texts = files.map(|file| fs_err::read_to_string(file.unwrap().path()).unwrap());
    texts.any(|text| text.contains("bytecode"))
}

#[test]
fn another_machine_s_modules_need_an_interpreter_of_this_one() {
    let ohoci = project(WELL);
    let other = match here() {
        "linux/amd64" => "linux/arm64",
        _ => "linux/amd64",
    };
    let recipe = format!(
        "name = \"compiled\"\nrequires = [\"sources\"]\nplatforms = [\"{other}\"]\n\
         [bytecode]\npython = \"bin/python\"\nimports = [\"one\"]\n"
    );
    ohoci.write("work/layers/compiled.toml", recipe);
    let arguments = ["deps", "build", "layers/compiled.toml", "-o", "oci:deps:1"];
    let outcome = ohoci.run(arguments).exits(1);
    says(&outcome, "has none for this machine");
    says(&outcome, "--without compiled");
}
