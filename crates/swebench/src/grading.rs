//! Verdicts: from the log of an instance's tests to its `report.json`.
//!
//! Source: SWE-bench 5.0.2, `swebench/harness/grading.py`. Reports are upstream's byte by byte.

use serde::Serialize;

use super::infra_failure::{self, Tier};
use super::log_parser::{LogError, NoParser, Status, StatusMap, markers};
use super::python_json;
use super::python_text::read_text;
use super::row::{EvalType, Row};

/// How much of what was asked for a patch does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// `RESOLVED_FULL`: all tests to be fixed pass, and all others still do.
    Full,
    /// `RESOLVED_PARTIAL`: some of the tests to be fixed pass, and all others still do.
    Partial,
    /// `RESOLVED_NO`
    No,
}

/// The tests of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Those that did as hoped.
    pub success: Vec<String>,
    /// Those that did not.
    pub failure: Vec<String>,
}

impl Outcome {
    fn is_full(&self) -> bool {
        self.failure.is_empty()
    }
}

/// The tests of all kinds. Upstream names the last two and never fills them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub struct TestsStatus {
    /// Tests that the patch is to fix.
    pub fail_to_pass: Outcome,
    /// Tests that the patch is not to break.
    pub pass_to_pass: Outcome,
    fail_to_fail: Outcome,
    pass_to_fail: Outcome,
}

impl TestsStatus {
    /// What the tests together say. Tests with a status that is neither success nor failure do not
    /// count, and no tests at all are a full success.
    #[must_use]
    pub fn resolution(&self) -> Resolution {
        let fixed = &self.fail_to_pass;
        match (self.pass_to_pass.is_full(), fixed.is_full()) {
            (true, true) => Resolution::Full,
            (true, false) if !fixed.success.is_empty() => Resolution::Partial,
            _ => Resolution::No,
        }
    }
}

/// The verdict on one instance: what `report.json` holds of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InstanceReport {
    /// The prediction has no patch.
    #[serde(rename = "patch_is_None")]
    pub patch_is_none: bool,
    /// The prediction has one, be it empty.
    pub patch_exists: bool,
    /// The log holds results; by its name it would be that the patch applied, which is part of it.
    pub patch_successfully_applied: bool,
    /// The patch solves the problem.
    pub resolved: bool,
    /// The log holds no results, and signs that the environment is why.
    pub infra_failure: bool,
    /// The sign, also where it may be the patch's fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub infra_failure_reason: Option<&'static str>,
    /// Each test's result, where the log holds results.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tests_status: Option<TestsStatus>,
}

impl InstanceReport {
    /// The bytes of `report.json`, which end without a line end.
    ///
    /// # Errors
    ///
    /// None are known: a report has nothing that JSON cannot hold.
    pub fn to_json(&self, instance_id: &str) -> Result<String, serde_json::Error> {
        let mut document = serde_json::Map::new();
        document.insert(instance_id.to_owned(), serde_json::to_value(self)?);
        python_json::dumps(&document)
    }
}

/// Why an instance has no verdict.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GradeError {
    /// There is no parser for the log.
    #[error("logs of {repo} are read by {why}")]
    NoParser {
        /// The repository.
        repo: String,
        /// Which one is missing.
        why: NoParser,
    },
    /// What the row is read by has failed, in words.
    #[error("{0}")]
    Reader(String),
    /// The parser stops at a line, as upstream's does.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Grades what the tests of an instance wrote, with a patch or without one.
///
/// `log` is the whole `test_output.txt`.
///
/// # Errors
///
/// When there is no parser for the log, or it stops where upstream's does. A log that holds no
/// results is none: its report says so.
pub fn grade(row: &Row, patch: Option<&str>, log: &[u8]) -> Result<InstanceReport, GradeError> {
    grade_with(row, patch, log, &|_, _| {
        Err(GradeError::NoParser {
            repo: row.repo.clone(),
            why: NoParser::Unknown("a parser of the dataset's own".to_owned()),
        })
    })
}

/// What reads standard output and standard error of the tests of a row with a [`Reader`].
///
/// [`Reader`]: crate::way::Reader
pub type Read<'a> = &'a dyn Fn(&str, &str) -> Result<StatusMap, GradeError>;

/// The same, for rows of any dataset: `read` is asked where the row says what reads its log.
///
/// # Errors
///
/// As [`grade`], and what `read` says.
pub fn grade_with(
    row: &Row,
    patch: Option<&str>,
    log: &[u8],
    read: Read<'_>,
) -> Result<InstanceReport, GradeError> {
    let mut report = InstanceReport::default();
    if patch.is_none() {
        report.patch_is_none = true;
        return Ok(report);
    }
    report.patch_exists = true;
    let log = read_text(log);
    let Some(statuses) = statuses(row, &log, read)? else {
        if let Some(sign) = infra_failure::classify(&[&log]) {
            report.infra_failure = sign.tier == Tier::Environment;
            report.infra_failure_reason = Some(sign.reason);
        }
        return Ok(report);
    };
    report.patch_successfully_applied = true;
    let tests = tests_status(row, &statuses);
    // What is missing from a log proves nothing fixed.
    let has_proof = row.eval_type != EvalType::Named || !tests.fail_to_pass.success.is_empty();
    report.resolved = tests.resolution() == Resolution::Full && has_proof;
    report.tests_status = Some(tests);
    Ok(report)
}

