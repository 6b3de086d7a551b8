//! Which manifests are taken (distribution-spec, "Pushing Manifests").

use axum::http::StatusCode;
use bytes::Bytes;
use serde_json::json;

use ohoci_image::manifest::ManifestError;
use ohoci_image::media_type::{self, LayerKind};
use ohoci_image::{Content, Descriptor, Digest, Manifest};

use super::failure::{Code, Failure};
use super::storage::{Repository, is_manifest};

/// Parses a manifest that was pushed as `content_type`.
pub(super) fn parse(bytes: Bytes, content_type: Option<&str>) -> Result<Manifest, Failure> {
    let invalid = |reason: String| Failure::bad_request(Code::ManifestInvalid, reason);
    let manifest = Manifest::parse(bytes, content_type).map_err(|error| match error {
        ManifestError::TooLarge(_) => Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            Code::ManifestInvalid,
            error.to_string(),
        ),
        other => invalid(other.to_string()),
    })?;
    let object = manifest.document().object();
    if let Some(announced) = content_type.map(media_type::essence)
        && announced != manifest.media_type()
    {
        return Err(invalid(format!(
            "the manifest is {:?}, but was pushed as {announced:?}",
            manifest.media_type()
        )));
    }
    // A document that is both could be read as either (CVE-2021-41190).
    let other = match manifest.content() {
        Content::Image { .. } => ["manifests"].as_slice(),
        Content::Index { .. } => &["config", "layers"],
    };
    if let Some(field) = other.iter().find(|field| object.contains_key(**field)) {
        return Err(invalid(format!(
            "a manifest of type {:?} has no field {field:?}",
            manifest.media_type()
        )));
    }
    if let Some(subject) = object.get("subject") {
        Descriptor::from_json(subject)
            .map_err(|error| invalid(format!("`subject` of the manifest: {error}")))?;
    }
    Ok(manifest)
}

/// Whether the bytes are what they were announced as.
pub(super) fn verify(manifest: &Manifest, expected: &Digest) -> Result<(), Failure> {
    if manifest.digest() == expected || expected.matches(manifest.bytes()) {
        return Ok(());
    }
    Err(Failure::bad_request(
        Code::DigestInvalid,
        format!(
            "the manifest that came is {}, not {expected}",
            manifest.digest()
        ),
    ))
}

/// Whether everything that the manifest lists is in its repository. Its subject and foreign
/// layers need not be. In a repository that is not there yet, there is nothing.
pub(super) fn complete(
    manifest: &Manifest,
    repository: Option<&Repository>,
) -> Result<(), Failure> {
    let listed: Vec<&Descriptor> = match manifest.content() {
        Content::Image { config, layers } => {
            let kept = layers.iter().filter(|layer| {
                layer.urls.is_empty()
                    && media_type::layer_kind(&layer.media_type) != LayerKind::Foreign
            });
            std::iter::once(config.as_ref()).chain(kept).collect()
        }
        Content::Index { manifests } => manifests.iter().collect(),
    };
    let mut failure: Option<Failure> = None;
    for descriptor in listed {
        let Some((code, message)) = fault(descriptor, manifest, repository)? else {
            continue;
        };
        let detail = json!({ "digest": descriptor.digest.to_string() });
        failure = Some(match failure {
            Some(failure) => failure.and(code, message, &detail),
            None => Failure::bad_request(code, message).detail(detail),
        });
    }
    failure.map_or(Ok(()), Err)
}

fn fault(
    descriptor: &Descriptor,
    manifest: &Manifest,
    repository: Option<&Repository>,
) -> Result<Option<(Code, String)>, Failure> {
    let digest = &descriptor.digest;
    let is_listed_manifest =
        matches!(manifest.content(), Content::Index { .. }) && is_manifest(&descriptor.media_type);
    let size = match repository {
        None => None,
        Some(repository) if is_listed_manifest => {
            repository.read(|index| index.found(digest).map(|found| found.size))
        }
        Some(repository) => repository.blob(digest)?.map(|blob| blob.size),
    };
    Ok(match size {
        Some(size) if size == descriptor.size => None,
        Some(size) => Some((
            Code::ManifestInvalid,
            format!(
                "the manifest says that {digest} has {} bytes, but it has {size}",
                descriptor.size
            ),
        )),
        None if is_listed_manifest => Some((
            Code::ManifestBlobUnknown,
            format!("the manifest {digest} is not in this repository"),
        )),
        None => Some((
            Code::ManifestBlobUnknown,
            format!("the blob {digest} is not in this repository"),
        )),
    })
}
