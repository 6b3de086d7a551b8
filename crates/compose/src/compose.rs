//! Runs a compose job, in phases that each have a type: `Opened`, `Read`, `Composed`, `Planned`,
//! `Delivered`.

mod additions;
mod composed;
mod delivered;
mod documents;
mod existing;
mod following;
mod in_memory;
mod links;
mod needs;
mod opened;
mod planned;
mod prefix;
mod reading;
mod reuse;
mod run;
mod tools;

use std::sync::Arc;

use super::job::Job;
use super::report::ComposeReport;
use super::resolver::Resolver;
use super::watch::{Observer, Unwatched};
pub(super) use documents::Made;
pub use in_memory::{Documents, ImageLayer, InMemory, documents_of, in_memory};
use ohoci_store::Error;
use opened::{Opened, Opening, open};
use run::Run;

/// Runs the job.
///
/// # Errors
/// The first thing that failed. Nothing was tagged then, except in targets that were finished
/// before the one that failed.
pub async fn compose(
    job: &Job,
    resolver: &Resolver,
    observer: &Arc<dyn Observer>,
) -> Result<ComposeReport, Error> {
    let opened = match open(Run::start(job, resolver, observer)).await? {
        Opening::Done(report) => return Ok(*report),
        Opening::Open(opened) => *opened,
    };
    let read = opened.read().await?;
    let composed = read.compose().await?;
    let planned = composed.plan()?;
    let delivered = planned.deliver().await?;
    Ok(delivered.report())
}

/// The documents that the job makes; nothing is pushed, whatever it says of targets.
pub(super) async fn documents(job: &Job, resolver: &Resolver) -> Result<Made, Error> {
    let observer: Arc<dyn Observer> = Arc::new(Unwatched);
    let run = Run::start(job, resolver, &observer);
    let composed = Opened::nowhere(run).read().await?.make().await?;
    Ok(composed.made)
}
