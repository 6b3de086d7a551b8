//! Uploading a blob: one request where that works, chunks where it does not (distribution-spec,
//! "Pushing blobs").
//!
//! The ladder is regclient's (`scheme/reg/blob.go`): a single PUT, then asking the registry what
//! it has and going on from there in chunks, then from the start in a new upload.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{CONTENT_RANGE, HeaderValue};

use super::body::Body;
use super::call::{Payload, RetryLimit};
use super::error::{Error, ErrorKind};
use super::manifests::content_digest;
use super::pacing::Lane;
use super::reply::Reply;
use super::repository::{Endpoint, Repository};
use super::retry_after;
use super::session::{UploadSession, received, with_digest};
use ohoci_http::retry::is_transient;
use ohoci_image::{Descriptor, Digest};

/// How much goes into one chunk, in bytes, and how much where more is refused: some registries want
/// at least 5 MiB, GHCR takes 4 MiB at most, and proxies as ingress-nginx 1 MiB unless told
/// otherwise.
const CHUNKS: [u64; 3] = [16 << 20, 4 << 20, 1 << 20];

/// A body up to this size does not stand in line with big ones.
const SMALL_BODY: u64 = 64 << 10;

/// How a step of the ladder ended that did not put the blob there.
enum Setback {
    /// Nothing will help.
    Final(Error),
    /// Going on in the same upload may.
    Resume(Error),
    /// The upload is gone; a new one may.
    Restart(Error),
}

impl Setback {
    fn into_error(self) -> Error {
        match self {
            Self::Final(error) | Self::Resume(error) | Self::Restart(error) => error,
        }
    }
}

/// One blob on its way.
struct Upload<'a> {
    repository: &'a Repository,
    endpoint: Endpoint,
    descriptor: &'a Descriptor,
    body: &'a dyn Body,
    /// Whether it is tried in one POST where it is not known yet whether the registry takes that.
    tries_single_post: bool,
}

impl Repository {
    /// Uploads a blob, into an upload that is open already if there is one.
    ///
    /// `Ok` means that the blob is there now.
    ///
    /// # Errors
    /// When the registry does not take it, or the body fails.
    pub async fn upload(
        &self,
        descriptor: &Descriptor,
        body: &dyn Body,
        session: Option<UploadSession>,
    ) -> Result<(), Error> {
        self.bring(descriptor, body, session, false).await
    }

    /// Uploads a small document, as [`upload`](Self::upload) does, but finds out whether the registry takes it
    /// in the POST that opens an upload: where it does not, that request has opened one, and is not lost.
    ///
    /// # Errors
    /// When the registry does not take it.
    pub async fn upload_document(
        &self,
        descriptor: &Descriptor,
        bytes: &Bytes,
        session: Option<UploadSession>,
    ) -> Result<(), Error> {
        let is_small = descriptor.size <= SMALL_BODY;
        self.bring(descriptor, bytes, session, is_small).await
    }

    async fn bring(
        &self,
        descriptor: &Descriptor,
        body: &dyn Body,
        session: Option<UploadSession>,
        tries_single_post: bool,
    ) -> Result<(), Error> {
        let what = || format!("cannot upload blob {} to {self}", descriptor.digest);
        let upload = Upload {
            repository: self,
            endpoint: self.endpoint().map_err(|error| error.during(what))?,
            descriptor,
            body,
            tries_single_post,
        };
        Box::pin(upload.run(session))
            .await
            .map_err(|error| error.during(what))
    }
}

