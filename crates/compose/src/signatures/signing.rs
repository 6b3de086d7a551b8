//! Signs images where they are: a bundle that refers to the image, and cosign's older tag where that is
//! asked for.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::try_join_all;

use ohoci_image::{Descriptor, Digest, Manifest, Reference, RegistryReference};
use ohoci_store::{Error, ErrorKind, Target};
use ohoci_trust::sign::{Tagged, Unsigned};
use ohoci_trust::simple_signing::{self, Payload};
use ohoci_trust::statement::{SIGNED, Statement};

use crate::resolver::Resolver;
use crate::trust::found::signature_image;
use crate::trust::signer::{Signer, Signing};

/// A signature or statement that is beside an image now.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Made {
    /// The image, by digest.
    pub image: String,
    /// The digest of the signature's manifest.
    pub digest: Digest,
    /// The tag that it is under, in the older form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// What is said.
    pub predicate_type: String,
    /// The fingerprint of the key; `None` where nothing is signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Digest>,
}

/// Checks that there is room for documents about images there.
///
/// # Errors
/// When it is an archive, in which no reader would find them.
pub(crate) fn check(place: &Reference) -> Result<(), Error> {
    match place {
        Reference::Registry(_) | Reference::Layout { .. } => Ok(()),
        other => Err(Error::new(
            ErrorKind::Unsupported,
            format!("cannot attach documents to {other}"),
            "only registries and OCI layouts hold documents about images",
        )),
    }
}

/// Signs what a reference names now, and says which image that was.
///
/// # Errors
/// When it cannot be read, signed or written beside.
pub async fn sign_reference(
    resolver: &Resolver,
    image: &Reference,
    signing: &Signing,
) -> Result<Vec<Made>, Error> {
    check(image)?;
    resolver.announce(&[], &[image]);
    let source = resolver.source_to_look_at(image).await?;
    let root = source.root().await?;
    sign(resolver, image, &root.descriptor(), signing, &[]).await
}

/// Signs an image that is in `place`, and attaches statements about it. The same key on the same image
/// gives the same documents, so that doing it again changes nothing.
///
/// # Errors
/// The first thing that failed. The image itself stays as it is.
pub(crate) async fn sign(
    resolver: &Resolver,
    place: &Reference,
    image: &Descriptor,
    signing: &Signing,
    statements: &[Statement],
) -> Result<Vec<Made>, Error> {
    check(place)?;
    let documents = documents(resolver, place, image, signing, statements).await?;
    let target = target(resolver, place)?;
    put(target.as_ref(), &documents).await?;
    Ok(documents.made)
}

/// The documents of an image's signatures: what is put beside it.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    /// Configs, bundles and payloads.
    pub(crate) blobs: Vec<(Descriptor, Bytes)>,
    /// Manifests that refer to the image.
    pub(crate) referrers: Vec<Manifest>,
    /// Those under a tag.
    pub(crate) tagged: Vec<(String, Manifest)>,
    /// What they come to.
    pub(crate) made: Vec<Made>,
}

/// Makes the documents; nothing is written.
///
/// # Errors
/// When it cannot be signed, or what is signed already cannot be read.
pub(crate) async fn documents(
    resolver: &Resolver,
    place: &Reference,
    image: &Descriptor,
    signing: &Signing,
    statements: &[Statement],
) -> Result<Documents, Error> {
    let repository = place.registry().map(RegistryReference::name);
    let signature = signing
        .signer
        .as_ref()
        .map(|_| Unsigned::image(repository.as_deref(), &image.digest));
    let statements = statements.iter().map(Unsigned::new);
    let all = signature.into_iter().chain(statements);
    let mut documents = said(place, image, signing, all).await?;
    if let (Some(signer), true) = (&signing.signer, signing.with_tag) {
        by_tag(resolver, place, image, signer, &mut documents).await?;
    }
    Ok(documents)
}

