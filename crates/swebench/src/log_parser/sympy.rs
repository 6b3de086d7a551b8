//! Lines of SymPy's own runner: `test_name ok`, and headings of failures between underscores.

use super::status::{Status, StatusMap};
use crate::pattern::Pattern;
use crate::python_text::{strip, words};

/// The heading of a failure: file and test.
static HEADING: Pattern = Pattern::new(r"_* (.*)\.py:(.*) _*");

pub(super) fn parse(log: &str) -> StatusMap {
    let mut found = StatusMap::default();
    if let Some(heading) = HEADING.get() {
        for captures in heading.captures_iter(log) {
            if let (Some(file), Some(test)) = (captures.get(1), captures.get(2)) {
                let name = format!("{}.py:{}", file.as_str(), test.as_str());
                found.insert(name, Status::Failed);
            }
        }
    }
    for line in log.split('\n') {
        let line = strip(line);
        if !line.starts_with("test_") {
            continue;
        }
        let status = if line.ends_with(" E") {
            Status::Error
        } else if line.ends_with(" F") {
            Status::Failed
        } else if line.ends_with(" ok") {
            Status::Passed
        } else {
            continue;
        };
        if let Some(test) = words(line).next() {
            found.insert(test, status);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #[test]
    fn tests_and_headings_are_read() {
        let log = "sympy/core/tests/test_a.py[3] \ntest_one ok\n  test_two F\ntest_three E\n\
                   test_four f\n________ sympy/core/tests/test_a.py:test_two ________\n";
        let found = super::parse(log);
        let found: Vec<_> = found.iter().map(|(test, s)| (test, s.word())).collect();
        assert_eq!(
            found,
            [
                ("sympy/core/tests/test_a.py:test_two", "FAILED"),
                ("test_one", "PASSED"),
                ("test_two", "FAILED"),
                ("test_three", "ERROR"),
            ]
        );
    }
}
