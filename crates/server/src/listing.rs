//! Lists: tags, referrers, repositories.

use std::sync::Arc;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use serde_json::{Map, Value, json};

use ohoci_files::blocking::blocking;
use ohoci_image::{Digest, Manifest, manifest, media_type};

use super::app::Layouts;
use super::failure::{Code, Failure};
use super::manifests::no_repository;
use super::name::RepositoryName;
use super::reply::{OCI_FILTERS, Reply};
use super::route;
use super::storage::Found;

/// A page that a client asks for.
pub(super) struct Page {
    size: Option<usize>,
    after: Option<String>,
}

impl Page {
    pub(super) fn of(parts: &Parts) -> Result<Self, Failure> {
        let mut page = Self {
            size: None,
            after: None,
        };
        for (key, value) in route::query(parts) {
            match key.as_str() {
                "n" => {
                    let size = value.parse().map_err(|_| {
                        Failure::bad_request(Code::Unsupported, "n is to be a number of entries")
                    })?;
                    page.size = Some(size);
                }
                "last" => page.after = Some(value),
                _ => {}
            }
        }
        Ok(page)
    }

    /// Whether an entry stands behind the page's start.
    pub(super) fn begins_before(&self, entry: &str) -> bool {
        self.after.as_deref().is_none_or(|after| entry > after)
    }

    /// The page's entries out of those behind its start, and where the next page is.
    pub(super) fn cut<'a>(
        &self,
        path: &str,
        entries: impl Iterator<Item = &'a str>,
    ) -> (Vec<&'a str>, Option<String>) {
        let Some(size) = self.size else {
            return (entries.collect(), None);
        };
        let mut entries = entries.peekable();
        let page: Vec<&str> = entries.by_ref().take(size).collect();
        let more = entries.peek().is_some();
        let link = page.last().filter(|_| more).map(|last| {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.append_pair("n", &size.to_string());
            query.append_pair("last", last);
            next_link(path, &query.finish())
        });
        (page, link)
    }
}

/// A `Link` to the next page (RFC 8288).
fn next_link(path: &str, query: &str) -> String {
    format!("<{path}?{query}>; rel=\"next\"")
}

pub(super) fn linked(reply: Reply, link: Option<String>) -> Reply {
    match link {
        Some(link) => reply.header(header::LINK, link),
        None => reply,
    }
}

fn only_get(parts: &Parts) -> Result<(), Failure> {
    if matches!(parts.method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    Err(Failure::method_not_allowed("GET, HEAD"))
}

pub(super) async fn tags(
    app: &Layouts,
    parts: &Parts,
    name: RepositoryName,
) -> Result<Response, Failure> {
    only_get(parts)?;
    let page = Page::of(parts)?;
    let storage = Arc::clone(&app.storage);
    blocking(move || {
        let repository = storage.find(&name)?.ok_or_else(|| no_repository(&name))?;
        Ok(repository.read(|index| {
            let path = format!("/v2/{name}/tags/list");
            let (tags, link) = page.cut(&path, index.tags(page.after.as_deref()));
            linked(Reply::new(StatusCode::OK), link)
                .json(&json!({ "name": name.as_str(), "tags": tags }))
        }))
    })
    .await
}

/// Docker's list of repositories.
pub(super) async fn catalog(app: &Layouts, parts: &Parts) -> Result<Response, Failure> {
    only_get(parts)?;
    let page = Page::of(parts)?;
    let names = app.storage.names();
    let names = names.iter().map(RepositoryName::as_str);
    let behind = names.filter(|name| page.begins_before(name));
    let (names, link) = page.cut("/v2/_catalog", behind);
    Ok(linked(Reply::new(StatusCode::OK), link).json(&json!({ "repositories": names })))
}

pub(super) async fn referrers(
    app: &Layouts,
    parts: &Parts,
    name: RepositoryName,
    subject: Digest,
) -> Result<Response, Failure> {
    only_get(parts)?;
    let mut wanted = None;
    let mut after = None;
    for (key, value) in route::query(parts) {
        match key.as_str() {
            // No media type has a space in it, but many have a plus, which people forget to encode.
            "artifactType" => wanted = Some(value.replace(' ', "+")),
            "last" => after = Some(route::digest(&value)?),
            _ => {}
        }
    }
    let storage = Arc::clone(&app.storage);
    blocking(move || {
        // A repository that is not there has no referrers: clients take a 404 to mean that the
        // registry does not know this endpoint.
        let repository = storage.find(&name)?;
        let mut entries = Vec::new();
        let mut size = 0;
        let mut link = None;
        let mut last: Option<Digest> = None;
        if let Some(repository) = repository {
            for found in repository.read(|index| index.referrers(&subject)) {
                if after.as_ref().is_some_and(|after| found.digest <= *after) {
                    continue;
                }
                let Some(entry) = entry(&found, repository.manifest(&found.digest)?) else {
                    continue;
                };
                let kind = entry.get("artifactType").and_then(Value::as_str);
                if wanted.as_deref().is_some_and(|wanted| kind != Some(wanted)) {
                    continue;
                }
                let entry = Value::Object(entry);
                size += entry.to_string().len() as u64;
                // The list is a manifest, and may not be larger than one.
                if size > manifest::MAX_SIZE - 1024
                    && let Some(last) = &last
                {
                    let mut query = url::form_urlencoded::Serializer::new(String::new());
                    if let Some(wanted) = &wanted {
                        query.append_pair("artifactType", wanted);
                    }
                    query.append_pair("last", &last.to_string());
                    let path = format!("/v2/{name}/referrers/{subject}");
                    link = Some(next_link(&path, &query.finish()));
                    break;
                }
                entries.push(entry);
                last = Some(found.digest);
            }
        }
        let mut reply = linked(Reply::new(StatusCode::OK), link)
            .header(header::CONTENT_TYPE, media_type::OCI_INDEX);
        if wanted.is_some() {
            reply = reply.header(OCI_FILTERS, "artifactType");
        }
        let list = json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_INDEX,
            "manifests": entries,
        });
        Ok(reply.body(Body::from(list.to_string())))
    })
    .await
}

/// A referrer's descriptor, with its artifact type and annotations (distribution-spec, "Listing
/// Referrers").
fn entry(found: &Found, bytes: Option<bytes::Bytes>) -> Option<Map<String, Value>> {
    let manifest = Manifest::parse(bytes?, Some(&found.media_type)).ok()?;
    let object = manifest.document().object();
    let mut entry =
        ohoci_image::Descriptor::new(found.media_type.clone(), found.digest.clone(), found.size)
            .to_json();
    let text = |value: &Value| {
        let text = value.as_str()?;
        (!text.is_empty()).then(|| text.to_owned())
    };
    let own = object.get("artifactType").and_then(text);
    let config = || object.get("config")?.get("mediaType").and_then(text);
    if let Some(kind) = own.or_else(config) {
        entry.insert("artifactType".to_owned(), kind.into());
    }
    if let Some(annotations) = object.get("annotations").filter(|value| value.is_object()) {
        entry.insert("annotations".to_owned(), annotations.clone());
    }
    Some(entry)
}
