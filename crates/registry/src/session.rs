//! An upload that a registry has opened (distribution-spec, "Pushing blobs").

use std::fmt;

use reqwest::header::{HeaderName, LOCATION, RANGE};
use reqwest::{Method, Url};

use super::call::RetryLimit;
use super::error::{Error, ErrorKind};
use super::exchange::resolve;
use super::reply::Reply;
use super::repository::Repository;
use ohoci_http::redacted;
use ohoci_image::Digest;

/// The smallest chunk that a registry takes, but for the last.
const CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");

/// An open upload: where its bytes go next.
#[derive(Clone)]
pub struct UploadSession {
    url: Url,
    chunk_min: u64,
}

impl fmt::Debug for UploadSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whoever knows the state or the signature in the query can write to the upload.
        f.debug_struct("UploadSession")
            .field("url", &redacted(&self.url))
            .field("chunk_min", &self.chunk_min)
            .finish()
    }
}

impl UploadSession {
    /// The upload that an answer opens or continues.
    pub(crate) fn from_reply(reply: &Reply) -> Result<Self, Error> {
        let location = reply.headers().get(LOCATION).ok_or_else(|| {
            Error::new(
                ErrorKind::Server,
                "the registry does not say where the upload goes on (no Location)",
            )
        })?;
        // Header values may be any bytes; a URL is ASCII.
        let location = location
            .to_str()
            .map_err(|_| Error::new(ErrorKind::Server, "the registry's Location is no URL"))?;
        Ok(Self {
            url: resolve(&reply.url, location)?,
            chunk_min: reply
                .header(CHUNK_MIN_LENGTH)
                .and_then(|n| n.trim().parse().ok())
                .unwrap_or(0),
        })
    }

    /// Follows an answer to where the upload goes on; answers may leave that out.
    pub(crate) fn follow(&mut self, reply: &Reply) {
        if let Ok(next) = Self::from_reply(reply) {
            self.url = next.url;
            self.chunk_min = self.chunk_min.max(next.chunk_min);
        }
    }

    /// Where the next bytes go.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// The smallest chunk that the registry takes, but for the last.
    pub(crate) fn chunk_min(&self) -> u64 {
        self.chunk_min
    }

    /// Whether the URL's query has a parameter of that name.
    pub(crate) fn names(&self, parameter: &str) -> bool {
        self.url.query_pairs().any(|(key, _)| key == parameter)
    }

    /// The URL that ends the upload. The query is extended as it is: it may be signed.
    pub(crate) fn closing(&self, digest: &Digest) -> Url {
        with_digest(&self.url, digest)
    }
}

/// A URL with `digest=` behind whatever its query is.
pub(crate) fn with_digest(url: &Url, digest: &Digest) -> Url {
    let mut url = url.clone();
    let query = match url.query() {
        None | Some("") => format!("digest={digest}"),
        Some(query) => format!("{query}&digest={digest}"),
    };
    url.set_query(Some(&query));
    url
}

/// How many bytes of an upload the registry has, from `Range: 0-99` (or `bytes=0-99`).
///
/// An upload without bytes is announced as `0-0` by distribution, so that means none.
pub(crate) fn received(reply: &Reply) -> Option<u64> {
    parse_received(reply.header(RANGE)?)
}

fn parse_received(value: &str) -> Option<u64> {
    let range = value.trim();
    let range = range.strip_prefix("bytes=").unwrap_or(range);
    let (start, end) = range.split_once('-')?;
    if start.trim() != "0" {
        return None;
    }
    match end.trim().parse::<u64>().ok()? {
        0 => Some(0),
        last => last.checked_add(1),
    }
}

impl Repository {
    /// Opens an upload whose content may not be known yet.
    ///
    /// # Errors
    /// When the registry does not open one.
    pub async fn open_upload(&self) -> Result<UploadSession, Error> {
        self.open()
            .await
            .map_err(|error| error.during(|| format!("cannot open an upload to {self}")))
    }

    /// Whether the registry is known to take a blob in one POST, so that opening an upload for a small one
    /// beforehand would be a request too many.
    #[must_use]
    pub fn takes_blob_in_one_post(&self) -> bool {
        let endpoint = self.endpoint();
        endpoint.is_ok_and(|endpoint| endpoint.host.single_post() == Some(true))
    }

    pub(crate) async fn open(&self) -> Result<UploadSession, Error> {
        let endpoint = self.endpoint()?;
        let url = endpoint.url("blobs/uploads/")?;
        let call = endpoint.write(Method::POST, url);
        let reply = self.transport().send(&endpoint.host, call).await?;
        if !reply.status().is_success() {
            return Err(reply.into_error().await);
        }
        let session = UploadSession::from_reply(&reply);
        reply.drain().await;
        session
    }

    /// Gives up an upload, so that the registry need not wait for more of it. Whether the registry
    /// cares makes no difference.
    pub async fn cancel(&self, session: UploadSession) {
        let Ok(endpoint) = self.endpoint() else {
            return;
        };
        let call = endpoint
            .write(Method::DELETE, session.url)
            .retry_limit(RetryLimit::None);
        if let Ok(reply) = self.transport().send(&endpoint.host, call).await {
            reply.drain().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_query_stays_as_it_is() {
        let url: Url = "https://cdn.example/u?b=%2Fx%3D%3d&a=1+2&X-Sig=a/b~c"
            .parse()
            .unwrap();
        let digest = Digest::of(b"");
        assert_eq!(
            with_digest(&url, &digest).as_str(),
            format!("https://cdn.example/u?b=%2Fx%3D%3d&a=1+2&X-Sig=a/b~c&digest={digest}")
        );
        assert_eq!(
            with_digest(&"https://r.example/u".parse().unwrap(), &digest).query(),
            Some(format!("digest={digest}").as_str())
        );
    }

    #[test]
    fn what_lets_others_write_is_not_printed() {
        let session = UploadSession {
            url: "https://r.example/u?_state=hidden".parse().unwrap(),
            chunk_min: 0,
        };
        assert!(!format!("{session:?}").contains("hidden"));
    }

    #[test]
    fn ranges_of_uploads() {
        for (text, bytes) in [
            ("0-99", Some(100)),
            ("bytes=0-99", Some(100)),
            ("0-0", Some(0)),
            ("0--1", None),
            ("7-99", None),
            ("0-18446744073709551615", None),
            ("", None),
        ] {
            assert_eq!(parse_received(text), bytes, "{text}");
        }
    }
}
