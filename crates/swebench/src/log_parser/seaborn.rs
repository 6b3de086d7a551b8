//! Lines of pytest, short and verbose: a status before or behind the test.

use super::status::{Status, StatusMap};
use crate::python_text::words;

pub(super) fn parse(log: &str) -> StatusMap {
    let mut found = StatusMap::default();
    for line in log.split('\n') {
        let mut words = words(line);
        let (Some(first), Some(second)) = (words.next(), words.next()) else {
            continue;
        };
        if line.starts_with("FAILED") {
            found.insert(second, Status::Failed);
        } else if line.contains(" PASSED ") {
            if second == "PASSED" {
                found.insert(first, Status::Passed);
            }
        } else if line.starts_with("PASSED") {
            found.insert(second, Status::Passed);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    /// Lines of SWE-bench's `tests/test_log_parsers_python.py`.
    #[test]
    fn the_three_forms_are_read_and_bare_words_are_not() {
        let log = "a.py::one PASSED [ 50%]\nPASSED b.py::two\nFAILED c.py::three\n\
                   PASSED\nFAILED\n PASSED\nd.py::four and PASSED more\n";
        let found = super::parse(log);
        let found: Vec<_> = found.iter().map(|(test, s)| (test, s.word())).collect();
        assert_eq!(
            found,
            [
                ("a.py::one", "PASSED"),
                ("b.py::two", "PASSED"),
                ("c.py::three", "FAILED")
            ]
        );
    }
}
