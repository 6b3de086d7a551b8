//! SWE-bench Pro: rows whose tests are run and read by scripts beside the dataset.
//!
//! Source: SWE-bench Pro's `swe_bench_pro_eval.py`. The variables of its Dockerfiles, which it sets
//! once more, are the image's own here.

use serde_json::{Map, Value, json};

use super::{Adapted, list, required, text};
use crate::eval_type::EvalType;
use crate::way::{
    Awaited, Dataset, PARSER_FILE, PRO_DIRECTORY, Patching, Reader, SCRIPT_FILE, Way,
};

/// Where its images are.
const IMAGES: &str = "jefzda/sweap-images";

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
        directory: PRO_DIRECTORY.to_owned(),
        prepare: Some(format!(
            "git reset --hard {commit} && git checkout {commit}"
        )),
        patching: Patching::WithoutBinaries,
        ..Way::of(Dataset::Pro)
    };
    // Some keep them in the row.
    let first = |names: &[&'static str]| {
        let mut texts = names.iter().map(|name| text(row, name));
        texts.find(|text| !matches!(text, Ok(""))).unwrap_or(Ok(""))
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
