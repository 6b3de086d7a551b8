//! Brings manifests, and the blobs that they list, to every destination.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::execute::{self, Delivery};
use super::one_download;
use super::partly::partly;
use super::plan::{self, Need};
use super::report::{Cost, Status};
use super::resolver::{Destination, Resolver};
use super::signatures::signing::{self, Documents};
use super::watch::Observer;
use ohoci_image::convert;
use ohoci_image::media_type::Family;
use ohoci_image::{Digest, Manifest};
use ohoci_store::{Arrival, Error, ErrorKind};

/// What a copy came to.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyReport {
    /// Names the copy in the first target, by digest where the target can.
    pub reference: String,
    /// Names it in each target.
    pub references: Vec<String>,
    /// Digest of what was copied.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// How many manifests it lists, itself included.
    pub manifests: usize,
    /// How many manifests about those were copied.
    pub referrers: usize,
    /// How the run ended.
    pub status: Status,
    /// Every blob, and how it got into the first target.
    pub blobs: Vec<CopiedBlob>,
    /// What was made on the way that was not there; for people, and no part of the JSON.
    #[serde(skip)]
    pub made: Vec<String>,
    /// What whoever copies should know.
    pub warnings: Vec<String>,
    /// Requests, bytes and time.
    #[serde(flatten)]
    pub cost: Cost,
}

/// A blob's way into the first target.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CopiedBlob {
    /// The blob.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// What was planned, in words.
    pub plan: String,
    /// How it got there.
    pub arrival: Option<Arrival>,
}

/// What goes to every destination.
#[derive(Debug)]
pub(super) struct Shipment<'a> {
    /// What fails where this does, such as `cannot copy debian:12`.
    pub(super) what: String,
    /// Manifests, each behind all that it lists; the last one gets the tags.
    pub(super) manifests: Vec<Manifest>,
    /// Manifests about those, each behind its subject.
    pub(super) about: Vec<Manifest>,
    /// Manifests about them that are found by a tag.
    pub(super) tagged: Vec<(String, Manifest)>,
    /// The blobs of all of these.
    pub(super) needs: Vec<Need>,
    /// Fail rather than move layer bytes.
    pub(super) no_upload: bool,
    /// Where blobs are kept that go to several destinations.
    pub(super) work_dir: &'a Path,
}

/// Delivers to one destination after the other, and signs where that is asked for.
///
/// # Errors
/// The first thing that failed. Nothing was tagged then, except in destinations that were finished
/// before the one that failed.
pub(super) async fn deliver(
    shipment: Shipment<'_>,
    destinations: &[Destination],
    resolver: &Resolver,
    observer: &Arc<dyn Observer>,
    started: Instant,
) -> Result<CopyReport, Error> {
    let Shipment {
        what,
        manifests: originals,
        about,
        tagged,
        mut needs,
        no_upload,
        work_dir,
    } = shipment;
    one_download::share(&mut needs, destinations.len(), work_dir);
    let mut report: Option<CopyReport> = None;
    let mut pushed: Vec<String> = Vec::new();
    for destination in destinations {
        let manifests = for_destination(&what, destination, &originals)?;
        let Some((root, children)) = manifests.split_last() else {
            continue;
        };
        let is_about = !about.is_empty() || !tagged.is_empty();
        if is_about && digests(&manifests).ne(digests(&originals)) {
            return Err(no_longer_about(&what, destination));
        }
        let moves = plan::plan(destination.target.as_ref(), &needs, no_upload);
        let signed = match (&resolver.signing, destination.references.first()) {
            (Some(signing), Some(place)) => {
                signing::documents(resolver, place, &root.descriptor(), signing, &[]).await?
            }
            _ => Documents::default(),
        };
        let arrivals = Box::pin(execute::deliver(
            &Delivery {
                moves: &moves,
                documents: &[],
                children,
                signed: &signed,
                referrers: &about,
                tagged: &tagged,
                root,
            },
            destination,
            observer,
        ))
        .await
        .map_err(|error| partly(error, &pushed))?;
        pushed.extend(destination.references.iter().map(ToString::to_string));
        let report = report.get_or_insert_with(|| CopyReport {
            reference: destination.result_reference(root.digest()),
            references: Vec::new(),
            digest: root.digest().clone(),
            media_type: root.media_type().to_owned(),
            manifests: manifests.len(),
            referrers: [&about, &signed.referrers]
                .map(Vec::len)
                .iter()
                .sum::<usize>()
                + tagged.len()
                + signed.tagged.len(),
            status: Status::Pushed,
            blobs: moves
                .iter()
                .map(|step| CopiedBlob {
                    digest: step.offer.descriptor.digest.clone(),
                    size: step.offer.descriptor.size,
                    plan: step.way.describe(),
                    arrival: arrivals.get(&step.offer.descriptor.digest).copied(),
                })
                .collect(),
            made: Vec::new(),
            warnings: Vec::new(),
            cost: Cost::new(&resolver.client.statistics(), started.elapsed()),
        });
        let reference = destination.result_reference(root.digest());
        report.references.push(reference);
    }
    let mut report =
        report.ok_or_else(|| Error::new(ErrorKind::Unsupported, what, "no target was given"))?;
    for destination in destinations {
        report.warnings.extend(destination.target.replaced());
        report.made.extend(destination.target.made());
    }
    report.cost = Cost::new(&resolver.client.statistics(), started.elapsed());
    Ok(report)
}

/// Readers of OCI layouts (skopeo and umoci, for two) take OCI manifests only, so Docker's become
/// that there; everywhere else they stay byte for byte.
fn for_destination<'a>(
    what: &str,
    destination: &Destination,
    manifests: &'a [Manifest],
) -> Result<Cow<'a, [Manifest]>, Error> {
    if !destination.holds_only_oci() {
        return Ok(Cow::Borrowed(manifests));
    }
    convert::retype_all(manifests, Family::Oci)
        .map(Cow::Owned)
        .map_err(|error| {
            Error::new(
                ErrorKind::Unsupported,
                format!("{what} to {}", destination.target.place()),
                error.to_string(),
            )
        })
}

pub(super) fn digests(manifests: &[Manifest]) -> impl Iterator<Item = &Digest> {
    manifests.iter().map(Manifest::digest)
}

fn no_longer_about(what: &str, destination: &Destination) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!(
            "{what} to {} with what is about it",
            destination.target.place()
        ),
        "Docker's manifests become OCI's there and get other digests, which nothing is about",
    )
    .hinted("copy without --referrers, or to a registry")
}
