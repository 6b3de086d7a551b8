//! Why a file could not be had.

use std::fmt;

/// The kinds of failure that callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FetchErrorKind {
    /// No mirror has it.
    Gone,
    /// A mirror refuses to hand it out.
    Refused,
    /// A mirror cannot be reached, or fails.
    Unreachable,
    /// What a mirror has is not what it should be.
    Corrupt,
    /// There is no mirror to ask.
    NoMirror,
    /// It cannot be kept on this machine.
    Local,
}

/// A file that no mirror handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchError {
    what: String,
    refusals: Vec<Refusal>,
    kind: FetchErrorKind,
}

/// What one mirror answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What went wrong.
    pub kind: FetchErrorKind,
    /// The mirror, by host and path; empty when it is this machine's fault.
    pub mirror: String,
    /// Why, in its own words where it has some.
    pub why: String,
}

impl FetchError {
    /// `what` could not be had, for all these reasons.
    #[must_use]
    pub fn new(what: impl Into<String>, refusals: Vec<Refusal>) -> Self {
        // The worst counts: a file is only gone when every mirror says so.
        let kind = refusals.iter().map(|refusal| refusal.kind).max();
        Self {
            what: what.into(),
            refusals,
            kind: kind.unwrap_or(FetchErrorKind::NoMirror),
        }
    }

    /// What was to be downloaded.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The kind of failure.
    #[must_use]
    pub fn kind(&self) -> FetchErrorKind {
        self.kind
    }

    /// Why, with the words of every mirror.
    #[must_use]
    pub fn why(&self) -> String {
        if self.refusals.is_empty() {
            return "this machine is set up with no mirror for it".to_owned();
        }
        let reasons: Vec<String> = self
            .refusals
            .iter()
            .map(|refusal| match refusal.mirror.as_str() {
                "" => refusal.why.clone(),
                mirror => format!("{mirror}: {}", refusal.why),
            })
            .collect();
        reasons.join("; ")
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot download {}: {}", self.what, self.why())
    }
}

impl std::error::Error for FetchError {}
