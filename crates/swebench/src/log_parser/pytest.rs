//! Lines of pytest's short summary: a status and a test.

use super::status::{Status, StatusMap, WORDS};
use crate::pattern::Pattern;
use crate::python_text::words;

static SKIP_COUNT: Pattern = Pattern::new(r"^\[\d+\]$");

pub(super) fn parse(log: &str) -> StatusMap {
    summary(log.split('\n'), str::to_owned)
}

/// Reads the lines that begin with a status; `name` makes the test's name of the word behind it.
pub(super) fn summary(
    lines: impl Iterator<Item = impl AsRef<str>>,
    name: impl Fn(&str) -> String,
) -> StatusMap {
    let mut found = StatusMap::default();
    for line in lines {
        let line = line.as_ref();
        if !WORDS.iter().any(|word| line.starts_with(word)) {
            continue;
        }
        // "FAILED - reason" without a test must not take the dash for one.
        let without_dashes;
        let line = if line.starts_with("FAILED") {
            without_dashes = line.replace(" - ", " ");
            &without_dashes
        } else {
            line
        };
        let mut words = words(line);
        let (Some(status), Some(test)) = (words.next(), words.next()) else {
            continue;
        };
        if !is_skip_count(status, test) {
            found.insert(name(test), Status::of_word(status));
        }
    }
    found
}

/// Whether a line is `SKIPPED [N] path:line: reason`, which counts tests and names none.
///
/// `PASSED [100%]` looks alike and stays: two instances expect it.
pub(super) fn is_skip_count(status: &str, test: &str) -> bool {
    status == "SKIPPED" && SKIP_COUNT.is_match(test)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{pairs, read};

    #[test]
    fn a_count_of_skipped_tests_is_no_test_for_any_of_pytests_parsers() {
        let log = "SKIPPED [1] tests/test_a.py:12: needs network\n\
                   PASSED tests/test_a.py::test_real\n\
                   SKIPPED [23] tests/test_b.py:4: unsupported platform\n\
                   SKIPPED [٣] tests/test_b.py:5: a digit of another script\n\
                   PASSED [100%]\n\
                   SKIPPED tests/test_a.py::test_flaky\n";
        for parser in [
            "parse_log_pytest",
            "parse_log_pytest_options",
            "parse_log_pytest_v2",
            "parse_log_matplotlib",
        ] {
            let found = read(parser, log);
            assert_eq!(
                found,
                [
                    ("tests/test_a.py::test_real", "PASSED"),
                    ("[100%]", "PASSED"),
                    ("tests/test_a.py::test_flaky", "SKIPPED"),
                ]
                .map(pairs),
                "{parser}"
            );
        }
    }

    #[test]
    fn the_reason_of_a_failure_is_not_part_of_the_name() {
        let found = super::parse(
            "FAILED t.py::a - assert 1 == 2\nFAILED - odd\nERROR\nXFAILED t.py::b x\n",
        );
        let found: Vec<_> = found.iter().map(|(test, s)| (test, s.word())).collect();
        assert_eq!(
            found,
            [
                ("t.py::a", "FAILED"),
                ("odd", "FAILED"),
                ("t.py::b", "XFAILED")
            ]
        );
    }
}
