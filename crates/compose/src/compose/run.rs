//! What the phases of one compose run share.

use std::sync::Arc;
use std::time::Instant;

use crate::job::Job;
use crate::resolver::Resolver;
use crate::watch::{Event, Observer};

/// A run: what is asked, what it is done with, who watches.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(super) job: &'a Job,
    pub(super) resolver: &'a Resolver,
    pub(super) observer: &'a Arc<dyn Observer>,
    pub(super) started: Instant,
}

impl<'a> Run<'a> {
    /// A run that starts now.
    pub(crate) fn start(
        job: &'a Job,
        resolver: &'a Resolver,
        observer: &'a Arc<dyn Observer>,
    ) -> Self {
        Self {
            job,
            resolver,
            observer,
            started: Instant::now(),
        }
    }

    /// Tells whoever watches what is being done.
    pub(super) fn step(&self, what: &str) {
        self.observer.event(&Event::Step(what.to_owned()));
    }
}
