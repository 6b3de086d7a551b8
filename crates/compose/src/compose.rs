//! Runs a compose job: read, compose, plan, deliver.

mod additions;
mod documents;
mod existing;
mod links;
mod needs;
mod push;
mod reuse;

pub(super) use documents::Made;
pub(super) use push::partly;
pub use reuse::{ReuseOrder, Reused};

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::{join_all, try_join_all};

use super::fit::{self, Fit};
use super::plan;
use super::read::{self, Choice, Deps, Found};
use super::report::{ComposeReport, Cost, Named, Status, TargetReport};
use super::resolver::{Destination, Resolver};
use super::watch::{Event, Observer};
use ohoci_image::config_patch::ConfigPatch;
use ohoci_image::label::Position;
use ohoci_image::media_type::{self, Family, LayerKind};
use ohoci_image::{Content, Descriptor, Digest, Manifest, Platform, Reference};
use ohoci_layer::LayerPath;
use ohoci_store::{Body, Error, ErrorKind, Source};

/// What to do when a target reference exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfExists {
    /// Move it to the new image.
    Replace,
    /// Leave it as it is and succeed.
    Skip,
    /// Leave it as it is and fail.
    Fail,
}

/// Where the bytes of a [`LocalLayer`] are.
#[derive(Clone, Debug)]
pub enum LayerBytes {
    /// In a file of this machine.
    File(Arc<dyn Body>),
    /// In the image that it is taken over from.
    Image(Arc<dyn Source>),
}

/// A layer of whoever composes: packed from this machine's files, now or for an earlier image.
#[derive(Clone, Debug)]
pub struct LocalLayer {
    /// The blob.
    pub descriptor: Descriptor,
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Its bytes.
    pub from: LayerBytes,
    /// What it was packed from. It is written into the image, so it says nothing of where on this
    /// machine that lies.
    pub name: String,
    /// `created_by` of its history entry.
    pub created_by: String,
    /// Its directories, as far as they are known: see
    /// [`PackedLayer::directories`](ohoci_layer::PackedLayer::directories).
    pub directories: Vec<LayerPath>,
    /// The only platform that it is for; `None` is every one.
    pub platform: Option<Platform>,
}

/// Digests at which base and deps are read, whatever their references name now. The result names
/// them as the references do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins {
    /// Of the base.
    pub base: Option<Digest>,
    /// Of the deps images, in order; where there is none, the reference is followed.
    pub deps: Vec<Option<Digest>>,
}

/// Everything that a compose run is asked to do.
#[derive(Clone, Debug)]
pub struct Job {
    /// The base image.
    pub base: Reference,
    /// Images whose layers and patches are added, in order.
    pub deps: Vec<Reference>,
    /// Where references are not followed.
    pub pins: Pins,
    /// Take only this path out of the deps images, flattened into one layer.
    pub deps_path: Option<String>,
    /// Layers from this machine's files, in order, above the deps.
    pub layers: Vec<LocalLayer>,
    /// Where the result goes.
    pub push: Vec<Reference>,
    /// Which platforms.
    pub choice: Choice,
    /// The user's config changes.
    pub patch: ConfigPatch,
    /// The user's annotations.
    pub annotations: BTreeMap<String, String>,
    /// Where added layers go.
    pub position: Position,
    /// What to do when a target reference exists.
    pub if_exists: IfExists,
    /// What a base is given where it lacks it.
    pub fit: Fit,
    /// Earlier images that leave less to do. The tags that exist then stay as they are.
    pub reuse: Option<ReuseOrder>,
    /// Refuse images of more layers than this.
    pub max_layers: usize,
    /// Compose although nothing is added: the base under another name, with another digest.
    pub may_add_nothing: bool,
    /// Fail rather than move layer bytes.
    pub no_upload: bool,
    /// Do nothing but read.
    pub dry_run: bool,
    /// `created` of the result, RFC 3339.
    pub created: Option<String>,
    /// The result's family; `None` chooses the one that fits base, layers and targets.
    pub family: Option<Family>,
    /// Where flattened layers are written.
    pub work_dir: PathBuf,
}

