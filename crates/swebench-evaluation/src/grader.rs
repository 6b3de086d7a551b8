//! Who grades: ohoci, an installed `swebench` package, or both, which then have to agree.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::outcome::{Count, FailedTest};
use super::python;
use super::reader::Readers;
use ohoci_swebench::grading::{GradeError, grade_with};
use ohoci_swebench::log_parser::{LogParser, StatusMap};
use ohoci_swebench::row::{EvalType, Row};
use ohoci_swebench::way::{Dataset, PARSER_FILE, SCRIPT_FILE};

/// The bridge to the package.
const BRIDGE: &str = include_str!("grade_by_upstream.py");

/// What grades, and what it reads logs with.
#[derive(Clone, Debug)]
pub struct Grader {
    /// Who grades.
    pub who: Who,
    /// What reads logs that only Python reads.
    pub readers: Readers,
}

/// Who grades.
#[derive(Clone, Debug, Default)]
pub enum Who {
    /// ohoci.
    #[default]
    Native,
    /// The package.
    Upstream(Upstream),
    /// Both.
    Both(Upstream),
}

/// An installed `swebench` package.
#[derive(Clone, Debug)]
pub struct Upstream {
    python: PathBuf,
    version: String,
}

/// Why the package cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// Python cannot be started.
    #[error("cannot start {python}: {error}", python = .python.display())]
    Python {
        /// The program.
        python: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// It answers with something else.
    #[error("{python} answered {said:?}", python = .python.display())]
    Answer {
        /// The program.
        python: PathBuf,
        /// What it said.
        said: String,
    },
    /// The package is missing, is another version, or stops.
    #[error("the package swebench cannot grade: {0}")]
    Package(String),
}

/// Why an instance has no grade.
#[derive(Debug)]
pub(super) enum NoGrade {
    /// Its log cannot be graded.
    Ungradable(String),
    /// The graders disagree.
    Disagreement {
        /// What ohoci says.
        native: String,
        /// What the package says.
        upstream: String,
        /// Where they differ.
        why: String,
    },
    /// Grading failed.
    Failed(io::Error),
}

/// A verdict, with the document that holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The bytes of `report.json`.
    pub(super) document: String,
    pub(super) resolved: bool,
    pub(super) infra_failure: bool,
    pub(super) infra_failure_reason: Option<String>,
    pub(super) fail_to_pass: Option<Count>,
    pub(super) pass_to_pass: Option<Count>,
    pub(super) failed_tests: Vec<FailedTest>,
}

impl Upstream {
    /// Looks for the package where this Python finds its own.
    ///
    /// # Errors
    /// When there is no Python, or no package of version 5.
    pub fn find(python: &Path) -> Result<Self, UpstreamError> {
        let mut upstream = Self {
            python: python.to_owned(),
            version: String::new(),
        };
        let (first, _) = upstream.ask("")?;
        let text = |field: &str| first.get(field).and_then(Value::as_str).map(str::to_owned);
        match (text("version"), text("error")) {
            (Some(version), _) => upstream.version = version,
            (None, error) => return Err(UpstreamError::Package(error.unwrap_or_default())),
        }
        Ok(upstream)
    }

    /// The package's version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    fn grade(&self, row: &Row, patch: Option<&str>, log: &Path) -> Result<String, UpstreamError> {
        let known = row.parser().ok().map(LogParser::name);
        let parser = row.log_parser.as_deref().or(known);
        let job = json!({
            "row": {
                "instance_id": row.instance_id,
                "repo": row.repo,
                "version": row.version,
                "log_parser": parser,
                "eval_type": match row.eval_type {
                    EvalType::PassAndFail => "pass_and_fail",
                    EvalType::FailOnly => "fail_only",
                    EvalType::Named | EvalType::AllPassed => "",
                },
                "FAIL_TO_PASS": row.fail_to_pass,
                "PASS_TO_PASS": row.pass_to_pass,
            },
            "prediction": {"instance_id": row.instance_id, "model_patch": patch},
            "log": log,
        });
        let (first, answer) = self.ask(&format!("{job}\n"))?;
        let answer = answer.unwrap_or(first);
        let text = |field: &str| answer.get(field).and_then(Value::as_str).map(str::to_owned);
        text("report").ok_or_else(|| UpstreamError::Package(text("error").unwrap_or_default()))
    }

    /// Starts the bridge with this on its standard input, and reads its one or two answers.
    fn ask(&self, input: &str) -> Result<(Value, Option<Value>), UpstreamError> {
        let failed = |error| UpstreamError::Python {
            python: self.python.clone(),
            error,
        };
        let output = python::ask(&self.python, BRIDGE, input).map_err(failed)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut answers = text.lines().map(serde_json::from_str::<Value>);
        match (answers.next(), answers.next()) {
            (Some(Ok(first)), None) => Ok((first, None)),
            (Some(Ok(first)), Some(Ok(second))) => Ok((first, Some(second))),
            _ => {
                let said = String::from_utf8_lossy(&output.stderr);
                let said = said.trim().lines().last().unwrap_or_default();
                Err(UpstreamError::Answer {
                    python: self.python.clone(),
                    said: said.to_owned(),
                })
            }
        }
    }
}

