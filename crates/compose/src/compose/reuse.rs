//! The reuse order of OpenHands V0: what an earlier image under one of three tags leaves to do.

use serde::Serialize;

use super::{Job, Pins};
use crate::read;
use crate::recompose::recorded;
use crate::resolver::Resolver;
use ohoci_image::label::{self, Intent};
use ohoci_image::{Digest, Pointer, Reference};
use ohoci_store::{Error, ErrorKind};

/// Where earlier images are looked for, as `openhands/runtime/utils/runtime_build.py` of OpenHands
/// 0.62 does: under the source tag, the lock tag, the versioned tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReuseOrder {
    /// The same code on the same base with the same locked dependencies: nothing is left to do.
    pub source: Reference,
    /// Other code, everything else the same: base and deps are those of that image.
    pub lock: Reference,
    /// Other locked dependencies: the base is that of that image.
    pub versioned: Reference,
}

/// What of an earlier image is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Reused {
    /// All of it.
    Source,
    /// Its base and its deps.
    Lock,
    /// Its base.
    Versioned,
    /// Nothing: there is no earlier image, or none that was made from this base and these deps.
    Scratch,
}

/// What an earlier image is found to be good for.
pub(super) enum Outcome {
    /// It is the result.
    Done { reference: String, digest: Digest },
    /// The job, with digests at which its inputs are read.
    Pinned(Box<Job>, Reused),
}

/// Looks for earlier images, in order, until one can be used.
pub(super) async fn look(
    order: &ReuseOrder,
    job: &Job,
    resolver: &Resolver,
) -> Result<Outcome, Error> {
    if let Some((reference, digest)) = current(resolver, &order.source).await? {
        return Ok(Outcome::Done { reference, digest });
    }
    let mut pinned = job.clone();
    if let Some(intent) = intent(resolver, &order.lock).await?
        && let (Some(base), Some(deps)) = (base(job, &intent), deps(job, &intent))
    {
        pinned.pins = Pins { base, deps };
        return Ok(Outcome::Pinned(Box::new(pinned), Reused::Lock));
    }
    if let Some(intent) = intent(resolver, &order.versioned).await?
        && let Some(base @ Some(_)) = base(job, &intent)
    {
        pinned.pins.base = base;
        return Ok(Outcome::Pinned(Box::new(pinned), Reused::Versioned));
    }
    Ok(Outcome::Pinned(Box::new(pinned), Reused::Scratch))
}

/// What a tag names, with the reference that names it for good.
async fn current(
    resolver: &Resolver,
    reference: &Reference,
) -> Result<Option<(String, Digest)>, Error> {
    for destination in resolver.destinations(std::slice::from_ref(reference))? {
        for tag in &destination.tags {
            let pointer = Pointer::Tag(tag.clone());
            if let Some(digest) = destination.target.current(&pointer).await? {
                return Ok(Some((destination.result_reference(&digest), digest)));
            }
        }
    }
    Ok(None)
}

/// How an earlier image was made; `None` when there is none, or it does not say.
async fn intent(resolver: &Resolver, reference: &Reference) -> Result<Option<Intent>, Error> {
    match recorded::read(resolver, reference, false).await {
        Ok(found) => Ok(found.intent().ok()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The base's digest, where the image was made from the same reference; `Some(None)` is scratch.
fn base(job: &Job, intent: &Intent) -> Option<Option<Digest>> {
    match (&job.base, &intent.base) {
        (Reference::Scratch, None) => Some(None),
        (reference, Some(source)) => digest_of(reference, source).map(Some),
        (_, None) => None,
    }
}

/// The deps images' digests, where the image was made from the same references.
fn deps(job: &Job, intent: &Intent) -> Option<Vec<Option<Digest>>> {
    if job.deps.len() != intent.deps.len() {
        return None;
    }
    job.deps
        .iter()
        .zip(&intent.deps)
        .map(|(reference, source)| {
            (source.path == job.deps_path)
                .then(|| digest_of(reference, source))
                .flatten()
                .map(Some)
        })
        .collect()
}

fn digest_of(reference: &Reference, source: &label::Source) -> Option<Digest> {
    let name = read::public_name(reference)?;
    (source.name.as_ref() == Some(&name))
        .then(|| source.digest.clone())
        .flatten()
}
