//! What part a layer, or an input that layers come from, has in a composed image.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a layer of a composed image comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The base image.
    Base,
    /// A deps image.
    Deps,
    /// A tar or directory of whoever composed.
    Local,
}

impl Role {
    /// Its name in records and reports: `base`, `deps`, `local`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Deps => "deps",
            Self::Local => "local",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
