//! What can go wrong between ohoci and a registry.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ohoci_http::TransportError;

/// The kinds of failure that callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The repository, manifest or blob is not there.
    NotFound,
    /// The registry refuses: no credentials, or not enough rights.
    Denied,
    /// The registry cannot be reached or does not answer in time.
    Unreachable,
    /// The content is not what its digest or size says.
    Corrupt,
    /// The content or the request is of a kind that one side does not take.
    Unsupported,
    /// The registry's limit on requests is used up.
    RateLimited,
    /// A manifest lists something that the registry says is not there.
    Incomplete,
    /// A file of this machine, such as a certificate, cannot be read.
    Io,
    /// The registry broke the protocol, or failed.
    Server,
}

/// A failure: what was being done to which thing, why it failed, and what may help.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    what: String,
    why: String,
    hint: Option<String>,
    status: Option<u16>,
    code: Option<String>,
    come_back_in: Option<Duration>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A failure because of `why`; `during` says of what.
    #[must_use]
    pub fn new(kind: ErrorKind, why: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            what: String::new(),
            why: why.into(),
            hint: None,
            status: None,
            code: None,
            come_back_in: None,
            source: None,
        }))
    }

    /// Says what failed (`cannot read manifest registry.example/a/b:c`), unless that is known.
    #[must_use]
    pub(crate) fn during(mut self, what: impl FnOnce() -> String) -> Self {
        if self.0.what.is_empty() {
            self.0.what = what();
        }
        self
    }

    /// Adds what the person could do about it.
    #[must_use]
    pub fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds the HTTP status of the answer.
    #[must_use]
    pub(crate) fn with_status(mut self, status: u16) -> Self {
        self.0.status = Some(status);
        self
    }

    /// Adds the registry's own error code, such as `MANIFEST_UNKNOWN`.
    #[must_use]
    pub fn with_code(mut self, code: Option<String>) -> Self {
        self.0.code = code;
        self
    }

    /// Adds the pause that the registry asks for, which is longer than ohoci waits.
    #[must_use]
    pub fn put_off(mut self, wait: Duration) -> Self {
        self.0.come_back_in = Some(wait);
        self
    }

    /// Keeps the error that caused this one.
    #[must_use]
    pub fn caused_by(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// The same failure as another kind.
    #[must_use]
    pub(crate) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// The kind of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What failed, with the reference.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// Why, in the registry's words where it had any.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.0.why
    }

    /// What may help.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The HTTP status, when the registry answered.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// The registry's own code (distribution-spec, "Error codes"), when it sent one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// How long the registry wants to be left alone, when it said so and that is too long to wait
    /// for.
    #[must_use]
    pub fn come_back_in(&self) -> Option<Duration> {
        self.0.come_back_in
    }
}

impl From<TransportError> for Error {
    fn from(error: TransportError) -> Self {
        let kind = match error {
            TransportError::Proxy { .. } => ErrorKind::Unsupported,
            _ => ErrorKind::Io,
        };
        let hint = error.hint();
        let failure = Self::new(kind, error.to_string()).caused_by(error);
        match hint {
            Some(hint) => failure.hinted(hint),
            None => failure,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.what.is_empty() {
            f.write_str(&self.0.why)
        } else {
            write!(f, "{}: {}", self.0.what, self.0.why)
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("what", &self.0.what)
            .field("why", &self.0.why)
            .field("hint", &self.0.hint)
            .field("status", &self.0.status)
            .field("code", &self.0.code)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}
