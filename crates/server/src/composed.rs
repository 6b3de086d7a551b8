//! Answering for images that are no files of this server.

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderName, Method, StatusCode, header};
use axum::response::Response;
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use ohoci_image::{Digest, Pointer, media_type};

use super::failure::{Code, Failure};
use super::images::{Asked, BlobStream, Images, ServedBlob};
use super::listing::{Page, linked};
use super::name::RepositoryName;
use super::range::{self, Requested};
use super::reply::{OCI_FILTERS, Reply};
use super::route::{self, Route};

/// Answers one request that is not about the registry itself.
pub(super) async fn answer(
    images: &dyn Images,
    parts: &Parts,
    route: Route,
) -> Result<Response, Failure> {
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return Err(read_only());
    }
    let head = parts.method == Method::HEAD;
    match route {
        Route::Manifest(name, pointer) => {
            manifest(images, parts, &asked(parts, &name), &pointer).await
        }
        Route::Blob(name, digest) => {
            let asked = asked(parts, &name);
            match head {
                true => blob_head(images, &asked, &digest).await,
                false => blob(images, parts, &asked, &digest).await,
            }
        }
        Route::Tags(name) => tags(images, parts, &name).await,
        Route::Referrers(name, subject) => {
            referrers(images, parts, &asked(parts, &name), &subject).await
        }
        // There is a repository for every base that may be asked for: no list would be true.
        Route::Catalog => Err(Failure::not_found(
            Code::Unsupported,
            "images are composed when they are asked for: there is no list of repositories",
        )),
        Route::Uploads(_) | Route::Upload(..) => Err(read_only()),
        Route::Base => Ok(Reply::new(StatusCode::OK).json(&json!({}))),
    }
}

fn read_only() -> Failure {
    Failure::new(
        StatusCode::METHOD_NOT_ALLOWED,
        Code::Unsupported,
        "nothing can be pushed here or deleted: images are composed when they are asked for",
    )
    .header(header::ALLOW, "GET, HEAD")
}

fn asked(parts: &Parts, name: &RepositoryName) -> Asked {
    let mut pairs = route::query(parts).into_iter();
    Asked {
        name: name.as_str().to_owned(),
        namespace: pairs.find(|(key, _)| key == "ns").map(|(_, value)| value),
    }
}

fn text(parts: &Parts, name: HeaderName) -> Option<&str> {
    parts
        .headers
        .get(name)
        .and_then(|value| value.to_str().ok())
}

/// Whether the client says that it has this content already (RFC 9110, section 13.1.2).
fn has_already(parts: &Parts, etag: &str) -> bool {
    let known = text(parts, header::IF_NONE_MATCH).unwrap_or_default();
    known
        .split(',')
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

async fn manifest(
    images: &dyn Images,
    parts: &Parts,
    asked: &Asked,
    pointer: &Pointer,
) -> Result<Response, Failure> {
    let served = images.manifest(asked, pointer).await?;
    let etag = format!("\"{}\"", served.digest);
    let reply = |status| {
        Reply::new(status)
            .digest(&served.digest)
            .header(header::ETAG, &etag)
    };
    if has_already(parts, &etag) {
        return Ok(reply(StatusCode::NOT_MODIFIED).body(Body::empty()));
    }
    let reply = reply(StatusCode::OK)
        .header(header::CONTENT_TYPE, &served.media_type)
        .header(header::CONTENT_LENGTH, served.bytes.len());
    Ok(reply.body(match parts.method {
        Method::HEAD => Body::empty(),
        _ => Body::from(served.bytes.clone()),
    }))
}

fn blob_reply(status: StatusCode, digest: &Digest) -> Reply {
    Reply::new(status)
        .digest(digest)
        .header(header::ETAG, format_args!("\"{digest}\""))
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CONTENT_TYPE, "application/octet-stream")
}

async fn blob_head(
    images: &dyn Images,
    asked: &Asked,
    digest: &Digest,
) -> Result<Response, Failure> {
    let size = images.blob_size(asked, digest).await?;
    Ok(blob_reply(StatusCode::OK, digest)
        .header(header::CONTENT_LENGTH, size)
        .body(Body::empty()))
}