impl Upload<'_> {
    async fn run(&self, mut session: Option<UploadSession>) -> Result<(), Error> {
        let known = self.endpoint.host.single_post();
        if session.is_none() && known.unwrap_or(self.tries_single_post) {
            match self.single_post().await? {
                None => return Ok(()),
                Some(opened) => session = opened,
            }
        }
        let attempts = self.repository.transport().policy.attempts;
        let mut restart = 1;
        loop {
            let mut upload = match session.take() {
                Some(session) => session,
                None => self.repository.open().await?,
            };
            let setback = match self.once(&mut upload).await {
                Ok(()) => return Ok(()),
                Err(Setback::Final(error)) => {
                    self.repository.cancel(upload).await;
                    return Err(error);
                }
                Err(setback) => setback.into_error(),
            };
            // The answer to the last request may have been lost, and not the request.
            if self.is_there().await {
                return Ok(());
            }
            if restart >= attempts.min(3) {
                self.repository.cancel(upload).await;
                return Err(setback);
            }
            tracing::debug!(error = %setback, "starting an upload again");
            self.pause(restart, None).await;
            restart += 1;
        }
    }

    /// One upload from opening to end.
    async fn once(&self, session: &mut UploadSession) -> Result<(), Setback> {
        let limit = self.endpoint.host.body_limit();
        if limit.is_some_and(|limit| limit < self.descriptor.size) {
            return self.chunks(session, None).await;
        }
        match self.single_put(session).await {
            Err(Setback::Resume(error)) => {
                tracing::debug!(%error, "going on in chunks");
                self.chunks(session, Some(error)).await
            }
            other => other,
        }
    }

    /// How much to send at once, where as much as `refused` is too much.
    fn smaller_than(refused: u64) -> Option<u64> {
        CHUNKS.into_iter().find(|chunk| *chunk < refused)
    }

    async fn is_there(&self) -> bool {
        let there = self.repository.has_blob(self.descriptor).await;
        there.is_ok_and(|there| there)
    }

    fn lane(&self) -> Lane {
        if self.descriptor.size <= SMALL_BODY {
            self.endpoint.lane
        } else {
            Lane::Upload
        }
    }

    fn payload(&self, offset: u64, length: u64) -> Payload<'_> {
        if length == 0 {
            Payload::Empty
        } else {
            Payload::Stream {
                body: self.body,
                offset,
                length,
            }
        }
    }

    async fn pause(&self, attempt: u32, asked: Option<Duration>) {
        let transport = self.repository.transport();
        transport.counters.retry();
        let wait = asked
            .filter(|d| *d <= transport.policy.longest_retry_after)
            .unwrap_or_else(|| transport.policy.jittered(attempt));
        tokio::time::sleep(wait).await;
    }

    /// Sends everything in the POST that would open an upload. `None` means done; otherwise the
    /// registry does not do this, and may have opened an upload.
    async fn single_post(&self) -> Result<Option<Option<UploadSession>>, Error> {
        let url = self.endpoint.url("blobs/uploads/")?;
        let mut call = self
            .endpoint
            .write(Method::POST, with_digest(&url, &self.descriptor.digest))
            .retry_limit(RetryLimit::None);
        call.lane = self.lane();
        call.payload = self.payload(0, self.descriptor.size);
        let reply = match self
            .repository
            .transport()
            .send(&self.endpoint.host, call)
            .await
        {
            Ok(reply) => reply,
            Err(error) if error.kind() == ErrorKind::Unreachable => return Ok(Some(None)),
            Err(error) => return Err(error),
        };
        match reply.status().as_u16() {
            201 | 200 | 204 => {
                self.endpoint.host.set_single_post(true);
                self.stored(reply).await.map(|()| None)
            }
            202 => {
                self.endpoint.host.set_single_post(false);
                let session = UploadSession::from_reply(&reply).ok();
                reply.drain().await;
                Ok(Some(session))
            }
            401 | 403 if self.endpoint.host.single_post() == Some(true) => {
                Err(reply.into_error().await)
            }
            status => {
                if !is_transient(reply.status()) {
                    tracing::debug!(status, "no upload in one POST");
                    self.endpoint.host.set_single_post(false);
                }
                reply.drain().await;
                Ok(Some(None))
            }
        }
    }

    async fn single_put(&self, session: &mut UploadSession) -> Result<(), Setback> {
        let url = session.closing(&self.descriptor.digest);
        let mut call = self
            .endpoint
            .write(Method::PUT, url)
            .retry_limit(RetryLimit::None);
        call.lane = self.lane();
        call.payload = self.payload(0, self.descriptor.size);
        let sent = self
            .repository
            .transport()
            .send(&self.endpoint.host, call)
            .await;
        self.closed(session, sent).await
    }

    /// What the answer to the request that ends an upload means.
    async fn closed(
        &self,
        session: &mut UploadSession,
        sent: Result<Reply, Error>,
    ) -> Result<(), Setback> {
        let reply = match sent {
            Ok(reply) => reply,
            Err(error) if error.kind() == ErrorKind::Unreachable => {
                return Err(Setback::Resume(error));
            }
            Err(error) => return Err(Setback::Final(error)),
        };
        let status = reply.status();
        match status.as_u16() {
            200 | 201 | 204 => self.stored(reply).await.map_err(Setback::Final),
            // The registry took the bytes, but is not done: it wants the end said again.
            202 | 405 | 411 | 413 | 416 => {
                session.follow(&reply);
                Err(Setback::Resume(reply.into_error().await))
            }
            404 => Err(Setback::Restart(reply.into_error().await)),
            429 => Err(Setback::Resume(reply.into_error().await)),
            _ if is_transient(status) => Err(Setback::Resume(reply.into_error().await)),
            _ => {
                let (error, body) = reply.into_error_and_body().await;
                Err(
                    if body.has(&[
                        "BLOB_UPLOAD_INVALID",
                        "BLOB_UPLOAD_UNKNOWN",
                        "DIGEST_INVALID",
                    ]) {
                        Setback::Restart(error)
                    } else {
                        Setback::Final(error)
                    },
                )
            }
        }
    }

    /// Checks that what was stored is what was sent.
    async fn stored(&self, reply: Reply) -> Result<(), Error> {
        let stored = content_digest(reply.headers());
        reply.drain().await;
        let wanted: &Digest = &self.descriptor.digest;
        match stored {
            Some(stored) if stored.algorithm() == wanted.algorithm() && stored != *wanted => {
                Err(Error::new(
                    ErrorKind::Corrupt,
                    format!("the registry stored it as {stored}"),
                ))
            }
            _ => Ok(()),
        }
    }

    /// Asks how much of an upload the registry has.
    async fn status(&self, session: &mut UploadSession) -> Result<u64, Setback> {
        let call = self.endpoint.write(Method::GET, session.url().clone());
        let reply = self
            .repository
            .transport()
            .send(&self.endpoint.host, call)
            .await
            .map_err(Setback::Final)?;
        if !reply.status().is_success() {
            return Err(Setback::Restart(reply.into_error().await));
        }
        session.follow(&reply);
        let have = received(&reply).unwrap_or(0);
        reply.drain().await;
        if have > self.descriptor.size {
            return Err(Setback::Restart(Error::new(
                ErrorKind::Server,
                "the registry has more of the upload than there is",
            )));
        }
        Ok(have)
    }

    /// Sends the rest in chunks, from wherever the registry is.
    /// `cause` is what went wrong with sending everything at once.
    async fn chunks(
        &self,
        session: &mut UploadSession,
        cause: Option<Error>,
    ) -> Result<(), Setback> {
        let policy = self.repository.transport().policy;
        let size = self.descriptor.size;
        let host = &self.endpoint.host;
        let [most, ..] = CHUNKS;
        let mut chunk = host.body_limit().unwrap_or(most);
        let mut failures = 1;
        let mut offset = 0;
        let mut cause = match cause {
            None => Error::new(ErrorKind::Server, "the registry took no chunk"),
            Some(cause) => {
                if cause.status() == Some(413) {
                    chunk = Self::smaller_than(size).map_or(chunk, |smaller| smaller.min(chunk));
                }
                self.pause(failures, None).await;
                offset = self.status(session).await?;
                cause
            }
        };
        loop {
            if failures >= policy.attempts {
                return Err(Setback::Final(cause));
            }
            if offset == size {
                let call = self
                    .endpoint
                    .write(Method::PUT, session.closing(&self.descriptor.digest))
                    .retry_limit(RetryLimit::None);
                let sent = self
                    .repository
                    .transport()
                    .send(&self.endpoint.host, call)
                    .await;
                match self.closed(session, sent).await {
                    Err(Setback::Resume(error)) => {
                        // Some registries fail to end an upload that they have ended.
                        if self.is_there().await {
                            return Ok(());
                        }
                        cause = error;
                        failures += 1;
                        self.pause(failures, None).await;
                        offset = self.status(session).await?;
                        continue;
                    }
                    other => return other,
                }
            }
            let length = chunk.max(session.chunk_min()).min(size - offset);
            let sent = self.chunk(session, offset, length).await;
            let reply = match sent {
                Ok(reply) => reply,
                Err(error) if error.kind() == ErrorKind::Unreachable => {
                    cause = error;
                    failures += 1;
                    self.pause(failures, None).await;
                    offset = self.status(session).await?;
                    continue;
                }
                Err(error) => return Err(Setback::Final(error)),
            };
            match reply.status().as_u16() {
                200 | 201 | 202 | 204 => {
                    session.follow(&reply);
                    let sent_up_to = offset + length;
                    // The registry decides how much it has taken.
                    let now = received(&reply)
                        .filter(|have| *have <= sent_up_to)
                        .unwrap_or(sent_up_to);
                    reply.drain().await;
                    if now > offset {
                        failures = 1;
                        if cause.status() == Some(413) {
                            host.set_body_limit(chunk);
                        }
                    } else {
                        failures += 1;
                    }
                    offset = now;
                }
                status @ (413 | 416) => {
                    cause = reply.into_error().await;
                    failures += 1;
                    let have = self.status(session).await?;
                    if have == offset
                        && let Some(smaller) = Self::smaller_than(length)
                    {
                        tracing::debug!(status, smaller, "sending smaller chunks");
                        chunk = smaller.min(chunk);
                        failures -= 1;
                    } else if status == 413 {
                        cause = too_large(cause, length);
                    }
                    offset = have;
                }
                404 => return Err(Setback::Restart(reply.into_error().await)),
                _ if is_transient(reply.status()) => {
                    let asked = retry_after::parse(reply.headers(), retry_after::now);
                    cause = reply.into_error().await;
                    failures += 1;
                    self.pause(failures, asked).await;
                    offset = self.status(session).await?;
                }
                _ => return Err(Setback::Final(reply.into_error().await)),
            }
        }
    }

    async fn chunk(
        &self,
        session: &UploadSession,
        offset: u64,
        length: u64,
    ) -> Result<Reply, Error> {
        let mut call = self
            .endpoint
            .write(Method::PATCH, session.url().clone())
            .retry_limit(RetryLimit::None);
        call.lane = self.lane();
        call.payload = self.payload(offset, length);
        let last = (offset + length).saturating_sub(1);
        if let Ok(range) = HeaderValue::from_str(&format!("{offset}-{last}")) {
            call.headers.insert(CONTENT_RANGE, range);
        }
        self.repository
            .transport()
            .send(&self.endpoint.host, call)
            .await
    }
}

/// Says what may help where not even the smallest chunk is taken.
fn too_large(cause: Error, length: u64) -> Error {
    if cause.hint().is_some() {
        return cause;
    }
    cause.hinted(format!(
        "a proxy in front of the registry takes less than {length} bytes at once: raise its limit \
         (nginx: client_max_body_size), or set chunk-size for the registry in ohoci's configuration"
    ))
}
