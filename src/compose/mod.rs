//! `ohoci compose`: put ready-made layers on a base image.

mod arguments;
mod contract;
mod job;
mod patch;
mod tagging;
mod text;

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Instant;

pub use arguments::{Arguments, CommonArguments};
pub use contract::ContractArgument;
pub(super) use job::{common, epoch, job};
pub(super) use tagging::Tagging;
pub(super) use text::{cost, difference};

use super::arguments::{Format, RegistryArguments};
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
    let context = Context::open(registry)?;
    let view = View {
        format: arguments.format,
        stats: arguments.stats,
    };
    run_job(&context, job(arguments, &context), view, started).await
}

/// How the result of a job is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub(super) format: Format,
    pub(super) stats: bool,
}

/// Makes a job, runs it and shows what came of it.
pub(super) async fn run_job(
    context: &Context,
    job: impl Future<Output = Result<Job, Failure>>,
    view: View,
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
    if view.format == Format::Text {
        if std::io::stderr().is_terminal() {
            report.made.iter().for_each(|made| output::note(made));
        }
        for fitted in &report.fitted {
            output::note(&text::fitted(fitted));
        }
    }
    match view.format {
        Format::Json => output::json(&report)?,
        Format::Text if dry_run && report.status != Status::Skipped => {
            output::result(&text::plan(&report))?;
        }
        Format::Text => {
            if let Some(reference) = &report.reference {
                output::result(reference)?;
            }
        }
    }
    if view.stats {
        output::note(&text::statistics(&report));
    }
    Ok(exit_code::DONE)
}
