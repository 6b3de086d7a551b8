//! One prediction, run and graded: image, patch, tests, verdict.

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::advice;
use super::diagnosis::Problem;
use super::evaluator::Evaluator;
use super::folder::Folder;
use super::grader::{NoGrade, Verdict};
use super::httpbin::Host;
use super::instance_log::InstanceLog;
use super::outcome::{Key, Outcome, Status};
use super::output::{Followed, MOST, Text, tail};
use super::patching::{self, Applied};
use super::roots::{EVAL_FILE, SHELL};
use super::sandboxed::{SandboxError, Sandboxed};
use ohoci_files::blocking::blocking;
use ohoci_sandbox::{Ended, Exceeded, Network, RunError};
use ohoci_swebench::eval_script::touched_files;
use ohoci_swebench::log_parser::markers;
use ohoci_swebench::predictions::Prediction;
use ohoci_swebench::row::Row;
use ohoci_swebench::way::{Patching, Way, without_binaries};

/// How much of a log is kept in the record, in lines and in bytes.
const TAIL_LINES: usize = 40;
const TAIL_BYTES: usize = 8 << 10;

/// How much of a log is looked through for signs of what went wrong, in bytes.
const MOST_SEARCHED: u64 = 64 << 20;

/// How much of a log's end is read to find its tail.
const END_OF_LOG: u64 = 64 << 10;

/// What is to be evaluated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job<'a> {
    /// The instance.
    pub row: &'a Row,
    /// What a model says of it.
    pub prediction: &'a Prediction,
    /// The script that runs the tests, or why there is none.
    pub script: Result<&'a str, &'a str>,
    /// The folder for its files.
    pub folder: &'a Path,
    /// Whether an earlier outcome in that folder counts, where it depends on the same.
    pub reuse: bool,
}

impl Evaluator {
    /// Evaluates a prediction. Whatever goes wrong is part of the outcome.
    pub(crate) async fn evaluate(&self, job: Job<'_>) -> Outcome {
        let row = job.row;
        let new = |status| Outcome::new(&row.instance_id, &job.prediction.model, status);
        let Some(patch) = job
            .prediction
            .patch
            .as_deref()
            .filter(|patch| !patch.is_empty())
        else {
            return new(Status::EmptyPatch);
        };
        let script = match job.script {
            Ok(script) => script,
            Err(why) => return new(Status::Ungradable).because(why),
        };
        let started = Instant::now();
        let folder = Folder::new(job.folder.to_owned());
        if job.reuse
            && let Some(earlier) = self.earlier(&folder, row, patch, script).await
        {
            return earlier;
        }
        let mut outcome = new(Status::Infra);
        let mut log = match folder
            .begin()
            .and_then(|()| InstanceLog::create(&folder.run_log(), self.clock))
        {
            Ok(log) => log,
            Err(error) => return outcome.because(error.to_string()),
        };
        let done = self
            .run(&job, patch, script, &folder, &mut log, &mut outcome)
            .await;
        if let Err(error) = done {
            outcome.status = error.status();
            outcome.why = Some(error.to_string());
            log.say(&format!(
                "Error in evaluating model for {}: {error}",
                row.instance_id
            ));
        }
        outcome.advice = self.advice(outcome.status, row, &folder);
        outcome.seconds.total = started.elapsed().as_secs_f64();
        if let Err(error) = folder.write_record(&outcome) {
            outcome.status = Status::Infra;
            outcome.why = Some(error.to_string());
        }
        outcome
    }

    /// What an earlier run gave, where it depends on nothing that is another now.
    async fn earlier(
        &self,
        folder: &Folder,
        row: &Row,
        patch: &str,
        script: &str,
    ) -> Option<Outcome> {
        let earlier = folder.record()?;
        let key = earlier.key.as_ref()?;
        let is_same = earlier.instance_id == row.instance_id
            && earlier.status.is_final()
            && (earlier.status == Status::PatchFailed || folder.is_graded())
            && key.patch == hash(patch)
            && key.eval_script == hash(script)
            && key.conditions == self.conditions(row)
            && key.image.is_some();
        if !is_same || self.roots.digest(&self.names, row).await.ok()? != key.image {
            return None;
        }
        let grading = self.grading(row);
        let is_graded_so = key.grading == grading || earlier.status == Status::PatchFailed;
        let earlier = Outcome {
            from_earlier: true,
            ..earlier
        };
        match is_graded_so {
            true => Some(earlier),
            false => self.grade_anew(folder, row, patch, grading, earlier).await,
        }
    }

