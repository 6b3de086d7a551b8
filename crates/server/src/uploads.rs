//! The upload endpoints.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use tokio::sync::OwnedMutexGuard;

use ohoci_files::blocking::blocking;
use ohoci_image::{Algorithm, Digest};

use super::app::Layouts;
use super::authentication::May;
use super::failure::{Code, Failure};
use super::name::RepositoryName;
use super::payload::Payload;
use super::range;
use super::reply::{Reply, UPLOAD_UUID};
use super::route;
use super::storage::{Session, Sink, Storage, WriteError};

/// How long a request waits for another one that writes the same upload: a client that lost its
/// connection can be back before the server has noticed.
const DEADLINE: Duration = Duration::from_secs(5);

/// `/v2/<name>/blobs/uploads/`: a mount, an upload in one request, or the start of a session.
pub(super) async fn start(
    app: &Layouts,
    parts: &Parts,
    payload: &mut Payload,
    name: RepositoryName,
    may: May,
) -> Result<Response, Failure> {
    if parts.method != Method::POST {
        return Err(Failure::method_not_allowed("POST"));
    }
    let query = route::query(parts);
    let value = |wanted: &str| {
        let mut pairs = query.iter();
        pairs.find_map(|(key, value)| (key == wanted).then_some(value.as_str()))
    };
    if let Some(digest) = value("mount") {
        let digest = route::digest(digest)?;
        let from = value("from").filter(|from| !from.is_empty());
        // Without the name of a repository, the blob of any would do.
        let is_permitted = from.is_some() || may == May::Everything;
        if is_permitted && mount(app, &name, &digest, from).await? {
            return Ok(created(&name, &digest));
        }
    } else if let Some(digest) = value("digest") {
        let digest = route::digest(digest)?;
        return at_once(app, payload, name, digest).await;
    }
    let algorithm = match value("digest-algorithm") {
        None | Some("sha256") => Algorithm::Sha256,
        Some("sha512") => Algorithm::Sha512,
        Some(_) => {
            return Err(Failure::bad_request(
                Code::DigestInvalid,
                "the digest algorithms are sha256 and sha512",
            ));
        }
    };
    let storage = Arc::clone(&app.storage);
    blocking(move || {
        let Some(session) = storage.start_upload(&name, algorithm)? else {
            return Err(Failure::new(
                StatusCode::TOO_MANY_REQUESTS,
                Code::TooManyRequests,
                "too many uploads are under way",
            )
            .header(header::RETRY_AFTER, "10"));
        };
        Ok(progress(StatusCode::ACCEPTED, &name, &session).empty())
    })
    .await
}

async fn mount(
    app: &Layouts,
    name: &RepositoryName,
    digest: &Digest,
    from: Option<&str>,
) -> Result<bool, Failure> {
    let source = match from.map(RepositoryName::parse) {
        None => None,
        Some(Ok(source)) => Some(source),
        // No repository of that name can be here, and that is no error.
        Some(Err(_)) => return Ok(false),
    };
    let storage = Arc::clone(&app.storage);
    let (name, digest) = (name.clone(), digest.clone());
    blocking(move || Ok(storage.mount(&digest, source.as_ref(), &name)?)).await
}

async fn at_once(
    app: &Layouts,
    payload: &mut Payload,
    name: RepositoryName,
    digest: Digest,
) -> Result<Response, Failure> {
    let storage = Arc::clone(&app.storage);
    let algorithm = digest.algorithm();
    let sink = blocking(move || Ok::<_, Failure>(storage.sessions().sink(algorithm)?)).await?;
    let sink = Arc::new(tokio::sync::Mutex::new(sink)).lock_owned().await;
    let sink = receive(sink, payload, None, app.options.max_blob, BrokenOff::Forget).await?;
    commit(Arc::clone(&app.storage), sink, name, digest).await
}

/// `/v2/<name>/blobs/uploads/<id>`: a session.
pub(super) async fn resume(
    app: &Layouts,
    parts: &Parts,
    payload: &mut Payload,
    name: RepositoryName,
    id: &str,
) -> Result<Response, Failure> {
    let session = app.storage.sessions().find(&name, id).ok_or_else(|| {
        Failure::not_found(
            Code::BlobUploadUnknown,
            "there is no such upload; it may have been finished, or thrown away after a while",
        )
    })?;
    match parts.method {
        Method::GET | Method::HEAD => Ok(progress(StatusCode::NO_CONTENT, &name, &session).empty()),
        Method::DELETE => {
            app.storage.sessions().end(&session);
            Ok(Reply::new(StatusCode::NO_CONTENT).empty())
        }
        Method::PATCH => {
            let written = write(app, parts, payload, &name, &session).await;
            // A chunk may have taken longer than an upload may lie still.
            session.touch();
            drop(written?);
            Ok(progress(StatusCode::ACCEPTED, &name, &session).empty())
        }
        Method::PUT => {
            let query = route::query(parts);
            let digest = query.iter().find(|(key, _)| key == "digest");
            let digest = match digest {
                Some((_, digest)) => route::digest(digest)?,
                None => {
                    return Err(Failure::bad_request(
                        Code::DigestInvalid,
                        "an upload is finished with the parameter digest",
                    ));
                }
            };
            let sink = write(app, parts, payload, &name, &session).await?;
            // Whether the content is right or wrong, nothing can be added to it any more.
            app.storage.sessions().end(&session);
            commit(Arc::clone(&app.storage), sink, name, digest).await
        }
        _ => Err(Failure::method_not_allowed("GET, PATCH, PUT, DELETE")),
    }
}

