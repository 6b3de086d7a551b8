//! The reuse order of OpenHands V0: what an earlier image under one of three tags leaves to do.

use crate::job::{Job, Pins, ReuseOrder};
use crate::read;
use crate::recorded;
use crate::report::Reused;
use crate::resolver::Resolver;
use ohoci_image::label::{self, Intent};
use ohoci_image::{Digest, Pointer, Reference};
use ohoci_store::{Error, ErrorKind};

/// What an earlier image is found to be good for.
pub(super) enum Outcome {
    /// It is the result.
    Done { reference: String, digest: Digest },
    /// There is something to do, with inputs at these digests.
    Pinned(Pins, Reused),
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
    if let Some(intent) = intent(resolver, &order.lock).await?
        && let (Some(base), Some(deps)) = (base(job, &intent), deps(job, &intent))
    {
        return Ok(Outcome::Pinned(Pins { base, deps }, Reused::Lock));
    }
    if let Some(intent) = intent(resolver, &order.versioned).await?
        && let Some(base @ Some(_)) = base(job, &intent)
    {
        let deps = job.pins.deps.clone();
        return Ok(Outcome::Pinned(Pins { base, deps }, Reused::Versioned));
    }
    Ok(Outcome::Pinned(job.pins.clone(), Reused::Scratch))
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
