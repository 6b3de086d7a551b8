//! What became of one instance, in more words than upstream has.

use serde::{Deserialize, Serialize};

use super::diagnosis::Problem;
use ohoci_sandbox::Exceeded;

/// What became of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The tests that the patch is to fix pass, and the others still do.
    Resolved,
    /// They do not all, or none reported.
    Unresolved,
    /// There is nothing to apply.
    EmptyPatch,
    /// The patch does not apply.
    PatchFailed,
    /// There is no image to run in.
    BuildFailed,
    /// The time was over before the tests were.
    Timeout,
    /// The run's memory was used up before the tests were done.
    Oom,
    /// The tests, or the patch, wrote more than they may.
    Disk,
    /// Something failed for which the patch cannot be blamed.
    Infra,
    /// The tests ran, and nothing here can read what they wrote.
    Ungradable,
}

impl Status {
    /// All of them, best first.
    pub const ALL: [Self; 10] = [
        Self::Resolved,
        Self::Unresolved,
        Self::EmptyPatch,
        Self::PatchFailed,
        Self::Timeout,
        Self::Oom,
        Self::Disk,
        Self::Ungradable,
        Self::BuildFailed,
        Self::Infra,
    ];

    /// Its name in documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Resolved => "resolved",
            Self::Unresolved => "unresolved",
            Self::EmptyPatch => "empty_patch",
            Self::PatchFailed => "patch_failed",
            Self::BuildFailed => "build_failed",
            Self::Timeout => "timeout",
            Self::Oom => "oom",
            Self::Disk => "disk",
            Self::Infra => "infra",
            Self::Ungradable => "ungradable",
        }
    }

    /// What a run comes to that came up against a limit: where it is not the run's own but what this
    /// machine lacks, the patch cannot be blamed.
    #[must_use]
    pub(crate) fn of_exceeded(exceeded: Exceeded) -> Self {
        match exceeded {
            Exceeded::Time(_) => Self::Timeout,
            Exceeded::Memory(_) => Self::Oom,
            Exceeded::Disk(_) | Exceeded::Inodes(_) => Self::Disk,
            Exceeded::MachineMemory | Exceeded::Space => Self::Infra,
        }
    }

    /// Whether it says something of the patch; the others say something of this machine or of
    /// ohoci.
    #[must_use]
    pub fn is_verdict(self) -> bool {
        !matches!(self, Self::BuildFailed | Self::Infra | Self::Ungradable)
    }

    /// Whether running the same once more is bound to give the same, as far as that can be known.
    #[must_use]
    pub(crate) fn is_final(self) -> bool {
        matches!(self, Self::Resolved | Self::Unresolved | Self::PatchFailed)
    }
}

/// How many tests did as hoped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Those that did.
    pub success: usize,
    /// All that were expected to.
    pub total: usize,
}

/// What an outcome depends on: the same of all, and it need not be run again. Records of earlier
/// versions lack some of it, and count as something else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Key {
    /// The digest of the image's manifest; `None` for a directory, which has none and may change.
    pub image: Option<String>,
    /// The SHA-256 of the patch.
    pub patch: String,
    /// The SHA-256 of the script that runs the tests.
    pub eval_script: String,
    /// The SHA-256 of what else the tests run under: network, variables, time, limits that were asked
    /// for.
    #[serde(default)]
    pub conditions: String,
    /// The SHA-256 of what a log is graded by: tests, parser, how tests are counted, and who grades.
    #[serde(default)]
    pub grading: String,
}

/// Where the time went, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// Finding and unpacking the image.
    pub image: f64,
    /// Applying the patch.
    pub patch: f64,
    /// Running the tests.
    pub tests: f64,
    /// Removing what the run left.
    pub teardown: f64,
    /// All together.
    pub total: f64,
}

/// A test whose result is not the one hoped for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FailedTest {
    /// `FAIL_TO_PASS` or `PASS_TO_PASS`
    pub kind: String,
    /// The test.
    pub test: String,
}

/// What became of one instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The instance.
    pub instance_id: String,
    /// The model.
    pub model: String,
    /// What became of it.
    pub status: Status,
    /// Why, in words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<String>,
    /// What may help, in words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub advice: Option<String>,
    /// The signal that ended the script or its test command.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signal: Option<u8>,
    /// The tests to be fixed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fail_to_pass: Option<Count>,
    /// The tests not to be broken.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pass_to_pass: Option<Count>,
    /// The tests among them that failed.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub failed_tests: Vec<FailedTest>,
    /// Why the patch does not apply, part by part.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub patch_problems: Vec<Problem>,
    /// The command that applied the patch.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub applied_by: Option<String>,
    /// Files of the tests' patch that the model's patch changes as well: those changes are undone
    /// before the tests run.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub overwritten_files: Vec<String>,
    /// The image that it ran in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub image: Option<String>,
    /// What it depends on; `None` where nothing ran.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<Key>,
    /// Where the time went.
    #[serde(default)]
    pub seconds: Seconds,
    /// The end of what the tests wrote, or of what else tells why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tail: Option<String>,
    /// Whether an earlier run gave it.
    #[serde(default)]
    pub from_earlier: bool,
    /// What each attempt gave, where there were several.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub attempts: Vec<Status>,
    /// Tests that did not do the same in every attempt.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub flaky_tests: Vec<String>,
}

