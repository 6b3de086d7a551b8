//! The manifest endpoint.

use std::sync::Arc;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use serde_json::json;

use ohoci_files::blocking::blocking;
use ohoci_image::{Pointer, manifest};

use super::admission;
use super::app::Layouts;
use super::failure::{Code, Failure};
use super::name::RepositoryName;
use super::payload::Payload;
use super::reply::{OCI_SUBJECT, OCI_TAG, Reply};
use super::route;
use super::storage::Facts;

/// How many tags one request may give (the specification asks for ten).
const MAX_TAGS: usize = 100;

pub(super) async fn answer(
    app: &Layouts,
    parts: &Parts,
    payload: &mut Payload,
    name: RepositoryName,
    pointer: Pointer,
) -> Result<Response, Failure> {
    match parts.method {
        Method::GET | Method::HEAD => {
            let head = parts.method == Method::HEAD;
            read(app, name, pointer, head).await
        }
        Method::PUT => put(app, parts, payload, name, pointer).await,
        Method::DELETE => delete(app, name, pointer).await,
        _ => Err(Failure::method_not_allowed("GET, HEAD, PUT, DELETE")),
    }
}

async fn read(
    app: &Layouts,
    name: RepositoryName,
    pointer: Pointer,
    head: bool,
) -> Result<Response, Failure> {
    let storage = Arc::clone(&app.storage);
    blocking(move || {
        let repository = storage.find(&name)?.ok_or_else(|| no_repository(&name))?;
        let missing = || {
            Failure::not_found(
                Code::ManifestUnknown,
                format!("{name} has no manifest {pointer}"),
            )
            .detail(json!({ "name": name.as_str(), "reference": pointer.to_string() }))
        };
        let found = repository.find(&pointer).ok_or_else(missing)?;
        let reply = Reply::new(StatusCode::OK)
            .digest(&found.digest)
            .header(header::CONTENT_TYPE, &found.media_type)
            .header(header::ETAG, format!("\"{}\"", found.digest));
        if head {
            let stored = repository.blob(&found.digest)?.ok_or_else(missing)?;
            return Ok(reply
                .header(header::CONTENT_LENGTH, stored.size)
                .body(Body::empty()));
        }
        let bytes = repository.manifest(&found.digest)?.ok_or_else(missing)?;
        Ok(reply.body(Body::from(bytes)))
    })
    .await
}

async fn put(
    app: &Layouts,
    parts: &Parts,
    payload: &mut Payload,
    name: RepositoryName,
    pointer: Pointer,
) -> Result<Response, Failure> {
    let mut tags = Vec::new();
    let mut digest = None;
    match pointer {
        Pointer::Tag(tag) => tags.push(tag),
        Pointer::Digest(expected) => {
            for (key, value) in route::query(parts) {
                if key == "tag" {
                    tags.push(route::tag(&value)?);
                }
            }
            digest = Some(expected);
        }
    }
    if tags.len() > MAX_TAGS {
        return Err(Failure::new(
            StatusCode::URI_TOO_LONG,
            Code::Unsupported,
            format!("a request may give at most {MAX_TAGS} tags"),
        ));
    }
    let content_type = parts
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let bytes = payload.whole(manifest::MAX_SIZE).await?;
    let storage = Arc::clone(&app.storage);
    blocking(move || {
        let manifest = admission::parse(bytes, content_type.as_deref())?;
        let named = digest.is_some();
        let digest = match digest {
            Some(expected) => {
                admission::verify(&manifest, &expected)?;
                expected
            }
            None => manifest.digest().clone(),
        };
        let facts = Facts::of(&manifest);
        let subject = facts.subject.clone();
        admission::complete(&manifest, storage.find(&name)?.as_deref())?;
        let repository = storage.create(&name)?;
        repository.put_manifest(&digest, manifest.bytes(), facts, &tags)?;
        let mut reply = Reply::new(StatusCode::CREATED)
            .digest(&digest)
            .location(format_args!("/v2/{name}/manifests/{digest}"));
        if let Some(subject) = subject {
            reply = reply.header(OCI_SUBJECT, subject);
        }
        if named {
            for tag in tags {
                reply = reply.header(OCI_TAG, tag);
            }
        }
        Ok(reply.empty())
    })
    .await
}

async fn delete(
    app: &Layouts,
    name: RepositoryName,
    pointer: Pointer,
) -> Result<Response, Failure> {
    let storage = Arc::clone(&app.storage);
    blocking(move || {
        let repository = storage.find(&name)?.ok_or_else(|| no_repository(&name))?;
        if repository.delete(&pointer)? {
            return Ok(Reply::new(StatusCode::ACCEPTED).empty());
        }
        Err(Failure::not_found(
            Code::ManifestUnknown,
            format!("{name} has no manifest {pointer}"),
        ))
    })
    .await
}

/// What is answered when there is nothing of that name.
pub(super) fn no_repository(name: &RepositoryName) -> Failure {
    Failure::not_found(
        Code::NameUnknown,
        format!("there is no repository {name} here"),
    )
    .detail(json!({ "name": name.as_str() }))
}
