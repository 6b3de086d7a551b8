//! Runs a plan against one target: blobs first, then child manifests, then the tags.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::plan::{Move, Way};
use super::resolver::Destination;
use super::signatures::signing::{self, Documents};
use super::watch::{Event, Observer, WatchedBody};
use ohoci_image::{Content, Descriptor, Digest, Manifest};
use ohoci_store::{Arrival, Error, ErrorKind, Offer};

/// How many blobs move at once. Requests beyond what a host takes wait in the client.
const BLOBS_AT_ONCE: usize = 16;

/// Everything that one target gets.
#[derive(Debug)]
pub(crate) struct Delivery<'a> {
    /// The blobs, planned.
    pub moves: &'a [Move],
    /// Configs and other documents in memory.
    pub documents: &'a [(Descriptor, Bytes)],
    /// Manifests that the root lists, or that they list: each behind all that it lists itself.
    pub children: &'a [Manifest],
    /// What was made about the root, with blobs of its own. It is there before the tags, so that
    /// whoever finds a tag finds its signature.
    pub signed: &'a Documents,
    /// Manifests about the root or its children that were there already, each behind its subject and
    /// what it lists. They are there before the tags, too.
    pub referrers: &'a [Manifest],
    /// Manifests about them that are found by a tag.
    pub tagged: &'a [(String, Manifest)],
    /// What the tags will name.
    pub root: &'a Manifest,
}

/// Delivers, and says how each blob got there.
///
/// # Errors
/// The first failure; nothing is tagged then.
pub(crate) async fn deliver(
    delivery: &Delivery<'_>,
    destination: &Destination,
    observer: &Arc<dyn Observer>,
) -> Result<HashMap<Digest, Arrival>, Error> {
    let outcome = Box::pin(attempt(delivery, destination, observer, true)).await;
    // What was known of the repository is not so any more (its garbage was collected, it was made
    // anew): ask for everything once.
    let is_incomplete = |error: &Error| error.kind() == ErrorKind::Incomplete;
    if outcome.as_ref().is_err_and(is_incomplete) && destination.target.forget() {
        return Box::pin(attempt(delivery, destination, observer, false)).await;
    }
    outcome
}

async fn attempt(
    delivery: &Delivery<'_>,
    destination: &Destination,
    observer: &Arc<dyn Observer>,
    trust_plan: bool,
) -> Result<HashMap<Digest, Arrival>, Error> {
    let target = &destination.target;
    // What is in a repository according to the plan is put to the test beside the first uploads,
    // which take longer.
    let present: Vec<&Descriptor> = delivery
        .moves
        .iter()
        .filter(|step| matches!(step.way, Way::Present { .. }))
        .map(|step| &step.offer.descriptor)
        .collect();
    let proof = async {
        if trust_plan {
            target.prove(&present).await
        } else {
            Ok(false)
        }
    };
    let place = |step: &'_ Move, proven: bool| {
        let step = step.clone();
        async move {
            let digest = step.offer.descriptor.digest.clone();
            if proven && matches!(step.way, Way::Present { .. }) {
                return Ok((digest, Arrival::Present));
            }
            if step.way.moves_bytes() {
                observer.event(&Event::Expect(step.offer.descriptor.size));
            }
            let offer = Offer {
                body: step.offer.body.as_ref().map(|inner| {
                    Arc::new(WatchedBody {
                        inner: Arc::clone(inner),
                        observer: Arc::clone(observer),
                    }) as _
                }),
                ..step.offer.clone()
            };
            let arrival = match target.place_blob(&offer).await {
                // A mirror with other content is out of use from then on; the next place may have
                // the blob. Bytes that were passed on cannot be taken back, so all move again.
                Err(error) if error.kind() == ErrorKind::Corrupt && offer.body.is_some() => {
                    target.place_blob(&offer).await
                }
                outcome => outcome,
            };
            arrival.map(|arrival| (digest, arrival))
        }
    };
    let blobs = async {
        let (present, absent): (Vec<&Move>, Vec<&Move>) = delivery
            .moves
            .iter()
            .partition(|step| matches!(step.way, Way::Present { .. }));
        let absent = stream::iter(absent)
            .map(|step| place(step, false))
            .buffer_unordered(BLOBS_AT_ONCE)
            .try_collect::<Vec<_>>();
        let present = async {
            let proven = proof.await?;
            stream::iter(present)
                .map(|step| place(step, proven))
                .buffer_unordered(BLOBS_AT_ONCE)
                .try_collect::<Vec<_>>()
                .await
        };
        let (present, absent) = futures_util::try_join!(present, absent)?;
        Ok::<HashMap<_, _>, Error>(present.into_iter().chain(absent).collect())
    };
    let documents = stream::iter(delivery.documents)
        .map(|(descriptor, bytes)| async move {
            target
                .place_document(descriptor, bytes.clone())
                .await
                .map(|_| ())
        })
        .buffer_unordered(BLOBS_AT_ONCE)
        .try_collect::<Vec<()>>();
    let image = async {
        let (arrivals, _) = futures_util::try_join!(blobs, documents)?;
        let is_image = |child: &&Manifest| matches!(child.content(), Content::Image { .. });
        stream::iter(delivery.children.iter().filter(is_image))
            .map(|child| target.place_manifest(child, &[]))
            .buffer_unordered(BLOBS_AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
        // An index is refused before what it lists is there, so these wait for each other.
        for index in delivery.children.iter().filter(|child| !is_image(child)) {
            target.place_manifest(index, &[]).await?;
        }
        Ok(arrivals)
    };
    // A subject need not be there before what refers to it (distribution-spec, "Pushing manifests
    // with subject"), so that a signature goes beside the image. Where other things are about the
    // image as well, it comes behind them.
    let is_alone = delivery.referrers.is_empty() && delivery.tagged.is_empty();
    let signature = async {
        match is_alone {
            true => signing::place(target.as_ref(), delivery.signed).await,
            false => Ok(()),
        }
    };
    let (arrivals, ()) = futures_util::try_join!(image, signature)?;
    // One after the other: registries without a list of their own get them into a list whose
    // digest must not depend on which came first.
    for referrer in delivery.referrers {
        match referrer.subject() {
            Some(_) => target.place_referrer(referrer).await?,
            None => target.place_manifest(referrer, &[]).await?,
        }
    }
    for (tag, manifest) in delivery.tagged {
        target
            .place_manifest(manifest, std::slice::from_ref(tag))
            .await?;
    }
    if !is_alone {
        signing::place(target.as_ref(), delivery.signed).await?;
    }
    target
        .place_manifest(delivery.root, &destination.tags)
        .await?;
    target.finish().await?;
    Ok(arrivals)
}
