//! `ohoci compose`: put ready-made layers on a base image.

mod arguments;
mod job;
mod patch;
mod text;

use std::sync::Arc;

pub use arguments::{Arguments, CommonArguments, PositionArgument};
pub(super) use job::{common, job};
pub(super) use text::cost;

use super::arguments::{Format, RegistryArguments};
use super::context::Context;
use super::exit_code;
use super::failure::Failure;
use super::output;
use super::progress::Progress;
use crate::transfer::Observer;
use crate::transfer::compose::compose;
use crate::transfer::report::Status;

/// Runs the command.
pub(super) async fn run(
    arguments: &Arguments,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    let started = std::time::Instant::now();
    let context = Context::open(registry)?;
    let progress = Progress::start();
    let observer: Arc<dyn Observer> = Arc::clone(&progress) as _;
    let outcome = async {
        let job = job(arguments, &context).await?;
        Box::pin(compose(&job, &context.places, &observer))
            .await
            .map_err(Failure::from)
    }
    .await;
    context.places.close().await;
    progress.end();
    context.show_server_warnings();
    let mut report = outcome?;
    // Packing local layers came before the job began.
    report.cost.set_elapsed(started.elapsed());
    for warning in &report.warnings {
        output::warning(warning);
    }
    match arguments.format {
        Format::Json => output::json(&report)?,
        Format::Text if arguments.dry_run && report.status != Status::Skipped => {
            output::result(&text::plan(&report));
        }
        Format::Text => {
            if let Some(reference) = &report.reference {
                output::result(reference);
            }
        }
    }
    if arguments.stats {
        output::note(&text::statistics(&report));
    }
    Ok(exit_code::DONE)
}
