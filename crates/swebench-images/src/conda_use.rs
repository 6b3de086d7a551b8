//! What an environment has of conda's channels.

use std::sync::Arc;

use ohoci_conda::record::Located;

/// What a plan knows of an environment and conda's channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CondaUse {
    /// It is made of these packages, which upstream froze.
    Frozen(Arc<[Located]>),
    /// It is made of these packages, which do what upstream asks for.
    Solved(Arc<[Located]>),
    /// No channel has these packages, which upstream froze: pip is left.
    Missing(Vec<String>),
    /// No packages of the channels do what upstream asks for: why, in the solver's words. pip is left.
    Conflict(String),
}

impl CondaUse {
    /// The packages that it is made of.
    #[must_use]
    pub fn packages(&self) -> Option<&Arc<[Located]>> {
        match self {
            Self::Frozen(packages) | Self::Solved(packages) => Some(packages),
            Self::Missing(_) | Self::Conflict(_) => None,
        }
    }
}
