//! The Test Anything Protocol.

use super::super::lines::each;
use super::super::status::{Status, StatusMap};
use crate::pattern::Pattern;

static TAP: Pattern = Pattern::new(r"^(?<status>ok|not ok) \d+ (?<test>.+)$");

/// `parse_log_tap`: `ok 1 name`.
pub(in super::super) fn tap(log: &str) -> StatusMap {
    each(log, &TAP, |word| {
        Some(match word {
            "ok" => Status::Passed,
            _ => Status::Failed,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{pairs, read};

    #[test]
    fn results_with_a_number_and_a_name_are_read() {
        let log = "TAP version 13\n    ok 1 a - b\nnot ok 2 c\nok 3\nnot ok x\n";
        assert_eq!(
            read("parse_log_tap", log),
            [("a - b", "PASSED"), ("c", "FAILED")].map(pairs)
        );
    }
}