/// Appends a request's body to a session.
async fn write(
    app: &Layouts,
    parts: &Parts,
    payload: &mut Payload,
    name: &RepositoryName,
    session: &Session,
) -> Result<OwnedMutexGuard<Sink>, Failure> {
    let waiting = Arc::clone(&session.sink).lock_owned();
    let sink = tokio::time::timeout(DEADLINE, waiting).await.map_err(|_| {
        Failure::new(
            StatusCode::CONFLICT,
            Code::BlobUploadInvalid,
            "another request is writing this upload",
        )
    })?;
    let range = match parts.headers.get(header::CONTENT_RANGE) {
        None => None,
        Some(value) => {
            let range = value.to_str().ok().and_then(range::content);
            Some(range.ok_or_else(|| {
                Failure::bad_request(
                    Code::BlobUploadInvalid,
                    "Content-Range is to be FIRST-LAST, in bytes, both included",
                )
            })?)
        }
    };
    if let Some((first, _)) = range
        && first != sink.size()
    {
        let failure = Failure::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            Code::BlobUploadInvalid,
            format!(
                "the chunk starts at {first}, but {} comes next",
                sink.size()
            ),
        );
        return Err(failure
            .header(header::LOCATION, &location(name, session))
            .header(header::RANGE, &received(session)));
    }
    let broken_off = match parts.method {
        Method::PUT => BrokenOff::Forget,
        _ => BrokenOff::Keep,
    };
    let length = range.map(|(_, length)| length);
    receive(sink, payload, length, app.options.max_blob, broken_off).await
}

/// Streams a body to disk, hashing it on the way: the next pieces are read while the last ones are
/// being written. `length` is what `Content-Range` says the body has; nothing of a body of another
/// length is kept.
async fn receive(
    sink: OwnedMutexGuard<Sink>,
    payload: &mut Payload,
    length: Option<u64>,
    limit: u64,
    broken_off: BrokenOff,
) -> Result<OwnedMutexGuard<Sink>, Failure> {
    let room = limit.saturating_sub(sink.size());
    let declared = payload.declared();
    if length.or(declared).is_some_and(|expected| expected > room) {
        return Err(too_large(limit));
    }
    if let (Some(length), Some(declared)) = (length, declared)
        && length != declared
    {
        return Err(wrong_length(length, declared));
    }
    let mark = sink.mark();
    let mut turn = Turn::Idle(sink);
    loop {
        let (pieces, broken) = payload.batch().await;
        let mut sink = turn.end().await?;
        let came = payload.received();
        let refused = match length {
            Some(length) if came > length => Some(wrong_length(length, came)),
            Some(length) if pieces.is_empty() && broken.is_none() && came < length => {
                Some(wrong_length(length, came))
            }
            None if came > room => Some(too_large(limit)),
            _ => None,
        };
        if let Some(failure) = refused {
            sink.rewind(mark);
            return Err(failure);
        }
        if pieces.is_empty() && broken.is_none() {
            return Ok(sink);
        }
        turn = Turn::Writing(tokio::task::spawn_blocking(move || {
            for piece in &pieces {
                sink.append(piece)?;
            }
            Ok(sink)
        }));
        if let Some(failure) = broken {
            let mut sink = turn.end().await?;
            if broken_off == BrokenOff::Forget {
                sink.rewind(mark);
            }
            return Err(failure);
        }
    }
}

/// What becomes of the beginning of a body that broke off.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BrokenOff {
    /// It counts: clients ask how much of a chunk came, and go on from there.
    Keep,
    /// It does not count: clients send the last part of an upload again from its start.
    Forget,
}

/// Who has the file.
enum Turn {
    Idle(OwnedMutexGuard<Sink>),
    Writing(tokio::task::JoinHandle<io::Result<OwnedMutexGuard<Sink>>>),
}

impl Turn {
    async fn end(self) -> Result<OwnedMutexGuard<Sink>, Failure> {
        match self {
            Self::Idle(sink) => Ok(sink),
            Self::Writing(task) => match task.await {
                Ok(written) => Ok(written?),
                Err(error) => Err(Failure::internal(&error)),
            },
        }
    }
}

/// Makes an upload a blob of its repository.
async fn commit(
    storage: Arc<Storage>,
    mut sink: OwnedMutexGuard<Sink>,
    name: RepositoryName,
    digest: Digest,
) -> Result<Response, Failure> {
    blocking(move || {
        sink.verify(&digest).map_err(|error| match error {
            WriteError::Io(error) => error.into(),
            WriteError::Digest { .. } => {
                Failure::bad_request(Code::DigestInvalid, error.to_string())
            }
        })?;
        storage.create(&name)?.admit(&mut sink, &digest)?;
        Ok(created(&name, &digest))
    })
    .await
}

fn created(name: &RepositoryName, digest: &Digest) -> Response {
    Reply::new(StatusCode::CREATED)
        .digest(digest)
        .location(format_args!("/v2/{name}/blobs/{digest}"))
        .empty()
}

fn progress(status: StatusCode, name: &RepositoryName, session: &Session) -> Reply {
    Reply::new(status)
        .location(location(name, session))
        .header(header::RANGE, received(session))
        .header(UPLOAD_UUID, session.id())
}

fn location(name: &RepositoryName, session: &Session) -> String {
    format!("/v2/{name}/blobs/uploads/{}", session.id())
}

/// The range that has come. There is no way to write an empty one; Docker's registry writes this.
fn received(session: &Session) -> String {
    format!("0-{}", session.size().saturating_sub(1))
}

fn too_large(limit: u64) -> Failure {
    Failure::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        Code::SizeInvalid,
        format!("a blob may have at most {limit} bytes here"),
    )
}

fn wrong_length(announced: u64, came: u64) -> Failure {
    Failure::bad_request(
        Code::SizeInvalid,
        format!("Content-Range announces {announced} bytes, but the body has {came}"),
    )
}
