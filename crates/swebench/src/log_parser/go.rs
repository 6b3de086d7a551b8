//! Go's own test runner.
//!
//! Source: SWE-bench 5.0.2, `swebench/harness/log_parsers/go.py`.

use super::lines::each;
use super::status::{Status, StatusMap};
use crate::pattern::Pattern;

static GO: Pattern = Pattern::new(r"^--- (?<status>PASS|FAIL|SKIP): (?<test>.+) \(.+\)$");

/// `parse_log_gotest`: `--- PASS: TestName (0.00s)`.
pub(super) fn gotest(log: &str) -> StatusMap {
    each(log, &GO, |word| {
        Some(match word {
            "PASS" => Status::Passed,
            "FAIL" => Status::Failed,
            _ => Status::Skipped,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{pairs, read};

    #[test]
    fn subtests_and_skips_are_read() {
        let log = "=== RUN   TestA\n--- PASS: TestA (0.00s)\n    --- FAIL: TestA/b_c (1.20s)\n\
                   --- SKIP: TestD (0.00s)\n--- PASS: TestE\n";
        assert_eq!(
            read("parse_log_gotest", log),
            [
                ("TestA", "PASSED"),
                ("TestA/b_c", "FAILED"),
                ("TestD", "SKIPPED")
            ]
            .map(pairs)
        );
    }
}
