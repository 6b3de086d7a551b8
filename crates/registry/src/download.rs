//! Streaming a blob: resumed where a connection breaks, verified at the end.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::header::{CONTENT_RANGE, HeaderValue, RANGE};
use reqwest::{Method, Url};

use super::body::{Body, BodyError, ByteStream};
use super::error::{Error, ErrorKind};
use super::failure::Failure;
use super::pacing::Lane;
use super::reply::Reply;
use super::repository::{Endpoint, Repository};
use ohoci_http::redacted;
use ohoci_image::{Descriptor, Digest, Hasher};

/// Bytes after which a broken download counts as having got on, so that it may break again.
const PROGRESS: u64 = 1 << 20;

/// A blob in a registry.
#[derive(Debug, Clone)]
pub(crate) struct RemoteBlob {
    repository: Repository,
    endpoints: Vec<Endpoint>,
    descriptor: Descriptor,
    lane: Lane,
}

/// A download under way.
struct Download {
    blob: RemoteBlob,
    /// Which endpoint it reads from.
    endpoint: usize,
    /// The open answer; `None` after a break.
    reply: Option<Reply>,
    /// Bytes of the blob before this position are done.
    position: u64,
    /// What the server sends again although it is done.
    skip: u64,
    /// Where the last break was.
    broke_at: u64,
    breaks: u32,
    /// Hashes everything, when reading began at the start.
    hasher: Option<Hasher>,
    ended: bool,
}

impl RemoteBlob {
    /// A blob that can be had at `endpoints`.
    pub(crate) fn new(
        repository: Repository,
        endpoints: Vec<Endpoint>,
        descriptor: Descriptor,
    ) -> Self {
        Self {
            repository,
            endpoints,
            descriptor,
            lane: Lane::Download,
        }
    }

    /// A blob so small that it need not stand in line with big ones.
    pub(crate) fn small(mut self) -> Self {
        self.lane = Lane::Small;
        self
    }

    fn what(&self) -> String {
        format!(
            "cannot read blob {}@{}",
            self.repository, self.descriptor.digest
        )
    }

    /// Asks one endpoint for the blob from `offset` on. Returns the answer, and how much of it comes
    /// before the offset.
    async fn request(&self, endpoint: &Endpoint, offset: u64) -> Result<(Reply, u64), Error> {
        let (reply, skip) = self.ask(endpoint, offset, false).await?;
        let expected = self.descriptor.size.saturating_sub(offset);
        expect_length(&reply, expected.saturating_add(skip))?;
        Ok((reply, skip))
    }

    /// The same, whatever the blob's size; where `hand_on`, a redirect that leaves the registry is an
    /// answer, too.
    async fn ask(
        &self,
        endpoint: &Endpoint,
        offset: u64,
        hand_on: bool,
    ) -> Result<(Reply, u64), Error> {
        let mut call = endpoint.read(Method::GET, &format!("blobs/{}", self.descriptor.digest))?;
        call.lane = self.lane;
        call.hand_on = hand_on;
        if offset > 0
            && let Ok(range) = HeaderValue::from_str(&format!("bytes={offset}-"))
        {
            call.headers.insert(RANGE, range);
        }
        let reply = self
            .repository
            .transport()
            .send(&endpoint.host, call)
            .await?;
        let skip = match reply.status().as_u16() {
            206 if offset > 0 => {
                let starts = reply.header(CONTENT_RANGE).and_then(range_start);
                if starts.is_some_and(|at| at != offset) {
                    return Err(Error::new(
                        ErrorKind::Server,
                        "the registry sent another part of the blob than was asked for",
                    ));
                }
                0
            }
            // The server does not do ranges, and begins at the start.
            200 => offset,
            300..=399 if hand_on => 0,
            201..=299 => {
                return Err(Error::new(
                    ErrorKind::Server,
                    format!("the registry answered {} where 200 was due", reply.status()),
                ));
            }
            _ => return Err(reply.into_error().await),
        };
        Ok((reply, skip))
    }

    /// Opens the blob for a client of this process at the first endpoint that has it.
    async fn relay(mut self, offset: u64, hand_on: bool) -> Result<RelayedBlob, Error> {
        let mut last = Error::new(ErrorKind::NotFound, "there is nowhere to read from");
        for (at, endpoint) in self.endpoints.iter().enumerate() {
            if endpoint.is_mirror && endpoint.host.is_out_of_use() {
                continue;
            }
            let asked = self.ask(endpoint, offset, hand_on).await;
            let asked = asked.and_then(|(reply, skip)| {
                if reply.status().is_redirection() {
                    return Ok((reply, skip, 0));
                }
                let size = whole_size(&reply, offset)?;
                Ok((reply, skip, size))
            });
            match asked {
                Ok((reply, ..)) if reply.status().is_redirection() => {
                    let location = BlobLocation(reply.url.clone());
                    reply.drain().await;
                    return Ok(RelayedBlob::Elsewhere(location));
                }
                Ok((reply, skip, size)) => {
                    self.descriptor.size = size;
                    let stream = self.download(offset, at, Some(reply), skip).stream();
                    return Ok(RelayedBlob::Here { size, stream });
                }
                Err(error) => {
                    if endpoint.is_mirror {
                        endpoint.passed_over(&error);
                    }
                    last = error;
                }
            }
        }
        Err(last)
    }

