//! Features of compiled modules. The interpreter is a script here, which leaves what each test wants
//! it to; that a real one's modules are used is tested with real packages.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use super::build::{document, json_of, listing};
use crate::support::command::{Ohoci, Outcome};

/// Lists all that is in `env/lib`, and compiles a source to a word and its content. Knows what it ought to be
/// called with, and what it ought to see.
const WELL: &str = r#"
[ "$HOME $LC_ALL $PYTHONHASHSEED" = "/tmp C.UTF-8 0" ] || exit 20
[ ! -e /openhands/tools ] || exit 21
if [ "$8" != all ]; then
    [ "$1 $2 $3 $4 $5 $6 $7" = "-s -P -B -W ignore -X pycache_prefix=/.ohoci-known" ] || exit 22
    [ "$9 ${11} ${12} $SETTING" = "/openhands one two on" ] || exit 23
    grep -q "import gc" "$8" || exit 24
    [ -e /openhands/more/data ] && [ ! -e /openhands/more/other ] || exit 25
    if grep -q "second" /openhands/env/lib/*.py; then
        grep -q "compiled first" /.ohoci-known/openhands/env/lib/b63.x.pyc || exit 26
        [ ! -e /.ohoci-known/openhands/env/lib/z.x.pyc ] || exit 27
    fi
    ls /openhands/env/lib/*.py > "${10}"
    exit 0
fi
[ "$1 $2 $3 $4 $5 $6 ${10}" = "-s -P -S -B -W ignore 2" ] || exit 30
[ "${SETTING-unset}" = unset ] && [ ! -e /openhands/env/lib ] && [ ! -e /openhands/more ] || exit 31
n=0
while [ $n -lt ${11} ]; do
    rm -rf /tmp/n; mkdir -p /tmp/n; cd /tmp/n
    while read -r path; do
        read -r size
        name=${path##*/}
        made=".${path%/*}/__pycache__/${name%.py}.x.pyc"
        mkdir -p "${made%/*}"
        printf 'compiled ' > "$made"
        dd bs=1 count=$size >> "$made" 2>/dev/null
        # Where one has changed, its chunk alone is compiled.
        if grep -q second "$made"; then [ ${11} = 1 ] || exit 33; fi
    done < "$9/$n.sources"
    tar -cf "$9/$n.tar" openhands/env/lib/__pycache__/*.pyc
    n=$((n + 1))
done
"#;

/// The last source of a chunk, by the digest of its path.
const LAST: &str = "work/layers/sources/env/lib/b63.py";
/// A source behind it.
const BEHIND: &str = "work/layers/sources/env/lib/z.py";

/// A project with a feature of sources and one that compiles them. The interpreter is installed in `base` and
/// linked into `env`.
fn project(interpreter: &str) -> Ohoci {
    let ohoci = Ohoci::new();
    ohoci.write(
        "work/layers/sources.toml",
        "name = \"sources\"\n[[directory]]\npath = \"sources\"\nto = \".\"\n[patch.env]\nSETTING = \"on\"\n",
    );
    ohoci.write(
        "work/layers/compiled.toml",
        "name = \"compiled\"\nrequires = [\"sources\"]\nplatforms = [\"linux/amd64\", \"linux/arm64\"]\n\
         [bytecode]\npython = \"env/bin/python\"\nimports = [\"one\", \"two\"]\nshown = [\"more/data\"]\n",
    );
    for (path, content) in [
        (LAST, "first"),
        (BEHIND, "print()\n"),
        ("work/layers/sources/more/data", "data"),
        ("work/layers/sources/more/other", "other"),
        ("work/layers/sources/tools/tool", "tool"),
    ] {
        ohoci.write(path, content);
    }
    let bin = ohoci.work().join("layers/sources/env/bin");
    fs_err::create_dir_all(&bin).unwrap();
    std::os::unix::fs::symlink("../../base/bin/python", bin.join("python")).unwrap();
    let script = format!("#!/openhands/base/bin/sh\nPATH=/openhands/base/bin\n{interpreter}\n");
    let path = ohoci.write("work/layers/sources/base/bin/python", script);
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let busybox = fs_err::read("/bin/busybox").unwrap();
    for name in ["dd", "grep", "ln", "ls", "mkdir", "rm", "sh", "tar"] {
        let path = ohoci.write(
            format!("work/layers/sources/base/bin/{name}"),
            busybox.clone(),
        );
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
    command.args([here(), "-o", &format!("oci:deps:{tag}"), "--threads", "2"]);
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
    let first = layers(&ohoci, "1");
    assert_eq!(first.len(), 2);
    let layout = ohoci.work().join("deps");
    let files = listing(&layout, &first[1]);
    let cache = "openhands/env/lib/__pycache__";
    assert_eq!(files[&format!("{cache}/b63.x.pyc")], "compiled first");
    assert_eq!(files[&format!("{cache}/z.x.pyc")], "compiled print()\n");
    assert!(!files.contains_key("openhands/env/lib/z.py"), "{files:?}");

    // The same sources come to the same, and nothing runs again.
    build(&ohoci, "2", false).exits(0);
    assert_eq!(layers(&ohoci, "2"), first);

    // Other sources are compiled anew, for which there has to be a sandbox.
    ohoci.write(BEHIND, "print(1)");
    let outcome = build(&ohoci, "3", false).exits(1);
    says(&outcome, "bwrap is not installed");
    says(&outcome, "--without compiled");
    build(&ohoci, "3", true).exits(0);
}

#[test]
fn what_the_interpreter_is_not_shown_compiles_nothing_again() {
    let ohoci = project(WELL);
    build(&ohoci, "1", true).exits(0);
    let first = layers(&ohoci, "1");
    for other in ["more/other", "tools/tool"] {
        ohoci.write(format!("work/layers/sources/{other}"), "changed");
    }
    let outcome = build(&ohoci, "2", false).exits(0);
    says(&outcome, "compiled: ");
    let line = outcome.stderr.lines();
    let line = line.filter(|line| line.contains("compiled: ") && line.contains("unchanged"));
    assert_eq!(line.count(), 1, "{}", outcome.stderr);
    let second = layers(&ohoci, "2");
    assert_ne!(first[0], second[0]);
    assert_eq!(first[1], second[1]);

    // What it is shown could be what it imports.
    ohoci.write("work/layers/sources/more/data", "changed");
    says(
        &build(&ohoci, "3", false).exits(1),
        "bwrap is not installed",
    );
}

#[test]
fn where_one_source_has_changed_the_chunks_of_others_are_known() {
    let ohoci = project(WELL);
    build(&ohoci, "1", true).exits(0);
    ohoci.write(BEHIND, "second\n");
    build(&ohoci, "2", true).exits(0);
    let layout = ohoci.work().join("deps");
    let files = listing(&layout, &layers(&ohoci, "2")[1]);
    let cache = "openhands/env/lib/__pycache__";
    assert_eq!(files[&format!("{cache}/b63.x.pyc")], "compiled first");
    assert_eq!(files[&format!("{cache}/z.x.pyc")], "compiled second\n");
}

#[test]
fn an_interpreter_that_is_nowhere_is_named() {
    let ohoci = project(WELL);
    fs_err::remove_file(ohoci.work().join("layers/sources/base/bin/python")).unwrap();
    let outcome = build(&ohoci, "1", true).exits(1);
    says(&outcome, "/openhands/env/bin/python is in no layer below");
}

#[test]
fn what_an_interpreter_leaves_is_not_trusted() {
    let listed = |then: &str| {
        format!(
            "if [ \"$8\" != all ]; then echo /openhands/env/lib/z.py > ${{10}}; exit; fi
             at=openhands/env/lib/__pycache__; cd /tmp; mkdir -p $at; {then}"
        )
    };
    let made = |other: &str| {
        listed(&format!(
            "echo > $at/z.x.pyc; echo > $at/{other}; tar -cf $9/0.tar $at/*"
        ))
    };
    for (interpreter, expected) in [
        (
            "echo no module named one >&2; exit 3".to_owned(),
            "exit code 3:\n  no module named one",
        ),
        ("exit 0".to_owned(), "cannot read the list of modules"),
        (
            "ln -s /etc/passwd ${10}".to_owned(),
            "cannot read the list of modules",
        ),
        ("mkdir ${10}".to_owned(), "is no file"),
        (
            "echo /etc/passwd > ${10}".to_owned(),
            "what was listed are not sources of modules",
        ),
        (listed("exit 4"), "exit code 4"),
        (listed("exit 0"), "cannot read the compiled modules"),
        (
            listed("ln -s /etc/passwd $9/0.tar"),
            "cannot read the compiled modules",
        ),
        (listed("mkdir $9/0.tar"), "is no file"),
        (listed("echo no archive > $9/0.tar"), "cannot be read"),
        (
            listed("mkdir $at/z.x.pyc; tar -cf $9/0.tar $at/*"),
            "z.x.pyc: it is a directory",
        ),
        (
            listed("tar -cf $9/0.tar /openhands/base/bin/python"),
            "python: it is no compiled module",
        ),
        (made("b63.x.pyc"), "its source was not to be compiled"),
        (made("z.y.pyc"), "there are 2 of 1"),
    ] {
        let interpreter = &interpreter;
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

/// Whether the cache has compiled modules.
fn is_remembered(ohoci: &Ohoci) -> bool {
    let facts = ohoci.work().join("../cache/ohoci/facts");
    let Ok(groups) = fs_err::read_dir(facts) else {
        return false;
    };
    let files = groups.flat_map(|group| fs_err::read_dir(group.unwrap().path()).unwrap());
    let mut texts = files.map(|file| fs_err::read_to_string(file.unwrap().path()).unwrap());
    texts.any(|text| text.contains("bytecode-modules"))
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
         [bytecode]\npython = \"env/bin/python\"\nimports = [\"one\"]\n"
    );
    ohoci.write("work/layers/compiled.toml", recipe);
    let arguments = ["deps", "build", "layers/compiled.toml", "-o", "oci:deps:1"];
    let outcome = ohoci.run(arguments).exits(1);
    says(&outcome, "has none for this machine");
    says(&outcome, "--without compiled");
}
