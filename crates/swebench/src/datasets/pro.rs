//! SWE-bench Pro: rows whose tests are run and read by scripts beside the dataset.
//!
//! Source: SWE-bench Pro's `swe_bench_pro_eval.py`. The variables of its Dockerfiles, which it sets
//! once more, are the image's own here.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::{Adapted, Dataset, Patching, Reader, STANDARD_ERROR, Way, here, list, required, text};
use crate::log_parser::markers;
use crate::row::EvalType;

/// What runs an instance's tests, in the folder of its name.
pub const SCRIPT_FILE: &str = "run_script.sh";

/// What reads them, in Python.
pub const PARSER_FILE: &str = "parser.py";

/// Where its images are.
const IMAGES: &str = "jefzda/sweap-images";

/// The repository's directory.
const DIRECTORY: &str = "/app";

/// What an evaluation still lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Awaited {
    /// The command that brings the tests.
    before: String,
    /// The tests, as the script takes them.
    files: String,
}

pub(super) fn adapt(row: &Map<String, Value>) -> Result<Adapted, super::Wrong> {
    let mut fields = row.clone();
    for (ours, theirs) in [
        ("FAIL_TO_PASS", "fail_to_pass"),
        ("PASS_TO_PASS", "pass_to_pass"),
    ] {
        let tests = match list(row, theirs)? {
            None => list(row, ours)?,
            tests => tests,
        };
        fields.insert(ours.to_owned(), json!(tests));
    }
    let commit = required(row, "base_commit")?;
    let tag = required(row, "dockerhub_tag")?;
    fields.insert("image".to_owned(), json!(format!("{IMAGES}:{tag}")));
    let files = list(row, "selected_test_files_to_run")?.unwrap_or_default();
    let before = text(row, "before_repo_set_cmd")?.trim();
    let awaited = Awaited {
        before: before.lines().last().unwrap_or_default().to_owned(),
        files: files.join(","),
    };
    let mut way = Way {
        directory: DIRECTORY.to_owned(),
        prepare: Some(format!(
            "git reset --hard {commit} && git checkout {commit}"
        )),
        patching: Patching::WithoutBinaries,
        ..Way::of(Dataset::Pro)
    };
    // Some keep them in the row.
    let first = |names: &[&'static str]| {
        let texts = names.iter().map(|name| text(row, name));
        texts
            .filter(|text| !matches!(text, Ok("")))
            .next()
            .unwrap_or(Ok(""))
    };
    let script = first(&[SCRIPT_FILE, "run_script"])?;
    let parser = first(&[PARSER_FILE, "parsing_script.py", "parsing_script"])?;
    if script.is_empty() || parser.is_empty() {
        way.awaited = Some(awaited);
    } else {
        fields.insert("eval_script".to_owned(), json!(awaited.eval_script(script)));
        way.reader = Some(Reader::Program(parser.to_owned()));
    }
    Ok(Adapted {
        fields,
        way,
        eval_type: EvalType::AllPassed,
        specs: None,
    })
}

impl Awaited {
    /// The script that runs the tests with the dataset's own.
    pub(super) fn eval_script(&self, script: &str) -> String {
        let Self { before, files } = self;
        let files = files.replace('\'', r"'\''");
        let mut whole = format!(
            "#!/bin/bash\ncd {DIRECTORY}\ngit config --global --add safe.directory '*'\n{before}\nmkdir -p /workspace\n"
        );
        whole.push_str(&here(&format!("cat > /workspace/{SCRIPT_FILE}"), script));
        let _ = writeln!(
            whole,
            "bash /workspace/{SCRIPT_FILE} '{files}' > /workspace/stdout.log 2> /workspace/stderr.log\n\
             echo '{}'\ncat /workspace/stdout.log\necho\necho '{STANDARD_ERROR}'\ncat /workspace/stderr.log\necho\necho '{}'",
            markers::START,
            markers::END
        );
        whole
    }
}