    /// The verdict by what the row says now, on the log that an earlier run left. `None` where that
    /// gives none: then it is run again.
    async fn grade_anew(
        &self,
        folder: &Folder,
        row: &Row,
        patch: &str,
        grading: String,
        mut outcome: Outcome,
    ) -> Option<Outcome> {
        let of = row;
        let (row, patch, output) = (row.clone(), patch.to_owned(), folder.test_output());
        let grader = self.grader.clone();
        let graded =
            blocking(move || Ok::<_, io::Error>(grader.grade(&row, Some(&patch), &output))).await;
        let mut log = InstanceLog::append(&folder.run_log(), self.clock).ok()?;
        log.say("Grading the log once more: the dataset or the grader is another now");
        note_grade(graded.ok()?, None, folder, &mut log, &mut outcome).ok()?;
        outcome.key.as_mut()?.grading = grading;
        outcome.advice = self.advice(outcome.status, of, folder);
        folder.write_record(&outcome).ok()?;
        outcome.status.is_final().then_some(outcome)
    }

    /// What may help where an instance has come to this.
    fn advice(&self, status: Status, row: &Row, folder: &Folder) -> Option<String> {
        if status == Status::Resolved {
            return None;
        }
        let log = read_log(&folder.test_output()).unwrap_or_default();
        advice::advice(status, &log, self.network_of(row))
    }

    /// What of this machine and of the command line a verdict may depend on.
    fn conditions(&self, row: &Row) -> String {
        let limits = &self.asked_limits;
        let limits = json!([
            limits.memory,
            limits.processes,
            limits.cpus,
            limits.disk,
            limits.inodes
        ]);
        let has_network = match (self.httpbin_for(row), self.network) {
            (Some(httpbin), _) => json!(["httpbin", httpbin.digest()]),
            (None, Network::None) => json!(false),
            (None, Network::Host) => json!(true),
            (None, Network::DeadEnd) => json!("dead-end"),
        };
        let time = self.timeout.map(|time| time.as_secs_f64());
        hash(&json!([has_network, self.environment, time, limits]).to_string())
    }

    /// What of the row, and of who grades, a verdict depends on.
    fn grading(&self, row: &Row) -> String {
        let tests = (&row.fail_to_pass, &row.pass_to_pass);
        let parser = (&row.log_parser, &row.repo, format!("{:?}", row.eval_type));
        // What other datasets say besides; SWE-bench's own rows keep the keys that they have.
        let other = (row.way != Way::default()).then(|| format!("{:?}", row.way));
        let mut key = json!([tests, parser, self.grader.name()]);
        if let (Some(other), Some(key)) = (other, key.as_array_mut()) {
            key.push(json!(other));
        }
        hash(&key.to_string())
    }

