//! Packages that may be chosen, and the best versions among them.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use rattler_conda_version::Version;

use crate::record::Located;

/// A package that may be chosen.
#[derive(Debug)]
pub(super) struct Candidate {
    /// The package.
    pub(super) located: Arc<Located>,
    /// Its version.
    pub(super) version: Version,
    /// The number of its channel: lower is better.
    pub(super) channel: usize,
}

impl Candidate {
    /// Whether it has features that speak against it.
    pub(super) fn is_avoided(&self) -> bool {
        !self.located.record.track_features.is_empty()
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = &self.located.record;
        write!(f, "{} {} {}", record.name, record.version, record.build)
    }
}

/// The best version of some packages.
#[derive(Clone, Debug)]
pub(super) struct Best {
    version: Version,
    /// Whether it has features that speak against it.
    is_avoided: bool,
}

impl Best {
    /// The best one of them, where there is any.
    pub(super) fn of<'a>(candidates: impl Iterator<Item = &'a Candidate>) -> Option<Self> {
        let all = candidates.map(|candidate| Self {
            version: candidate.version.clone(),
            is_avoided: candidate.is_avoided(),
        });
        all.reduce(|best, other| match other.version > best.version {
            true => other,
            false => best,
        })
    }

    /// Better ones first.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        let avoided = self.is_avoided.cmp(&other.is_avoided);
        avoided.then_with(|| other.version.cmp(&self.version))
    }
}