/// Runs the job.
///
/// # Errors
/// The first thing that failed. Nothing was tagged then, except in targets that were finished
/// before the one that failed.
pub async fn compose(
    job: &Job,
    resolver: &Resolver,
    observer: &Arc<dyn Observer>,
) -> Result<ComposeReport, Error> {
    let started = std::time::Instant::now();
    let pinned;
    let (job, reused) = match &job.reuse {
        None => (job, None),
        Some(order) => {
            observer.event(&Event::Step("looking for an earlier image".to_owned()));
            resolver.announce(&[], &job.push.iter().collect::<Vec<_>>());
            match reuse::look(order, job, resolver).await? {
                reuse::Outcome::Done { reference, digest } => {
                    return Ok(existing::done(reference, digest, resolver, started));
                }
                reuse::Outcome::Pinned(job, reused) => {
                    pinned = job;
                    (&*pinned, Some(reused))
                }
            }
        }
    };
    let mut destinations = resolver.destinations(&job.push)?;
    let reads: Vec<&Reference> = std::iter::once(&job.base).chain(&job.deps).collect();
    resolver.announce(&reads, &job.push.iter().collect::<Vec<_>>());

    let mut left = Vec::new();
    if job.if_exists == IfExists::Skip || job.reuse.is_some() {
        // Asked first and alone: where everything is there, it is all that is asked.
        left = existing::leave(&mut destinations).await?;
        if destinations.is_empty()
            && let Some(first) = left.first()
        {
            return Ok(existing::skipped(first, &left, resolver, started));
        }
    }

    observer.event(&Event::Step("reading base and deps".to_owned()));
    let ((base, deps), ()) = futures_util::try_join!(
        read_all(job, resolver, &destinations),
        prepare_destinations(job, &destinations)
    )?;

    if adds_nothing(job) {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("cannot compose on {}", job.base),
            "there is nothing to put on it: the result would be the same image with another digest",
        )
        .hinted(
            "name what to add: --deps, --layer, --env and so on; `ohoci copy` copies an image as \
             it is",
        ));
    }

    let fitting;
    let mut fitted = Vec::new();
    let job = if job.fit == Fit::None {
        job
    } else {
        let scratch = additions::scratch_platforms(job, &deps);
        (fitting, fitted) = fit::fitted(job, resolver, base.as_ref(), &scratch, observer).await?;
        &fitting
    };
    let replaced = links::replaced(job, base.as_ref(), &resolver.cache).await?;
    let compositions = additions::compositions(job, resolver, base.as_ref(), &deps).await?;
    let for_layouts = job.push.iter().any(Reference::holds_only_oci);
    let for_others = !job.push.iter().all(Reference::holds_only_oci);
    let list = compositions.list;
    let made = documents::make(job, base.as_ref(), list.clone(), for_layouts)?;
    let mut warnings = compositions.warnings;
    warnings.extend(replaced);
    // Not a Docker image any more, as it would be without the layout: another digest everywhere.
    if for_layouts
        && for_others
        && documents::make(job, base.as_ref(), list, false)?
            .root
            .family()
            != made.root.family()
    {
        warnings.push(
            "the result is an OCI image in all targets, since one of them holds no others; without \
             it the others would get a Docker image, which has another digest"
                .to_owned(),
        );
    }
    if reused.is_none() {
        warnings.extend(left.iter().map(existing::Existing::warning));
    }
    for image in &made.images {
        for warning in &image.warnings {
            if !warnings.contains(warning) {
                warnings.push(warning.clone());
            }
        }
    }

    let needs = needs::needs(job, base.as_ref(), &deps, &compositions.flattened, &made);
    let needs = resolver.with_pushed(needs);
    let mut targets = Vec::new();
    for destination in &destinations {
        let moves = plan::plan(destination, &needs, job.no_upload);
        if job.no_upload {
            needs::forbid_moves(destination, &moves)?;
        }
        targets.push((destination, moves));
    }

    observer.event(&Event::Step("pushing".to_owned()));
    // Each to its end, so that it is known where the result is when one of them fails.
    let outcomes = join_all(
        targets
            .iter()
            .map(|(destination, moves)| push::push(job, &made, destination, moves, observer)),
    )
    .await;
    let ended = outcomes.iter().zip(&targets);
    let pushed: Vec<String> = ended
        .filter(|(outcome, _)| {
            let status = outcome.as_ref().map(|outcome| outcome.status);
            status.is_ok_and(|status| status == Status::Pushed)
        })
        .flat_map(|(_, (destination, _))| &destination.references)
        .map(ToString::to_string)
        .collect();
    let outcomes = outcomes
        .into_iter()
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| push::partly(error, &pushed))?;
    for destination in &destinations {
        warnings.extend(destination.target.replaced());
    }
    let new_places = destinations.iter().filter_map(|to| to.target.made());
    let new_places: Vec<String> = new_places.collect();

    let mut reports: Vec<TargetReport> = targets
        .iter()
        .zip(outcomes)
        .map(|((destination, moves), outcome)| {
            push::target_report(destination, moves, made.root.digest(), &outcome)
        })
        .collect();
    reports.extend(left.iter().map(existing::Existing::report));
    let status = reports
        .first()
        .map_or(Status::Planned, |report| report.status);
    Ok(ComposeReport {
        status: if reports.iter().any(|r| r.status == Status::Pushed) {
            Status::Pushed
        } else {
            status
        },
        reference: reports.first().map(|report| report.reference.clone()),
        digest: made.root.digest().clone(),
        media_type: Some(made.root.media_type().to_owned()),
        size: Some(made.root.bytes().len() as u64),
        platforms: made.images.iter().map(|i| i.platform.to_string()).collect(),
        base: base.as_ref().map(|base| Named {
            name: job.base.to_string(),
            digest: base.root.digest().clone(),
        }),
        deps: deps
            .iter()
            .zip(&job.deps)
            .map(|(deps, reference)| Named {
                name: reference.to_string(),
                digest: deps.root.digest().clone(),
            })
            .collect(),
        layers: push::layer_reports(&made, reports.first()),
        changes: made
            .images
            .first()
            .map(|image| image.changes.clone())
            .unwrap_or_default(),
        targets: reports,
        warnings,
        reused,
        made: new_places,
        fitted,
        cost: Cost::new(&resolver.client.statistics(), started.elapsed()),
    })
}

