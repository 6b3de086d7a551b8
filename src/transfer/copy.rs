//! Copies an image, whatever kind of place it lies in and goes to; an index with all it lists.
//!
//! Documents are copied byte for byte, except that Docker's manifests become OCI manifests in OCI
//! layouts.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::try_join_all;

use super::execute::{self, Delivery};
use super::places::{Destination, Places};
use super::plan::{self, Need, Role};
use super::read;
use super::report::{Cost, Status, TargetLayer};
use super::watch::{Event, Observer};
use crate::oci::convert;
use crate::oci::index::{self, Wanted};
use crate::oci::media_type::{self, Family, LayerKind};
use crate::oci::{Content, Descriptor, Digest, Manifest, Platform, Reference};
use crate::store::{Error, ErrorKind, Source};

/// How deep indexes may lie in indexes.
const MAX_DEPTH: usize = 4;

/// What to copy where.
#[derive(Clone, Debug)]
pub struct Job {
    /// What is copied.
    pub from: Reference,
    /// Where to.
    pub to: Vec<Reference>,
    /// Of an index, only the image for this platform.
    pub platform: Option<Platform>,
    /// Fail rather than move layer bytes.
    pub no_upload: bool,
}

/// What a copy came to.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyReport {
    /// Names the copy in the first target, by digest where the target can.
    pub reference: String,
    /// Digest of what was copied.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// How many manifests it lists, itself included.
    pub manifests: usize,
    /// How the run ended.
    pub status: Status,
    /// Every blob, and how it got into the first target.
    pub blobs: Vec<TargetLayer>,
    /// Requests, bytes and time.
    #[serde(flatten)]
    pub cost: Cost,
}

/// Copies.
///
/// # Errors
/// The first thing that failed. Nothing was tagged then, except in targets that were finished
/// before the one that failed.
pub async fn copy(
    job: &Job,
    places: &Places,
    observer: &Arc<dyn Observer>,
) -> Result<CopyReport, Error> {
    let started = std::time::Instant::now();
    let destinations = places.destinations(&job.to)?;
    places.announce(&[&job.from], &job.to.iter().collect::<Vec<_>>());
    observer.event(&Event::Step(format!("reading {}", job.from)));
    let source = places.source(&job.from).await?;
    let one_image = job
        .to
        .iter()
        .any(|to| matches!(to, Reference::DockerArchive { .. }));
    let root = root(source.as_ref(), job, one_image).await?;
    let mut manifests = Vec::new();
    collect(source.as_ref(), root.clone(), &mut manifests).await?;
    let needs = needs(&source, &manifests);
    observer.event(&Event::Step(format!("copying {}", job.from)));
    let mut report = None;
    for destination in &destinations {
        let manifests = for_destination(job, destination, &manifests)?;
        let Some((root, children)) = manifests.split_last() else {
            continue;
        };
        let moves = plan::plan(destination, &needs, job.no_upload);
        let arrivals = execute::deliver(
            &Delivery {
                moves: &moves,
                documents: &[],
                children,
                root,
            },
            destination,
            observer,
        )
        .await?;
        report.get_or_insert_with(|| CopyReport {
            reference: destination.result_reference(root.digest()),
            digest: root.digest().clone(),
            media_type: root.media_type().to_owned(),
            manifests: manifests.len(),
            status: Status::Pushed,
            blobs: moves
                .iter()
                .map(|step| TargetLayer {
                    digest: step.offer.descriptor.digest.clone(),
                    size: step.offer.descriptor.size,
                    origin: step.role,
                    plan: step.way.describe(),
                    arrival: arrivals.get(&step.offer.descriptor.digest).copied(),
                })
                .collect(),
            cost: Cost::new(&places.client.statistics(), started.elapsed()),
        });
    }
    let mut report = report.ok_or_else(|| {
        Error::new(
            ErrorKind::Unsupported,
            format!("cannot copy {}", job.from),
            "no target was given",
        )
    })?;
    report.cost = Cost::new(&places.client.statistics(), started.elapsed());
    Ok(report)
}