    fn download(self, offset: u64, endpoint: usize, reply: Option<Reply>, skip: u64) -> Download {
        let size = self.descriptor.size;
        let hasher = (offset == 0).then(|| Hasher::new(self.descriptor.digest.algorithm()));
        Download {
            blob: self,
            endpoint,
            reply,
            position: offset.min(size),
            skip,
            broke_at: offset,
            breaks: 0,
            hasher,
            ended: offset > 0 && offset >= size,
        }
    }

    /// Opens the blob at the first endpoint that has it.
    async fn start(&self, offset: u64) -> Result<(usize, Reply, u64), Error> {
        let mut last = Error::new(ErrorKind::NotFound, "there is nowhere to read from");
        for (at, endpoint) in self.endpoints.iter().enumerate() {
            if endpoint.is_mirror && endpoint.host.is_out_of_use() {
                continue;
            }
            match self.request(endpoint, offset).await {
                Ok((reply, skip)) => return Ok((at, reply, skip)),
                Err(error) => {
                    if endpoint.is_mirror {
                        endpoint.passed_over(&error);
                    }
                    last = error;
                }
            }
        }
        Err(last)
    }
}

#[async_trait]
impl Body for RemoteBlob {
    async fn open(&self, offset: u64) -> Result<ByteStream, BodyError> {
        if self.endpoints.is_empty() {
            // Says why there are none.
            self.repository
                .endpoints()
                .map_err(|error| error.during(|| self.what()))?;
        }
        let mut download = self.clone().download(offset, 0, None, 0);
        if !download.ended {
            let (endpoint, reply, skip) = self
                .start(offset)
                .await
                .map_err(|error| error.during(|| self.what()))?;
            download.endpoint = endpoint;
            download.reply = Some(reply);
            download.skip = skip;
        }
        Ok(download.stream())
    }
}

/// Where a registry keeps a blob's bytes: a URL that may let whoever has it read them.
#[derive(Clone, PartialEq, Eq)]
pub struct BlobLocation(Url);

impl BlobLocation {
    /// The URL, for the one who asked for the blob and for no log.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Debug for BlobLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BlobLocation")
            .field(&redacted(&self.0))
            .finish()
    }
}

/// A blob for a client of this process.
pub enum RelayedBlob {
    /// The registry sends whoever wants it to another place.
    Elsewhere(BlobLocation),
    /// Its bytes, from the offset that was asked for to the end.
    Here {
        /// How many bytes the whole blob has.
        size: u64,
        /// What comes, verified at the end where it begins at the start.
        stream: ByteStream,
    },
}

impl fmt::Debug for RelayedBlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elsewhere(location) => f.debug_tuple("Elsewhere").field(location).finish(),
            Self::Here { size, .. } => f
                .debug_struct("Here")
                .field("size", size)
                .finish_non_exhaustive(),
        }
    }
}

impl Repository {
    /// Opens a blob for a client of this process, whose size need not be known. Where the registry
    /// sends its clients elsewhere for the bytes, that is the answer if `hand_on`, and is followed
    /// otherwise. Clients that take their time keep no other request waiting.
    ///
    /// # Errors
    /// When it is not there, cannot be read, or the registry does not say how large it is.
    pub async fn relay_blob(
        &self,
        digest: &Digest,
        offset: u64,
        hand_on: bool,
    ) -> Result<RelayedBlob, Error> {
        let what = || format!("cannot read blob {self}@{digest}");
        let endpoints = self.endpoints().map_err(|error| error.during(what))?;
        // What it is called makes no difference to reading it; its size is what the answer says.
        let descriptor = Descriptor::new("application/octet-stream".to_owned(), digest.clone(), 0);
        let blob = RemoteBlob {
            lane: Lane::Relay,
            ..RemoteBlob::new(self.clone(), endpoints, descriptor)
        };
        let opened = blob.relay(offset, hand_on).await;
        opened.map_err(|error| error.during(what))
    }
}

