//! Images that are no files of this server: what it takes to answer for them.

use std::fmt;

use async_trait::async_trait;
use axum::http::{StatusCode, header};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use serde_json::{Map, Value};

use ohoci_image::{Digest, Pointer};

use super::failure::{Code, Failure};

/// The repository that a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its name, which follows distribution's grammar.
    pub name: String,
    /// The registry that the client means, where this server is its mirror: `ns` of the query, as
    /// containerd sends it.
    pub namespace: Option<String>,
}

/// A manifest or index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedManifest {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Bytes,
}

/// Pieces of a blob as they come; a failure breaks the answer off.
pub type BlobStream = BoxStream<'static, Result<Bytes, Box<dyn std::error::Error + Send + Sync>>>;

/// A blob, or where it is.
pub enum ServedBlob {
    /// The client is sent to this URL, which is no log's business: it may let whoever has it read.
    Elsewhere(String),
    /// Its bytes.
    Bytes {
        /// How many the whole blob has.
        size: u64,
        /// Those from the offset that was asked for to the end.
        stream: BlobStream,
    },
}

impl fmt::Debug for ServedBlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elsewhere(_) => f.write_str("Elsewhere(redacted)"),
            Self::Bytes { size, .. } => f
                .debug_struct("Bytes")
                .field("size", size)
                .finish_non_exhaustive(),
        }
    }
}

/// Why there is no answer, in the terms of distribution-spec's error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// There is no such repository: 404, `NAME_UNKNOWN`.
    NameUnknown,
    /// There is no such manifest: 404, `MANIFEST_UNKNOWN`.
    ManifestUnknown,
    /// There is no such blob: 404, `BLOB_UNKNOWN`.
    BlobUnknown,
    /// It is not for whoever asks: 403, `DENIED`.
    Denied,
    /// It exists, and no answer can be made of it: 422, `UNSUPPORTED`. Clients show the reasons of
    /// statuses below 500 only.
    Unsupported,
    /// Whoever has to be asked wants fewer questions: 429, `TOOMANYREQUESTS`.
    TooManyRequests,
    /// Whoever has to be asked does not answer, or not as it should: 503, `UNAVAILABLE`.
    Unavailable,
    /// This machine failed: 500, `UNKNOWN`.
    Internal,
}

/// A request that is refused, and the reason that its client sees.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    kind: RefusalKind,
    message: String,
    retry_after: Option<u64>,
}

impl Refusal {
    /// A refusal with its reason.
    #[must_use]
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            retry_after: None,
        }
    }

    /// Says after how many seconds asking again makes sense.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> RefusalKind {
        self.kind
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let (status, code) = match refusal.kind {
            RefusalKind::NameUnknown => (StatusCode::NOT_FOUND, Code::NameUnknown),
            RefusalKind::ManifestUnknown => (StatusCode::NOT_FOUND, Code::ManifestUnknown),
            RefusalKind::BlobUnknown => (StatusCode::NOT_FOUND, Code::BlobUnknown),
            RefusalKind::Denied => (StatusCode::FORBIDDEN, Code::Denied),
            RefusalKind::Unsupported => (StatusCode::UNPROCESSABLE_ENTITY, Code::Unsupported),
            RefusalKind::TooManyRequests => (StatusCode::TOO_MANY_REQUESTS, Code::TooManyRequests),
            RefusalKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable),
            RefusalKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, Code::Unknown),
        };
        let failure = Self::new(status, code, refusal.message);
        match refusal.retry_after {
            Some(seconds) => failure.header(header::RETRY_AFTER, &seconds.to_string()),
            None => failure,
        }
    }
}

/// What a server that keeps no images answers from. Every digest that it gives out it has to answer
/// for; the server itself checks none.
#[async_trait]
pub trait Images: fmt::Debug + Send + Sync {
    /// A manifest or index.
    ///
    /// # Errors
    /// When there is none, or it cannot be made.
    async fn manifest(&self, asked: &Asked, pointer: &Pointer) -> Result<ServedManifest, Refusal>;

    /// A blob from `offset` on; an offset behind its end gives no bytes.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    async fn blob(
        &self,
        asked: &Asked,
        digest: &Digest,
        offset: u64,
    ) -> Result<ServedBlob, Refusal>;

    /// How many bytes a blob has.
    ///
    /// # Errors
    /// When there is none, or it cannot be looked up.
    async fn blob_size(&self, asked: &Asked, digest: &Digest) -> Result<u64, Refusal>;

    /// The tags that can be asked for, in lexical order.
    ///
    /// # Errors
    /// When there is no such repository, or it cannot be listed.
    async fn tags(&self, asked: &Asked) -> Result<Vec<String>, Refusal>;

    /// Descriptors of the manifests that name `subject` as what they are about.
    ///
    /// # Errors
    /// When they cannot be listed.
    async fn referrers(
        &self,
        asked: &Asked,
        subject: &Digest,
    ) -> Result<Vec<Map<String, Value>>, Refusal>;

    /// More lines for `/metrics`, in Prometheus' text format.
    fn metrics(&self) -> String;
}
