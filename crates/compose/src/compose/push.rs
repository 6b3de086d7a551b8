//! Pushes the result to one target and reports how it went.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::Job;
use super::documents::Made;
use crate::execute::{self, Delivery};
use crate::plan::{Move, Role};
use crate::report::{LayerReport, Status, TargetLayer, TargetReport};
use crate::resolver::Destination;
use crate::watch::Observer;
use ohoci_image::compose::LayerOrigin;
use ohoci_image::{Descriptor, Digest, Manifest, Pointer};
use ohoci_store::{Arrival, Error};

/// What pushing to one target came to.
pub(super) struct Outcome {
    pub(super) status: Status,
    pub(super) arrivals: HashMap<Digest, Arrival>,
}

pub(super) async fn push(
    job: &Job,
    made: &Made,
    destination: &Destination,
    moves: &[Move],
    observer: &Arc<dyn Observer>,
) -> Result<Outcome, Error> {
    let nothing = |status| Outcome {
        status,
        arrivals: HashMap::new(),
    };
    if job.dry_run {
        return Ok(nothing(Status::Planned));
    }
    if is_there(destination, made.root.digest()).await? {
        destination.target.finish().await?;
        return Ok(nothing(Status::Unchanged));
    }
    let documents: Vec<(Descriptor, Bytes)> = made
        .images
        .iter()
        .map(|image| {
            (
                image.config_descriptor.clone(),
                image.config.bytes().clone(),
            )
        })
        .collect();
    let children: Vec<Manifest> = if made.is_index {
        made.images.iter().map(|i| i.manifest.clone()).collect()
    } else {
        Vec::new()
    };
    let arrivals = Box::pin(execute::deliver(
        &Delivery {
            moves,
            documents: &documents,
            children: &children,
            referrers: &[],
            tagged: &[],
            root: &made.root,
        },
        destination,
        observer,
    ))
    .await?;
    Ok(Outcome {
        status: Status::Pushed,
        arrivals,
    })
}

/// A failure in one of several targets, with the targets where the result is by now.
pub(crate) fn partly(error: Error, pushed: &[String]) -> Error {
    if pushed.is_empty() {
        return error;
    }
    let why = format!(
        "{}; it was pushed to {} and stays there",
        error.why(),
        pushed.join(" and ")
    );
    let failure = Error::new(error.kind(), error.what().to_owned(), why);
    match error.hint().map(str::to_owned) {
        Some(hint) => failure.hinted(hint),
        None => failure,
    }
    .caused_by(error)
}

/// Asks whether every tag names the result already, where memory says that it is likely.
async fn is_there(destination: &Destination, digest: &Digest) -> Result<bool, Error> {
    let Some(registry) = &destination.registry else {
        return Ok(false);
    };
    if destination.tags.is_empty()
        || !destination
            .tags
            .iter()
            .all(|tag| registry.remembered(tag).as_ref() == Some(digest))
    {
        return Ok(false);
    }
    for tag in &destination.tags {
        // In a large batch the list of tags, asked for once, says that the tag has not gone; that
        // it still names what this machine gave it a short while ago is taken on trust.
        match registry.lists(tag, digest).await {
            Some(true) => continue,
            Some(false) => return Ok(false),
            None => {}
        }
        let current = destination
            .target
            .current(&Pointer::Tag(tag.clone()))
            .await?;
        if current.as_ref() != Some(digest) {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) fn target_report(
    destination: &Destination,
    moves: &[Move],
    digest: &Digest,
    outcome: &Outcome,
) -> TargetReport {
    TargetReport {
        reference: destination.result_reference(digest),
        references: destination
            .references
            .iter()
            .map(ToString::to_string)
            .collect(),
        status: outcome.status,
        layers: moves
            .iter()
            .map(|step| TargetLayer {
                digest: step.offer.descriptor.digest.clone(),
                size: step.offer.descriptor.size,
                origin: step.role,
                plan: step.way.describe(),
                arrival: outcome
                    .arrivals
                    .get(&step.offer.descriptor.digest)
                    .copied()
                    .or((outcome.status == Status::Unchanged).then_some(Arrival::Present)),
            })
            .collect(),
    }
}

pub(super) fn layer_reports(made: &Made, first: Option<&TargetReport>) -> Vec<LayerReport> {
    let mut reports = Vec::new();
    for image in &made.images {
        for layer in &image.layers {
            let arrival = first
                .and_then(|target| {
                    target
                        .layers
                        .iter()
                        .find(|known| known.digest == layer.descriptor.digest)
                })
                .and_then(|known| known.arrival);
            reports.push(LayerReport {
                platform: image.platform.to_string(),
                digest: layer.descriptor.digest.clone(),
                diff_id: layer.diff_id.clone(),
                media_type: layer.descriptor.media_type.clone(),
                size: layer.descriptor.size,
                origin: match layer.origin {
                    LayerOrigin::Base => Role::Base,
                    LayerOrigin::Deps(_) => Role::Deps,
                    LayerOrigin::Local(_) => Role::Local,
                },
                arrival,
            });
        }
    }
    reports
}
