//! Last phase: the result is pushed to every target, and reported.

use std::collections::HashMap;

use bytes::Bytes;
use futures_util::future::join_all;

use super::documents::Made;
use super::existing::Existing;
use super::planned::Planned;
use super::run::Run;
use crate::execute::{self, Delivery};
use crate::partly::partly;
use crate::plan::Move;
use crate::report::{ComposeReport, Cost, LayerReport, Named, Status, TargetLayer, TargetReport};
use crate::resolver::Destination;
use crate::signatures::signing::{self, Documents};
use ohoci_image::{Descriptor, Digest, Manifest, Pointer, RegistryReference, label};
use ohoci_store::{Arrival, Error, ErrorKind};
use ohoci_trust::provenance;

/// A run that is over: the result is in every target.
pub(super) struct Delivered<'a> {
    planned: Planned<'a>,
    /// For each destination, in order.
    outcomes: Vec<Outcome>,
}

/// What pushing to one target came to.
struct Outcome {
    status: Status,
    arrivals: HashMap<Digest, Arrival>,
}

impl Outcome {
    /// Nothing moved.
    fn nothing(status: Status) -> Self {
        Self {
            status,
            arrivals: HashMap::new(),
        }
    }
}

impl<'a> Planned<'a> {
    /// Pushes; a dry run does not.
    pub(super) async fn deliver(self) -> Result<Delivered<'a>, Error> {
        let opened = &self.composed.read.opened;
        opened.run.step("pushing");
        if opened.run.resolver.signing.is_some() {
            for destination in &opened.destinations {
                destination.references.iter().try_for_each(signing::check)?;
            }
        }
        let targets = opened.destinations.iter().zip(&self.moves);
        // Each to its end, so that it is known where the result is when one of them fails.
        let outcomes = join_all(targets.map(|(destination, moves)| {
            push(&opened.run, &self.composed.made, destination, moves)
        }))
        .await;
        let is_pushed = |outcome: &Result<Outcome, Error>| {
            outcome
                .as_ref()
                .is_ok_and(|outcome| outcome.status == Status::Pushed)
        };
        let pushed: Vec<String> = outcomes
            .iter()
            .zip(&opened.destinations)
            .filter(|(outcome, _)| is_pushed(outcome))
            .flat_map(|(_, destination)| &destination.references)
            .map(ToString::to_string)
            .collect();
        let outcomes = outcomes
            .into_iter()
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| partly(error, &pushed))?;
        Ok(Delivered {
            planned: self,
            outcomes,
        })
    }
}

impl Delivered<'_> {
    /// What was made, and how it got there.
    pub(super) fn report(self) -> ComposeReport {
        let moves = self.planned.moves;
        let composed = self.planned.composed;
        let (made, read) = (composed.made, composed.read);
        let opened = read.opened;
        let (job, destinations) = (opened.run.job, opened.destinations);
        let digest = made.root.digest();
        let mut targets: Vec<TargetReport> = destinations
            .iter()
            .zip(&moves)
            .zip(&self.outcomes)
            .map(|((to, moves), outcome)| target_report(to, moves, digest, outcome))
            .collect();
        targets.extend(opened.left.iter().map(Existing::report));
        let is_pushed = |target: &TargetReport| target.status == Status::Pushed;
        let status = match targets.first() {
            _ if targets.iter().any(is_pushed) => Status::Pushed,
            Some(first) => first.status,
            None => Status::Planned,
        };
        let mut warnings = composed.warnings;
        warnings.extend(destinations.iter().flat_map(|to| to.target.replaced()));
        let named = |name: String, digest: &Digest| Named {
            name,
            digest: digest.clone(),
        };
        let base = read.base.as_ref();
        let deps = read.deps.iter().zip(&job.deps);
        ComposeReport {
            status,
            reference: targets.first().map(|target| target.reference.clone()),
            digest: digest.clone(),
            media_type: Some(made.root.media_type().to_owned()),
            size: Some(made.root.bytes().len() as u64),
            platforms: made.images.iter().map(|i| i.platform.to_string()).collect(),
            base: base.map(|base| named(job.base.to_string(), base.root.digest())),
            deps: deps
                .map(|(deps, reference)| named(reference.to_string(), deps.root.digest()))
                .collect(),
            layers: layer_reports(&made, targets.first()),
            changes: made
                .images
                .first()
                .map(|image| image.changes.clone())
                .unwrap_or_default(),
            targets,
            warnings,
            dropped: None,
            reused: opened.reused,
            made: destinations
                .iter()
                .filter_map(|to| to.target.made())
                .collect(),
            fitted: composed.fitted,
            cost: Cost::new(
                &opened.run.resolver.client.statistics(),
                opened.run.started.elapsed(),
            ),
        }
    }
}

async fn push(
    run: &Run<'_>,
    made: &Made,
    destination: &Destination,
    moves: &[Move],
) -> Result<Outcome, Error> {
    if run.job.dry_run {
        return Ok(Outcome::nothing(Status::Planned));
    }
    let about = about(run, made, destination).await?;
    if is_there(destination, made.root.digest()).await? {
        // It may have been pushed without a signature, or with another.
        signing::put(destination.target.as_ref(), &about).await?;
        return Ok(Outcome::nothing(Status::Unchanged));
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
            signed: &about,
            referrers: &[],
            tagged: &[],
            root: &made.root,
        },
        destination,
        run.observer,
    ))
    .await?;
    Ok(Outcome {
        status: Status::Pushed,
        arrivals,
    })
}

/// The signature of the result, and its provenance, where they are asked for.
async fn about(run: &Run<'_>, made: &Made, destination: &Destination) -> Result<Documents, Error> {
    let (Some(signing), Some(place)) = (&run.resolver.signing, destination.references.first())
    else {
        return Ok(Documents::default());
    };
    let mut statements = Vec::new();
    if let Some(builder) = &signing.provenance {
        let fail = |why: String| {
            let what = format!("cannot say what {place} is made from");
            Error::new(ErrorKind::Unsupported, what, why)
        };
        let mut images = Vec::new();
        for image in &made.images {
            let intent = label::intent(image.config.object())
                .map_err(|error| fail(error.to_string()))?
                .ok_or_else(|| fail("it has no record".to_owned()))?;
            images.push(provenance::Image {
                platform: image.platform.clone(),
                manifest: image.manifest.digest().clone(),
                intent,
            });
        }
        let repository = place.registry().map(RegistryReference::name);
        let root = made.root.digest();
        let statement = provenance::statement(repository.as_deref(), root, &images, builder);
        statements.push(statement.map_err(|error| fail(error.to_string()))?);
    }
    let root = made.root.descriptor();
    signing::documents(run.resolver, place, &root, signing, &statements).await
}

/// Asks whether every tag names the result already, where memory says that it is likely.
async fn is_there(destination: &Destination, digest: &Digest) -> Result<bool, Error> {
    if !destination.every_tag_is_remembered(|remembered| remembered == digest) {
        return Ok(false);
    }
    for tag in &destination.tags {
        // In a large batch the list of tags, asked for once, says that the tag has not gone; that
        // it still names what this machine gave it a short while ago is taken on trust.
        match destination.target.lists(tag, digest).await {
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

fn target_report(
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

fn layer_reports(made: &Made, first: Option<&TargetReport>) -> Vec<LayerReport> {
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
                origin: layer.role,
                arrival,
            });
        }
    }
    reports
}
