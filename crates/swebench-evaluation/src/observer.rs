//! Who hears how a run goes.

use std::path::Path;

use super::outcome::Outcome;
use ohoci_sandbox::Limiter;

/// Hears how a run goes.
pub trait Observer: Sync {
    /// The `number`th of `count` instances has ended.
    fn ended(&self, number: usize, count: usize, outcome: &Outcome);
    /// An instance is run once more, and why.
    fn again(&self, instance_id: &str, why: &str);
    /// Something went wrong that changes no outcome.
    fn warned(&self, warning: &str);
    /// Something is done in a way that a person may want to know.
    fn noted(&self, _note: &Note<'_>) {}
    /// What runs are held to their limits with.
    fn limited(&self, _limiter: &Limiter) {}
}

/// What a person may want to know.
#[derive(Clone, Copy, Debug)]
pub enum Note<'a> {
    /// No overlay can be mounted, so that sandboxes are made in another way.
    NoOverlay {
        /// Why.
        why: &'a str,
        /// The other way.
        way: &'a str,
    },
    /// How many instances are evaluated at once, where that was not asked for.
    Workers {
        /// How many.
        count: usize,
        /// What limits them.
        by: &'a str,
    },
    /// Images that are not there are being built.
    Building {
        /// How many.
        missing: usize,
        /// Of how many.
        of: usize,
    },
    /// A part of the run is in the registry now.
    Pushed(&'a str),
    /// A batch script was submitted, and its shards are waited for.
    Submitted(&'a Path),
}
