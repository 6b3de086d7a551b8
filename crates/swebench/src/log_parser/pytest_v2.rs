//! Lines of pytest that may be coloured, whose names may hold spaces, and that may end in the status.

use super::pytest::is_skip_count;
use super::status::{Status, StatusMap, WORDS};
use crate::pattern::Pattern;
use crate::python_text::words;

/// What is left of a simple colour once its escape character is gone.
static COLOUR: Pattern = Pattern::new(r"\[\d+m");

pub(super) fn parse(log: &str) -> StatusMap {
    let mut found = StatusMap::default();
    for line in log.split('\n') {
        let line = plain(line);
        if WORDS.iter().any(|word| line.starts_with(word)) {
            let line = match line.split_once(" - ") {
                Some((before, _)) if line.starts_with("FAILED") => before,
                _ => line.as_str(),
            };
            let mut words = words(line);
            let (Some(status), Some(test)) = (words.next(), words.next()) else {
                continue;
            };
            if !is_skip_count(status, test) {
                let test = std::iter::once(test).chain(words);
                found.insert(joined(test), Status::of_word(status));
            }
        } else if WORDS.iter().any(|word| line.ends_with(word)) {
            let mut words = words(&line).peekable();
            let Some(status) = words.next_back() else {
                continue;
            };
            if words.peek().is_some() {
                found.insert(joined(words), Status::of_word(status));
            }
        }
    }
    found
}

/// The progress that stands behind a failure.
static PROGRESS: Pattern = Pattern::new(r"FAILED[\s\x1c-\x1f]*\[.*?\]");

/// As SWE-Gym reads Pydantic's logs: names end at the first space, and a failure may have its progress
/// behind it.
///
/// Source: `parse_log_pytest_pydantic` of SWE-Gym's fork of SWE-bench.
pub(super) fn pydantic(log: &str) -> StatusMap {
    let mut found = StatusMap::default();
    for line in log.split('\n') {
        let line = plain(line);
        let line = match PROGRESS.get() {
            Some(progress) => progress.replace_all(&line, "FAILED").into_owned(),
            None => line,
        };
        let is_first = WORDS.iter().any(|word| line.starts_with(word));
        if !is_first && !WORDS.iter().any(|word| line.ends_with(word)) {
            continue;
        }
        let line = match is_first && line.starts_with("FAILED") {
            true => line.replace(" - ", " "),
            false => line,
        };
        let mut words = words(&line);
        match (words.next(), words.next()) {
            (Some(status), Some(test)) if is_first => {
                found.insert(test, Status::of_word(status));
            }
            (Some(test), Some(status)) => found.insert(test, Status::of_word(status)),
            _ => {}
        }
    }
    found
}

fn joined<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join(" ")
}

/// A line without colours and without control characters, tabulators among them.
fn plain(line: &str) -> String {
    let line = match COLOUR.get() {
        Some(colour) => colour.replace_all(line, ""),
        None => line.into(),
    };
    line.chars()
        .filter(|c| !('\u{1}'..='\u{1f}').contains(c))
        .collect()
}

#[cfg(test)]
mod tests {
    fn parse(log: &str) -> Vec<(String, String)> {
        let found = super::parse(log);
        let pairs = found.iter();
        pairs
            .map(|(test, status)| (test.to_owned(), status.word().to_owned()))
            .collect()
    }

    fn one(test: &str, status: &str) -> Vec<(String, String)> {
        vec![(test.to_owned(), status.to_owned())]
    }

    /// Lines of SWE-bench's `tests/test_log_parsers_pytest_v2.py`.
    #[test]
    fn names_keep_their_spaces_and_lose_reasons_and_colours() {
        let id = "units/test_format.py::test_unicode[m\u{207b}\u{b9}-unit3 extra]";
        assert_eq!(parse(&format!("PASSED {id}")), one(id, "PASSED"));
        assert_eq!(parse("t.py::x[a b] PASSED"), one("t.py::x[a b]", "PASSED"));
        assert_eq!(
            parse("FAILED t.py::x[a b] - AssertionError: expected 1"),
            one("t.py::x[a b]", "FAILED")
        );
        assert_eq!(
            parse("PASSED\nFAILED\nt.py::y PASSED"),
            one("t.py::y", "PASSED")
        );
        assert_eq!(
            parse("\u{1b}[32mPASSED\u{1b}[0m t.py::\u{1b}[1mtest_z\u{1b}[0m"),
            one("t.py::test_z", "PASSED")
        );
    }

    #[test]
    fn pydantics_failures_may_have_their_progress_behind_them() {
        let log = "tests/a.py::one PASSED\ntests/a.py::two FAILED [ 12%]\nFAILED tests/a.py::three - x\nERROR\n";
        let found = super::pydantic(log);
        let found: Vec<_> = found.iter().map(|(test, s)| (test, s.word())).collect();
        assert_eq!(
            found,
            [
                ("tests/a.py::one", "PASSED"),
                ("tests/a.py::two", "FAILED"),
                ("tests/a.py::three", "FAILED"),
            ]
        );
    }
}