async fn blob(
    images: &dyn Images,
    parts: &Parts,
    asked: &Asked,
    digest: &Digest,
) -> Result<Response, Failure> {
    let etag = format!("\"{digest}\"");
    if has_already(parts, &etag) {
        return Ok(blob_reply(StatusCode::NOT_MODIFIED, digest).body(Body::empty()));
    }
    // A range of another version of the content is not wanted (RFC 9110, section 13.1.5).
    let wanted = text(parts, header::IF_RANGE).is_none_or(|version| version == etag);
    let range = text(parts, header::RANGE).filter(|_| wanted);
    let guess = range.and_then(range::start).unwrap_or(0);
    let (size, mut stream) = match images.blob(asked, digest, guess).await? {
        ServedBlob::Elsewhere(url) => return Ok(elsewhere(&url, digest)),
        ServedBlob::Bytes { size, stream } => (size, stream),
    };
    let requested = range.map_or(Requested::Whole, |range| range::requested(range, size));
    let (first, last) = match requested {
        Requested::Unsatisfiable => {
            return Err(Failure::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                Code::SizeInvalid,
                format!("the blob has {size} bytes"),
            )
            .header(header::CONTENT_RANGE, &format!("bytes */{size}")));
        }
        Requested::Whole => (0, None),
        Requested::Part { first, last } => (first, Some(last)),
    };
    if first != guess {
        // Where such a range begins is known only with the size.
        stream = match images.blob(asked, digest, first).await? {
            ServedBlob::Elsewhere(url) => return Ok(elsewhere(&url, digest)),
            ServedBlob::Bytes { stream, .. } => stream,
        };
    }
    Ok(match last {
        None => blob_reply(StatusCode::OK, digest)
            .header(header::CONTENT_LENGTH, size)
            .body(Body::from_stream(stream)),
        Some(last) => {
            let length = last.saturating_sub(first).saturating_add(1);
            blob_reply(StatusCode::PARTIAL_CONTENT, digest)
                .header(
                    header::CONTENT_RANGE,
                    format_args!("bytes {first}-{last}/{size}"),
                )
                .header(header::CONTENT_LENGTH, length)
                .body(Body::from_stream(part(stream, length)))
        }
    })
}

fn elsewhere(url: &str, digest: &Digest) -> Response {
    Reply::new(StatusCode::TEMPORARY_REDIRECT)
        .digest(digest)
        .location(url)
        .empty()
}

/// The first `length` bytes.
fn part(stream: BlobStream, length: u64) -> BlobStream {
    let taken =
        futures_util::stream::try_unfold((stream, length), |(mut stream, left)| async move {
            if left == 0 {
                return Ok(None);
            }
            let Some(piece) = stream.next().await else {
                return Ok(None);
            };
            let mut piece = piece?;
            piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            let left = left.saturating_sub(piece.len() as u64);
            Ok(Some((piece, (stream, left))))
        });
    taken.boxed()
}

async fn tags(
    images: &dyn Images,
    parts: &Parts,
    name: &RepositoryName,
) -> Result<Response, Failure> {
    let page = Page::of(parts)?;
    let tags = images.tags(&asked(parts, name)).await?;
    let behind = tags
        .iter()
        .map(String::as_str)
        .filter(|tag| page.begins_before(tag));
    let (tags, link) = page.cut(&format!("/v2/{name}/tags/list"), behind);
    Ok(linked(Reply::new(StatusCode::OK), link)
        .json(&json!({ "name": name.as_str(), "tags": tags })))
}

async fn referrers(
    images: &dyn Images,
    parts: &Parts,
    asked: &Asked,
    subject: &Digest,
) -> Result<Response, Failure> {
    let mut pairs = route::query(parts).into_iter();
    // No media type has a space in it, but many have a plus, which people forget to encode.
    let wanted = pairs.find(|(key, _)| key == "artifactType");
    let wanted = wanted.map(|(_, value)| value.replace(' ', "+"));
    let mut entries = images.referrers(asked, subject).await?;
    if let Some(wanted) = &wanted {
        entries.retain(|entry| {
            let kind = entry.get("artifactType").and_then(Value::as_str);
            kind == Some(wanted.as_str())
        });
    }
    let mut reply = Reply::new(StatusCode::OK).header(header::CONTENT_TYPE, media_type::OCI_INDEX);
    if wanted.is_some() {
        reply = reply.header(OCI_FILTERS, "artifactType");
    }
    let list = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_INDEX,
        "manifests": entries,
    });
    Ok(reply.body(Body::from(list.to_string())))
}