    async fn run(
        &self,
        job: &Job<'_>,
        patch: &str,
        script: &str,
        folder: &Folder,
        log: &mut InstanceLog,
        outcome: &mut Outcome,
    ) -> Result<(), SandboxError> {
        let id = &job.row.instance_id;
        log.say(&format!("Creating container for {id}..."));
        let mut clock = Instant::now();
        let root = self.roots.open(&self.names, job.row).await?;
        self.refresh_index(&root, job.row).await;
        let (way, scratch, below) = (self.way.clone(), self.scratch.clone(), Arc::clone(&root));
        let workspace = blocking(move || below.workspace(&way, &scratch)).await?;
        let httpbin = match self.httpbin_for(job.row) {
            None => None,
            Some(httpbin) => {
                let host = Host {
                    bubblewrap: &self.bubblewrap,
                    limiter: &self.limiter,
                    scratch: &self.scratch,
                };
                let started = httpbin.start(&host).await.map_err(SandboxError::Httpbin)?;
                log.say(&format!("httpbin.org is answered by {}", started.name));
                Some(started)
            }
        };
        let mut sandboxed = Sandboxed::new(self, &root, workspace, job.row, httpbin)?;
        outcome.seconds.image = lap(&mut clock);
        outcome.image = Some(root.name.clone());
        outcome.key = Some(Key {
            image: root.digest.clone(),
            patch: hash(patch),
            eval_script: hash(script),
            conditions: self.conditions(job.row),
            grading: self.grading(job.row),
        });
        log.say(&format!(
            "Container for {id} started: {} ({}, {})",
            root.digest.as_deref().unwrap_or("a directory"),
            root.name,
            self.way.name()
        ));
        let done = self
            .run_inside(&mut sandboxed, job, (patch, script), folder, log, outcome)
            .await;
        clock = Instant::now();
        sandboxed.stop_httpbin().await;
        blocking(move || {
            drop(sandboxed);
            Ok::<_, io::Error>(())
        })
        .await?;
        outcome.seconds.teardown = lap(&mut clock);
        log.say(&format!("Container for {id} removed successfully."));
        done
    }

    async fn run_inside(
        &self,
        inside: &mut Sandboxed,
        job: &Job<'_>,
        (patch, script): (&str, &str),
        folder: &Folder,
        log: &mut InstanceLog,
        outcome: &mut Outcome,
    ) -> Result<(), SandboxError> {
        let (id, way) = (&job.row.instance_id, &job.row.way);
        let mut clock = Instant::now();
        let applicable = match way.patching {
            Patching::WithoutBinaries => Cow::Owned(without_binaries(patch)),
            Patching::Ladder | Patching::Handed(_) => Cow::Borrowed(patch),
        };
        fs_err::write(folder.patch(), applicable.as_bytes())?;
        if let Some(prepare) = &way.prepare {
            let said = inside.shell(prepare, None).await?;
            log.say(&format!("{prepare}: {}", said.output.trim()));
        }
        log.say(&format!(
            "Intermediate patch for {id} written to {}, now applying to container...",
            folder.patch().display()
        ));
        let patch_file = fs_err::canonicalize(folder.patch())?;
        let applied = patching::apply(&applicable, &way.patching, async |command: String| {
            inside
                .shell(&command, Some((&patch_file, &inside.root.patch_file)))
                .await
        })
        .await?;
        outcome.seconds.patch = lap(&mut clock);
        self.note_patch(inside, job.row, patch, &applied, log, outcome);
        if applied.applied_by.is_none() {
            return Ok(());
        }
        let before = inside.diff().await?;
        log.say(&format!("Git diff before:\n{before}"));
        fs_err::write(folder.eval_script(), script)?;
        log.say(&format!(
            "Eval script for {id} written to {}; copying to container...",
            folder.eval_script().display()
        ));
        clock = Instant::now();
        let ended = self.run_tests(inside, id, folder).await?;
        outcome.seconds.tests = lap(&mut clock);
        log.say(&format!(
            "Test runtime: {:.2} seconds",
            outcome.seconds.tests
        ));
        let killed = inside.group.memory_kill();
        let output = folder.test_output();
        let seconds = self.timeout.unwrap_or_default().as_secs_f64();
        if ended == Ended::TimedOut {
            let mut file = fs_err::OpenOptions::new().append(true).open(&output)?;
            write!(file, "\n\nTimeout error: {seconds} seconds exceeded.")?;
        }
        log.say(&format!(
            "Test output for {id} written to {}",
            output.display()
        ));
        outcome.tail = Some(end_of(&output)?);
        if ended == Ended::TimedOut {
            let why = format!("Test timed out after {seconds} seconds.");
            log.say(&why);
            outcome.status = killed.map_or(Status::Timeout, Status::of_exceeded);
            outcome.why =
                Some(killed.map_or_else(|| why.clone(), |killed| format!("{killed}; {why}")));
            return Ok(());
        }
        if let Ended::Exceeded(exceeded) = ended {
            return Err(SandboxError::Limit(exceeded));
        }
        let after = inside.diff().await?;
        log.say(&format!("Git diff after:\n{after}"));
        if after != before {
            log.say("Git diff changed after running eval script");
        }
        log.say(&format!("Grading answer for {id}..."));
        let (row, patch) = (job.row.clone(), patch.to_owned());
        let grader = self.grader.clone();
        let graded =
            blocking(move || Ok::<_, io::Error>(grader.grade(&row, Some(&patch), &output))).await?;
        note_grade(graded, killed, folder, log, outcome)?;
        note_signal(&ended, &folder.test_output(), outcome)?;
        Ok(())
    }