impl Grader {
    /// Who it is: another may come to another verdict.
    pub(super) fn name(&self) -> String {
        match &self.who {
            Who::Native => concat!("ohoci ", env!("CARGO_PKG_VERSION")).to_owned(),
            Who::Upstream(upstream) => format!("swebench {}", upstream.version),
            Who::Both(upstream) => format!("both, swebench {}", upstream.version),
        }
    }

    /// Whether logs of this row can be graded, as far as that is known before there is one.
    ///
    /// # Errors
    /// Why not, in words.
    pub(super) fn can_grade(&self, row: &Row) -> Result<(), String> {
        let dataset = row.way.dataset;
        if let Some(why) = &row.way.refused {
            return Err(why.clone());
        }
        if row.awaits_scripts() {
            return Err(format!(
                "rows of {dataset} are run by {SCRIPT_FILE} and read by {PARSER_FILE} of its repository's run_scripts (--scripts-dir DIR)"
            ));
        }
        let is_upstreams = matches!(dataset, Dataset::SweBench | Dataset::Gym);
        if !is_upstreams && !matches!(self.who, Who::Native) {
            return Err(format!(
                "the package swebench does not grade rows of {dataset} (--grader native)"
            ));
        }
        if let Some(reader) = &row.way.reader {
            return self.readers.can_read(reader);
        }
        match (&self.who, row.parser()) {
            (Who::Upstream(_), _) | (_, Ok(_)) => Ok(()),
            (_, Err(why)) => {
                let repo = row.repo.clone();
                let error = GradeError::NoParser { repo, why };
                Err(format!("{error}; --grader upstream may know it"))
            }
        }
    }

    /// Grades a log. Blocks.
    pub(super) fn grade(
        &self,
        row: &Row,
        patch: Option<&str>,
        log: &Path,
    ) -> Result<Verdict, NoGrade> {
        let native = || -> Result<String, NoGrade> {
            let content = fs_err::read(log).map_err(NoGrade::Failed)?;
            let read = |output: &str, errors: &str| match &row.way.reader {
                Some(reader) => self
                    .readers
                    .read(reader, output, errors)
                    .map_err(GradeError::Reader),
                None => Ok(StatusMap::default()),
            };
            let report = grade_with(row, patch, &content, &read)
                .map_err(|error: GradeError| NoGrade::Ungradable(error.to_string()))?;
            report
                .to_json(&row.instance_id)
                .map_err(|error| NoGrade::Failed(error.into()))
        };
        let upstream = |upstream: &Upstream| {
            upstream
                .grade(row, patch, log)
                .map_err(|error| NoGrade::Ungradable(error.to_string()))
        };
        let document = match &self.who {
            Who::Native => native()?,
            Who::Upstream(package) => upstream(package)?,
            Who::Both(package) => {
                let (native, upstream) = (native()?, upstream(package)?);
                if let Some(why) = difference(&native, &upstream) {
                    return Err(NoGrade::Disagreement {
                        native,
                        upstream,
                        why,
                    });
                }
                upstream
            }
        };
        verdict(document, &row.instance_id)
            .ok_or_else(|| NoGrade::Ungradable("its report cannot be read".to_owned()))
    }
}

/// Where two reports differ; `None` where they are the same, byte by byte.
fn difference(native: &str, upstream: &str) -> Option<String> {
    if native == upstream {
        return None;
    }
    let mut pairs = native.lines().zip(upstream.lines());
    let (ours, theirs) = pairs
        .find(|(ours, theirs)| ours != theirs)
        .unwrap_or(("the end", "more, or less"));
    Some(format!(
        "ohoci and the package swebench grade differently: first {:?} and {:?}",
        ours.trim(),
        theirs.trim()
    ))
}

