//! Why npm packages cannot be used.

use crate::archive::ArchiveError;
use ohoci_layer::path::printable;

/// Why a lockfile or a tarball cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct NpmError {
    what: String,
    why: String,
    hint: Option<String>,
}

impl NpmError {
    /// `what` cannot be used because of `why`.
    pub(crate) fn new(what: &str, why: impl Into<String>) -> Self {
        Self {
            what: what.to_owned(),
            why: why.into(),
            hint: None,
        }
    }

    /// A file in it is at fault.
    pub(crate) fn member(what: &str, member: &[u8], why: impl AsRef<str>) -> Self {
        Self::new(what, format!("{}: {}", printable(member), why.as_ref()))
    }

    /// The archive that it is in cannot be read.
    pub(crate) fn archive(what: &str, error: &ArchiveError) -> Self {
        Self::new(what, error.to_string())
    }

    /// Adds what may help.
    pub(crate) fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What cannot be used: a file, or a package and its version.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// What is wrong.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }

    /// What may help.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}
