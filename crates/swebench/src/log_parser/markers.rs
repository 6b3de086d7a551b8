//! What the evaluation script writes around the output of the tests.
//!
//! Source: SWE-bench 5.0.2, `swebench/harness/constants/__init__.py` and `grading.py`.

use crate::pattern::Pattern;

/// Stands in the run's log where a patch was applied.
pub const PATCH_APPLIED: &str = ">>>>> Applied Patch";

/// Stands where a patch could not be applied.
pub const PATCH_FAILED: &str = ">>>>> Patch Apply Failed";

/// Stands before the output of the tests.
pub const START: &str = ">>>>> Start Test Output";

/// Stands behind the output of the tests.
pub const END: &str = ">>>>> End Test Output";

/// Stands before the exit code of the test command.
pub const EXIT_CODE: &str = ">>>>> Test Exit Code";

/// The variable in which the script keeps the exit code until the output has ended.
pub(crate) const EXIT_CODE_VARIABLE: &str = "SWEBENCH_TEST_EXIT_CODE";

/// What makes a log worthless, wherever it stands.
const WORTHLESS: [&str; 4] = [
    PATCH_FAILED,
    ">>>>> Reset Failed",
    ">>>>> Tests Errored",
    ">>>>> Tests Timed Out",
];

static EXIT_CODE_LINE: Pattern = Pattern::new(r">>>>> Test Exit Code:[\s\x1c-\x1f]*-?(\d+)");

/// Counts that only a test runner prints, none of them zero.
static RAN: Pattern = Pattern::new(
    r"(?m)Executed [1-9]\d* of \d+|TOTAL: [1-9]\d* (?:SUCCESS|FAILED)|[1-9]\d* passing|Tests:[\s\x1c-\x1f]+[1-9]\d*|Test Suites:[\s\x1c-\x1f]+(?:\d+ \w+, )*[1-9]\d* total|^# tests [1-9]\d*|[1-9]\d* specs?, \d+ failures?|': ok$",
);

/// What stands between the markers; `None` where the log is worthless or a marker is missing.
#[must_use]
pub fn test_output(log: &str) -> Option<&str> {
    if WORTHLESS.iter().any(|marker| log.contains(marker)) || !log.contains(END) {
        return None;
    }
    // A second start ends the part: upstream splits at every one and takes the second piece.
    log.split(START).nth(1)?.split(END).next()
}

/// Whether the first exit code that the log records says that the test command failed; `false`
/// where none is recorded.
pub(crate) fn test_command_failed(log: &str) -> bool {
    EXIT_CODE_LINE
        .get()
        .and_then(|line| line.captures(log)?.get(1))
        .is_some_and(|code| code.as_str().chars().any(|digit| digit != '0'))
}

/// Whether a test runner shows to have run, which a log without a single test has to prove.
pub(crate) fn suite_ran(log: &str) -> bool {
    RAN.is_match(log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_lies_between_the_first_start_and_the_end() {
        let log = format!("a{START}b{END}c{START}d");
        assert_eq!(test_output(&log), Some("b"));
        let log = format!("a{END}b{START}c{START}d");
        assert_eq!(test_output(&log), Some("c"));
        assert_eq!(test_output(START), None);
        assert_eq!(test_output(END), None);
        let log = format!("{START}x{END}\n>>>>> Tests Timed Out");
        assert_eq!(test_output(&log), None);
    }

    #[test]
    fn the_first_recorded_exit_code_counts() {
        assert!(test_command_failed(">>>>> Test Exit Code: 137"));
        assert!(test_command_failed(">>>>> Test Exit Code: -9"));
        assert!(!test_command_failed(
            ">>>>> Test Exit Code: 0\n>>>>> Test Exit Code: 1"
        ));
        assert!(!test_command_failed("nothing"));
    }

    /// Lines of SWE-bench's `tests/test_grading_marker_fallback.py`.
    #[test]
    fn a_count_of_zero_does_not_prove_that_tests_ran() {
        assert!(suite_ran("Executed 1339 of 1346 (skipped 7) SUCCESS"));
        assert!(suite_ran("658 specs, 0 failures"));
        assert!(suite_ran("Test Suites: 1 failed, 2 total"));
        assert!(suite_ran("a\n# tests 3"));
        assert!(!suite_ran("Chrome 120: Executed 0 of 0 DISCONNECTED"));
        assert!(!suite_ran("browser failed to launch"));
    }
}