impl Verdict {
    /// What it says of a log without results; `None` of any other.
    pub(super) fn without_results(&self) -> Option<String> {
        self.fail_to_pass.is_none().then(|| {
            self.infra_failure_reason.as_ref().map_or_else(
                || "its log holds no results".to_owned(),
                |reason| format!("its log holds no results ({reason})"),
            )
        })
    }
}

/// What a report says of its instance.
fn verdict(document: String, instance_id: &str) -> Option<Verdict> {
    let report: Value = serde_json::from_str(&document).ok()?;
    let report = report.get(instance_id)?;
    let flag = |name: &str| {
        report
            .get(name)
            .and_then(Value::as_bool)
            .unwrap_or_default()
    };
    let mut verdict = Verdict {
        resolved: flag("resolved"),
        infra_failure: flag("infra_failure"),
        infra_failure_reason: report
            .get("infra_failure_reason")
            .and_then(Value::as_str)
            .map(str::to_owned),
        ..Verdict::default()
    };
    if let Some(tests) = report.get("tests_status") {
        let mut count = |kind: &str| {
            let list = |which: &str| tests.get(kind)?.get(which)?.as_array();
            let failed = list("failure")?;
            verdict
                .failed_tests
                .extend(
                    failed
                        .iter()
                        .filter_map(Value::as_str)
                        .map(|test| FailedTest {
                            kind: kind.to_owned(),
                            test: test.to_owned(),
                        }),
                );
            let success = list("success")?.len();
            Some(Count {
                success,
                total: success + failed.len(),
            })
        };
        let (fixed, kept) = (count("FAIL_TO_PASS"), count("PASS_TO_PASS"));
        (verdict.fail_to_pass, verdict.pass_to_pass) = (fixed, kept);
    }
    verdict.document = document;
    Some(verdict)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// Something that answers as Python would, from a script.
    fn python(script: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("python");
        fs_err::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        (directory, path)
    }

    fn row() -> Row {
        let row = r#"[{"instance_id":"a","repo":"pallets/flask","FAIL_TO_PASS":["t"],"PASS_TO_PASS":[]}]"#;
        Row::from_json(row.as_bytes()).unwrap().remove(0)
    }

    const LOG: &str = "+ : '>>>>> Start Test Output'\nPASSED t\n+ : '>>>>> End Test Output'\n";

    fn grader(who: Who) -> Grader {
        Grader {
            who,
            readers: Readers::new("python3".into(), None),
        }
    }

    #[test]
    fn a_missing_package_is_told_in_its_own_words() {
        let (_keep, path) = python(r#"cat >/dev/null; echo '{"error":"PackageNotFoundError: x"}'"#);
        let error = Upstream::find(&path).unwrap_err().to_string();
        assert_eq!(
            error,
            "the package swebench cannot grade: PackageNotFoundError: x"
        );
        let (_keep, path) = python("echo broken >&2");
        assert!(
            Upstream::find(&path)
                .unwrap_err()
                .to_string()
                .contains("broken")
        );
        assert!(Upstream::find(Path::new("/nothing")).is_err());
    }

    #[test]
    fn graders_that_disagree_give_no_grade() {
        let log = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(log.path(), LOG).unwrap();
        let native = grader(Who::Native)
            .grade(&row(), Some("p"), log.path())
            .unwrap();
        assert!(native.resolved);
        assert_eq!(
            native.fail_to_pass,
            Some(Count {
                success: 1,
                total: 1
            })
        );
        let answering = |document: &str| {
            let answer = json!({"report": document}).to_string();
            let version = r#"{"version":"5.0.2"}"#;
            python(&format!(
                "echo '{version}'; read line && printf '%s\\n' '{answer}'; true"
            ))
        };
        let (_keep, path) = answering(&native.document);
        let both = grader(Who::Both(Upstream::find(&path).unwrap()));
        assert_eq!(both.grade(&row(), Some("p"), log.path()).unwrap(), native);
        let other = native
            .document
            .replace("\"resolved\": true", "\"resolved\": false");
        let (_keep, path) = answering(&other);
        let both = grader(Who::Both(Upstream::find(&path).unwrap()));
        match both.grade(&row(), Some("p"), log.path()) {
            Err(NoGrade::Disagreement { why, .. }) => {
                assert!(why.contains(r#""\"resolved\": true,""#), "{why}");
            }
            other => panic!("{other:?}"),
        }
        let upstream = grader(Who::Upstream(Upstream::find(&path).unwrap()));
        assert!(
            !upstream
                .grade(&row(), Some("p"), log.path())
                .unwrap()
                .resolved
        );
    }
}
