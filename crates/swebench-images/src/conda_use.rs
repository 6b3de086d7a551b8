//! What an environment has of conda's channels.

use std::sync::Arc;

use ohoci_conda::record::Located;

/// What a plan knows of an environment and conda's channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CondaUse {
    /// It is made of these packages.
    Packages(Arc<[Located]>),
    /// No channel has these packages, which upstream froze: pip is left.
    Missing(Vec<String>),
    /// Upstream did not freeze it: pip is left.
    Unfrozen,
}
