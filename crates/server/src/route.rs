//! Which endpoint a path names (distribution-spec, "Endpoints").

use axum::http::request::Parts;

use ohoci_image::{Digest, Pointer, reference};

use super::failure::{Code, Failure};
use super::name::RepositoryName;

/// An endpoint.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `/v2/`
    Base,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/<name>/tags/list`
    Tags(RepositoryName),
    /// `/v2/<name>/manifests/<tag-or-digest>`
    Manifest(RepositoryName, Pointer),
    /// `/v2/<name>/blobs/<digest>`
    Blob(RepositoryName, Digest),
    /// `/v2/<name>/blobs/uploads/`
    Uploads(RepositoryName),
    /// `/v2/<name>/blobs/uploads/<id>`
    Upload(RepositoryName, String),
    /// `/v2/<name>/referrers/<digest>`
    Referrers(RepositoryName, Digest),
}

/// Reads a path as it came, percent-encoded. Names have slashes in them, so that it is read from
/// its end.
pub(super) fn parse(path: &str) -> Result<Route, Failure> {
    let nowhere = || Failure::not_found(Code::Unsupported, "there is no such endpoint");
    let rest = match path.strip_prefix("/v2") {
        Some("" | "/") => return Ok(Route::Base),
        Some(rest) => rest.strip_prefix('/').ok_or_else(nowhere)?,
        None => return Err(nowhere()),
    };
    let decoded = rest.split('/').map(decode).collect::<Option<Vec<_>>>();
    let decoded = decoded.ok_or_else(|| {
        Failure::bad_request(
            Code::NameInvalid,
            "the path is not properly percent-encoded",
        )
    })?;
    let segments: Vec<&str> = decoded.iter().map(String::as_str).collect();
    Ok(match segments.as_slice() {
        ["_catalog"] => Route::Catalog,
        [repository @ .., "tags", "list"] => Route::Tags(name(repository)?),
        [repository @ .., "blobs", "uploads", ""] | [repository @ .., "blobs", "uploads"] => {
            Route::Uploads(name(repository)?)
        }
        [repository @ .., "blobs", "uploads", id] => {
            Route::Upload(name(repository)?, (*id).to_owned())
        }
        [repository @ .., "blobs", text] => Route::Blob(name(repository)?, digest(text)?),
        [repository @ .., "referrers", text] => Route::Referrers(name(repository)?, digest(text)?),
        [repository @ .., "manifests", text] => {
            let pointer = if text.contains(':') {
                Pointer::Digest(digest(text)?)
            } else {
                Pointer::Tag(tag(text)?)
            };
            Route::Manifest(name(repository)?, pointer)
        }
        _ => return Err(nowhere()),
    })
}

/// The pairs of a query, decoded.
pub(super) fn query(parts: &Parts) -> Vec<(String, String)> {
    let query = parts.uri.query().unwrap_or_default();
    url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect()
}

/// Checks a digest from a path or a query.
pub(super) fn digest(text: &str) -> Result<Digest, Failure> {
    text.parse()
        .map_err(|error: ohoci_image::digest::DigestError| {
            Failure::bad_request(Code::DigestInvalid, error.to_string())
        })
}

/// Checks a tag from a path or a query.
pub(super) fn tag(text: &str) -> Result<String, Failure> {
    if reference::is_tag(text) {
        return Ok(text.to_owned());
    }
    let shown: String = text.chars().take(160).collect();
    Err(Failure::bad_request(
        Code::TagInvalid,
        format!("{shown:?} is neither a tag nor a digest"),
    ))
}

fn name(segments: &[&str]) -> Result<RepositoryName, Failure> {
    // A slash that was encoded is part of its segment, where the grammar has no place for it.
    if segments.iter().any(|segment| segment.contains('/')) {
        return Err(Failure::bad_request(
            Code::NameInvalid,
            "a repository's name has an encoded slash in it",
        ));
    }
    RepositoryName::parse(&segments.join("/"))
        .map_err(|reason| Failure::bad_request(Code::NameInvalid, reason))
}

/// Percent-decoding of one segment.
fn decode(segment: &str) -> Option<String> {
    let mut bytes = segment.bytes();
    let mut decoded = Vec::with_capacity(segment.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let value = digit()? * 16 + digit()?;
        decoded.push(u8::try_from(value).ok()?);
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn repository(text: &str) -> RepositoryName {
        RepositoryName::parse(text).unwrap()
    }

    #[test]
    fn endpoints_are_read_from_the_end() {
        let empty = Digest::of(b"");
        for (path, expected) in [
            ("/v2".to_owned(), Route::Base),
            ("/v2/".to_owned(), Route::Base),
            ("/v2/_catalog".to_owned(), Route::Catalog),
            (
                "/v2/a/b/tags/list".to_owned(),
                Route::Tags(repository("a/b")),
            ),
            (
                "/v2/tags/tags/list".to_owned(),
                Route::Tags(repository("tags")),
            ),
            (
                "/v2/a/blobs/uploads/".to_owned(),
                Route::Uploads(repository("a")),
            ),
            (
                "/v2/a/blobs/uploads/blobs/uploads/x".to_owned(),
                Route::Upload(repository("a/blobs/uploads"), "x".to_owned()),
            ),
            (
                format!("/v2/a/manifests/blobs/sha256:{HEX}"),
                Route::Blob(repository("a/manifests"), empty.clone()),
            ),
            (
                format!("/v2/a/manifests/sha256%3A{HEX}"),
                Route::Manifest(repository("a"), Pointer::Digest(empty.clone())),
            ),
            (
                "/v2/a/manifests/v1.0_x".to_owned(),
                Route::Manifest(repository("a"), Pointer::Tag("v1.0_x".to_owned())),
            ),
            (
                format!("/v2/a/referrers/sha256:{HEX}"),
                Route::Referrers(repository("a"), empty),
            ),
        ] {
            assert_eq!(parse(&path).unwrap(), expected, "{path}");
        }
    }

    #[test]
    fn what_is_no_name_tag_or_digest_is_refused() {
        for path in [
            "/",
            "/v1/",
            "/v2x/a/tags/list",
            "/v2//tags/list",
            "/v2/tags/list",
            "/v2/a/",
            "/v2/../tags/list",
            "/v2/a/../b/tags/list",
            "/v2/%2e%2e/tags/list",
            "/v2/a%2fb/tags/list",
            "/v2/a%00/tags/list",
            "/v2/a%/tags/list",
            "/v2/a%2/tags/list",
            "/v2/a%+1/tags/list",
            "/v2/a%ff/tags/list",
            "/v2/A/tags/list",
            "/v2/a/manifests/.x",
            "/v2/a/manifests/",
            "/v2/a/manifests/sha256:../../x",
            "/v2/a/blobs/latest",
            "/v2/a/blobs/sha256:%2e%2e",
        ] {
            assert!(parse(path).is_err(), "{path}");
        }
    }
}
