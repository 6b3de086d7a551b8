//! What can go wrong in a place.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use ohoci_files::blocking::Lost;
use ohoci_registry::BodyError;

/// The kinds of failure that callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The image, manifest or blob is not there.
    NotFound,
    /// The place refuses: no credentials, or not enough rights.
    Denied,
    /// The policy does not let the image in.
    Untrusted,
    /// The place cannot be reached or does not answer in time.
    Unreachable,
    /// The content is not what its digest, size or format says.
    Corrupt,
    /// The content is well-formed, but of a kind that ohoci does not take.
    Unsupported,
    /// Bytes would have to be moved, and the caller forbade it.
    WouldUpload,
    /// A manifest lists something that is not in the target.
    Incomplete,
    /// Reading or writing this machine's files failed.
    Io,
    /// The server broke the protocol, or failed.
    Server,
}

/// A failure: what was being done to which thing, why it failed, and what may help.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    what: String,
    why: String,
    hint: Option<String>,
    come_back_in: Option<Duration>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A failure of `what` (`cannot read config of registry.example/a:b`) because of `why` (the
    /// server's or the file's own words).
    #[must_use]
    pub fn new(kind: ErrorKind, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
            why: why.into(),
            hint: None,
            come_back_in: None,
            source: None,
        }
    }

    /// Adds what the person could do about it.
    #[must_use]
    pub fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the pause that the registry asks for, which is longer than ohoci waits.
    #[must_use]
    pub(crate) fn put_off(mut self, wait: Option<Duration>) -> Self {
        self.come_back_in = wait;
        self
    }

    /// Keeps the error that caused this one.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// A failed operation on a file; `error` from `fs_err` names the path.
    #[must_use]
    pub fn io(what: impl Into<String>, error: std::io::Error) -> Self {
        let full = error.kind() == std::io::ErrorKind::StorageFull;
        let failure = Self::new(ErrorKind::Io, what, error.to_string()).caused_by(error);
        if full {
            failure.hinted(ohoci_layout::error::DISK_FULL)
        } else {
            failure
        }
    }

    /// The kind of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What failed, with the reference or path.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Why, in the words of the server or the file.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }

    /// How long the registry wants to be left alone, when it said so and that is too long to wait
    /// for.
    #[must_use]
    pub fn come_back_in(&self) -> Option<Duration> {
        self.come_back_in
    }

    /// What may help.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

impl Error {
    /// Why the content of a blob cannot be had. A registry's error says itself what failed; `what`
    /// failed where it was on this machine.
    #[must_use]
    pub fn reading(what: impl Into<String>, error: BodyError) -> Self {
        match error {
            BodyError::Registry(error) => error.into(),
            BodyError::Io(error) => match error.kind() {
                std::io::ErrorKind::InvalidData => {
                    Self::new(ErrorKind::Corrupt, what, error.to_string()).caused_by(error)
                }
                std::io::ErrorKind::NotFound => {
                    Self::new(ErrorKind::NotFound, what, error.to_string()).caused_by(error)
                }
                _ => Self::io(what, std::io::Error::new(error.kind(), error)),
            },
        }
    }
}

impl From<ohoci_registry::Error> for Error {
    fn from(error: ohoci_registry::Error) -> Self {
        let kind = match error.kind() {
            ohoci_registry::ErrorKind::NotFound => ErrorKind::NotFound,
            ohoci_registry::ErrorKind::Denied => ErrorKind::Denied,
            ohoci_registry::ErrorKind::Unreachable => ErrorKind::Unreachable,
            ohoci_registry::ErrorKind::Corrupt => ErrorKind::Corrupt,
            ohoci_registry::ErrorKind::Unsupported => ErrorKind::Unsupported,
            ohoci_registry::ErrorKind::Incomplete => ErrorKind::Incomplete,
            ohoci_registry::ErrorKind::Io => ErrorKind::Io,
            ohoci_registry::ErrorKind::RateLimited | ohoci_registry::ErrorKind::Server => {
                ErrorKind::Server
            }
        };
        let hint = error.hint().map(str::to_owned);
        let wrapped = Self::new(kind, error.what().to_owned(), error.why().to_owned())
            .put_off(error.come_back_in());
        match hint {
            Some(hint) => wrapped.hinted(hint),
            None => wrapped,
        }
        .caused_by(error)
    }
}

impl From<ohoci_layout::ErrorKind> for ErrorKind {
    fn from(kind: ohoci_layout::ErrorKind) -> Self {
        match kind {
            ohoci_layout::ErrorKind::NotFound => Self::NotFound,
            ohoci_layout::ErrorKind::Corrupt => Self::Corrupt,
            ohoci_layout::ErrorKind::Unsupported => Self::Unsupported,
            ohoci_layout::ErrorKind::Io => Self::Io,
        }
    }
}

impl From<Lost> for Error {
    fn from(lost: Lost) -> Self {
        Self::io("cannot work with files", lost.into())
    }
}

impl From<ohoci_layout::Error> for Error {
    fn from(error: ohoci_layout::Error) -> Self {
        Self {
            kind: error.kind.into(),
            what: error.what,
            why: error.why,
            hint: error.hint,
            come_back_in: None,
            source: error.source,
        }
    }
}

/// Turns an error about files into one about a place.
pub(crate) fn failure(what: impl Into<String>, error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::InvalidData => {
            Error::new(ErrorKind::Corrupt, what, error.to_string()).caused_by(error)
        }
        std::io::ErrorKind::NotFound => {
            Error::new(ErrorKind::NotFound, what, error.to_string()).caused_by(error)
        }
        _ => Error::io(what, error),
    }
}