impl Outcome {
    /// One of which only this much is known.
    #[must_use]
    pub fn new(instance_id: &str, model: &str, status: Status) -> Self {
        Self {
            instance_id: instance_id.to_owned(),
            model: model.to_owned(),
            status,
            why: None,
            advice: None,
            signal: None,
            fail_to_pass: None,
            pass_to_pass: None,
            failed_tests: Vec::new(),
            patch_problems: Vec::new(),
            applied_by: None,
            overwritten_files: Vec::new(),
            image: None,
            key: None,
            seconds: Seconds::default(),
            tail: None,
            from_earlier: false,
            attempts: Vec::new(),
            flaky_tests: Vec::new(),
        }
    }

    /// With a reason.
    #[must_use]
    pub fn because(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    /// Puts attempts at the same together: the first is the verdict, the others tell whether it can
    /// be relied on. `None` where there is none.
    #[must_use]
    pub(crate) fn of_attempts(attempts: Vec<Self>) -> Option<Self> {
        let statuses: Vec<Status> = attempts.iter().map(|attempt| attempt.status).collect();
        let graded: Vec<&Self> = attempts
            .iter()
            .filter(|attempt| attempt.fail_to_pass.is_some())
            .collect();
        let mut flaky = Vec::new();
        for attempt in &graded {
            for failed in &attempt.failed_tests {
                let everywhere = graded.iter().all(|one| one.failed_tests.contains(failed));
                if !everywhere && !flaky.contains(&failed.test) {
                    flaky.push(failed.test.clone());
                }
            }
        }
        flaky.sort();
        let mut first = attempts.into_iter().next()?;
        if statuses.len() > 1 {
            first.attempts = statuses;
            first.flaky_tests = flaky;
        }
        Some(first)
    }

    /// Whether attempts gave different things.
    #[must_use]
    pub fn is_flaky(&self) -> bool {
        !self.flaky_tests.is_empty()
            || self
                .attempts
                .windows(2)
                .any(|pair| pair.first() != pair.last())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(status: Status, failed: &[&str]) -> Outcome {
        Outcome {
            fail_to_pass: Some(Count {
                success: 0,
                total: 2,
            }),
            failed_tests: failed
                .iter()
                .map(|test| FailedTest {
                    kind: "FAIL_TO_PASS".to_owned(),
                    test: (*test).to_owned(),
                })
                .collect(),
            ..Outcome::new("a", "m", status)
        }
    }

    #[test]
    fn the_first_attempt_counts_and_the_others_tell_what_is_flaky() {
        let all = Outcome::of_attempts(vec![
            attempt(Status::Unresolved, &["b", "a"]),
            attempt(Status::Unresolved, &["a", "c"]),
            Outcome::new("a", "m", Status::Infra),
        ])
        .unwrap();
        assert_eq!(all.status, Status::Unresolved);
        assert_eq!(all.flaky_tests, ["b", "c"]);
        assert_eq!(all.attempts.len(), 3);
        assert!(all.is_flaky());
        let same = vec![
            attempt(Status::Resolved, &[]),
            attempt(Status::Resolved, &[]),
        ];
        assert!(!Outcome::of_attempts(same).unwrap().is_flaky());
        let once = Outcome::of_attempts(vec![attempt(Status::Resolved, &[])]).unwrap();
        assert!(once.attempts.is_empty() && !once.is_flaky());
        assert_eq!(Outcome::of_attempts(Vec::new()), None);
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let outcome = attempt(Status::PatchFailed, &["a"]).because("no");
        let text = serde_json::to_string(&outcome).unwrap();
        assert!(text.contains(r#""status":"patch_failed""#), "{text}");
        assert_eq!(serde_json::from_str::<Outcome>(&text).unwrap(), outcome);
    }

    #[test]
    fn what_the_machine_lacks_is_no_verdict_on_a_patch() {
        for (exceeded, status) in [
            (Exceeded::MachineMemory, Status::Infra),
            (Exceeded::Space, Status::Infra),
            (Exceeded::Memory(1), Status::Oom),
            (Exceeded::Inodes(1), Status::Disk),
        ] {
            assert_eq!(Status::of_exceeded(exceeded), status);
            assert_eq!(status.is_verdict(), exceeded.is_own());
        }
    }

    #[test]
    fn every_status_is_listed_once_under_its_own_name() {
        for status in Status::ALL {
            let name = serde_json::to_value(status).unwrap();
            assert_eq!(name, status.name());
            assert_eq!(Status::ALL.iter().filter(|one| **one == status).count(), 1);
        }
    }
}
