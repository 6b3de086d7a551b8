//! `ohoci deps lock --update` and `--check` for Python and npm packages. uv and npm are not there
//! everywhere, so programs stand in for them that keep what they are shown, as the real ones do.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use testbed::file_server::FileServer;

use super::python::sdist;
use crate::support::command::{Ohoci, Outcome};
use crate::support::peer::sha256;

/// Takes for every package of `$HOME/shop` (name, version, digest; the newest last) the version that
/// `pylock.toml` names, if it is there, or else the newest; and what lies in `stubs`.
const UV: &str = r#"#!/bin/sh
set -e
cat pylock.toml > "$HOME/seen.toml" 2>/dev/null || : > "$HOME/seen.toml"
{
  echo 'lock-version = "1.0"'
  awk '
    { gsub(/"/, "") }
    FILENAME != ARGV[2] && $1 == "name" { name = $3 }
    FILENAME != ARGV[2] && $1 == "version" { known[name] = $3 }
    FILENAME == ARGV[2] { all[$1 " " $2] = $3; newest[$1] = $2 }
    END {
      for (name in newest) {
        version = ((name " " known[name]) in all) ? known[name] : newest[name]
        escaped = name
        gsub(/-/, "_", escaped)
        wheel = escaped "-" version "-py3-none-any.whl"
        printf "[[packages]]\nname = \"%s\"\nversion = \"%s\"\n", name, version
        printf "wheels = [{ name = \"%s\", url = \"https://files.example/%s\", size = 7, ", wheel, wheel
        printf "hashes = { sha256 = \"%s\" } }]\n", all[name " " version]
      }
    }
  ' "$HOME/seen.toml" "$HOME/shop"
  for stub in stubs/*.whl; do
    test -e "$stub" || continue
    name=${stub#stubs/}
    version=${name#*-}
    printf '[[packages]]\nname = "%s"\nversion = "%s"\n' "${name%%-*}" "${version%%-*}"
    printf 'wheels = [{ path = "%s" }]\n' "$stub"
  done
} > pylock.toml
"#;

/// Keeps the lockfile that it is shown and adds to it from `$HOME/next.json`, which is complete.
const NPM: &str = r#"#!/bin/sh
set -e
test -e package.json
rm -f "$HOME/seen.json"
test ! -e package-lock.json || cp package-lock.json "$HOME/seen.json"
cp "$HOME/next.json" package-lock.json
"#;

struct Project {
    ohoci: Ohoci,
    server: FileServer,
}

impl Project {
    fn new(recipe: &str) -> Self {
        let ohoci = Ohoci::new();
        for (name, script) in [("uv", UV), ("npm", NPM)] {
            let program = ohoci.write(format!("home/bin/{name}"), script);
            fs_err::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        }
        ohoci.write("work/layers/more.toml", recipe);
        let server = FileServer::start(BTreeMap::new());
        let url = server.url();
        ohoci.write("home/.npmrc", format!("registry={url}npm/\n"));
        ohoci.write(
            "config/uv/uv.toml",
            format!("index-url = \"{url}simple/\"\n"),
        );
        Self { ohoci, server }
    }

    /// Runs `ohoci deps`, with our uv and npm before the machine's.
    #[track_caller]
    fn deps(&self, code: i32, arguments: &[&str]) -> Outcome {
        let mut path = self.ohoci.work().join("../home/bin").into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut command = self.ohoci.command();
        let output = command
            .arg("deps")
            .args(arguments)
            .env("PATH", path)
            .output()
            .unwrap();
        Outcome {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
        .exits(code)
    }

    /// Locks with these flags, and returns what is said about packages.
    #[track_caller]
    fn lock(&self, flags: &[&str]) -> Vec<String> {
        let outcome = self.deps(0, &[&["lock", "layers/more.toml"], flags].concat());
        let lines = outcome.stderr.lines();
        lines
            .filter(|line| line.starts_with(['+', '-', '~']))
            .map(str::to_owned)
            .collect()
    }

    fn text(&self) -> String {
        fs_err::read_to_string(self.ohoci.work().join("layers/more.lock")).unwrap()
    }

    /// What uv (`seen.toml`) or npm (`seen.json`) was shown last.
    fn seen(&self, name: &str) -> Option<String> {
        fs_err::read_to_string(self.ohoci.work().join("../home").join(name)).ok()
    }

    fn forget(&self, name: &str) {
        let _ = fs_err::remove_file(self.ohoci.work().join("../home").join(name));
    }
}

/// `sd` as a source distribution.
fn source(version: &str) -> Vec<u8> {
    let metadata = format!("Metadata-Version: 2.2\nName: sd\nVersion: {version}\n");
    let files = [
        ("PKG-INFO", metadata.as_str()),
        ("sd.egg-info/top_level.txt", "sd\n"),
        ("sd.py", ""),
    ];
    sdist(&format!("sd-{version}"), &files)
}

const PYTHON: &str = "name = \"more\"\nplatforms = [\"linux/amd64\", \"linux/arm64\"]\n\
    [python]\nversion = \"3.13\"\nrequirements = [\"one\", \"Two_Two>=1\", \"sd\"]\n\
    allow-sdist = [\"sd\"]\ntarget = \"poetry/more\"\n";

/// Puts wheels (name, version, a digit for the digest) and source distributions on offer.
fn offer(project: &Project, wheels: &[(&str, &str, char)], sources: &[&str]) {
    let shop: String = wheels
        .iter()
        .map(|(name, version, digit)| {
            format!("{name} {version} {}\n", digit.to_string().repeat(64))
        })
        .collect();
    project.ohoci.write("home/shop", shop);
    let archives: Vec<(&str, Vec<u8>)> = sources
        .iter()
        .map(|version| (*version, source(version)))
        .collect();
    offer_sources(project, &archives);
}

/// Puts versions of `sd` as source distributions on offer.
fn offer_sources(project: &Project, archives: &[(&str, Vec<u8>)]) {
    let mut files = BTreeMap::new();
    let mut page = String::new();
    for (version, content) in archives {
        let digest = sha256(content);
        let hex = digest.trim_start_matches("sha256:");
        page +=
            &format!("<a href=\"../../sd-{version}.tar.gz#sha256={hex}\">sd-{version}.tar.gz</a>");
        files.insert(format!("sd-{version}.tar.gz"), content.clone());
    }
    files.insert("simple/sd/".to_owned(), page.into_bytes());
    project.server.put(files);
}

#[test]
fn a_python_package_is_updated_alone() {
    let project = Project::new(PYTHON);
    offer(
        &project,
        &[("one", "1.0", '1'), ("two-two", "1.0", '2')],
        &["1.0"],
    );
    assert_eq!(
        project.lock(&[]),
        [
            "+ one (Python) 1.0",
            "+ sd (Python) 1.0",
            "+ two-two (Python) 1.0"
        ]
    );
    let first = project.text();
    assert_eq!(project.seen("seen.toml").unwrap(), "", "nothing is kept");

    // Newer ones of all three, and another file of the version that is locked.
    offer(
        &project,
        &[
            ("one", "1.0", '1'),
            ("one", "1.1", '3'),
            ("two-two", "1.0", '9'),
            ("two-two", "1.1", '4'),
        ],
        &["1.0", "1.1"],
    );
    assert_eq!(
        project.lock(&["--update", "one"]),
        ["~ one (Python) 1.0 → 1.1"]
    );
    let one = project.text();
    let seen = project.seen("seen.toml").unwrap();
    assert!(!seen.contains("\"one\""), "{seen}");
    let block = |text: &str, name: &str| -> String {
        let blocks = text.split("\n\n");
        let named = format!("name = \"{name}\"\n");
        let mut found = blocks.filter(|block| block.contains(&named));
        found.next().unwrap().to_owned()
    };
    for name in ["two-two", "sd"] {
        assert_eq!(block(&one, name), block(&first, name));
    }
    // However the name is spelt.
    assert_eq!(
        project.lock(&["--update", "Two.TWO"]),
        ["~ two-two (Python) 1.0 → 1.1"]
    );
    assert_eq!(
        project.lock(&["--update", "sd"]),
        ["~ sd (Python) 1.0 → 1.1"]
    );
    assert_eq!(project.lock(&[]), [""; 0]);
    let refused = project.deps(2, &["lock", "layers/more.toml", "--update", "two_tow"]);
    assert!(
        refused.stderr.contains("hint: did you mean \"two-two\"?"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_build_script_is_left_out_by_name_and_the_lock_says_so() {
    let project = Project::new(PYTHON);
    project.ohoci.write("home/shop", "");
    let project_file = "[build-system]\nbuild-backend = \"poetry.core.masonry.api\"\n\
                        [tool.poetry]\nbuild = \"make.py\"\n";
    let files = [
        (
            "PKG-INFO",
            "Metadata-Version: 2.4\nName: sd\nVersion: 1.0\n",
        ),
        ("pyproject.toml", project_file),
        ("sd.py", ""),
        ("make.py", "raise SystemExit('a build ran')"),
    ];
    offer_sources(&project, &[("1.0", sdist("sd-1.0", &files))]);
    let refused = project.deps(1, &["lock", "layers/more.toml"]).stderr;
    assert!(
        refused.contains("sd-1.0.tar.gz: pyproject.toml has tool.poetry.build")
            && refused.contains("add it to skip-build-script"),
        "{refused}"
    );
    let skipping = PYTHON.replace("target", "skip-build-script = [\"Sd\"]\ntarget");
    let stray = skipping.replace("\"Sd\"", "\"one\"");
    project.ohoci.write("work/layers/more.toml", stray);
    let refused = project.deps(1, &["lock", "layers/more.toml"]).stderr;
    assert!(
        refused.contains("more.toml:7:22: one is not in allow-sdist"),
        "{refused}"
    );
    project.ohoci.write("work/layers/more.toml", &skipping);
    project.lock(&[]);
    assert!(project.text().contains("without_build_script = true"));
    // What decided no longer holds.
    project.ohoci.write("work/layers/more.toml", PYTHON);
    project.deps(4, &["lock", "--check", "layers/more.toml"]);
}

#[test]
fn check_says_which_python_packages_a_lock_lacks() {
    let project = Project::new(PYTHON);
    offer(
        &project,
        &[("one", "1.0", '1'), ("two-two", "1.0", '2')],
        &["1.0"],
    );
    project.lock(&[]);
    project.forget("seen.toml");
    project.server.take_requests();
    let check = ["lock", "--check", "layers/more.toml"];
    project.deps(0, &check);
    let more = PYTHON.replace("\"one\"", "\"One\", \"Zwei[extra]>=2\"");
    project.ohoci.write("work/layers/more.toml", more);
    let outcome = project.deps(4, &check);
    assert_eq!(
        outcome.stderr,
        "layers/more.lock: more asks for zwei, not locked yet\n"
    );
    project.ohoci.write(
        "work/layers/more.toml",
        PYTHON.replace("Two_Two>=1", "two-two>=2"),
    );
    let outcome = project.deps(4, &check);
    assert!(
        outcome.stderr.contains("something else"),
        "{}",
        outcome.stderr
    );
    // Nobody was asked.
    assert_eq!(project.seen("seen.toml"), None);
    assert_eq!(project.server.take_requests(), []);
}

const NODE: &str = "name = \"more\"\nplatforms = [\"linux/amd64\"]\n\
    [npm]\nlockfile = \"node/package-lock.json\"\ntarget = \"node\"\n\
    [[image]]\nref = \"oci:image:1\"\npath = \"/opt/thing\"\nto = \"thing\"\n";

/// A lockfile of npm's with these versions of `a`, of `c` that only `a` has, and of `b`.
fn lockfile(a: &str, c: &str, b: &str) -> Value {
    let entry = |version: &str, digit: &str| json!({"version": version, "integrity": format!("sha512-{}==", digit.repeat(86))});
    let mut first = entry(a, "A");
    first["dependencies"] = json!({"c": "*"});
    json!({"lockfileVersion": 3, "packages": {
        "": {"dependencies": {"a": "^1", "b": "^1"}},
        "node_modules/a": first,
        "node_modules/a/node_modules/c": entry(c, "Q"),
        "node_modules/b": entry(b, "g"),
        "node_modules/c": entry("0.5.0", "w"),
    }})
}

fn node_project() -> Project {
    let project = Project::new(NODE);
    project.ohoci.write(
        "work/layers/node/package.json",
        r#"{"dependencies": {"a": "^1", "b": "^1"}}"#,
    );
    let mut files = BTreeMap::new();
    for (name, versions) in [
        ("a", ["1.0.0", "1.1.0"]),
        ("b", ["1.0.0", "1.1.0"]),
        ("c", ["2.0.0", "2.1.0"]),
    ] {
        for version in versions {
            files.insert(format!("npm/{name}/-/{name}-{version}.tgz"), vec![0; 9]);
        }
    }
    project.server.put(files);
    put_image(&project, "as it was");
    project
}

fn put_image(project: &Project, content: &str) {
    project.ohoci.write("work/root/opt/thing/file", content);
    let compose = [
        "compose",
        "--base",
        "scratch",
        "--layer",
        "root",
        "--push",
        "oci:image:1",
    ];
    project.ohoci.run(compose).exits(0);
}

#[test]
fn an_npm_package_is_updated_alone_with_what_is_installed_for_it() {
    let project = node_project();
    let next = |lockfile: Value| project.ohoci.write("home/next.json", lockfile.to_string());
    next(lockfile("1.0.0", "2.0.0", "1.0.0"));
    let added = project.lock(&[]);
    assert!(added.contains(&"+ a (npm) 1.0.0".to_owned()), "{added:?}");
    assert_eq!(project.seen("seen.json"), None, "nothing is kept");

    // The image has moved on, which nobody asked about.
    put_image(&project, "as it is now");
    next(lockfile("1.1.0", "2.1.0", "1.0.0"));
    let mut changes = project.lock(&["--update", "a"]);
    changes.sort();
    assert_eq!(
        changes,
        ["~ a (npm) 1.0.0 → 1.1.0", "~ c (npm) 2.0.0 → 2.1.0"]
    );
    let seen: Value = serde_json::from_str(&project.seen("seen.json").unwrap()).unwrap();
    let places: Vec<&String> = seen["packages"].as_object().unwrap().keys().collect();
    assert_eq!(places, ["", "node_modules/b", "node_modules/c"]);

    // npm has nothing to do with what is not its own.
    project.forget("seen.json");
    let changes = project.lock(&["--update", "thing"]);
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert!(
        changes[0].starts_with("~ thing (image) sha256:"),
        "{changes:?}"
    );
    assert_eq!(project.seen("seen.json"), None);
    project.deps(0, &["lock", "--check", "layers/more.toml"]);
}

#[test]
fn check_compares_npms_own_two_files() {
    let project = node_project();
    let versions = lockfile("1.0.0", "2.0.0", "1.0.0");
    project.ohoci.write("home/next.json", versions.to_string());
    project.lock(&[]);
    project.forget("seen.json");
    project.server.take_requests();
    let check = ["lock", "--check", "layers/more.toml"];
    project.deps(0, &check);
    project.ohoci.write(
        "work/layers/node/package.json",
        r#"{"dependencies": {"a": "^2", "b": "^1", "d": "*"}}"#,
    );
    let outcome = project.deps(4, &check);
    assert_eq!(
        outcome.stderr,
        "layers/more.lock: more: package.json asks for a ^2, package-lock.json was made for ^1\n\
         layers/more.lock: more: package.json asks for d * (dependencies), package-lock.json was made without\n"
    );
    let build = ["build", "layers/more.toml", "--locked", "-o", "oci:out:1"];
    let outcome = project.deps(1, &build);
    assert!(
        outcome.stderr.contains("asks for a ^2"),
        "{}",
        outcome.stderr
    );
    assert_eq!(project.seen("seen.json"), None);
    assert_eq!(project.server.take_requests(), []);
}

#[test]
fn a_lockfile_that_comes_without_its_project_is_not_updated_in_silence() {
    let project = node_project();
    fs_err::remove_file(project.ohoci.work().join("layers/node/package.json")).unwrap();
    let versions = lockfile("1.0.0", "2.0.0", "1.0.0").to_string();
    project
        .ohoci
        .write("work/layers/node/package-lock.json", versions);
    project.lock(&[]);
    let outcome = project.deps(1, &["lock", "layers/more.toml", "--update", "a"]);
    assert!(
        outcome
            .stderr
            .contains("package-lock.json has no package.json beside it"),
        "{}",
        outcome.stderr
    );
}
