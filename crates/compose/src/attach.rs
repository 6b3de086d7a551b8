//! Puts documents about an image, such as bills of materials, where the image is: as referrers of
//! its manifests (distribution-spec, "Listing referrers").

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::try_join_all;

use super::resolver::{Destination, Resolver};
use super::signatures::signing;
use super::watch::{Event, Observer};
use ohoci_image::artifact;
use ohoci_image::index::{self, Wanted};
use ohoci_image::referrer::Artifact;
use ohoci_image::{
    Content, Descriptor, Digest, Manifest, Platform, Reference, RegistryReference, media_type,
};
use ohoci_store::{Error, ErrorKind};
use ohoci_trust::bundle;
use ohoci_trust::sign::Unsigned;
use ohoci_trust::statement::{self, Statement, Subject};

/// What to attach to what.
#[derive(Clone, Debug)]
pub struct Job {
    /// The image or index that was pushed.
    pub image: Digest,
    /// Where it was pushed.
    pub places: Vec<Reference>,
    /// The documents, each about the image for one platform.
    pub artifacts: Vec<(Platform, Artifact)>,
}

/// A document that is attached to an image now.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attached {
    /// The place.
    pub place: String,
    /// The platform of the image that it is about.
    pub platform: String,
    /// What kind of document it is.
    pub artifact_type: String,
    /// The manifest of that image.
    pub subject: Digest,
    /// The manifest of the document.
    pub digest: Digest,
}

/// Checks that documents can be attached to images there.
///
/// # Errors
/// When it is an archive, in which no reader would find them.
pub fn check(place: &Reference) -> Result<(), Error> {
    signing::check(place)
}

/// Attaches. The same documents on the same image give the same manifests, so that doing it again
/// changes nothing.
///
/// # Errors
/// The first thing that failed. The image itself stays pushed.
pub async fn attach(
    job: &Job,
    resolver: &Resolver,
    observer: &Arc<dyn Observer>,
) -> Result<Vec<Attached>, Error> {
    for place in &job.places {
        check(place)?;
    }
    observer.event(&Event::Step("attaching documents".to_owned()));
    let mut attached = Vec::new();
    for destination in resolver.destinations(&job.places)? {
        let referrers = referrers(job, &destination, resolver).await?;
        deliver(job, &destination, &referrers).await?;
        let signed = signed(job, &destination, &referrers, resolver).await?;
        let reports = job.artifacts.iter().zip(&referrers);
        attached.extend(reports.map(|((platform, artifact), referrer)| Attached {
            place: destination.target.place(),
            platform: platform.to_string(),
            artifact_type: artifact.media_type.to_owned(),
            subject: referrer.subject.digest.clone(),
            digest: referrer.manifest.digest().clone(),
        }));
        attached.extend(signed);
    }
    Ok(attached)
}

/// A document's manifest.
struct Referrer {
    subject: Descriptor,
    manifest: Manifest,
}

/// The manifests, in the order of the documents.
async fn referrers(
    job: &Job,
    destination: &Destination,
    resolver: &Resolver,
) -> Result<Vec<Referrer>, Error> {
    let Some(place) = destination.references.first() else {
        return Ok(Vec::new());
    };
    // By digest: a tag may have moved meanwhile, and a layout may hold other images.
    let image = match place {
        Reference::Layout { path, .. } => Reference::Layout {
            path: path.clone(),
            tag: Some(format!("@{}", job.image)),
        },
        other => other.clone(),
    };
    // What was just pushed need not be let in.
    let image = match image {
        Reference::Registry(name) => Reference::Registry(name.at(&job.image)),
        local => local,
    };
    let source = resolver.source_to_look_at(&image).await?;
    let root = source.root().await?;
    job.artifacts
        .iter()
        .map(|(platform, artifact)| {
            let fail = |why: String| {
                Error::new(
                    ErrorKind::Unsupported,
                    format!("cannot attach {} to {}", artifact.title, source.place()),
                    why,
                )
            };
            let subject = subject(&root, platform).map_err(fail)?;
            let manifest = artifact
                .about(&subject)
                .map_err(|error| fail(error.to_string()))?;
            Ok(Referrer { subject, manifest })
        })
        .collect()
}