    fn note_patch(
        &self,
        inside: &Sandboxed,
        row: &Row,
        patch: &str,
        applied: &Applied,
        log: &mut InstanceLog,
        outcome: &mut Outcome,
    ) {
        for command in &applied.failed {
            log.say(&format!("Failed to apply patch to container: {command}"));
        }
        let tests = touched_files(row.test_patch.as_deref().unwrap_or_default());
        outcome.overwritten_files = touched_files(patch)
            .into_iter()
            .filter(|file| tests.contains(file))
            .collect();
        if applied.applied_by.is_some() {
            outcome.applied_by.clone_from(&applied.applied_by);
            log.say(&format!("{}:\n{}", markers::PATCH_APPLIED, applied.output));
            return;
        }
        log.say(&format!("{}:\n{}", markers::PATCH_FAILED, applied.output));
        outcome.status = Status::PatchFailed;
        outcome.patch_problems = match &applied.refused {
            Some(refused) => vec![Problem {
                file: refused.path.clone(),
                hunk: None,
                why: refused.why.to_string(),
                nearest: None,
            }],
            None => inside.diagnose(patch),
        };
        let first = outcome.patch_problems.first().map(ToString::to_string);
        for problem in &outcome.patch_problems {
            log.say(&format!("ohoci: {problem}"));
        }
        outcome.why = Some(first.unwrap_or_else(|| {
            let last = applied.output.trim().lines().last().unwrap_or_default();
            format!("no command applied it; the last one said: {last}")
        }));
        outcome.tail = Some(tail(applied.output.as_bytes(), TAIL_LINES, TAIL_BYTES));
    }

    async fn run_tests(
        &self,
        inside: &mut Sandboxed,
        id: &str,
        folder: &Folder,
    ) -> Result<Ended, SandboxError> {
        let file = io::BufWriter::new(fs_err::File::create(folder.test_output())?);
        let sink = Text::new(Followed::new(file, id, self.follow.clone()), MOST);
        let script = fs_err::canonicalize(folder.eval_script())?;
        let words = [SHELL, EVAL_FILE].map(OsString::from);
        let eval_file = inside.root.eval_file.clone();
        let ended = inside
            .run_tests(&words, (&script, &eval_file), Box::new(sink), self.timeout)
            .await;
        match ended {
            Err(SandboxError::Run(error @ RunError::NotStarted(_))) => {
                let said = end_of(&folder.test_output())?;
                Err(SandboxError::Io(io::Error::other(format!(
                    "{error}: {said}"
                ))))
            }
            ended => ended,
        }
    }
}

/// What an evaluation of this patch left in an instance's folder, whichever machine it ran on.
#[must_use]
pub(crate) fn recorded(folder: &Path, patch: &str) -> Option<Outcome> {
    let outcome = Folder::new(folder.to_owned()).record()?;
    let is_same = |key: &Key| key.patch == hash(patch);
    outcome.key.as_ref().is_none_or(is_same).then_some(outcome)
}

/// Leaves that in an instance's folder.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn record(folder: &Path, outcome: &Outcome) -> io::Result<()> {
    Folder::new(folder.to_owned()).write_record(outcome)
}

