//! The signatures beside an image: bundles that refer to it, and those under the tag made of its digest.

use ohoci_image::{Content, Digest, Manifest, Reference, RegistryReference};
use ohoci_store::{Error, ErrorKind, Source};
use ohoci_trust::simple_signing::{self, MAX_PAYLOAD};
use ohoci_trust::{Signature, bundle};

use crate::sources::Sources;

/// Most signatures of one kind that are read: whoever may push can add any number.
const MAX_SIGNATURES: usize = 64;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The signatures that can be read.
    pub(crate) signatures: Vec<Signature>,
    /// Those that cannot, and why.
    pub(crate) unreadable: Vec<String>,
}

impl Found {
    fn push(&mut self, place: &str, read: Result<Signature, impl std::fmt::Display>) {
        match read {
            Ok(signature) => self.signatures.push(signature),
            Err(error) => self.unreadable.push(format!("{place}: {error}")),
        }
    }

    fn left_out(&mut self, what: &str) {
        let why = format!("more than {MAX_SIGNATURES} {what}, of which the rest was not read");
        self.unreadable.push(why);
    }
}

/// Adds the bundles that refer to `image`: the list of its referrers is one request, and each bundle
/// that is not in the cache is two more.
///
/// # Errors
/// When the place cannot be asked.
pub(crate) async fn bundles(
    source: &dyn Source,
    image: &Digest,
    found: &mut Found,
) -> Result<(), Error> {
    let listed = match source.referrers(image).await {
        Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(()),
        listed => listed?,
    };
    // cosign's lists by tag leave out what kind of artifact it is.
    let mut bundles = listed.iter().filter(|entry| {
        let kind = entry.artifact_type.as_deref();
        kind.is_none_or(|kind| kind.starts_with(bundle::MEDIA_TYPE_PREFIX))
    });
    for entry in bundles.by_ref().take(MAX_SIGNATURES) {
        let place = format!("bundle {}", entry.digest.short());
        let manifest = match source.manifest(entry).await {
            Err(error) if is_broken(&error) => {
                found.unreadable.push(format!("{place}: {}", error.why()));
                continue;
            }
            manifest => manifest?,
        };
        if manifest
            .subject()
            .is_none_or(|subject| subject.digest != *image)
        {
            let why = "it is listed for the image, but is about something else";
            found.unreadable.push(format!("{place}: {why}"));
            continue;
        }
        let Content::Image { layers, .. } = manifest.content() else {
            continue;
        };
        let is_bundle = |media_type: &str| media_type.starts_with(bundle::MEDIA_TYPE_PREFIX);
        let Some(layer) = layers.iter().find(|layer| is_bundle(&layer.media_type)) else {
            continue;
        };
        match source.document(layer).await {
            Err(error) if is_broken(&error) => {
                found.unreadable.push(format!("{place}: {}", error.why()));
            }
            bytes => found.push(&place, Signature::bundle(&place, &bytes?)),
        }
    }
    if bundles.next().is_some() {
        found.left_out("bundles");
    }
    Ok(())
}

/// Adds the signatures under the tag made of the digest: one request where there are none.
///
/// # Errors
/// When the place cannot be asked.
pub(crate) async fn tagged(
    sources: &Sources,
    image: &Reference,
    digest: &Digest,
    found: &mut Found,
) -> Result<(), Error> {
    let Some((source, manifest)) = signature_image(sources, image, digest).await? else {
        return Ok(());
    };
    let Content::Image { layers, .. } = manifest.content() else {
        return Ok(());
    };
    let mut payloads = layers
        .iter()
        .filter(|layer| layer.media_type == simple_signing::MEDIA_TYPE);
    let tag = simple_signing::tag(digest);
    for layer in payloads.by_ref().take(MAX_SIGNATURES) {
        let place = format!("signature {} of {tag}", layer.digest.short());
        if !layer.annotations.contains_key(simple_signing::SIGNATURE) {
            continue;
        }
        if layer.size > MAX_PAYLOAD {
            found.unreadable.push(format!("{place}: it is too large"));
            continue;
        }
        match source.document(layer).await {
            Err(error) if is_broken(&error) => {
                found.unreadable.push(format!("{place}: {}", error.why()));
            }
            bytes => found.push(
                &place,
                Signature::simple(&place, bytes?, &layer.annotations),
            ),
        }
    }
    if payloads.next().is_some() {
        found.left_out("signatures under the tag");
    }
    Ok(())
}

/// The manifest under the tag for signatures, if there is one.
pub(crate) async fn signature_image(
    sources: &Sources,
    image: &Reference,
    digest: &Digest,
) -> Result<Option<(std::sync::Arc<dyn Source>, Manifest)>, Error> {
    let Some(reference) = tag_for_signatures(image, digest) else {
        return Ok(None);
    };
    let source = sources.open(&reference).await?;
    match source.root().await {
        Ok(manifest) => Ok(Some((source, manifest))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where the signatures of an image are in the older form; `None` where images have no tags beside
/// them.
fn tag_for_signatures(image: &Reference, digest: &Digest) -> Option<Reference> {
    let tag = simple_signing::tag(digest);
    match image {
        Reference::Registry(name) => {
            RegistryReference::new(name.host(), name.repository(), Some(&tag), None)
                .ok()
                .map(Reference::Registry)
        }
        Reference::Layout { path, .. } => Some(Reference::Layout {
            path: path.clone(),
            tag: Some(tag),
        }),
        _ => None,
    }
}

/// Whether it is the document that is wrong, rather than the way to it.
fn is_broken(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Corrupt | ErrorKind::Unsupported | ErrorKind::NotFound
    )
}
