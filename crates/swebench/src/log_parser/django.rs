//! Lines of Django's own runner: `test (module.Class) ... ok`, with what tests print in between.

use super::LogError;
use super::status::{Status, StatusMap};
use crate::pattern::Pattern;
use crate::python_text::{strip, words};

/// How a test's success ends a line.
const PASSED: [&str; 3] = [" ... ok", " ... OK", " ...  OK"];

/// A test that prints its own name, of which only a part is its name.
const VERSION: &str = "--version is equivalent to version";

/// A migration's line of which the test's stands at the end (django__django-7188).
const MIGRATION: &str = "Applying sites.0002_alter_domain_unique...test_no_migrations";

/// What prints between a test's name and its `ok`, on lines of its own.
static INTERRUPTED: [Pattern; 3] = [
    Pattern::new(
        r"(?m)^(.*?)[\s\x1c-\x1f]\.\.\.[\s\x1c-\x1f]Testing against Django installed in (?s:.*?) silenced\)\.\nok$",
    ),
    Pattern::new(r"(?m)^(.*?)[\s\x1c-\x1f]\.\.\.[\s\x1c-\x1f]Internal Server Error: /(?:.*)/\nok$"),
    Pattern::new(
        r"(?m)^(.*?)[\s\x1c-\x1f]\.\.\.[\s\x1c-\x1f]System check identified no issues \(0 silenced\)\nok$",
    ),
];

pub(super) fn parse(log: &str) -> Result<StatusMap, LogError> {
    let mut found = StatusMap::default();
    let mut previous: Option<&str> = None;
    for (index, line) in log.split('\n').enumerate() {
        let mut line = strip(line);
        if line.contains(VERSION) {
            found.insert(VERSION, Status::Passed);
        }
        if let Some((test, _)) = line.split_once(" ... ") {
            previous = Some(test);
        }
        if let Some(suffix) = PASSED.into_iter().find(|suffix| line.ends_with(suffix)) {
            if line.starts_with(MIGRATION)
                && let Some((_, rest)) = line.split_once("...")
            {
                line = strip(rest);
            }
            let test = line.rsplit_once(suffix).map_or(line, |(test, _)| test);
            found.insert(test, Status::Passed);
        }
        if let Some((test, _)) = line.split_once(" ... skipped") {
            found.insert(test, Status::Skipped);
        }
        for (end, heading, status) in [
            (" ... FAIL", "FAIL:", Status::Failed),
            (" ... ERROR", "ERROR:", Status::Error),
        ] {
            if line.ends_with(end)
                && let Some((test, _)) = line.split_once(end)
            {
                found.insert(test, status.clone());
            }
            if line.starts_with(heading) {
                let test = words(line).nth(1).ok_or_else(|| LogError::NoTest {
                    line: index + 1,
                    text: line.to_owned(),
                })?;
                found.insert(test, status);
            }
        }
        if line.starts_with("ok")
            && let Some(test) = previous
        {
            found.insert(test, Status::Passed);
        }
    }
    for pattern in INTERRUPTED.iter().filter_map(Pattern::get) {
        for captures in pattern.captures_iter(log) {
            if let Some(test) = captures.get(1) {
                found.insert(test.as_str(), Status::Passed);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(log: &str) -> Vec<(String, String)> {
        let found = super::parse(log).unwrap();
        let pairs = found.iter();
        pairs
            .map(|(test, status)| (test.to_owned(), status.word().to_owned()))
            .collect()
    }

    #[test]
    fn each_kind_of_line_is_read() {
        let log = "test_a (m.C) ... ok\ntest_b (m.C) ...  OK\ntest_c (m.C) ... skipped 'why'\n\
                   test_d (m.C) ... FAIL\ntest_e (m.C) ... ERROR\n\
                   test_f (m.C) ... printed\nok\n\
                   FAIL: test_g (m.C)\nERROR: test_h (m.C)\n";
        let expected = [
            ("test_a (m.C)", "PASSED"),
            ("test_b (m.C)", "PASSED"),
            ("test_c (m.C)", "SKIPPED"),
            ("test_d (m.C)", "FAILED"),
            ("test_e (m.C)", "ERROR"),
            ("test_f (m.C)", "PASSED"),
            ("test_g", "FAILED"),
            ("test_h", "ERROR"),
        ];
        let expected: Vec<_> = expected
            .map(|(test, status)| (test.to_owned(), status.to_owned()))
            .into();
        assert_eq!(parse(log), expected);
    }

    #[test]
    fn tests_that_are_interrupted_by_their_own_output_pass() {
        for between in [
            "Testing against Django installed in '/testbed' with up to 2 processes\n(1 silenced).",
            "Internal Server Error: /admin/",
            "System check identified no issues (0 silenced)",
        ] {
            let log = format!("test_a (m.C) ... {between}\nok\n");
            let passed = ("test_a (m.C)".to_owned(), "PASSED".to_owned());
            assert!(parse(&log).contains(&passed), "{between}");
        }
        assert!(INTERRUPTED.iter().all(|pattern| pattern.get().is_some()));
    }

    #[test]
    fn a_heading_without_a_test_is_an_error_that_names_its_line() {
        let error = super::parse("x\n FAIL: \n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 2 of the test output is only \"FAIL:\" and names no test"
        );
    }
}
