//! Signs in logs that the environment failed and not the patch; advice that changes no verdict.
//!
//! Source: SWE-bench 5.0.2, `swebench/harness/infra_failure.py`.

use super::pattern::Pattern;

/// How sure a sign is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tier {
    /// No patch of a repository's sources can cause it.
    Environment,
    /// A broken environment or a bad patch.
    Ambiguous,
}

/// Why a run probably failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sign {
    /// The reason's name, as reports spell it.
    pub reason: &'static str,
    /// How sure it is.
    pub tier: Tier,
}

/// The signs; the first that is found counts.
static SIGNS: [(Sign, Pattern); 8] = [
    (
        environment("browser_launch_failed"),
        Pattern::new("Failed to launch|Failed to connect to the bus"),
    ),
    (
        environment("display_unavailable"),
        Pattern::new("cannot open display|Missing X server|unable to open X display"),
    ),
    (
        environment("out_of_memory"),
        Pattern::new("(?m)Cannot allocate memory|OutOfMemoryError|^Killed$"),
    ),
    (
        environment("container_unavailable"),
        Pattern::new("Error response from daemon|Cannot connect to the Docker daemon"),
    ),
    (
        environment("network_unreachable"),
        Pattern::new("Could not resolve host|Temporary failure in name resolution"),
    ),
    (
        ambiguous("missing_module"),
        Pattern::new("Cannot find module|MODULE_NOT_FOUND|ModuleNotFoundError"),
    ),
    (
        ambiguous("no_tests_collected"),
        Pattern::new("no tests ran|collected 0 items"),
    ),
    (
        ambiguous("tests_timed_out"),
        Pattern::new(r"Timeout error: \d+ seconds exceeded"),
    ),
];

const fn environment(reason: &'static str) -> Sign {
    Sign {
        reason,
        tier: Tier::Environment,
    }
}

const fn ambiguous(reason: &'static str) -> Sign {
    Sign {
        reason,
        tier: Tier::Ambiguous,
    }
}

/// The first sign in any of the logs: an earlier sign in a later log comes before a later sign in
/// an earlier log.
#[must_use]
pub(crate) fn classify(logs: &[&str]) -> Option<Sign> {
    SIGNS
        .iter()
        .find(|(_, pattern)| logs.iter().any(|log| pattern.is_match(log)))
        .map(|(sign, _)| *sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of SWE-bench's `tests/test_infra_failure.py`.
    #[test]
    fn signs_are_found_and_ordinary_failures_are_none() {
        let reason = |log| classify(&[log]).map(|sign| (sign.reason, sign.tier));
        assert_eq!(
            reason("> karma start\nFailed to launch Chrome!\n"),
            Some(("browser_launch_failed", Tier::Environment))
        );
        assert_eq!(
            reason("Error: Cannot find module 'ol/layer/Vector'"),
            Some(("missing_module", Tier::Ambiguous))
        );
        assert_eq!(
            reason("FAILED a.py::b - AssertionError: expected 3\n1 failed, 12 passed in 1.20s\n"),
            None
        );
        assert_eq!(reason(""), None);
        assert_eq!(
            reason("a\nKilled\nb"),
            Some(("out_of_memory", Tier::Environment))
        );
        assert_eq!(reason("Killed by a signal"), None);
    }

    #[test]
    fn the_order_of_signs_counts_and_not_that_of_logs() {
        let sign = classify(&["ModuleNotFoundError", "x\nKilled"]).unwrap();
        assert_eq!(sign.reason, "out_of_memory");
    }

    #[test]
    fn every_pattern_compiles() {
        assert!(SIGNS.iter().all(|(_, pattern)| pattern.get().is_some()));
    }
}
