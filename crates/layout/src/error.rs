//! What can go wrong with a layout.

use std::error::Error as StdError;
use std::io;

/// The kinds of failure that callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The layout, or something in it, is not there.
    NotFound,
    /// The content is not what its digest, size or format says.
    Corrupt,
    /// The content is well-formed, but of a kind that ohoci does not take.
    Unsupported,
    /// Reading or writing files failed.
    Io,
}

/// A failure: what was being done to which thing, why it failed, and what may help.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {why}")]
pub struct Error {
    /// Of which kind it is.
    pub kind: ErrorKind,
    /// What failed, with the path.
    pub what: String,
    /// Why, in the file's or the system's words.
    pub why: String,
    /// What may help.
    pub hint: Option<String>,
    /// What caused it.
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(super) fn new(kind: ErrorKind, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
            why: why.into(),
            hint: None,
            source: None,
        }
    }

    pub(super) fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Of which kind it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Why, in the file's or the system's words.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }
}

/// Turns an error about files into one about a layout.
pub(super) fn failure(what: impl Into<String>, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::InvalidData => ErrorKind::Corrupt,
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        _ => ErrorKind::Io,
    };
    let full = error.kind() == io::ErrorKind::StorageFull;
    let failure = Error::new(kind, what, error.to_string());
    Error {
        hint: full.then(|| DISK_FULL.to_owned()),
        source: Some(Box::new(error)),
        ..failure
    }
}

/// What helps where a disk is full.
pub const DISK_FULL: &str = "the disk is full; free some space, or choose another directory";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_named_with_a_way_out() {
        let error = failure("cannot write", io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(error.kind, ErrorKind::Io);
        assert_eq!(error.hint.as_deref(), Some(DISK_FULL));
    }
}
