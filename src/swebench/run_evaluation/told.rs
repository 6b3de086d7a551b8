//! What is printed of a run, on the way and at its end.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::arguments::Format;
use crate::failure::Failure;
use crate::limits::LimitArguments;
use crate::progress::Progress;
use crate::{exit_code, output, printable};
use ohoci_sandbox::Limiter;
use ohoci_swebench_evaluation::finished::Written;
use ohoci_swebench_evaluation::observer::{Note, Observer};
use ohoci_swebench_evaluation::{Outcome, Status};

/// Tells of instances on stderr.
#[derive(Debug)]
pub(super) struct Console<'a> {
    /// What is downloaded while images are built; its beginning is here.
    pub(super) progress: Arc<Progress>,
    /// What was asked for of limits.
    pub(super) limits: &'a LimitArguments,
}

impl Console<'_> {
    fn note(&self, text: &str) {
        self.progress.suspend(|| output::note(text));
    }
}

impl Observer for Console<'_> {
    fn ended(&self, number: usize, count: usize, outcome: &Outcome) {
        self.note(&format!("[{number}/{count}] {}", line(outcome)));
    }

    fn again(&self, instance_id: &str, why: &str) {
        self.note(&format!("{instance_id} is run once more: {why}"));
    }

    fn warned(&self, warning: &str) {
        self.progress.suspend(|| output::warning(warning));
    }

    fn noted(&self, note: &Note<'_>) {
        match *note {
            Note::NoOverlay { why, way } => self.note(&format!(
                "no overlay can be mounted here ({why}); sandboxes are made by {way}"
            )),
            Note::Workers { count, by } => {
                self.note(&format!("{count} at once, limited by {by} (--max-workers)"));
            }
            Note::Building { missing, of } => {
                self.note(&format!("building {missing} of {of} images"));
                self.progress.show();
            }
            Note::Pushed(what) => self.note(&format!("pushed {what}")),
            Note::Submitted(script) => self.note(&format!(
                "submitted {}; waiting for its shards",
                script.display()
            )),
        }
    }

    fn limited(&self, limiter: &Limiter) {
        self.progress.suspend(|| self.limits.tell(limiter));
    }
}

/// Prints what became of a run, and says how the process ends.
pub(super) fn finish(
    format: Format,
    model: &str,
    outcomes: &[Outcome],
    written: &Written,
) -> Result<u8, Failure> {
    let count = |wanted: &dyn Fn(Status) -> bool| {
        let outcomes = outcomes.iter();
        outcomes.filter(|outcome| wanted(outcome.status)).count()
    };
    let resolved = count(&|status| status == Status::Resolved);
    match format {
        Format::Json => output::json(&outcomes)?,
        Format::Text => {
            let mut text = format!(
                "{}: {resolved} of {} resolved\n",
                printable::line(model),
                outcomes.len()
            );
            for outcome in outcomes {
                text.push_str("  ");
                text.push_str(&line(outcome));
                text.push('\n');
            }
            let _ = writeln!(text, "  summary: {}", written.summary.display());
            let _ = write!(text, "  results: {}", written.results.display());
            output::result(&text)?;
        }
    }
    Ok(if count(&|status| !status.is_verdict()) > 0 {
        exit_code::PARTLY
    } else if resolved < outcomes.len() {
        exit_code::WANTING
    } else {
        exit_code::DONE
    })
}

/// An outcome in a line.
fn line(outcome: &Outcome) -> String {
    let mut line = format!("{:<12}  {}", outcome.status.name(), outcome.instance_id);
    if let (Some(fixed), Some(kept)) = (outcome.fail_to_pass, outcome.pass_to_pass) {
        let _ = write!(
            line,
            "  FAIL_TO_PASS {}/{}, PASS_TO_PASS {}/{}",
            fixed.success, fixed.total, kept.success, kept.total
        );
    }
    if outcome.from_earlier {
        line.push_str("  (from an earlier run)");
    } else if outcome.seconds.total > 0.0 {
        let _ = write!(line, "  {:.1} s", outcome.seconds.total);
    }
    if !outcome.attempts.is_empty() {
        let resolved = outcome
            .attempts
            .iter()
            .filter(|one| **one == Status::Resolved);
        let count = outcome.attempts.len();
        let _ = write!(line, "  resolved {} of {count} times", resolved.count());
        if outcome.is_flaky() {
            line.push_str(", flaky");
        }
    }
    if let Some(why) = &outcome.why {
        let _ = write!(line, "  ({})", printable::line(why));
    }
    if let Some(advice) = &outcome.advice {
        let _ = write!(line, "\n    hint: {}", printable::line(advice));
    }
    line
}
