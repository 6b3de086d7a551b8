//! Jest and Vitest: lines of tests, and lines of whole files.

use super::super::lines::{each, matches};
use super::super::status::{Status, StatusMap};
use crate::pattern::Pattern;
use crate::python_text::strip;

static JEST: Pattern = Pattern::new(
    r"^(?<status>✓|✕|○)[\s\x1c-\x1f](?<test>.+?)(?:[\s\x1c-\x1f]\(\d+[\s\x1c-\x1f]*m?s\))?$",
);

static JEST_JSON: Pattern = Pattern::new(r"^\[(?<status>PASSED|FAILED)\][\s\x1c-\x1f](?<test>.+)$");

static VITEST: Pattern = Pattern::new(
    r"^(?<status>✓|×|↓)[\s\x1c-\x1f](?<test>.+?)(?:[\s\x1c-\x1f](?:\d+[\s\x1c-\x1f]*m?s?|\[skipped\]))?$",
);

/// A file's line, from its status on; `\s` may be the line's end, and the file the next line.
static FAILED_FILE: Pattern = Pattern::new(r"(?m)^FAIL[\s\x1c-\x1f](?<test>.*)");
static PASSED_FILE: Pattern = Pattern::new(r"(?m)^PASS[\s\x1c-\x1f](?<test>.*)");

/// How long a file took, at the end of its line.
static TIME: Pattern = Pattern::new(r"[\s\x1c-\x1f]\([\d\.]+[\s\x1c-\x1f]?(?:ms|s)\)$");

/// A line of a file that took long, as three patterns of upstream's read it: in their order.
static TIMED: [Pattern; 4] = [
    Pattern::new(r"^(?<status>PASS|FAIL)[\s\x1c-\x1f](?<test>.*)[\s\x1c-\x1f]\([\d\.]+ms\)"),
    Pattern::new(
        r"^(?<status>PASS|FAIL)[\s\x1c-\x1f](?<test>.*)[\s\x1c-\x1f]\([\d\.]+[\s\x1c-\x1f]s\)",
    ),
    Pattern::new(r"^(?<status>PASS|FAIL)[\s\x1c-\x1f](?<test>.*)[\s\x1c-\x1f]\([\d\.]+s\)"),
    Pattern::new(r"^(?<status>PASS|FAIL)[\s\x1c-\x1f](?<test>.*)"),
];

/// `parse_log_jest`: `✓ name (3 ms)`, of `--verbose`.
pub(in super::super) fn jest(log: &str) -> StatusMap {
    let mut found = StatusMap::default();
    for (mark, test) in matches(log, &JEST) {
        let status = match mark {
            "✓" => Status::Passed,
            "✕" => Status::Failed,
            _ => Status::Skipped,
        };
        found.insert(strip(test), status);
    }
    found
}

/// `parse_log_jest_json`: `[PASSED] name`, which the evaluation script makes of Jest's JSON.
pub(in super::super) fn jest_json(log: &str) -> StatusMap {
    each(log, &JEST_JSON, |word| Some(Status::of_word(word)))
}

/// `parse_log_vitest`: `✓ name 3ms`, of `--reporter=verbose`.
pub(in super::super) fn vitest(log: &str) -> StatusMap {
    each(log, &VITEST, |mark| {
        Some(match mark {
            "✓" => Status::Passed,
            "×" => Status::Failed,
            _ => Status::Skipped,
        })
    })
}

/// `parse_log_carbon`, `parse_log_react_pdf` and others: `PASS file (3.2 s)`.
pub(in super::super) fn files(log: &str) -> StatusMap {
    let mut found = StatusMap::default();
    for line in log.split('\n') {
        let groups = TIMED
            .iter()
            .find_map(|pattern| pattern.get()?.captures(line));
        let Some(groups) = groups else { continue };
        if let (Some(word), Some(test)) = (groups.name("status"), groups.name("test")) {
            let status = match word.as_str() {
                "PASS" => Status::Passed,
                _ => Status::Failed,
            };
            found.insert(test.as_str(), status);
        }
    }
    found
}

/// `parse_log_emotion`: `PASS file`; a file that passed somewhere passed.
pub(in super::super) fn emotion(log: &str) -> StatusMap {
    failed_then_passed(log, |file| strip(file).to_owned())
}

/// `parse_log_grommet`: the same, without the time.
pub(in super::super) fn grommet(log: &str) -> StatusMap {
    failed_then_passed(log, |file| match TIME.get() {
        Some(time) => time.replace_all(strip(file), "").into_owned(),
        None => strip(file).to_owned(),
    })
}

fn failed_then_passed(log: &str, name: impl Fn(&str) -> String) -> StatusMap {
    let mut found = StatusMap::default();
    for (pattern, status) in [
        (&FAILED_FILE, Status::Failed),
        (&PASSED_FILE, Status::Passed),
    ] {
        let Some(pattern) = pattern.get() else {
            continue;
        };
        for groups in pattern.captures_iter(log) {
            if let Some(file) = groups.name("test") {
                found.insert(name(file.as_str()), status.clone());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{pairs, read};

    /// Lines of SWE-bench's `tests/test_log_parsers_javascript.py` are of these kinds.
    #[test]
    fn a_test_has_one_name_with_and_without_its_duration() {
        let log = "  ✓ adds (105 ms)\n✕ takes\n○ skipped it\n✓ adds\n";
        assert_eq!(
            read("parse_log_jest", log),
            [
                ("adds", "PASSED"),
                ("takes", "FAILED"),
                ("skipped it", "SKIPPED")
            ]
            .map(pairs)
        );
        let log = " ✓ a > b 12ms\n × c\n ↓ d [skipped]\n";
        assert_eq!(
            read("parse_log_vitest", log),
            [("a > b", "PASSED"), ("c", "FAILED"), ("d", "SKIPPED")].map(pairs)
        );
        let log = "[PASSED] a b\n[FAILED] c\n[TODO] d\n";
        assert_eq!(
            read("parse_log_jest_json", log),
            [("a b", "PASSED"), ("c", "FAILED")].map(pairs)
        );
    }

    #[test]
    fn files_are_read_without_their_times() {
        let log = "PASS a.js (3.5 s)\nFAIL b.js (12ms)\nPASS c.js\n PASS d.js\n";
        let expected = [("a.js", "PASSED"), ("b.js", "FAILED"), ("c.js", "PASSED")];
        assert_eq!(read("parse_log_carbon", log), expected.map(pairs));
        assert_eq!(read("parse_log_react_pdf", log), expected.map(pairs));
        let [a, b, c] = expected;
        assert_eq!(read("parse_log_grommet", log), [b, a, c].map(pairs));
    }
}
