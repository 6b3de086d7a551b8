//! How tests are counted.

/// How tests that a log does not name are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EvalType {
    /// `pass_and_fail`: they failed.
    #[default]
    PassAndFail,
    /// `fail_only`: they passed; for runners that only print failures.
    FailOnly,
    /// They do not count, but one of those to be fixed has to have passed (SWE-bench-Live).
    Named,
    /// They failed, and so did all that did not pass (SWE-bench Pro, Multi-SWE-bench).
    AllPassed,
}