/// What the log says of each test; `None` where it is not the log of a run that can be judged.
fn statuses(row: &Row, log: &str, read: Read<'_>) -> Result<Option<StatusMap>, GradeError> {
    if let Some(reader) = &row.way.reader {
        let Some(output) = markers::test_output(log) else {
            return Ok(None);
        };
        let (output, errors) = reader.parts(output);
        let statuses = read(output, errors)?;
        return Ok((!statuses.is_empty()).then_some(statuses));
    }
    let parser = row.parser().map_err(|why| GradeError::NoParser {
        repo: row.repo.clone(),
        why,
    })?;
    let Some(output) = markers::test_output(log) else {
        return Ok(None);
    };
    let mut statuses = parser.parse(output)?;
    if statuses.is_empty() {
        // The markers come through stderr: where it is not one stream with stdout, results stand
        // outside of them.
        statuses = parser.parse(log)?;
    }
    if statuses.is_empty() {
        return Ok(markers::suite_ran(log).then_some(statuses));
    }
    // Tests can print what looks like results; a command that failed without a failure lies.
    let failed = |status: &Status| matches!(status, Status::Failed | Status::Error);
    let has_failure = statuses.iter().any(|(_, status)| failed(status));
    if markers::test_command_failed(log) && !has_failure {
        return Ok(None);
    }
    Ok(Some(statuses))
}

/// Sorts the expected tests by what the log says of them, in the row's order.
#[must_use]
pub fn tests_status(row: &Row, statuses: &StatusMap) -> TestsStatus {
    let verdict = |test: &str, skipped_is_success: bool| {
        match row.eval_type {
            EvalType::FailOnly => return Some(statuses.get(test) != Some(&Status::Failed)),
            EvalType::AllPassed => return Some(statuses.get(test) == Some(&Status::Passed)),
            EvalType::Named => {
                return match statuses.get(test)? {
                    Status::Passed => Some(true),
                    Status::Skipped => None,
                    _ => Some(false),
                };
            }
            EvalType::PassAndFail => {}
        }
        match find(test, statuses) {
            None | Some(Status::Failed | Status::Error) => Some(false),
            Some(Status::Passed | Status::Xfail) => Some(true),
            Some(Status::Skipped) => Some(skipped_is_success),
            Some(Status::Other(_)) => None,
        }
    };
    let outcome = |tests: &[String], skipped_is_success| {
        let mut outcome = Outcome::default();
        for test in tests {
            match verdict(test, skipped_is_success) {
                Some(true) => outcome.success.push(test.clone()),
                Some(false) => outcome.failure.push(test.clone()),
                None => {}
            }
        }
        outcome
    };
    let mut pass_to_pass = outcome(&row.pass_to_pass, true);
    let broken = row.way.not_to_fail.iter();
    pass_to_pass.failure.extend(
        broken
            .filter(|test| statuses.get(test) == Some(&Status::Failed))
            .cloned(),
    );
    TestsStatus {
        // A test that is skipped is not fixed, and it is not broken either.
        fail_to_pass: outcome(&row.fail_to_pass, false),
        pass_to_pass,
        ..TestsStatus::default()
    }
}

