//! SWE-bench-Live: rows that say their commands, and read their logs with pytest's parser or with one
//! in Python that they hold.
//!
//! Source: SWE-bench-Live's `evaluation/evaluation.py` and `launch/scripts/parser.py`. It differs in
//! one thing: the tests' patch is applied after the model's, on files put back as they were, as
//! SWE-bench does; what a model does to these files does not count.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::{Adapted, list, required, text};
use crate::eval_type::EvalType;
use crate::here::here;
use crate::log_parser::markers;
use crate::touched::touched_files;
use crate::way::{Dataset, Reader, Way};

/// Where its images are.
const IMAGES: &str = "starryzhang/sweb.eval.x86_64.";

/// Finds the repository where it is one level deeper than it should be.
const ENTER: &str =
    "[ -d .git ] || for at in */.git; do [ ! -d \"$at\" ] || cd \"${at%/.git}\"; done";

/// What a parser is called that every dataset has.
const PYTEST: &str = "pytest";

pub(super) fn adapt(row: &Map<String, Value>) -> Result<Adapted, super::Wrong> {
    let id = required(row, "instance_id")?;
    let mut fields = row.clone();
    let mut way = Way {
        enter: Some(ENTER.to_owned()),
        ..Way::of(Dataset::Live)
    };
    let image = match text(row, "docker_image")? {
        "" => format!("{IMAGES}{}", id.replace("__", "_1776_").to_lowercase()),
        image => image.to_owned(),
    };
    let is_of_windows = image.contains("sweb.eval.win.") || text(row, "platform")? == "windows";
    if is_of_windows {
        way.refused = Some("its image is for Windows".to_owned());
    }
    let last = image.rsplit('/').next().unwrap_or_default();
    let image = match last.contains([':', '@']) {
        true => image,
        false => format!("{image}:latest"),
    };
    fields.insert("image".to_owned(), json!(image));
    let parser = match text(row, "log_parser")? {
        "" => text(row, "parser")?,
        parser => parser,
    };
    if parser.trim().eq_ignore_ascii_case(PYTEST) {
        fields.insert("log_parser".to_owned(), json!("parse_log_pytest"));
    } else if parser.trim().is_empty() {
        way.refused = Some("its row names no parser (`log_parser`)".to_owned());
    } else {
        fields.remove("log_parser");
        way.reader = Some(Reader::Function(parser.to_owned()));
    }
    let commands = |field| {
        let commands = list(row, field)?.unwrap_or_default();
        Ok::<_, super::Wrong>(commands.join(" ; "))
    };
    let script = script(
        required(row, "test_patch")?,
        &commands("rebuild_cmds")?,
        &commands("test_cmds")?,
        &commands("print_cmds")?,
    );
    fields.insert("eval_script".to_owned(), json!(script));
    Ok(Adapted {
        fields,
        way,
        eval_type: EvalType::Named,
        specs: None,
    })
}

/// The script: what a shell of the image's would find set, the tests' patch, the commands.
fn script(patch: &str, rebuild: &str, test: &str, print: &str) -> String {
    // Its harness types into a shell that has read this.
    let mut script =
        "#!/bin/bash\nPS1='$ '\n[ ! -f ~/.bashrc ] || . ~/.bashrc\ncd /testbed\n".to_owned();
    let files: Vec<String> = touched_files(patch)
        .iter()
        .map(|file| quoted(file))
        .collect();
    let _ = writeln!(
        script,
        "{ENTER}\ngit config --global --add safe.directory '*'\nfor file in {}; do git checkout HEAD -- \"$file\" 2>/dev/null || rm -rf -- \"$file\"; done",
        files.join(" ")
    );
    script.push_str(&here("git apply -v -", patch));
    script.push_str("cd /testbed\n");
    if !rebuild.trim().is_empty() {
        let _ = writeln!(script, "{rebuild}");
    }
    let print = if print.trim().is_empty() {
        script.push_str(&here("cat > run_test.sh", test));
        script.push_str("bash run_test.sh > testlog.out 2>&1\n");
        "cat testlog.out"
    } else {
        let _ = writeln!(script, "{test}");
        print
    };
    let _ = writeln!(
        script,
        "echo '{}'\n{print}\necho\necho '{}'",
        markers::START,
        markers::END
    );
    script
}

/// A word of a shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