/// The image for a platform.
fn subject(root: &Manifest, platform: &Platform) -> Result<Descriptor, String> {
    if matches!(root.content(), Content::Image { .. }) {
        return Ok(root.descriptor());
    }
    index::select(root, &Wanted::Platforms(vec![platform.clone()]))
        .map_err(|error| error.to_string())?
        .children
        .into_iter()
        .next()
        .map(|child| child.descriptor)
        .ok_or_else(|| format!("there is no image for {platform}"))
}

/// Signs what the documents say, where a key is given: a statement in a bundle beside each of them.
async fn signed(
    job: &Job,
    destination: &Destination,
    referrers: &[Referrer],
    resolver: &Resolver,
) -> Result<Vec<Attached>, Error> {
    let signing = resolver.signing.as_ref();
    let signing = signing.filter(|signing| signing.signer.is_some());
    let (Some(signing), Some(place)) = (signing, destination.references.first()) else {
        return Ok(Vec::new());
    };
    let name = place.registry().map(RegistryReference::name);
    let mut attached = Vec::new();
    for ((platform, artifact), referrer) in job.artifacts.iter().zip(referrers) {
        let Some(predicate_type) = predicate_type(artifact.media_type) else {
            continue;
        };
        let predicate = serde_json::from_slice(&artifact.content).map_err(|error| {
            let what = format!("cannot sign {}", artifact.title);
            Error::new(ErrorKind::Unsupported, what, error.to_string())
        })?;
        let statement = Unsigned::new(&Statement {
            subjects: vec![Subject::image(name.clone(), &referrer.subject.digest)],
            predicate_type: predicate_type.to_owned(),
            predicate,
        });
        let statement = std::iter::once(statement);
        let documents = signing::said(place, &referrer.subject, signing, statement).await?;
        signing::put(destination.target.as_ref(), &documents).await?;
        attached.extend(documents.made.iter().map(|made| Attached {
            place: destination.target.place(),
            platform: platform.to_string(),
            artifact_type: bundle::MEDIA_TYPE.to_owned(),
            subject: referrer.subject.digest.clone(),
            digest: made.digest.clone(),
        }));
    }
    Ok(attached)
}

/// What a statement is called that says what such a document says.
fn predicate_type(media_type: &str) -> Option<&'static str> {
    match media_type {
        media_type::SPDX => Some(statement::SPDX),
        media_type::CYCLONEDX => Some(statement::CYCLONEDX),
        _ => None,
    }
}

async fn deliver(
    job: &Job,
    destination: &Destination,
    referrers: &[Referrer],
) -> Result<(), Error> {
    let outcome = attempt(job, destination, referrers).await;
    // What was known of the repository is not so any more: put everything once.
    let is_incomplete = |error: &Error| error.kind() == ErrorKind::Incomplete;
    if outcome.as_ref().is_err_and(is_incomplete) && destination.target.forget() {
        return attempt(job, destination, referrers).await;
    }
    outcome
}

async fn attempt(
    job: &Job,
    destination: &Destination,
    referrers: &[Referrer],
) -> Result<(), Error> {
    let target = &destination.target;
    let documents: Vec<(Descriptor, Bytes)> = job
        .artifacts
        .iter()
        .map(|(_, artifact)| (artifact.descriptor(), artifact.content.clone()))
        .chain([artifact::empty_config()])
        .collect();
    let blobs = documents
        .iter()
        .map(|(descriptor, bytes)| target.place_attachment(descriptor, bytes.clone()));
    try_join_all(blobs).await?;
    // One after the other: registries without a list of their own get them into a list whose
    // digest must not depend on which came first.
    for referrer in referrers {
        target.place_referrer(&referrer.manifest).await?;
    }
    target.finish().await
}
