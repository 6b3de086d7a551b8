//! `ohoci batch`: compose many images in one run.

mod arguments;
mod input;
mod list;
mod rebase;
mod text;
mod watch;

use std::collections::HashMap;

pub use arguments::Arguments;

use super::arguments::{Format, RegistryArguments};
use super::context::Context;
use super::failure::Failure;
use super::{exit_code, output};
use ohoci_compose::batch::{self, Item, Journal, Options, Record, RecordStatus, Summary};
use ohoci_compose::report::Cost;

/// Runs the command.
pub(super) async fn run(
    arguments: &Arguments,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    let started = std::time::Instant::now();
    let mut context = Context::open(registry)?.signing(&arguments.signing).await?;
    context.resolver = context.resolver.caching_behind();
    let items = input::items(arguments, &context).await?;
    let before = if arguments.resume || arguments.retry_failed {
        batch::journal::read(&arguments.journal)?
    } else {
        HashMap::new()
    };
    let (items, done) = remaining(items, &before, arguments.retry_failed);
    let journal = match (
        arguments.dry_run,
        arguments.resume || arguments.retry_failed,
    ) {
        (true, _) => None,
        (false, true) => Some(Journal::open(&arguments.journal)?),
        (false, false) => Some(Journal::begin(&arguments.journal)?),
    };
    let watch = watch::Watch::start(items.len(), journal.as_ref(), &context.resolver.client);
    let outcome = batch::run(
        items,
        Options {
            most: arguments.jobs,
            attempts: arguments.attempts.max(1),
            max_failures: if arguments.fail_fast {
                Some(1)
            } else {
                arguments.max_failures
            },
            verify_targets: arguments.verify_targets,
            dry_run: arguments.dry_run,
        },
        &context.resolver,
        &watch,
    )
    .await;
    context.resolver.close().await;
    watch.end()?;
    context.show_server_warnings();
    let mut records = done;
    records.extend(outcome.records);
    let cost = Cost::new(&context.resolver.client.statistics(), started.elapsed());
    let summary = Summary::new(&records, &outcome.left, cost);
    write(arguments.markdown.as_deref(), || summary.markdown())?;
    write(arguments.report.as_deref(), || {
        batch::report::html(&records, &summary)
    })?;
    match arguments.format {
        Format::Json => output::json(&summary)?,
        Format::Text if arguments.dry_run => output::result(&text::plan(&summary))?,
        Format::Text => output::result(&text::summary(&summary))?,
    }
    Ok(
        match (summary.is_whole(), summary.built + summary.skipped) {
            (true, _) => exit_code::DONE,
            (false, 0) => exit_code::FAILED,
            (false, _) => exit_code::PARTLY,
        },
    )
}

/// What is left to do, and the records of what is done.
fn remaining(
    items: Vec<Item>,
    before: &HashMap<String, Record>,
    only_failed: bool,
) -> (Vec<Item>, Vec<Record>) {
    let mut left = Vec::new();
    let mut done = Vec::new();
    for item in items {
        match before.get(&item.key) {
            Some(record) if record.is_done() => done.push(record.clone()),
            Some(record) if record.status == RecordStatus::Failed => left.push(item),
            _ if only_failed => {}
            _ => left.push(item),
        }
    }
    (left, done)
}

fn write(path: Option<&std::path::Path>, text: impl FnOnce() -> String) -> Result<(), Failure> {
    match path {
        None => Ok(()),
        Some(path) => fs_err::write(path, text()).map_err(|error| {
            Failure::new(
                format!("cannot write {}", path.display()),
                error.to_string(),
            )
        }),
    }
}
