//! Quarto's tests, run by Deno.

use std::collections::HashMap;

use super::super::status::{Status, StatusMap};
use crate::pattern::Pattern;
use crate::python_text::strip;

static TEST: Pattern = Pattern::new(r"\[(?:smoke|unit)\]");

/// Temporary files, whose names differ from run to run.
static TEMPORARY: [Pattern; 2] = [
    Pattern::new(r"/tmp/[\p{L}\p{N}_]+\.qmd"),
    Pattern::new(r"/tmp/[\p{L}\p{N}_]+/"),
];

/// `parse_log_quarto_cli`: `[unit] name ... ok`, coloured, until the errors. Temporary files get the
/// number in which order they were first seen. A test without a status failed.
pub(in super::super) fn quarto(log: &str) -> StatusMap {
    let mut found = StatusMap::default();
    let mut files: HashMap<String, usize> = HashMap::new();
    for line in log.split('\n') {
        if line.contains("ERRORS") || line.contains("failures:") {
            break;
        }
        if !TEST.is_match(line) {
            continue;
        }
        let mut line = line.to_owned();
        for pattern in TEMPORARY.iter().filter_map(Pattern::get) {
            let Some(file) = pattern.find(&line) else {
                continue;
            };
            let next = files.len();
            let number = *files.entry(file.as_str().to_owned()).or_insert(next);
            let name = format!("/tmp/{number}");
            line = pattern.replace_all(&line, name.as_str()).into_owned();
        }
        let test = strip(line.split("...").next().unwrap_or(&line));
        let steps = ["passed", "failed", "steps"];
        let is_summary = line.starts_with("test result:")
            || steps.iter().all(|word| line.contains(word))
            || line.contains("34mINFO");
        if is_summary {
            continue;
        }
        if line.contains("32mok") {
            found.insert(test, Status::Passed);
        } else if line.contains("31mFAILED") || found.get(test).is_none() {
            found.insert(test, Status::Failed);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{pairs, read};

    #[test]
    fn temporary_files_are_numbered_and_silence_is_failure() {
        let log = "[unit] a ... \u{1b}[32mok\u{1b}[0m (1ms)\n\
                   [smoke] render /tmp/Xy12/doc.qmd ... \u{1b}[31mFAILED\u{1b}[0m\n\
                   [smoke] render /tmp/zz9.qmd ...\n\
                   [smoke] b ... 34mINFO\n[unit] 3 passed (2 steps) 0 failed\nERRORS\n[unit] c ... 32mok\n";
        assert_eq!(
            read("parse_log_quarto_cli", log),
            [
                ("[unit] a", "PASSED"),
                ("[smoke] render /tmp/0doc.qmd", "FAILED"),
                ("[smoke] render /tmp/1", "FAILED"),
            ]
            .map(pairs)
        );
    }
}
