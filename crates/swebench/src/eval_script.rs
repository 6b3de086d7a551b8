//! `eval.sh`: the script that applies the tests' patch and runs the tests, verbatim as upstream's.
//!
//! Source: SWE-bench 4.1.0, `make_eval_script_list_py` of `swebench/harness/test_spec/python.py`;
//! 5.0.2, `make_test_spec` of `swebench/harness/utils.py`.

use super::log_parser::markers;
use super::python_text::strip;
use super::row::Row;
use super::specs::Steps;
pub use super::touched::touched_files;
use super::way::{ASSETS, Asset, Dataset};

/// How every script begins. It does not stop at errors: it has to put the tests back at its end.
const HEAD: [&str; 2] = ["#!/bin/bash", "set -uxo pipefail"];

/// What ends the tests' patch within the script.
const DELIMITER: &str = "EOF_114329324912";

/// The environment that tests run in.
const ENVIRONMENT: [&str; 2] = [
    "source /opt/miniconda3/bin/activate",
    "conda activate testbed",
];

/// What a file that is no test may end in.
///
/// Source: `NON_TEST_EXTS`; one of them has no dot.
const NO_TESTS: [&str; 11] = [
    ".json", ".png", "csv", ".txt", ".md", ".jpg", ".jpeg", ".pkl", ".yml", ".yaml", ".toml",
];

/// Why a row has no script.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalScriptError {
    /// A field is missing.
    #[error(
        "instance {instance_id} has no field `{field}`, from which its evaluation script is made"
    )]
    Missing {
        /// The instance.
        instance_id: String,
        /// The field.
        field: &'static str,
    },
    /// Its lines end as Windows has them, which no shell runs.
    #[error(
        "the lines of the `eval_script` of {instance_id} end in CRLF, which no shell runs; save the dataset with LF"
    )]
    Crlf {
        /// The instance.
        instance_id: String,
    },
}

/// The script of a row that holds one, as version 5 runs it.
///
/// # Errors
///
/// When the row holds none; [`from_patch`] makes it then.
pub fn of_row(row: &Row) -> Result<String, EvalScriptError> {
    let instance_id = || row.instance_id.clone();
    let script = row
        .eval_script
        .as_deref()
        .ok_or_else(|| EvalScriptError::Missing {
            instance_id: instance_id(),
            field: "eval_script",
        })?;
    // That of another dataset is complete, and records no exit code.
    if row.way.dataset != Dataset::SweBench {
        return Ok(script.to_owned());
    }
    // A patch within it may well have such lines.
    let first = strip(script).split('\n').next().unwrap_or_default();
    if first.ends_with('\r') {
        return Err(EvalScriptError::Crlf {
            instance_id: instance_id(),
        });
    }
    Ok(version_5(script))
}

/// A script as version 5 runs it: it records the exit code of the test command, which stands before
/// the marker of the output's end. Without that marker nothing is recorded.
#[must_use]
pub fn version_5(script: &str) -> String {
    let mut lines: Vec<&str> = HEAD.to_vec();
    lines.extend(
        strip(script)
            .split('\n')
            .filter(|line| !HEAD.contains(line)),
    );
    let keep = format!("{}=$?", markers::EXIT_CODE_VARIABLE);
    let tell = format!(
        "echo \"{}: ${}\"",
        markers::EXIT_CODE,
        markers::EXIT_CODE_VARIABLE
    );
    if let Some(end) = lines.iter().position(|line| line.contains(markers::END)) {
        lines.insert(end, &keep);
        lines.insert(end + 2, &tell);
    }
    lines.join("\n") + "\n"
}

/// The script of a row that holds none, as version 4 made those that rows of version 5 hold.
///
/// It differs from version 4's in the files that it puts back: those are, since SWE-bench's pull
/// request 518, all that the tests' patch touches.
///
/// # Errors
///
/// When the row has no `base_commit` or no `test_patch`.
pub fn from_patch(row: &Row, steps: &Steps) -> Result<String, EvalScriptError> {
    let missing = |field| EvalScriptError::Missing {
        instance_id: row.instance_id.clone(),
        field,
    };
    let commit = row
        .base_commit
        .as_deref()
        .ok_or_else(|| missing("base_commit"))?;
    let patch = row
        .test_patch
        .as_deref()
        .ok_or_else(|| missing("test_patch"))?;
    // Files that the patch adds are not in that commit: the command then fails, and nothing minds.
    let reset = format!("git checkout {commit} {}", touched_files(patch).join(" "));
    let mut test = steps.test.clone();
    for directive in test_directives(&row.repo, patch) {
        test.push(' ');
        test.push_str(&directive);
    }
    let mut lines: Vec<String> = HEAD.iter().map(ToString::to_string).collect();
    let mut add = |lines_of_step: &[&str]| {
        lines.extend(lines_of_step.iter().map(ToString::to_string));
    };
    add(&ENVIRONMENT);
    add(&["cd /testbed"]);
    for command in &steps.before {
        add(&[command]);
    }
    add(&[
        "git config --global --add safe.directory /testbed",
        "cd /testbed",
        "git status",
        "git show",
        &format!("git -c core.fileMode=false diff {commit}"),
    ]);
    add(&ENVIRONMENT);
    if let Some(install) = &steps.install {
        add(&[install]);
    }
    add(&[
        &reset,
        &format!("git apply -v - <<'{DELIMITER}'\n{patch}\n{DELIMITER}"),
        &format!(": '{}'", markers::START),
        &test,
        &format!(": '{}'", markers::END),
        &reset,
    ]);
    Ok(lines.join("\n") + "\n")
}