/// The documents of statements alone, as [`documents`] has them.
///
/// # Errors
/// When they cannot be signed.
pub(crate) async fn said(
    place: &Reference,
    image: &Descriptor,
    signing: &Signing,
    statements: impl Iterator<Item = Unsigned>,
) -> Result<Documents, Error> {
    // A subject is named without what an index says of it.
    let subject = Descriptor::new(&image.media_type, image.digest.clone(), image.size);
    let key = signing
        .signer
        .as_ref()
        .map(|one| one.public().fingerprint());
    let mut documents = Documents::default();
    for unsigned in statements {
        let predicate_type = unsigned.predicate_type().to_owned();
        let signed = match &signing.signer {
            Some(signer) => {
                let signature = signer.sign(&unsigned.to_sign()).await?;
                unsigned.signed(signer.public(), signature, &subject)
            }
            None => unsigned.unsigned(&subject),
        };
        let signed = signed.map_err(|error| too_large(place, &error))?;
        documents.made.push(Made {
            image: name(place, &image.digest),
            digest: signed.manifest.digest().clone(),
            tag: None,
            predicate_type,
            key: key.clone(),
        });
        documents.blobs.extend(signed.blobs);
        documents.referrers.push(signed.manifest);
    }
    Ok(documents)
}

/// Writes them where nothing else is written now.
///
/// # Errors
/// The first thing that failed.
pub(crate) async fn put(target: &dyn Target, documents: &Documents) -> Result<(), Error> {
    place(target, documents).await?;
    target.finish().await
}

/// Writes them beside other things: the target is not told that this was all.
///
/// # Errors
/// The first thing that failed.
pub(crate) async fn place(target: &dyn Target, documents: &Documents) -> Result<(), Error> {
    let blobs = documents.blobs.iter();
    try_join_all(blobs.map(|(blob, bytes)| target.place_attachment(blob, bytes.clone()))).await?;
    // One after the other: registries without a list of their own get them into a list whose digest
    // must not depend on which came first.
    for referrer in &documents.referrers {
        target.place_referrer(referrer).await?;
    }
    for (tag, manifest) in &documents.tagged {
        target
            .place_manifest(manifest, std::slice::from_ref(tag))
            .await?;
    }
    Ok(())
}

fn target(resolver: &Resolver, place: &Reference) -> Result<Arc<dyn Target>, Error> {
    // Nothing is tagged: a reference by digest is as good as any.
    let place = match place {
        Reference::Registry(name) => {
            RegistryReference::new(name.host(), name.repository(), None, None)
                .map(Reference::Registry)
                .unwrap_or_else(|_| place.clone())
        }
        other => other.clone(),
    };
    let destination = resolver.destinations(&[place])?.into_iter().next();
    destination
        .map(|destination| destination.target)
        .ok_or_else(|| Error::new(ErrorKind::Unsupported, "cannot sign", "no image was named"))
}

fn name(place: &Reference, digest: &Digest) -> String {
    match place {
        Reference::Registry(name) => name.at(digest).to_string(),
        other => format!("{other}@{digest}"),
    }
}

fn too_large(place: &Reference, error: &dyn std::fmt::Display) -> Error {
    let what = format!("cannot sign {place}");
    Error::new(ErrorKind::Unsupported, what, error.to_string())
}

/// Adds a signature to those under the image's tag.
async fn by_tag(
    resolver: &Resolver,
    place: &Reference,
    image: &Descriptor,
    signer: &Signer,
    documents: &mut Documents,
) -> Result<(), Error> {
    let payload = Payload {
        reference: place
            .registry()
            .map_or_else(|| place.to_string(), RegistryReference::name),
        digest: image.digest.clone(),
    };
    let signature = signer.sign(&payload.to_bytes()).await?;
    let old = signature_image(&resolver.sources(), place, &image.digest).await?;
    let old = old.map(|(_, manifest)| manifest);
    let signed = Tagged::new(payload, signature)
        .manifest(old.as_ref())
        .map_err(|error| too_large(place, &error))?;
    let tag = simple_signing::tag(&image.digest);
    let manifest = match (signed, old) {
        (Some(signed), _) => {
            documents.blobs.extend(signed.blobs);
            documents
                .tagged
                .push((tag.clone(), signed.manifest.clone()));
            signed.manifest
        }
        (None, Some(old)) => old,
        (None, None) => return Ok(()),
    };
    documents.made.push(Made {
        image: name(place, &image.digest),
        digest: manifest.digest().clone(),
        tag: Some(tag),
        predicate_type: SIGNED.to_owned(),
        key: Some(signer.public().fingerprint()),
    });
    Ok(())
}