impl Download {
    fn stream(self) -> ByteStream {
        Box::pin(futures_util::stream::try_unfold(
            self,
            |mut download| async move {
                match download.next().await {
                    Ok(Some(piece)) => Ok(Some((piece, download))),
                    Ok(None) => Ok(None),
                    Err(error) => Err(error.during(|| download.blob.what()).into()),
                }
            },
        ))
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if self.ended {
                return Ok(None);
            }
            let Some(reply) = self.reply.as_mut() else {
                self.resume().await?;
                continue;
            };
            match reply.chunk().await {
                Ok(Some(piece)) => {
                    if let Some(piece) = self.take(piece)? {
                        return Ok(Some(piece));
                    }
                }
                Ok(None) if self.position == self.blob.descriptor.size => {
                    self.ended = true;
                    return self.verify().map(|()| None);
                }
                Ok(None) => {
                    let short = Error::new(
                        ErrorKind::Corrupt,
                        format!(
                            "it ends after {} of {} bytes",
                            self.position, self.blob.descriptor.size
                        ),
                    );
                    self.broken(Failure {
                        error: short,
                        transient: true,
                    })
                    .await?;
                }
                // Everything is here; how the connection ended makes no difference.
                Err(_) if self.position == self.blob.descriptor.size => {
                    self.ended = true;
                    return self.verify().map(|()| None);
                }
                Err(failure) => self.broken(failure).await?,
            }
        }
    }

    /// Takes what is new of a piece.
    fn take(&mut self, mut piece: Bytes) -> Result<Option<Bytes>, Error> {
        let old = self.skip.min(piece.len() as u64);
        self.skip -= old;
        let piece = piece.split_off(usize::try_from(old).unwrap_or(usize::MAX).min(piece.len()));
        let position = self.position.saturating_add(piece.len() as u64);
        if position > self.blob.descriptor.size {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "it is larger than the {} bytes that its descriptor says",
                    self.blob.descriptor.size
                ),
            ));
        }
        self.position = position;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&piece);
        }
        Ok((!piece.is_empty()).then_some(piece))
    }

    fn verify(&mut self) -> Result<(), Error> {
        let Some(hasher) = self.hasher.take() else {
            return Ok(());
        };
        let found = hasher.finish();
        if found == self.blob.descriptor.digest {
            return Ok(());
        }
        let error = Error::new(
            ErrorKind::Corrupt,
            format!("its content has the digest {found}"),
        );
        if let Some(endpoint) = self
            .blob
            .endpoints
            .get(self.endpoint)
            .filter(|p| p.is_mirror)
        {
            endpoint.passed_over(&error);
        }
        Err(error)
    }

    async fn broken(&mut self, failure: Failure) -> Result<(), Error> {
        self.reply = None;
        let transport = self.blob.repository.transport();
        if self.position.saturating_sub(self.broke_at) >= PROGRESS {
            self.breaks = 0;
        }
        self.broke_at = self.position;
        self.breaks += 1;
        if !failure.transient || self.breaks >= transport.policy.attempts {
            return Err(failure.error);
        }
        tracing::debug!(error = %failure.error, position = self.position, "resuming a download");
        transport.counters.retry();
        tokio::time::sleep(transport.policy.jittered(self.breaks)).await;
        Ok(())
    }

    async fn resume(&mut self) -> Result<(), Error> {
        let endpoint = self
            .blob
            .endpoints
            .get(self.endpoint)
            .ok_or_else(|| Error::new(ErrorKind::NotFound, "there is nowhere to read from"))?;
        let (reply, skip) = self.blob.request(endpoint, self.position).await?;
        self.reply = Some(reply);
        self.skip = skip;
        Ok(())
    }
}

fn expect_length(reply: &Reply, expected: u64) -> Result<(), Error> {
    match reply.response.content_length() {
        Some(length) if length != expected => Err(Error::new(
            ErrorKind::Corrupt,
            format!("the registry offers {length} bytes where {expected} are due"),
        )),
        _ => Ok(()),
    }
}

/// How many bytes a blob has, as the answer to a request from `offset` on says.
fn whole_size(reply: &Reply, offset: u64) -> Result<u64, Error> {
    let length = reply.response.content_length();
    let size = match reply.status().as_u16() {
        206 => length.and_then(|length| length.checked_add(offset)),
        _ => length,
    };
    size.ok_or_else(|| {
        Error::new(
            ErrorKind::Server,
            "the registry does not say how large it is",
        )
    })
}

/// The first byte in `bytes 7-99/100`.
fn range_start(value: &str) -> Option<u64> {
    let range = value.trim().strip_prefix("bytes ")?;
    range.split_once('-')?.0.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        assert_eq!(range_start("bytes 7-99/100"), Some(7));
        assert_eq!(range_start("bytes 0-0/*"), Some(0));
        for bad in ["", "bytes", "bytes */100", "7-99", "bytes x-1/2"] {
            assert_eq!(range_start(bad), None, "{bad}");
        }
    }
}
