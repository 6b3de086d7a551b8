//! A small repository with a fault, its dataset, and the image that its tests run in: bash and git
//! of this machine with their libraries, and nothing else.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use ohoci_image::media_type::{Compression, Family};
use ohoci_swebench::eval_script::from_patch;
use ohoci_swebench::row::Row;
use ohoci_swebench::specs::Steps;
use serde_json::{Value, json};

use crate::support::command::{Ohoci, Outcome};
use crate::support::images::{Layer, busybox};

/// The instance that most tests use.
pub(super) const ID: &str = "pallets__greeter-1";

/// The name under which its image is found.
pub(super) const IMAGE: &str = if cfg!(target_arch = "aarch64") {
    "swebench/sweb.eval.arm64.pallets_1776_greeter-1:latest"
} else {
    "swebench/sweb.eval.x86_64.pallets_1776_greeter-1:latest"
};

/// Runs every `test_…` function of the files that it is given, and tells of each as pytest's short
/// summary does.
const RUNNER: &str = r#"failed=0
for file in "$@"; do
  . "./$file"
  for test in $(sed -n 's/^\(test_[a-z_]*\)().*/\1/p' "$file"); do
    if ( $test ); then echo "PASSED $file::$test"
    else echo "FAILED $file::$test - it does not"; failed=1; fi
  done
done
exit $failed
"#;

const GREET: &str = "greet() {\n  echo \"hello $1\"\n}\n";

const TESTS: &str = "test_name() {\n  . ./greet.sh; [ \"$(greet you)\" = 'hello you' ]\n}\n";

/// What solves the problem.
pub(super) const GOLD: &str = "diff --git a/greet.sh b/greet.sh\n--- a/greet.sh\n+++ b/greet.sh\n@@ -1,3 +1,3 @@\n greet() {\n-  echo \"hello $1\"\n+  echo \"hello ${1:-world}\"\n }\n";

/// What shows it solved: the name of the test that passes then.
pub(super) const TEST_PATCH: &str = "diff --git a/tests/test_greet.sh b/tests/test_greet.sh\n--- a/tests/test_greet.sh\n+++ b/tests/test_greet.sh\n@@ -1,3 +1,7 @@\n test_name() {\n   . ./greet.sh; [ \"$(greet you)\" = 'hello you' ]\n }\n+\n+test_nobody() {\n+  . ./greet.sh; [ \"$(greet)\" = 'hello world' ]\n+}\n";

/// A line of a shell that applies a patch.
pub(super) fn apply_line(patch: &str) -> String {
    let quoted = patch
        .replace('\\', r"\\")
        .replace('\'', r"\'")
        .replace('\n', r"\n");
    format!("printf %s $'{quoted}' | git apply")
}

/// The programs of this machine, packed once for all tests.
static PROGRAMS: LazyLock<Layer> =
    LazyLock::new(|| programs(&["bash", "cp", "git", "mkdir", "patch", "rm", "sed"], &[]));

/// Programs of this machine with their libraries, below `/bin`, and directories where they are here.
pub(super) fn programs(names: &[&str], further: &[&Path]) -> Layer {
    let mut files = BTreeSet::new();
    for name in names {
        let program = std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .map(|directory| directory.join(name))
            .find(|program| program.is_file())
            .unwrap_or_else(|| panic!("{name} is not installed"));
        let said = Command::new("ldd").arg(&program).output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        for word in said.split_whitespace().filter(|word| word.starts_with('/')) {
            files.insert((PathBuf::from(word), PathBuf::from(word)));
        }
        files.insert((program, Path::new("/bin").join(name)));
    }
    let mut tar = tar::Builder::new(Vec::new());
    let mut directories = BTreeSet::new();
    for (from, to) in &files {
        let to = to.strip_prefix("/").unwrap();
        for directory in to.ancestors().skip(1).collect::<Vec<_>>().iter().rev() {
            if !directory.as_os_str().is_empty() && directories.insert(directory.to_path_buf()) {
                tar.append_dir(directory, "/").unwrap();
            }
        }
        let mut header = tar::Header::new_gnu();
        let content = fs_err::read(from).unwrap();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        tar.append_data(&mut header, to, content.as_slice())
            .unwrap();
    }
    for directory in further {
        tar.append_dir_all(directory.strip_prefix("/").unwrap(), directory)
            .unwrap();
    }
    Layer::from_tar(&tar.into_inner().unwrap(), Compression::None)
}

/// Where a run is started, and what it finds there.
pub(super) struct Scene {
    pub(super) ohoci: Ohoci,
    pub(super) temporary: PathBuf,
    pub(super) base_commit: String,
}

impl Scene {
    pub(super) fn new() -> Self {
        Self::with(&[])
    }

    /// With further files in the repository.
    pub(super) fn with(files: &[(&str, &str)]) -> Self {
        Self::at("testbed", files, IMAGE)
    }

