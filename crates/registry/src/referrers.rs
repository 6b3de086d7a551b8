//! Referrers: manifests about another manifest (distribution-spec, "Listing referrers" and
//! "Pushing manifests with subject").

use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use serde_json::{Map, Value, json};

use super::error::{Error, ErrorKind};
use super::link::{self, MAX_PAGES};
use super::repository::Repository;
use ohoci_image::manifest::MAX_SIZE;
use ohoci_image::{Content, Descriptor, Digest, Document, Manifest, Pointer, media_type};

/// Most referrers of one manifest that are taken.
const MAX_REFERRERS: usize = 100_000;

impl Repository {
    /// The manifests that have `subject` as their subject, only those of `artifact_type` if one is
    /// given.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, Error> {
        let what = || format!("cannot list the referrers of {self}@{subject}");
        let mut found = self
            .list_referrers(subject)
            .await
            .map_err(|error| error.during(what))?;
        if let Some(wanted) = artifact_type {
            found.retain(|descriptor| descriptor.artifact_type.as_deref() == Some(wanted));
        }
        Ok(found)
    }

    async fn list_referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        let endpoint = self.endpoint()?;
        let mut call = endpoint.read(Method::GET, &format!("referrers/{subject}"))?;
        call.headers
            .insert(ACCEPT, HeaderValue::from_static(media_type::OCI_INDEX));
        let mut found = Vec::new();
        for page in 0..MAX_PAGES {
            let answer = match self
                .transport()
                .fetch(&endpoint.host, &call, MAX_SIZE)
                .await?
            {
                Ok(answer) => answer,
                // A registry without the API answers 404, or something that is no index.
                Err(refused)
                    if page == 0 && matches!(refused.status().as_u16(), 400 | 404 | 405) =>
                {
                    refused.drain().await;
                    return self.listed_by_tag(subject).await;
                }
                Err(refused) => return Err(refused.into_error().await),
            };
            let is_index = answer
                .header(CONTENT_TYPE)
                .is_some_and(|kind| media_type::essence(kind) == media_type::OCI_INDEX);
            if page == 0 && !is_index {
                return self.listed_by_tag(subject).await;
            }
            let next = link::next(&endpoint.host, &answer)?;
            let index = parse(answer.body)?;
            let before = found.len();
            found.extend(entries(&index).iter().cloned());
            if found.len() > MAX_REFERRERS {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("there are more than {MAX_REFERRERS} referrers"),
                ));
            }
            match next.filter(|_| found.len() > before) {
                Some(next) => call.url = next,
                None => return Ok(found),
            }
        }
        Err(Error::new(
            ErrorKind::Server,
            "the registry's list does not end",
        ))
    }

    async fn listed_by_tag(&self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        match self.manifest(&fallback_tag(subject)).await {
            Ok(index) => Ok(entries(&index).to_vec()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Writes a manifest with a subject under its digest, and lists it as a referrer where the
    /// registry does not do that by itself.
    ///
    /// # Errors
    /// When the manifest or the list cannot be written.
    pub async fn put_referrer(&self, manifest: &Manifest) -> Result<(), Error> {
        let what = || format!("cannot write referrer {self}@{}", manifest.digest());
        let subject = manifest
            .subject()
            .map(|subject| subject.digest)
            .ok_or_else(|| Error::new(ErrorKind::Unsupported, "it has no subject").during(what))?;
        let pointer = Pointer::Digest(manifest.digest().clone());
        let receipt = self.put_manifest(&pointer, manifest).await?;
        if receipt.subject.is_some() {
            return Ok(());
        }
        let endpoint = self.endpoint()?;
        // Reading, adding and writing is not atomic; at least this process does not race itself.
        let tag = fallback_tag(&subject);
        let list = format!("{self}:{tag}");
        let _turn = endpoint.host.fallback_tags.wait(list).await;
        let old = match self.manifest(&tag).await {
            Ok(index) => Some(index),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        match with_entry(old.as_ref(), manifest)? {
            Some(index) => self.put_manifest(&tag, &index).await.map(|_| ()),
            None => Ok(()),
        }
    }
}

/// The tag under which referrers are listed without the API: `sha256-` and the hash.
fn fallback_tag(subject: &Digest) -> Pointer {
    Pointer::Tag(
        format!("{}-{}", subject.algorithm().name(), subject.hex())
            .chars()
            .take(128)
            .collect(),
    )
}

fn parse(body: bytes::Bytes) -> Result<Manifest, Error> {
    Manifest::parse(body, Some(media_type::OCI_INDEX))
        .map_err(|error| Error::new(ErrorKind::Server, error.to_string()).caused_by(error))
}

fn entries(index: &Manifest) -> &[Descriptor] {
    match index.content() {
        Content::Index { manifests } => manifests,
        Content::Image { .. } => &[],
    }
}

/// The list with one more entry; `None` when it has it already. Other entries stay as they are.
fn with_entry(list: Option<&Manifest>, manifest: &Manifest) -> Result<Option<Manifest>, Error> {
    let mut index: Map<String, Value> = match list {
        Some(list) if entries(list).iter().any(|d| d.digest == *manifest.digest()) => {
            return Ok(None);
        }
        Some(list) if matches!(list.content(), Content::Index { .. }) => {
            list.document().object().clone()
        }
        _ => match json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_INDEX,
            "manifests": [],
        }) {
            Value::Object(object) => object,
            _ => Map::new(),
        },
    };
    let mut entry = manifest.descriptor().to_json();
    let object = manifest.document().object();
    let artifact_type = manifest.artifact_type().or_else(|| {
        let config = object.get("config")?;
        config.get("mediaType")?.as_str()
    });
    if let Some(artifact_type) = artifact_type {
        entry.insert("artifactType".to_owned(), artifact_type.into());
    }
    if let Some(annotations) = object.get("annotations").filter(|a| a.is_object()) {
        entry.insert("annotations".to_owned(), annotations.clone());
    }
    match index.get_mut("manifests") {
        Some(Value::Array(manifests)) => manifests.push(Value::Object(entry)),
        _ => {
            index.insert(
                "manifests".to_owned(),
                Value::Array(vec![Value::Object(entry)]),
            );
        }
    }
    let bytes = Document::from_object(index).bytes().clone();
    parse(bytes).map(Some)
}
