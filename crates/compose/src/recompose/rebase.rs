//! Putting an image on another base, or with other deps images: the job, and what it drops.

use std::path::PathBuf;

use super::job::{BaseChoice, DepsChoice, job};
use super::verify::changes_by_others;
use crate::job::Job;
use crate::recorded;
use crate::resolver::Resolver;
use ohoci_image::Reference;
use ohoci_store::Error;

/// A composed image, and what is to be different about it.
#[derive(Clone, Debug)]
pub struct Rebase {
    /// The image.
    pub reference: Reference,
    /// Its new base.
    pub base: BaseChoice,
    /// Its new deps images.
    pub deps: DepsChoice,
    /// Whether a tag that this machine read or pushed is taken to name what it named then, without a
    /// request: good where this machine alone moves the tag.
    pub remembered: bool,
    /// Where flattened layers are written.
    pub work_dir: PathBuf,
}

/// The compose job that makes the image anew, and what that drops, since others put it there after
/// ohoci composed the image. Nothing counts as dropped where no change was found, or where the recorded
/// inputs can no longer be read. The job's target is the image's own reference, where that can be pushed to, and none
/// otherwise; everything about targets may be changed before it runs.
///
/// # Errors
/// When the image cannot be read, carries no record, or names something that only the machine
/// that composed it had; when an input that is there cannot be read.
pub async fn rebase_job(asked: &Rebase, resolver: &Resolver) -> Result<(Job, Vec<String>), Error> {
    let recorded = recorded::read(resolver, &asked.reference, asked.remembered).await?;
    for image in &recorded.images {
        resolver.learn(&recorded.reference, &image.manifest);
    }
    let job = job(&recorded, &asked.base, &asked.deps, &asked.work_dir)?;
    let lost = changes_by_others(&recorded, resolver, &asked.work_dir).await?;
    Ok((job, lost))
}

/// What a person is told of what [`rebase_job`] found to be dropped, if anything.
#[must_use]
pub fn dropped_warning(reference: &Reference, dropped: &[String]) -> Option<String> {
    (!dropped.is_empty()).then(|| {
        format!(
            "others than ohoci changed {reference}, and this is dropped: {}; give it to `ohoci \
             compose` to keep it",
            dropped.join("; ")
        )
    })
}
