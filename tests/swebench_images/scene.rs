//! A small repository with a past and a future, rows about it, and a place to build them in.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::base::{self, said};
use crate::support::command::{Ohoci, Outcome};

/// A build backend that needs nothing: it writes wheels itself.
const BACKEND: &str = r#"
import os, zipfile
def _wheel(directory, name, files):
    with zipfile.ZipFile(os.path.join(directory, name), "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
    return name
def _files(version, more):
    info = "example_tool-%s.dist-info" % version
    files = {
        info + "/METADATA": "Metadata-Version: 2.1\nName: example-tool\nVersion: %s\n" % version,
        info + "/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **more,
    }
    files[info + "/RECORD"] = "".join("%s,,\n" % path for path in files)
    return files
def build_wheel(directory, config_settings=None, metadata_directory=None):
    return _wheel(directory, "example_tool-1.0-py3-none-any.whl", _files("1.0", {"tool.py": open("tool.py").read()}))
def build_editable(directory, config_settings=None, metadata_directory=None):
    return _wheel(directory, "example_tool-1.0-py3-none-any.whl", _files("1.0", {"example_tool.pth": os.getcwd() + "\n"}))
"#;

const PROJECT: &str =
    "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n";

/// A wheel of a package that the environment has.
const WHEEL: &str = r#"
import sys, zipfile
with zipfile.ZipFile(sys.argv[1] + "/example_package-1.0-py3-none-any.whl", "w") as wheel:
    info = "example_package-1.0.dist-info"
    wheel.writestr("example_package.py", "VALUE = 42\n")
    wheel.writestr(info + "/METADATA", "Metadata-Version: 2.1\nName: example-package\nVersion: 1.0\n")
    wheel.writestr(info + "/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(info + "/RECORD", "example_package.py,,\n")
"#;

/// The image of the first instance.
pub(super) const IMAGE: &str = "swebench/sweb.eval.x86_64.example_1776_tool-1:latest";

pub(super) struct Scene {
    pub(super) ohoci: Ohoci,
    /// The commits by name: `first`, `second`, and `future`.
    pub(super) first: String,
    pub(super) second: String,
    pub(super) future: String,
}

impl Scene {
    pub(super) fn new() -> Self {
        let ohoci = Ohoci::new();
        let work = ohoci.work();
        let python = base::python();
        base::write(&work.join("root"), &python);
        fs_err::create_dir_all(work.join("pythons")).unwrap();
        let link = work.join("pythons/this");
        fs_err::os::unix::fs::symlink(&python.prefix, link).unwrap();
        let wheels = work.join("wheels");
        fs_err::create_dir(&wheels).unwrap();
        said(Command::new("python3").args(["-c", WHEEL]).arg(&wheels));
        ohoci
            .run([
                "compose",
                "--base",
                "scratch",
                "--layer",
                "root",
                "--push",
                "oci:base:1",
            ])
            .exits(0);
        let repository = Repository(work.join("repositories/example/tool"));
        fs_err::create_dir_all(&repository.0).unwrap();
        repository.git(&["init", "--quiet", "--initial-branch=trunk"], 0);
        repository.begin();
        for (path, text) in [
            ("pyproject.toml", PROJECT),
            ("backend.py", BACKEND),
            (".gitignore", "__pycache__\n"),
        ] {
            fs_err::write(repository.0.join(path), text).unwrap();
        }
        repository.commit("start", "VALUE = 0\n", 1);
        repository.git(&["tag", "--annotate", "-m", "one", "v1.0"], 2);
        repository.git(&["tag", "light"], 2);
        let first = repository.commit("first", "VALUE = 1\n", 3);
        let second = repository.commit("second", "VALUE = 2\n", 4);
        repository.git(&["branch", "other", "v1.0"], 4);
        let future = repository.commit("the answer", "VALUE = 3\n", 5);
        repository.git(&["tag", "--annotate", "-m", "two", "v2.0"], 6);
        let specs = |version: &str, install: &str| {
            json!({"versions": [version], "python": python.version, "packages": "",
                "pip_packages": ["example-package==1.0"], "pre_install": ["sed -i 's/^/# /' tests.txt"],
                "install": install, "test_cmd": "python -m tests"})
        };
        let specs = json!({"repositories": {"example/tool": [
            specs("1.0", "python -m pip install -e ."),
            specs("2.0", "echo it is broken >&2; exit 3"),
        ]}});
        ohoci.write("work/specs.json", specs.to_string());
        let patch = "diff --git a/tool.py b/tool.py\n--- a/tool.py\n+++ b/tool.py\n@@ -1 +1 @@\n-VALUE = 1\n+VALUE = 3\n";
        let tests = "diff --git a/tests.py b/tests.py\nnew file mode 100644\n--- /dev/null\n+++ b/tests.py\n@@ -0,0 +1 @@\n+import tool\n";
        // Version 5's shape, version 4's, and one that cannot be installed.
        let rows = [
            json!({"instance_id": "example__tool-1", "repo": "example/tool", "base_commit": first,
                "version": "1.0", "image": IMAGE, "eval_script": "true", "log_parser": "parse_log_pytest",
                "eval_type": "pass_and_fail", "FAIL_TO_PASS": ["a"], "PASS_TO_PASS": [],
                "patch": patch, "test_patch": tests}),
            json!({"instance_id": "example__tool-2", "repo": "example/tool", "base_commit": second,
                "version": "1.0", "environment_setup_commit": first, "patch": patch, "test_patch": tests,
                "FAIL_TO_PASS": "[\"a\"]", "PASS_TO_PASS": "[]"}),
            json!({"instance_id": "example__tool-3", "repo": "example/tool", "base_commit": second,
                "version": "2.0", "patch": patch, "test_patch": tests}),
            json!({"instance_id": "example__other-4", "repo": "example/other", "base_commit": second,
                "version": "1.0", "patch": patch, "test_patch": tests}),
        ];
        let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
        ohoci.write("work/rows.jsonl", lines.join("\n"));
        Self {
            ohoci,
            first,
            second,
            future,
        }
    }

    /// Runs `swebench images` for some instances.
    pub(super) fn images(&self, ids: &[&str], more: &[&str]) -> Outcome {
        self.images_from("repositories", ids, more)
    }

    /// The same with repositories from elsewhere.
    pub(super) fn images_from(&self, source: &str, ids: &[&str], more: &[&str]) -> Outcome {
        let base = ["--base-image", "oci:base:1", "--python-dir", "pythons"];
        self.images_with(source, &base, ids, more)
    }

    /// The same on another base.
    pub(super) fn images_on(&self, base: &[&str], ids: &[&str], more: &[&str]) -> Outcome {
        let base = [base, &["--python-dir", "pythons"]].concat();
        self.images_with("repositories", &base, ids, more)
    }

    /// The same without any Python of this machine.
    pub(super) fn images_without_pythons(
        &self,
        base: &[&str],
        ids: &[&str],
        more: &[&str],
    ) -> Outcome {
        self.images_with("repositories", base, ids, more)
    }

    /// The command line of [`Self::images`], for tests that add to its environment.
    pub(super) fn command(&self, ids: &[&str], more: &[&str]) -> Command {
        let base = ["--base-image", "oci:base:1", "--python-dir", "pythons"];
        self.command_with("repositories", &base, ids, more)
    }

    fn images_with(&self, source: &str, base: &[&str], ids: &[&str], more: &[&str]) -> Outcome {
        Outcome::of(&mut self.command_with(source, base, ids, more))
    }

    fn command_with(&self, source: &str, base: &[&str], ids: &[&str], more: &[&str]) -> Command {
        let mut command = self.ohoci.command();
        command
            .args([
                "swebench",
                "images",
                "--dataset_name",
                "rows.jsonl",
                "--specs",
                "specs.json",
            ])
            .args(["--repo-source", source])
            .args(base)
            .arg("--instance_ids")
            .args(ids)
            .args(more)
            .env("PIP_NO_INDEX", "1")
            .env("PIP_FIND_LINKS", self.ohoci.work().join("wheels"));
        command
    }

    /// Builds instances into `oci:images`, and gives the report.
    #[track_caller]
    pub(super) fn built(&self, ids: &[&str], more: &[&str]) -> Value {
        let all = [&["--push", "oci:images", "--format", "json"], more].concat();
        self.images(ids, &all).exits(0).json()
    }

    /// What a script says in an image, in upstream's environment.
    #[track_caller]
    pub(super) fn says(&self, image: &str, script: &str) -> String {
        let script = format!(
            "set -euo pipefail; source /opt/miniconda3/bin/activate; conda activate testbed; cd /testbed; {script}"
        );
        let outcome = self
            .ohoci
            .run(["run", image, "--", "/bin/bash", "-c", &script]);
        outcome.exits(0).stdout
    }

    pub(super) fn repository(&self) -> Repository {
        Repository(self.ohoci.work().join("repositories/example/tool"))
    }
}

/// A repository of this machine.
pub(super) struct Repository(pub(super) PathBuf);

impl Repository {
    /// Runs git on some day.
    pub(super) fn git(&self, words: &[&str], day: u32) -> String {
        let date = format!("{} +0000", 1_000_000_000 + day * 86_400);
        said(
            Command::new("git")
                .args([
                    "-c",
                    "user.name=Example",
                    "-c",
                    "user.email=user@registry.example",
                ])
                .args(words)
                .current_dir(&self.0)
                .env("GIT_CONFIG_GLOBAL", "/dev/null")
                .env("GIT_AUTHOR_DATE", &date)
                .env("GIT_COMMITTER_DATE", &date),
        )
    }

    /// A long past, of which instances share what lies behind.
    fn begin(&self) {
        let commits: String = (0..300)
            .map(|number| {
                format!(
                    "commit refs/heads/trunk\ncommitter X <x@registry.example> {number} +0000\ndata 1\nx\n\
                     M 100644 inline past.txt\ndata {}\n{number}\n",
                    number.to_string().len()
                )
            })
            .collect();
        let mut import = Command::new("git")
            .args(["fast-import", "--quiet"])
            .current_dir(&self.0)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        import
            .stdin
            .take()
            .unwrap()
            .write_all(commits.as_bytes())
            .unwrap();
        assert!(import.wait().unwrap().success());
        self.git(&["reset", "--quiet", "--hard"], 0);
    }

    fn commit(&self, message: &str, tool: &str, day: u32) -> String {
        fs_err::write(self.0.join("tool.py"), tool).unwrap();
        fs_err::write(self.0.join("tests.txt"), "one\ntwo\n").unwrap();
        self.git(&["add", "."], day);
        self.git(&["commit", "--quiet", "-m", message], day);
        self.git(&["rev-parse", "HEAD"], day)
    }

    /// All of it in a directory, future, remote and logs included.
    pub(super) fn clone_to(&self, directory: &Path) {
        let source = self.0.display().to_string();
        said(
            Command::new("git")
                .args(["clone", "--quiet", &source])
                .arg(directory),
        );
    }
}
