//! `ohoci compose`: put ready-made layers on a base image.

mod arguments;
mod contract;
mod job;
mod layers;
mod patch;
mod tagging;
mod text;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

pub use arguments::{
    Arguments, CommonArguments, LayerArguments, PatchArguments, PlatformArguments, TargetArguments,
};
pub use contract::ContractArgument;
pub(super) use job::{common, created, epoch, job, on_base};
pub(super) use patch::key_value;
pub(super) use tagging::{named, naming};
pub(super) use text::{cost, difference};

use super::arguments::{Format, OutputArguments, RegistryArguments};
use super::context::Context;
use super::exit_code;
use super::failure::Failure;
use super::output;
use super::progress::Progress;
use ohoci_compose::Observer;
use ohoci_compose::compose::compose;
use ohoci_compose::job::Job;
use ohoci_compose::report::Status;

/// Runs the command.
pub(super) async fn run(
    arguments: &Arguments,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    let started = Instant::now();
    let context = Context::open(registry)?.signing(&arguments.signing).await?;
    let names_tags = arguments.common.targets.tag_scheme.is_some();
    let view = View::of(&arguments.output, names_tags);
    run_job(&context, job(arguments, &context), view, started).await
}

/// How the result of a job is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub(super) format: Format,
    pub(super) stats: bool,
    /// Where the digest of the result is written.
    pub(super) digest_file: Option<&'a Path>,
    /// Whether the tags are ohoci's choice, and are to be said.
    pub(super) names_tags: bool,
}

impl<'a> View<'a> {
    /// As the flags have it.
    pub(super) fn of(output: &'a OutputArguments, names_tags: bool) -> Self {
        Self {
            format: output.format,
            stats: output.stats,
            digest_file: output.digest_file.as_deref(),
            names_tags,
        }
    }
}

/// Makes a job, runs it and shows what came of it.
pub(super) async fn run_job(
    context: &Context,
    job: impl Future<Output = Result<Job, Failure>>,
    view: View<'_>,
    started: Instant,
) -> Result<u8, Failure> {
    let progress = Progress::start();
    let observer: Arc<dyn Observer> = Arc::clone(&progress) as _;
    let outcome = async {
        let job = job.await?;
        let report = Box::pin(compose(&job, &context.resolver, &observer)).await?;
        Ok::<_, Failure>((job.dry_run, report))
    }
    .await;
    context.resolver.close().await;
    progress.end();
    context.show_server_warnings();
    let (dry_run, mut report) = outcome?;
    // Packing local layers came before the job began.
    report.cost.set_elapsed(started.elapsed());
    for warning in &report.warnings {
        output::warning(warning);
    }
    let is_done = !dry_run || report.status == Status::Skipped;
    if let Some(path) = view.digest_file.filter(|_| is_done) {
        output::digest_file(path, &report.digest)?;
    }
    if view.format == Format::Text {
        report.made.iter().for_each(|made| output::note(made));
        if view.names_tags && is_done {
            let targets = report.targets.iter();
            for reference in targets.flat_map(|target| &target.references) {
                output::note(&format!("tagged {reference}"));
            }
        }
        for fitted in &report.fitted {
            output::note(&text::fitted(fitted));
        }
    }
    match view.format {
        Format::Json => output::json(&report)?,
        Format::Text if !is_done => {
            output::result(&text::plan(&report))?;
        }
        Format::Text => {
            let targets = report.targets.iter().map(|target| &target.reference);
            output::references(report.reference.iter().chain(targets))?;
        }
    }
    if view.stats {
        output::note(&text::statistics(&report));
    }
    Ok(exit_code::DONE)
}
