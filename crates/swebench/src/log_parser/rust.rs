//! Rust's own test runner.
//!
//! Source: SWE-bench 5.0.2, `swebench/harness/log_parsers/rust.py`.

use super::lines::each;
use super::status::{Status, StatusMap};
use crate::pattern::Pattern;

static CARGO: Pattern = Pattern::new(
    r"^test[\s\x1c-\x1f]+(?<test>[^\s\x1c-\x1f]+)[\s\x1c-\x1f]+\.\.\.[\s\x1c-\x1f]+(?<status>[\p{L}\p{N}_]+)$",
);

/// `parse_log_cargo`: `test module::name ... ok`. What is ignored has no status.
pub(super) fn cargo(log: &str) -> StatusMap {
    each(log, &CARGO, |word| match word {
        "ok" => Some(Status::Passed),
        "FAILED" => Some(Status::Failed),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{pairs, read};

    #[test]
    fn ignored_tests_and_benchmarks_have_no_status() {
        let log = "test a::b ... ok\ntest a::c ... FAILED\ntest a::d ... ignored\n\
                   test src/lib.rs - x (line 3) ... ok\n";
        assert_eq!(
            read("parse_log_cargo", log),
            [("a::b", "PASSED"), ("a::c", "FAILED")].map(pairs)
        );
    }
}