    /// With the repository in this directory of an image of this name; files that begin with a slash
    /// are outside of it.
    pub(super) fn at(directory: &str, files: &[(&str, &str)], image: &str) -> Self {
        let ohoci = Ohoci::new();
        let temporary = ohoci.work().join("tmp");
        fs_err::create_dir(&temporary).unwrap();
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| {
            let path = root.path().join(path.trim_start_matches('/'));
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            path
        };
        let inside = |path: &str| match path.starts_with('/') {
            true => path.to_owned(),
            false => format!("{directory}/{path}"),
        };
        let own = [
            ("greet.sh", GREET),
            ("run_tests.sh", RUNNER),
            ("tests/test_greet.sh", TESTS),
        ];
        for (path, content) in own.iter().chain(files) {
            fs_err::write(at(&inside(path)), content).unwrap();
        }
        // What upstream's scripts call before they do anything.
        let activate = "conda() { export CONDA_DEFAULT_ENV=$2; }\n";
        fs_err::write(at("opt/miniconda3/bin/activate"), activate).unwrap();
        fs_err::write(at("root/.profile"), "").unwrap();
        let git = |arguments: &[&str]| {
            let output = Command::new("git")
                .arg("-C")
                .arg(root.path().join(directory))
                .args(["-c", "user.name=a", "-c", "user.email=a@registry.example"])
                .args(arguments)
                .env("GIT_CONFIG_GLOBAL", "/dev/null")
                .env("GIT_COMMITTER_DATE", "2020-01-01T00:00:00Z")
                .env("GIT_AUTHOR_DATE", "2020-01-01T00:00:00Z")
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        git(&["init", "--quiet"]);
        git(&["add", "."]);
        git(&["commit", "--quiet", "-m", "greet"]);
        let base_commit = git(&["rev-parse", "HEAD"]);
        let mut tar = tar::Builder::new(Vec::new());
        tar.append_dir_all(".", root.path()).unwrap();
        let repository = Layer::from_tar(&tar.into_inner().unwrap(), Compression::None);
        busybox(Family::Oci, Compression::Gzip)
            .layer(PROGRAMS.clone())
            .layer(repository)
            .build()
            .write_layout(&ohoci.work().join("images"), image);
        Self {
            ohoci,
            temporary,
            base_commit,
        }
    }

    /// A row as those of version 5 are, whose script runs this command.
    pub(super) fn row_testing(&self, test: &str) -> Value {
        let mut row = self.row_of(TEST_PATCH);
        let parsed = Row::from_json(json!([row]).to_string().as_bytes()).unwrap();
        let steps = Steps {
            test: test.to_owned(),
            ..Steps::default()
        };
        let script = from_patch(&parsed[0], &steps).unwrap();
        row["eval_script"] = json!(script);
        row["log_parser"] = json!("parse_log_flask");
        row["eval_type"] = json!("pass_and_fail");
        row["image"] = json!(IMAGE);
        row
    }

    /// The usual row.
    pub(super) fn row(&self) -> Value {
        self.row_testing("bash run_tests.sh")
    }

    /// A row without anything that says how it is run.
    pub(super) fn row_of(&self, test_patch: &str) -> Value {
        json!({
            "instance_id": ID,
            "repo": "pallets/flask",
            "version": "2.3",
            "base_commit": self.base_commit,
            "patch": GOLD,
            "test_patch": test_patch,
            "FAIL_TO_PASS": "[\"tests/test_greet.sh::test_nobody\"]",
            "PASS_TO_PASS": "[\"tests/test_greet.sh::test_name\"]",
        })
    }

    /// Writes the dataset.
    pub(super) fn dataset(&self, rows: &[Value]) {
        let lines: Vec<String> = rows.iter().map(ToString::to_string).collect();
        self.ohoci.write("work/rows.jsonl", lines.join("\n"));
    }

    /// Writes the predictions of a model.
    pub(super) fn predictions(&self, patches: &[(&str, &str)]) {
        let lines: Vec<String> = patches
            .iter()
            .map(|(id, patch)| {
                json!({"instance_id": id, "model_name_or_path": "org/m", "model_patch": patch})
                    .to_string()
            })
            .collect();
        self.ohoci.write("work/preds.jsonl", lines.join("\n"));
    }

    /// Runs the evaluation of these predictions, and fails the test if anything is left behind.
    #[track_caller]
    pub(super) fn run(&self, predictions: &str, flags: &[&str]) -> Outcome {
        let output = self.command(predictions, flags).output().unwrap();
        let left: Vec<_> = fs_err::read_dir(&self.temporary).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        Outcome {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(super) fn command(&self, predictions: &str, flags: &[&str]) -> Command {
        let mut command = self.ohoci.command();
        command
            .args(["swebench", "run-evaluation", "--dataset_name", "rows.jsonl"])
            .args(["--predictions_path", predictions, "--run_id", "r"])
            .args(["--images", "oci:images", "--max_workers", "2"])
            .args(flags)
            .env("TMPDIR", &self.temporary);
        command
    }

    /// A file of the run of a model.
    pub(super) fn file(&self, model: &str, name: &str) -> String {
        let folder = self.ohoci.work().join("logs/run_evaluation/r");
        let path = folder.join(model).join(ID).join(name);
        fs_err::read_to_string(path).unwrap()
    }

    pub(super) fn has_file(&self, model: &str, name: &str) -> bool {
        let folder = self.ohoci.work().join("logs/run_evaluation/r");
        folder.join(model).join(ID).join(name).exists()
    }

    /// The run's summary.
    pub(super) fn summary(&self, model: &str) -> Value {
        let path = self.ohoci.work().join(format!("{model}.r.json"));
        serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap()
    }
}