/// The status of a test. Some names in datasets are cut within their parameters: those stand for
/// the tests that begin so, where all of these pass or none does.
fn find<'a>(test: &str, statuses: &'a StatusMap) -> Option<&'a Status> {
    let exact = statuses.get(test);
    if exact.is_some() || test.matches('[').count() <= test.matches(']').count() {
        return exact;
    }
    let mut matches = statuses
        .iter()
        .filter(|(name, _)| name.starts_with(test))
        .map(|(_, status)| status);
    let first = matches.next()?;
    matches
        .all(|status| status.passes() == first.passes())
        .then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    use crate::log_parser::{Instance, LogParser};
    use crate::row::Location;

    fn row(fail_to_pass: &[&str], pass_to_pass: &[&str]) -> Row {
        let row = json!({
            "instance_id": "x__x-1", "repo": "pytest-dev/pytest",
            "FAIL_TO_PASS": fail_to_pass, "PASS_TO_PASS": pass_to_pass,
        });
        Row::from_value(&row, Location::Line(1)).unwrap()
    }

    fn log(body: &str, exit_code: Option<i32>) -> String {
        let mut log = format!("{}\n{body}\n{}\n", markers::START, markers::END);
        if let Some(code) = exit_code {
            log.push_str(&format!("{}: {code}\n", markers::EXIT_CODE));
        }
        log
    }

    fn graded(row: &Row, log: &str) -> InstanceReport {
        grade(row, Some("patch"), log.as_bytes()).unwrap()
    }

    #[test]
    fn a_skipped_test_is_neither_fixed_nor_broken() {
        let log = log("SKIPPED a\nSKIPPED b\nPASSED c\nXFAIL d", None);
        let report = graded(&row(&["a", "c"], &["b", "d"]), &log);
        let tests = report.tests_status.unwrap();
        assert_eq!(tests.fail_to_pass.failure, ["a"]);
        assert_eq!(tests.pass_to_pass.success, ["b", "d"]);
        assert_eq!(tests.resolution(), Resolution::Partial);
        assert!(!report.resolved);
        assert!(graded(&row(&["c"], &["b"]), &log).resolved);
    }

    #[test]
    fn a_test_that_the_log_does_not_name_failed_unless_only_failures_are_printed() {
        let log = log("PASSED a\nFAILED b", Some(1));
        let mut row = row(&["a", "z"], &[]);
        assert!(!graded(&row, &log).resolved);
        row.eval_type = EvalType::FailOnly;
        assert!(graded(&row, &log).resolved);
        row.pass_to_pass = vec!["b".to_owned()];
        let tests = graded(&row, &log).tests_status.unwrap();
        assert_eq!(tests.resolution(), Resolution::No);
    }

    #[test]
    fn a_status_that_is_none_counts_for_nothing() {
        let report = graded(&row(&["a"], &["b"]), &log("XFAILED a\nPASSED b", Some(0)));
        let tests = report.tests_status.unwrap();
        assert_eq!(tests.fail_to_pass, Outcome::default());
        assert!(report.resolved);
    }

    /// Cases of SWE-bench's `tests/test_grading_truncated_ids.py`.
    #[test]
    fn a_truncated_name_stands_for_tests_that_agree() {
        let pytest = LogParser::named("parse_log_pytest", Instance::default()).unwrap();
        let parse = |log| pytest.parse(log).unwrap();
        let word = |test, log| find(test, &parse(log)).map(|s| s.word().to_owned());
        assert_eq!(
            word("t::x[case-1]", "PASSED t::x[case-1-extended]"),
            None,
            "a name that is whole stands for itself"
        );
        assert_eq!(
            word("t::x[log(p", "PASSED t::x[log(photon)]").as_deref(),
            Some("PASSED")
        );
        assert_eq!(word("t::x[log(p", "PASSED t::y[other]"), None);
        assert_eq!(
            word("t::x[N", "XFAIL t::x[None]\nPASSED t::x[No-value]").as_deref(),
            Some("XFAIL")
        );
        assert_eq!(
            word("t::x[N", "PASSED t::x[None]\nFAILED t::x[No-value]"),
            None
        );
        assert_eq!(word("foo]", "PASSED foo]-bar"), None);
    }

    /// Cases of SWE-bench's `tests/test_grading_spoofed_output.py`.
    #[test]
    fn a_command_that_failed_without_a_failure_is_not_believed() {
        let row = row(&["a"], &[]);
        assert!(!graded(&row, &log("PASSED a", Some(1))).patch_successfully_applied);
        assert!(graded(&row, &log("PASSED a", Some(0))).resolved);
        assert!(graded(&row, &log("PASSED a", None)).resolved);
        let failed = graded(&row, &log("FAILED a", Some(1)));
        assert!(failed.patch_successfully_applied && !failed.resolved);
    }

    /// Cases of SWE-bench's `tests/test_grading_marker_fallback.py`.
    #[test]
    fn results_outside_the_markers_count_where_there_are_none_inside() {
        let row = row(&["a"], &[]);
        let outside = format!("PASSED a\n{}", log("", None));
        assert!(graded(&row, &outside).resolved);
        assert!(!graded(&row, "PASSED a\n").patch_successfully_applied);
        let nothing = graded(&row, &log("Failed to launch Chrome!", None));
        assert!(!nothing.patch_successfully_applied && nothing.infra_failure);
        assert_eq!(nothing.infra_failure_reason, Some("browser_launch_failed"));
        let ran = graded(&row, &log("TOTAL: 1339 SUCCESS", None));
        assert!(ran.patch_successfully_applied && !ran.resolved);
    }

    #[test]
    fn a_log_without_a_parser_is_refused_by_name() {
        let mut row = row(&["a"], &[]);
        row.log_parser = Some("parse_log_make".to_owned());
        let error = grade(&row, Some(""), b"").unwrap_err();
        assert_eq!(
            error.to_string(),
            "logs of pytest-dev/pytest are read by parse_log_make, which ohoci does not have"
        );
        assert!(grade(&row, None, b"").unwrap().patch_is_none);
    }

    /// Written by Python's `json.dumps(…, indent=4)`.
    #[test]
    fn a_report_without_results_is_upstreams() {
        let report = grade(&row(&["a"], &[]), Some("p"), b"\r\nKilled\r\n").unwrap();
        let expected = "{\n    \"x__x-1\": {\n        \"patch_is_None\": false,\n        \"patch_exists\": true,\n        \"patch_successfully_applied\": false,\n        \"resolved\": false,\n        \"infra_failure\": true,\n        \"infra_failure_reason\": \"out_of_memory\"\n    }\n}";
        assert_eq!(report.to_json("x__x-1").unwrap(), expected);
    }
}
