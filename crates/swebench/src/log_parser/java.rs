//! Build tools of projects in Java, which run the tests.
//!
//! Source: SWE-bench 5.0.2, `swebench/harness/log_parsers/java.py`.

use std::collections::VecDeque;

use super::lines::each;
use super::status::{Status, StatusMap};
use crate::pattern::Pattern;
use crate::python_text::strip;

static MAVEN_TEST: Pattern = Pattern::new(r"^.*-Dtest=(?<test>[^\s\x1c-\x1f]+).*$");

static MAVEN_RESULT: Pattern = Pattern::new(r"^.*BUILD (?<status>SUCCESS|FAILURE)$");

static ANT: Pattern =
    Pattern::new(r"^\[junit\][\s\x1c-\x1f]+\[(?<status>PASS|FAIL|ERR)\][\s\x1c-\x1f]+(?<test>.*)$");

static GRADLE: Pattern = Pattern::new(r"^(?<test>[^>].+)[\s\x1c-\x1f]+(?<status>PASSED|FAILED)$");

/// A test whose status was torn off by what another process wrote.
static GRADLE_TEST: Pattern =
    Pattern::new(r"^(?<test>[^>][^\s\x1c-\x1f]*[\s\x1c-\x1f]+>[\s\x1c-\x1f]+[^\s\x1c-\x1f]+)$");

fn group<'a>(pattern: &Pattern, line: &'a str, name: &str) -> Option<&'a str> {
    let groups = pattern.get()?.captures(line)?;
    groups.name(name).map(|group| group.as_str())
}

/// `parse_log_maven`: the test of each traced command, `-Dtest=…`, and what its build ended with.
/// The two may come in any order: the first test belongs to the first result.
pub(super) fn maven(log: &str) -> StatusMap {
    let mut found = StatusMap::default();
    let mut tests = VecDeque::new();
    let mut early = VecDeque::new();
    let status = |word: &str| match word {
        "SUCCESS" => Status::Passed,
        _ => Status::Failed,
    };
    for line in log.split('\n').map(strip) {
        if let Some(test) = group(&MAVEN_TEST, line, "test") {
            tests.push_back(test);
        }
        if let Some(word) = group(&MAVEN_RESULT, line, "status") {
            match tests.pop_front() {
                Some(test) => found.insert(test, status(word)),
                None => early.push_back(word),
            }
        }
    }
    for (test, word) in tests.into_iter().zip(early) {
        found.insert(test, status(word));
    }
    found
}

/// `parse_log_ant`: `[junit] [PASS] name`.
pub(super) fn ant(log: &str) -> StatusMap {
    each(log, &ANT, |word| {
        Some(match word {
            "PASS" => Status::Passed,
            _ => Status::Failed,
        })
    })
}

/// `parse_log_gradle_custom`: `Class > test PASSED`, or the two on lines of their own.
pub(super) fn gradle(log: &str) -> StatusMap {
    let mut found = StatusMap::default();
    let mut waiting: Option<&str> = None;
    for line in log.split('\n').map(strip) {
        if let (Some(test), Some(word)) =
            (group(&GRADLE, line, "test"), group(&GRADLE, line, "status"))
        {
            found.insert(test, Status::of_word(word));
            waiting = None;
        } else if let Some(test) = group(&GRADLE_TEST, line, "test") {
            waiting = Some(test);
        } else if let ("PASSED" | "FAILED", Some(test)) = (line, waiting) {
            found.insert(test, Status::of_word(line));
            waiting = None;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::testing::{pairs, read};

    /// Lines of SWE-bench's `tests/test_log_parsers_java.py` are of these kinds.
    #[test]
    fn maven_pairs_tests_with_results_in_their_order() {
        let log = "+ mvnd test -Dtest=A#one -pl x\n+ mvnd test -Dtest=A#two\n[INFO] BUILD SUCCESS\n\
                   [INFO] BUILD FAILURE\n[INFO] BUILD SUCCESS\n+ mvnd test -Dtest=A#three\n";
        assert_eq!(
            read("parse_log_maven", log),
            [
                ("A#one", "PASSED"),
                ("A#two", "FAILED"),
                ("A#three", "PASSED")
            ]
            .map(pairs)
        );
    }

    #[test]
    fn ant_names_errors_as_failures() {
        let log = "    [junit] [PASS] a(b)\n [junit] [ERR] c\n";
        assert_eq!(
            read("parse_log_ant", log),
            [("a(b)", "PASSED"), ("c", "FAILED")].map(pairs)
        );
    }

    #[test]
    fn gradle_finds_a_status_that_was_torn_off() {
        let log = "a.B > one PASSED\na.B > two\nwarning: x\nFAILED\n> Task :test FAILED\nPASSED\n";
        assert_eq!(
            read("parse_log_gradle_custom", log),
            [("a.B > one", "PASSED"), ("a.B > two", "FAILED")].map(pairs)
        );
    }
}