/// What is copied: what the reference names, or one image of it.
async fn root(source: &dyn Source, job: &Job, one_image: bool) -> Result<Manifest, Error> {
    let root = source.root().await?;
    if !matches!(root.content(), Content::Index { .. }) {
        if let Some(platform) = &job.platform {
            read::expect_platform(source, &root, platform).await?;
        }
        return Ok(root);
    }
    let wanted = match (&job.platform, one_image) {
        (Some(platform), _) => platform.clone(),
        (None, false) => return Ok(root),
        (None, true) => {
            let only = index::children(&root)
                .ok()
                .and_then(|all| match all.children.as_slice() {
                    [only] => only.descriptor.platform.clone(),
                    _ => None,
                });
            only.unwrap_or_else(read::this_machine)
        }
    };
    let refuse = |why: String| {
        Error::new(
            ErrorKind::Unsupported,
            format!("cannot choose an image of {}", source.place()),
            why,
        )
    };
    let selection = index::select(&root, &Wanted::Platforms(vec![wanted]))
        .map_err(|error| refuse(error.to_string()))?;
    match selection.children.first() {
        Some(child) => source.manifest(&child.descriptor).await,
        None => Err(refuse("it lists no image".to_owned())),
    }
}

/// Readers of OCI layouts (skopeo and umoci, for two) take OCI manifests only, so Docker's become
/// that there; everywhere else they stay byte for byte.
fn for_destination<'a>(
    job: &Job,
    destination: &Destination,
    manifests: &'a [Manifest],
) -> Result<Cow<'a, [Manifest]>, Error> {
    let oci_only = destination.references.iter().any(|reference| {
        matches!(
            reference,
            Reference::Layout { .. } | Reference::OciArchive { .. }
        )
    });
    if !oci_only {
        return Ok(Cow::Borrowed(manifests));
    }
    convert::retype_all(manifests, Family::Oci)
        .map(Cow::Owned)
        .map_err(|error| {
            Error::new(
                ErrorKind::Unsupported,
                format!("cannot copy {} to {}", job.from, destination.target.place()),
                error.to_string(),
            )
        })
}

/// Reads everything below a manifest; each is listed behind all that it lists.
async fn collect(
    source: &dyn Source,
    root: Manifest,
    manifests: &mut Vec<Manifest>,
) -> Result<(), Error> {
    let mut levels = vec![vec![root]];
    let mut seen: HashSet<Digest> = HashSet::new();
    while let Some(level) = levels.last() {
        let below: Vec<&Descriptor> = level
            .iter()
            .filter_map(|manifest| match manifest.content() {
                Content::Index { manifests } => Some(manifests),
                Content::Image { .. } => None,
            })
            .flatten()
            .filter(|descriptor| seen.insert(descriptor.digest.clone()))
            .collect();
        if below.is_empty() {
            break;
        }
        if levels.len() > MAX_DEPTH {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("cannot copy {}", source.place()),
                format!("indexes lie in indexes more than {MAX_DEPTH} deep"),
            ));
        }
        let next = try_join_all(
            below
                .into_iter()
                .map(|descriptor| source.manifest(descriptor)),
        )
        .await?;
        levels.push(next);
    }
    manifests.extend(levels.into_iter().rev().flatten());
    Ok(())
}

/// Every blob that the manifests list, once. Foreign layers stay where their URLs say they are.
fn needs(source: &Arc<dyn Source>, manifests: &[Manifest]) -> Vec<Need> {
    let mut seen = HashSet::new();
    manifests
        .iter()
        .filter_map(|manifest| match manifest.content() {
            Content::Image { config, layers } => {
                Some(std::iter::once(config.as_ref()).chain(layers))
            }
            Content::Index { .. } => None,
        })
        .flatten()
        .filter(|blob| {
            media_type::layer_kind(&blob.media_type) != LayerKind::Foreign || blob.urls.is_empty()
        })
        .filter(|blob| seen.insert(blob.digest.clone()))
        .map(|blob| Need {
            descriptor: blob.clone(),
            role: Role::Base,
            origin: source.origin(),
            place: source.place(),
            local: false,
            body: source.blob(blob),
        })
        .collect()
}