/// A script that puts files where they belong before the tests begin, which a patch cannot bring.
///
/// Source: SWE-bench 5.0.2, `_inject_asset_restore` of `swebench/harness/run_evaluation.py`.
#[must_use]
pub fn with_assets(script: &str, assets: &[Asset]) -> String {
    let mut whole = String::new();
    let mut is_done = assets.is_empty();
    for line in script.split_inclusive('\n') {
        if !is_done && line.contains(markers::START) {
            for (number, asset) in assets.iter().enumerate() {
                let path = asset.path.replace('\'', r"'\''");
                let directory = path
                    .rsplit_once('/')
                    .map_or(".", |(directory, _)| directory);
                whole.push_str(&format!(
                    "mkdir -p '{directory}' && cp {ASSETS}/{number} '{path}'\n"
                ));
            }
            is_done = true;
        }
        whole.push_str(line);
    }
    whole
}

/// The tests that a patch touches, as the repository's test command takes them.
#[must_use]
pub(crate) fn test_directives(repository: &str, patch: &str) -> Vec<String> {
    let touched = patch.split('\n').filter_map(|line| {
        let (_, names) = line.split_once("diff --git a/")?;
        let (_, new) = names.rsplit_once(" b/")?;
        Some(new)
    });
    if repository == "python/mypy" {
        // Its tests are parts of files, which its command chooses by an expression of names.
        let cases = patch.split("[case ").skip(1);
        let cases: Vec<&str> = cases
            .filter_map(|rest| Some(rest.split_once(']')?.0))
            .collect();
        return vec![format!("\"{}\"", cases.join(" or "))];
    }
    let tests = touched.filter(|file| !NO_TESTS.iter().any(|end| file.ends_with(end)));
    if repository != "django/django" {
        return tests.map(str::to_owned).collect();
    }
    // Django's runner takes modules below its `tests`.
    tests
        .map(|file| {
            let file = file.strip_suffix(".py").unwrap_or(file);
            let file = file.strip_prefix("tests/").unwrap_or(file);
            file.replace('/', ".")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str = "diff --git a/tests/a b/c.py b/tests/a b/c.py\n--- a/tests/a b/c.py\n+++ b/tests/a b/c.py\n@@ -1,3 +1,2 @@ def x\n a\n--- a/no\n b\ndiff --git a/tests/new.py b/tests/new.py\nnew file mode 100644\n--- /dev/null\n+++ b/tests/new.py\n@@ -0,0 +1 @@\n+x\n\\ No newline at end of file\ndiff --git a/tests/old.txt b/tests/moved.txt\nsimilarity index 100%\nrename from tests/old.txt\nrename to tests/moved.txt\n";

    #[test]
    fn a_script_with_windows_line_ends_is_refused() {
        let row = |script: &str| {
            let row =
                serde_json::json!([{"instance_id": "a", "repo": "x/y", "eval_script": script}]);
            Row::from_json(row.to_string().as_bytes())
                .unwrap()
                .remove(0)
        };
        let error = of_row(&row("#!/bin/bash\r\ntrue\r\n")).unwrap_err();
        assert!(error.to_string().contains("CRLF"), "{error}");
        assert!(of_row(&row("#!/bin/bash\ngit apply <<'E'\n+x\r\nE\n")).is_ok());
    }

    #[test]
    fn files_are_told_from_what_looks_like_them() {
        assert_eq!(
            touched_files(PATCH),
            ["tests/a b/c.py", "tests/new.py", "tests/moved.txt"]
        );
        assert_eq!(test_directives("a/b", PATCH), ["c.py", "tests/new.py"]);
        assert_eq!(test_directives("django/django", PATCH), ["c", "new"]);
        let cases = "+[case testOne]\n+x: int\n+[case testTwo-skip]\n";
        assert_eq!(
            test_directives("python/mypy", cases),
            ["\"testOne or testTwo-skip\""]
        );
    }

    #[test]
    fn files_that_no_patch_holds_come_before_the_tests() {
        let asset = |path: &str| Asset {
            path: path.to_owned(),
            url: None,
        };
        let script = "git apply\n: '>>>>> Start Test Output'\nrun\n";
        assert_eq!(
            with_assets(script, &[asset("a.png"), asset("it's/b.png")]),
            "git apply\nmkdir -p '.' && cp /image_assets/0 'a.png'\nmkdir -p 'it'\\''s' && cp /image_assets/1 'it'\\''s/b.png'\n: '>>>>> Start Test Output'\nrun\n"
        );
        assert_eq!(with_assets(script, &[]), script);
    }

    #[test]
    fn the_exit_code_is_recorded_between_the_tests_and_the_end_of_their_output() {
        let script = "#!/bin/bash\nset -uxo pipefail\nrun\n: '>>>>> End Test Output'\nreset\n";
        let expected = "#!/bin/bash\nset -uxo pipefail\nrun\nSWEBENCH_TEST_EXIT_CODE=$?\n: '>>>>> End Test Output'\necho \">>>>> Test Exit Code: $SWEBENCH_TEST_EXIT_CODE\"\nreset\n";
        assert_eq!(version_5(script), expected);
        assert_eq!(
            version_5("make test"),
            "#!/bin/bash\nset -uxo pipefail\nmake test\n"
        );
    }
}
