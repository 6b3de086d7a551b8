//! First phase: the targets are opened, and what exists already is settled.

use super::existing::{self, Existing};
use super::reuse::{self, Outcome};
use super::run::Run;
use crate::job::{IfExists, Pins};
use crate::report::{ComposeReport, Reused};
use crate::resolver::Destination;
use ohoci_image::Reference;
use ohoci_store::Error;

/// A run whose targets are open. Nothing of base and deps has been read.
pub(crate) struct Opened<'a> {
    pub(super) run: Run<'a>,
    /// Digests at which base and deps are read.
    pub(super) pins: Pins,
    /// What of an earlier image is used again, where one was looked for.
    pub(super) reused: Option<Reused>,
    /// Where the result goes.
    pub(super) destinations: Vec<Destination>,
    /// References that exist and are left as they are.
    pub(super) left: Vec<Existing>,
}

/// What opening came to.
pub(super) enum Opening<'a> {
    /// All that was asked for exists; nothing is left to do.
    Done(Box<ComposeReport>),
    /// There is something to compose.
    Open(Box<Opened<'a>>),
}

/// Opens the targets.
pub(super) async fn open(run: Run<'_>) -> Result<Opening<'_>, Error> {
    let job = run.job;
    let targets: Vec<&Reference> = job.push.iter().collect();
    let (mut pins, mut reused) = (job.pins.clone(), None);
    if let Some(order) = &job.reuse {
        run.step("looking for an earlier image");
        run.resolver.announce(&[], &targets);
        match reuse::look(order, job, run.resolver).await? {
            Outcome::Done { reference, digest } => {
                return Ok(Opening::Done(Box::new(existing::done(
                    reference,
                    digest,
                    run.resolver,
                    run.started,
                ))));
            }
            Outcome::Pinned(found, what) => (pins, reused) = (found, Some(what)),
        }
    }
    let mut destinations = run.resolver.destinations(&job.push)?;
    announce(&run, &targets);
    let mut left = Vec::new();
    if job.if_exists == IfExists::Skip || job.reuse.is_some() {
        // Asked first and alone: where everything is there, it is all that is asked.
        left = existing::leave(&mut destinations).await?;
        if let (true, Some(first)) = (destinations.is_empty(), left.first()) {
            return Ok(Opening::Done(Box::new(existing::skipped(
                first,
                &left,
                run.resolver,
                run.started,
            ))));
        }
    }
    Ok(Opening::Open(Box::new(Opened {
        run,
        pins,
        reused,
        destinations,
        left,
    })))
}

impl<'a> Opened<'a> {
    /// A run that goes nowhere, whatever its job says of targets.
    pub(crate) fn nowhere(run: Run<'a>) -> Self {
        announce(&run, &[]);
        Self {
            run,
            pins: run.job.pins.clone(),
            reused: None,
            destinations: Vec::new(),
            left: Vec::new(),
        }
    }
}

fn announce(run: &Run<'_>, targets: &[&Reference]) {
    let reads: Vec<&Reference> = std::iter::once(&run.job.base)
        .chain(&run.job.deps)
        .collect();
    run.resolver.announce(&reads, targets);
}