/// The documents that the job makes; nothing is pushed, whatever it says of targets.
pub(super) async fn documents(job: &Job, resolver: &Resolver) -> Result<Made, Error> {
    resolver.announce(
        &std::iter::once(&job.base)
            .chain(&job.deps)
            .collect::<Vec<_>>(),
        &[],
    );
    let (base, deps) = read_all(job, resolver, &[]).await?;
    let fitting;
    let job = if job.fit == Fit::None {
        job
    } else {
        let scratch = additions::scratch_platforms(job, &deps);
        let observer: Arc<dyn Observer> = Arc::new(super::watch::Unwatched);
        (fitting, _) = fit::fitted(job, resolver, base.as_ref(), &scratch, &observer).await?;
        &fitting
    };
    let compositions = additions::compositions(job, resolver, base.as_ref(), &deps).await?;
    let into_layout = job.push.iter().any(Reference::holds_only_oci);
    documents::make(job, base.as_ref(), compositions.list, into_layout)
}

/// Whether the result would be the base again, but for its history.
fn adds_nothing(job: &Job) -> bool {
    !job.may_add_nothing
        && job.base != Reference::Scratch
        && job.deps.is_empty()
        && job.layers.is_empty()
        && job.patch.is_empty()
        && job.annotations.is_empty()
        && job.fit == Fit::None
}

/// Reads base and deps side by side. The deps' documents for the most likely platform are read
/// before the base has told which it is, so that neither waits for the other; and mounts begin
/// with the manifests, beside the reading of the configs.
async fn read_all(
    job: &Job,
    resolver: &Resolver,
    destinations: &[Destination],
) -> Result<(Option<Found>, Vec<Arc<Deps>>), Error> {
    let ahead = |source: &dyn Source, manifest: &Manifest| {
        mount_ahead(job, destinations, source, manifest);
    };
    let base = async {
        match &job.base {
            Reference::Scratch => Ok(None),
            reference => {
                let pin = job.pins.base.as_ref();
                let source = resolver.source_at(reference, pin).await?;
                let found = read::images(source, &job.choice, &ahead).await?;
                read::expect_pin(reference, pin, &found.root)?;
                Ok(Some(found))
            }
        }
    };
    let likely = match &job.choice {
        Choice::Platforms(platforms) => platforms.first().cloned(),
        Choice::Default | Choice::All => None,
    }
    .unwrap_or_else(read::this_machine);
    let deps = try_join_all(job.deps.iter().enumerate().map(|(at, reference)| {
        let pin = job.pins.deps.get(at).and_then(Option::as_ref);
        let likely = &likely;
        let ahead = &ahead;
        async move {
            let deps = resolver.deps_at(reference, pin).await?;
            // Only a guess: when it is wrong, the right one is read later and says what is wrong.
            let guess = deps.image_for(likely);
            let mounts = async {
                // Of an index it is not known yet which image is needed, and of a foreign image
                // no layer is taken as it stands.
                if job.deps_path.is_none() {
                    ahead(deps.source.as_ref(), &deps.root);
                }
            };
            let _ = futures_util::join!(guess, mounts);
            Ok::<_, Error>(deps)
        }
    }));
    futures_util::try_join!(base, deps)
}

/// Begins to mount an image's layers in every target where the plan can only be to mount them.
fn mount_ahead(job: &Job, destinations: &[Destination], source: &dyn Source, manifest: &Manifest) {
    let (Content::Image { layers, .. }, Some(origin)) = (manifest.content(), source.origin())
    else {
        return;
    };
    if job.dry_run || job.if_exists == IfExists::Fail {
        return;
    }
    for destination in destinations {
        if let Some(registry) = &destination.registry
            && !pushed_before(destination)
        {
            for layer in layers {
                if matches!(
                    media_type::layer_kind(&layer.media_type),
                    LayerKind::Ordinary(_)
                ) {
                    registry.prepare_mount(&layer.digest, &origin);
                }
            }
        }
    }
}

/// Opens upload sessions ahead of time, or makes sure that nothing is replaced.
async fn prepare_destinations(job: &Job, destinations: &[Destination]) -> Result<(), Error> {
    match job.if_exists {
        IfExists::Fail => existing::forbid(destinations).await,
        IfExists::Replace | IfExists::Skip => {
            if !job.dry_run {
                join_all(
                    destinations
                        .iter()
                        .filter(|destination| !pushed_before(destination))
                        .map(|destination| destination.target.prepare()),
                )
                .await;
            }
            Ok(())
        }
    }
}

/// Whether this machine remembers having pushed to the tags: then the result is likely there
/// already, and asking comes first.
fn pushed_before(destination: &Destination) -> bool {
    destination.registry.as_ref().is_some_and(|registry| {
        !destination.tags.is_empty()
            && destination
                .tags
                .iter()
                .all(|tag| registry.remembered(tag).is_some())
    })
}
