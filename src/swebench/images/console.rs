//! What is said on stderr while images are built.

use std::path::Path;
use std::sync::Arc;

use super::report_text::{tell, tell_outcome};
use crate::deps;
use crate::limits::LimitArguments;
use crate::output;
use crate::progress::Progress;
use ohoci_deps::NewLock;
use ohoci_sandbox::Limiter;
use ohoci_swebench_images::BuildError;
use ohoci_swebench_images::observer::Observer;
use ohoci_swebench_images::report::ImageOutcome;

/// Tells of images on stderr.
#[derive(Debug)]
pub(in crate::swebench) struct Console<'a> {
    /// What is being downloaded; its end is here.
    pub(in crate::swebench) progress: Arc<Progress>,
    /// What was asked for of limits.
    pub(in crate::swebench) limits: &'a LimitArguments,
}

impl Observer for Console<'_> {
    fn ended(&self, outcome: &ImageOutcome) {
        self.progress.suspend(|| tell_outcome(outcome));
    }

    fn locked(&self, made: &NewLock) {
        self.progress.suspend(|| deps::lock::tell_new(made));
    }

    fn assembling(&self, packages: usize) {
        let text = format!("base: assembling {packages} packages");
        self.progress.suspend(|| output::note(&text));
    }

    fn without_base(&self, error: &BuildError) {
        self.progress.end();
        tell("base", error);
    }

    fn limited(&self, limiter: &Limiter) {
        self.progress.suspend(|| self.limits.tell(limiter));
    }

    fn prepared(&self) {
        self.progress.end();
    }

    fn submitted(&self, scripts: &[&Path]) {
        let scripts: Vec<String> = scripts
            .iter()
            .map(|script| script.display().to_string())
            .collect();
        let text = format!("submitted {}; waiting", scripts.join(", then "));
        self.progress.suspend(|| output::note(&text));
    }

    fn warned(&self, warning: &str) {
        self.progress.suspend(|| output::warning(warning));
    }
}