/// Takes over the verdict, and writes `report.json`.
fn note_grade(
    graded: Result<Verdict, NoGrade>,
    killed: Option<Exceeded>,
    folder: &Folder,
    log: &mut InstanceLog,
    outcome: &mut Outcome,
) -> Result<(), SandboxError> {
    let verdict = match (graded, killed) {
        (Ok(verdict), _) => verdict,
        (Err(NoGrade::Failed(error)), _) => return Err(error.into()),
        (Err(_), Some(killed)) => return Err(SandboxError::Limit(killed)),
        (Err(no_grade), None) => {
            outcome.status = Status::Ungradable;
            let why = match no_grade {
                NoGrade::Disagreement {
                    native,
                    upstream,
                    why,
                } => {
                    folder.write_disagreement(&native, &upstream)?;
                    why
                }
                NoGrade::Ungradable(why) => why,
                NoGrade::Failed(error) => error.to_string(),
            };
            log.say(&format!("Error in evaluating model: {why}"));
            outcome.why = Some(why);
            return Ok(());
        }
    };
    // A report would be a verdict for upstream's summary, too.
    if let Some(killed) = killed.filter(|_| !verdict.resolved) {
        outcome.fail_to_pass = verdict.fail_to_pass;
        outcome.pass_to_pass = verdict.pass_to_pass;
        outcome.failed_tests = verdict.failed_tests;
        return Err(SandboxError::Limit(killed));
    }
    folder.write_report(&verdict.document)?;
    log.say(&format!(
        "report: {}\nResult for {}: resolved: {}",
        verdict.document,
        outcome.instance_id,
        if verdict.resolved { "True" } else { "False" }
    ));
    outcome.status = match &verdict {
        verdict if verdict.resolved => Status::Resolved,
        verdict if verdict.infra_failure => Status::Infra,
        _ => Status::Unresolved,
    };
    outcome.why = verdict.without_results();
    outcome.fail_to_pass = verdict.fail_to_pass;
    outcome.pass_to_pass = verdict.pass_to_pass;
    outcome.failed_tests = verdict.failed_tests;
    Ok(())
}

fn lap(clock: &mut Instant) -> f64 {
    let now = Instant::now();
    let seconds = now.duration_since(*clock).as_secs_f64();
    *clock = now;
    seconds
}

/// Says that the script, or its test command, was ended by a signal.
fn note_signal(ended: &Ended, log: &Path, outcome: &mut Outcome) -> io::Result<()> {
    if outcome.status == Status::Resolved {
        return Ok(());
    }
    let of_script = match ended {
        Ended::Exited(code) => advice::signal_of(*code),
        Ended::TimedOut | Ended::Exceeded(_) => None,
    };
    let (what, signal) = match of_script {
        Some(signal) => ("script", Some(signal)),
        None => ("test command", advice::signal_of_tests(&read_log(log)?)),
    };
    let Some(signal) = signal else {
        return Ok(());
    };
    outcome.signal = Some(signal);
    let killed = format!(
        "the {what} was killed ({}), neither by ohoci nor because memory ran out",
        advice::signal_name(signal)
    );
    outcome.why = Some(match outcome.why.take() {
        Some(why) => format!("{killed}; {why}"),
        None => killed,
    });
    Ok(())
}

/// The beginning of a log, as much as is looked through for signs.
fn read_log(path: &Path) -> io::Result<String> {
    use std::io::Read as _;
    let mut log = Vec::new();
    fs_err::File::open(path)?
        .take(MOST_SEARCHED)
        .read_to_end(&mut log)?;
    Ok(String::from_utf8_lossy(&log).into_owned())
}

/// The end of a log.
fn end_of(path: &Path) -> io::Result<String> {
    use std::io::{Read as _, Seek as _};
    let mut file = fs_err::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(io::SeekFrom::Start(length.saturating_sub(END_OF_LOG)))?;
    let mut end = Vec::new();
    file.take(END_OF_LOG).read_to_end(&mut end)?;
    Ok(tail(&end, TAIL_LINES, TAIL_BYTES))
}

fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}
