//! The blob endpoint.

use std::io::{self, Seek as _, SeekFrom};
use std::sync::Arc;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use fs_err::File;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use ohoci_files::blocking::blocking;
use ohoci_image::Digest;

use super::app::Layouts;
use super::failure::{Code, Failure};
use super::manifests::no_repository;
use super::name::RepositoryName;
use super::range::{self, Requested};
use super::reply::Reply;

/// How much of a blob is read at once.
const PIECE: usize = 256 << 10;

pub(super) async fn answer(
    app: &Layouts,
    parts: &Parts,
    name: RepositoryName,
    digest: Digest,
) -> Result<Response, Failure> {
    match parts.method {
        Method::GET => read(app, &parts.headers, name, digest, false).await,
        Method::HEAD => read(app, &parts.headers, name, digest, true).await,
        Method::DELETE => delete(app, name, digest).await,
        _ => Err(Failure::method_not_allowed("GET, HEAD, DELETE")),
    }
}

async fn read(
    app: &Layouts,
    headers: &HeaderMap,
    name: RepositoryName,
    digest: Digest,
    head: bool,
) -> Result<Response, Failure> {
    let etag = format!("\"{digest}\"");
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    // A range of another version of the content is not wanted (RFC 9110, section 13.1.5); HEAD
    // knows no ranges (section 14.2).
    let wanted = text(header::IF_RANGE).is_none_or(|version| version == etag) && !head;
    let asked = text(header::RANGE).filter(|_| wanted).map(str::to_owned);
    let storage = Arc::clone(&app.storage);
    blocking(move || {
        let repository = storage.find(&name)?.ok_or_else(|| no_repository(&name))?;
        let stored = repository
            .blob(&digest)?
            .ok_or_else(|| missing(&name, &digest))?;
        let reply = |status| {
            Reply::new(status)
                .digest(&digest)
                .header(header::ETAG, &etag)
                .header(header::ACCEPT_RANGES, "bytes")
                .header(header::CONTENT_TYPE, "application/octet-stream")
        };
        if head {
            return Ok(reply(StatusCode::OK)
                .header(header::CONTENT_LENGTH, stored.size)
                .body(Body::empty()));
        }
        let requested = asked.map_or(Requested::Whole, |asked| {
            range::requested(&asked, stored.size)
        });
        let mut file = match File::open(&stored.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(missing(&name, &digest));
            }
            other => other?,
        };
        match requested {
            Requested::Whole => Ok(stream(reply(StatusCode::OK), file, stored.size)),
            Requested::Part { first, last } => {
                file.seek(SeekFrom::Start(first))?;
                let reply = reply(StatusCode::PARTIAL_CONTENT).header(
                    header::CONTENT_RANGE,
                    format_args!("bytes {first}-{last}/{}", stored.size),
                );
                Ok(stream(reply, file, last - first + 1))
            }
            Requested::Unsatisfiable => Err(Failure::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                Code::SizeInvalid,
                format!("the blob has {} bytes", stored.size),
            )
            .header(header::CONTENT_RANGE, &format!("bytes */{}", stored.size))),
        }
    })
    .await
}

fn stream(reply: Reply, file: File, length: u64) -> Response {
    let file = tokio::fs::File::from_std(file.into_file());
    let pieces = ReaderStream::with_capacity(file.take(length), PIECE);
    reply
        .header(header::CONTENT_LENGTH, length)
        .body(Body::from_stream(pieces))
}

async fn delete(app: &Layouts, name: RepositoryName, digest: Digest) -> Result<Response, Failure> {
    let storage = Arc::clone(&app.storage);
    blocking(move || {
        let repository = storage.find(&name)?.ok_or_else(|| no_repository(&name))?;
        // A layout keeps manifests among its blobs.
        if repository.read(|index| index.found(&digest)).is_some() {
            return Err(Failure::new(
                StatusCode::METHOD_NOT_ALLOWED,
                Code::Unsupported,
                format!("{digest} is a manifest; delete /v2/{name}/manifests/{digest}"),
            )
            .header(header::ALLOW, "GET, HEAD"));
        }
        if repository.delete_blob(&digest)? {
            return Ok(Reply::new(StatusCode::ACCEPTED).empty());
        }
        Err(missing(&name, &digest))
    })
    .await
}

fn missing(name: &RepositoryName, digest: &Digest) -> Failure {
    Failure::not_found(Code::BlobUnknown, format!("{name} has no blob {digest}"))
        .detail(json!({ "digest": digest.to_string() }))
}
