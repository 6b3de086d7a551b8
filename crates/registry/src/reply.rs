//! An answer whose body has not been read yet, and reading it within limits.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{StatusCode, Url};

use super::error::{Error, ErrorKind};
use super::error_body::{ErrorBody, MAX_ERROR_BODY};
use super::failure::{Failure, Shown, authority, refusal};
use super::pacing::Permit;
use super::sent::Sent;
use super::statistics::Counters;
use ohoci_http::{Pace, TooSlow};

/// How long the reason of a refusal is waited for.
const MOST_FOR_A_REASON: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The registry as it stands in references.
    pub(crate) host: String,
    /// Where the answer came from, after any redirect.
    pub(crate) url: Url,
    /// Who asked.
    pub(crate) shown: Shown,
    pub(crate) response: reqwest::Response,
    pub(crate) counters: Counters,
    pub(crate) pace: Pace,
    /// What the request showed.
    pub(crate) sent: Sent,
    /// How long the body of a document may take.
    pub(crate) document_timeout: Duration,
    #[expect(dead_code, reason = "held until the body has been read")]
    pub(crate) permit: Option<Permit>,
}

/// An answer that was read whole.
#[derive(Clone, Debug)]
pub(crate) struct Whole {
    /// Where it came from, after any redirect.
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Whole {
    /// A header's value, when it is visible ASCII.
    pub(crate) fn header(&self, name: impl Into<HeaderName>) -> Option<&str> {
        self.headers.get(name.into())?.to_str().ok()
    }
}

impl Reply {
    /// The status.
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The headers.
    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// A header's value, when it is visible ASCII.
    pub(crate) fn header(&self, name: impl Into<HeaderName>) -> Option<&str> {
        self.headers().get(name.into())?.to_str().ok()
    }

    /// The next piece of the body; `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        match self.pace.next(self.response.chunk()).await {
            Ok(Ok(chunk)) => {
                self.counters.down(chunk.as_ref().map_or(0, Bytes::len));
                Ok(chunk)
            }
            Ok(Err(error)) => Err(Failure::of(error.into(), &self.url)),
            Err(TooSlow::Silent(idle)) => {
                Err(Failure::stalled(&authority(&self.url), idle.as_secs()))
            }
            Err(slow) => Err(Failure::too_slow(&authority(&self.url), slow)),
        }
    }

    /// The answer with its whole body, which may have up to `limit` bytes.
    pub(crate) async fn whole(self, limit: u64) -> Result<Whole, Failure> {
        Ok(Whole {
            url: self.url.clone(),
            headers: self.headers().clone(),
            body: self.bytes(limit).await?,
        })
    }

    /// The whole body, which may have up to `limit` bytes.
    pub(crate) async fn bytes(mut self, limit: u64) -> Result<Bytes, Failure> {
        let too_large = || {
            Failure::lasting(Error::new(
                ErrorKind::Unsupported,
                format!("the answer is larger than {limit} bytes"),
            ))
        };
        if self.response.content_length().is_some_and(|n| n > limit) {
            return Err(too_large());
        }
        let (url, allowed) = (self.url.clone(), self.document_timeout);
        let read = async {
            let mut whole = BytesMut::new();
            while let Some(chunk) = self.chunk().await? {
                if (whole.len() as u64).saturating_add(chunk.len() as u64) > limit {
                    return Err(too_large());
                }
                if whole.is_empty() {
                    whole = BytesMut::from(chunk);
                } else {
                    whole.extend_from_slice(&chunk);
                }
            }
            Ok(whole.freeze())
        };
        tokio::time::timeout(allowed, read)
            .await
            .unwrap_or_else(|_| Err(Failure::overdue(&authority(&url), allowed)))
    }

    /// Reads and forgets a short body, so that the connection can be used again.
    pub(crate) async fn drain(self) {
        let _ = self.error_body().await;
    }

    /// The reasons in the body, as far as they can be read.
    pub(crate) async fn error_body(mut self) -> ErrorBody {
        let limit = self.document_timeout.min(MOST_FOR_A_REASON);
        let mut start = BytesMut::new();
        let read = async {
            while let Ok(Some(chunk)) = self.chunk().await {
                start.extend_from_slice(&chunk);
                if start.len() as u64 > MAX_ERROR_BODY {
                    break;
                }
            }
        };
        // A reason that trickles in is not worth more waiting than one that does not come.
        let _ = tokio::time::timeout(limit, read).await;
        start.truncate(usize::try_from(MAX_ERROR_BODY).unwrap_or(usize::MAX));
        ErrorBody::parse(&start, &self.sent)
    }

    /// The failure that this answer means.
    pub(crate) async fn into_error(self) -> Error {
        self.into_error_and_body().await.0
    }

    /// The failure that this answer means, and the reasons it was made from.
    pub(crate) async fn into_error_and_body(self) -> (Error, ErrorBody) {
        let (host, status, shown) = (self.host.clone(), self.status(), self.shown.clone());
        let body = self.error_body().await;
        (refusal(&host, status, &body, shown), body)
    }
}
