//! What to do about references that exist: `--if-exists skip` and `fail`.

use std::time::Instant;

use futures_util::future::try_join_all;

use crate::report::{ComposeReport, Cost, Reused, Status, TargetReport};
use crate::resolver::{Destination, Resolver};
use ohoci_image::{Digest, Pointer};
use ohoci_store::{Error, ErrorKind};

/// A reference that exists.
#[derive(Debug)]
pub(super) struct Existing {
    /// As it was asked for.
    reference: String,
    tag: String,
    digest: Digest,
    /// Names what it holds: by digest where the place can.
    by_digest: String,
}

impl Existing {
    pub(super) fn warning(&self) -> String {
        format!("{} exists and was left as it is", self.reference)
    }

    pub(super) fn report(&self) -> TargetReport {
        TargetReport {
            reference: self.by_digest.clone(),
            references: vec![self.reference.clone()],
            status: Status::Skipped,
            layers: Vec::new(),
        }
    }
}

/// Takes the references that exist out of the destinations, and destinations that have no other.
pub(super) async fn leave(destinations: &mut Vec<Destination>) -> Result<Vec<Existing>, Error> {
    let found = find(destinations).await?;
    let mut left = Vec::new();
    for (destination, existing) in destinations.iter_mut().zip(found) {
        for existing in &existing {
            destination.leave_out(&existing.tag);
        }
        left.extend(existing);
    }
    destinations.retain(|destination| !destination.references.is_empty());
    Ok(left)
}

/// Fails when a reference exists.
pub(super) async fn forbid(destinations: &[Destination]) -> Result<(), Error> {
    match find(destinations).await?.into_iter().flatten().next() {
        None => Ok(()),
        Some(existing) => Err(Error::new(
            ErrorKind::Unsupported,
            format!("will not replace {}", existing.reference),
            format!("it exists, at {}", existing.digest),
        )
        .hinted("--if-exists replace moves it; --if-exists skip leaves it")),
    }
}

/// The references of each destination that exist. All are asked for at once.
async fn find(destinations: &[Destination]) -> Result<Vec<Vec<Existing>>, Error> {
    try_join_all(destinations.iter().map(|destination| async move {
        let found = try_join_all(destination.tags.iter().map(|tag| async move {
            let digest = destination
                .target
                .current(&Pointer::Tag(tag.clone()))
                .await?;
            Ok::<_, Error>(digest.map(|digest| Existing {
                reference: destination.reference_of(tag),
                tag: tag.clone(),
                by_digest: destination.result_reference(&digest),
                digest,
            }))
        }))
        .await?;
        Ok(found.into_iter().flatten().collect())
    }))
    .await
}

/// The report of a run in which an earlier image is all that was wanted.
pub(super) fn done(
    reference: String,
    digest: Digest,
    resolver: &Resolver,
    started: Instant,
) -> ComposeReport {
    let target = TargetReport {
        reference: reference.clone(),
        references: vec![reference.clone()],
        status: Status::Skipped,
        layers: Vec::new(),
    };
    ComposeReport {
        reused: Some(Reused::Source),
        ..unread(reference, digest, vec![target], resolver, started)
    }
}

/// The report of a run in which every reference existed.
pub(super) fn skipped(
    first: &Existing,
    all: &[Existing],
    resolver: &Resolver,
    started: Instant,
) -> ComposeReport {
    ComposeReport {
        warnings: all.iter().map(Existing::warning).collect(),
        ..unread(
            first.by_digest.clone(),
            first.digest.clone(),
            all.iter().map(Existing::report).collect(),
            resolver,
            started,
        )
    }
}

fn unread(
    reference: String,
    digest: Digest,
    targets: Vec<TargetReport>,
    resolver: &Resolver,
    started: Instant,
) -> ComposeReport {
    ComposeReport {
        status: Status::Skipped,
        reference: Some(reference),
        digest,
        media_type: None,
        size: None,
        platforms: Vec::new(),
        base: None,
        deps: Vec::new(),
        layers: Vec::new(),
        targets,
        changes: Vec::new(),
        warnings: Vec::new(),
        dropped: None,
        reused: None,
        made: Vec::new(),
        fitted: Vec::new(),
        cost: Cost::new(&resolver.client.statistics(), started.elapsed()),
    }
}
