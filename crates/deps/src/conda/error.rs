//! Why packages of conda cannot be had.

use std::fmt;

/// The kinds of failure that callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CondaErrorKind {
    /// A channel is called by a name, and nothing says where channels are.
    NoPlace,
    /// A channel is not there.
    NoChannel,
    /// A channel, or a package of it, cannot be reached or read.
    Unreachable,
    /// A channel no longer has a package that it lists.
    Gone,
    /// A package's file is not what the channel says.
    WrongDigest,
    /// A package's file, or a list, is damaged or means harm.
    Malformed,
}

/// Why packages of conda cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CondaError {
    kind: CondaErrorKind,
    what: String,
    why: String,
}

impl CondaError {
    pub(crate) fn new(
        kind: CondaErrorKind,
        what: impl Into<String>,
        why: impl fmt::Display,
    ) -> Self {
        Self {
            kind,
            what: what.into(),
            why: why.to_string(),
        }
    }

    /// The kind of failure.
    #[must_use]
    pub fn kind(&self) -> CondaErrorKind {
        self.kind
    }

    /// What may help.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self.kind {
            CondaErrorKind::NoPlace => Some(
                "say where it is: --channel URL or DIR, CONDA_CHANNEL_ALIAS, channel_alias in .condarc, or conda in [mirrors] of ohoci.toml",
            ),
            CondaErrorKind::NoChannel => Some(
                "a channel has directories such as linux-64 and noarch, each with a repodata.json",
            ),
            CondaErrorKind::Gone => {
                Some("another channel or mirror may still have it: --channel URL or DIR")
            }
            CondaErrorKind::WrongDigest => Some(
                "the channel was changed after it was indexed, or the file on its way; do not use it as it is",
            ),
            CondaErrorKind::Unreachable | CondaErrorKind::Malformed => None,
        }
    }
}

impl fmt::Display for CondaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            CondaErrorKind::NoPlace => write!(f, "nothing says where the channel {} is", self.what),
            CondaErrorKind::NoChannel => {
                write!(f, "there is no channel {}: {}", self.what, self.why)
            }
            CondaErrorKind::Gone => write!(f, "{} has left its channel: {}", self.what, self.why),
            _ => write!(f, "{}: {}", self.what, self.why),
        }
    }
}

impl std::error::Error for CondaError {}
