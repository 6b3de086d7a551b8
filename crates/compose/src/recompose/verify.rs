//! Checks that a composed image is what composing its recorded inputs gives.

use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};

use super::job::{self, BaseChoice, DepsChoice};
use crate::compose;
use crate::job::Job;
use crate::recorded::{self, Recorded};
use crate::resolver::Resolver;
use ohoci_image::diff::{self, Change};
use ohoci_image::label::Intent;
use ohoci_image::{Digest, Manifest, Reference, Role};
use ohoci_store::{Error, ErrorKind};

/// What came out of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// The reference that was asked for.
    pub reference: String,
    /// What it names.
    pub digest: Digest,
    /// The digest of what its inputs give; `None` when that could not be made.
    pub recomputed: Option<Digest>,
    /// The sum of it.
    pub verdict: Verdict,
    /// Inputs that cannot be had any more.
    pub missing: Vec<MissingInput>,
    /// The images of the result that differ.
    pub differences: Vec<ImageDifference>,
    /// What else there is to say.
    pub notes: Vec<String>,
}

/// Whether an image is what its record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Byte for byte.
    Equal,
    /// It is not.
    Different,
    /// It cannot be told: an input is gone.
    Unknown,
}

/// An input that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MissingInput {
    /// What it is in the image.
    pub origin: Role,
    /// Its recorded name.
    pub name: Option<String>,
    /// Its recorded digest.
    pub digest: Option<Digest>,
    /// Why it cannot be had.
    pub why: String,
}

/// How one document differs from what it should be: `before` is what the inputs give, `after` what
/// is there.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageDifference {
    /// The image's platform; `None` for the index.
    pub platform: Option<String>,
    /// Changes of the manifest or index.
    pub manifest: Vec<Change>,
    /// Changes of the config.
    pub config: Vec<Change>,
}

/// Recomputes an image from its inputs at their recorded digests, and compares.
///
/// # Errors
/// When the image cannot be read or carries no record, or an input that is there cannot be read.
pub async fn verify(
    resolver: &Resolver,
    reference: &Reference,
    work_dir: &Path,
) -> Result<Verification, Error> {
    let recorded = recorded::read(resolver, reference, false).await?;
    let intent = recorded.intent()?;
    let mut found = Verification {
        reference: reference.to_string(),
        digest: recorded.root.digest().clone(),
        recomputed: None,
        verdict: Verdict::Different,
        missing: Vec::new(),
        differences: Vec::new(),
        notes: Vec::new(),
    };
    if let Some(misfit) = recorded.misfit() {
        found.notes.push(misfit);
        return Ok(found);
    }
    found.missing = unnamed(&intent);
    if found.missing.is_empty() {
        let mut job = job::job(
            &recorded,
            &BaseChoice::Recorded,
            &DepsChoice::Recorded,
            work_dir,
        )?;
        // Whatever decided it then, the media types say what it was.
        job.family = Some(recorded.root.family());
        found.missing = gone(&job, &intent, resolver).await?;
        if found.missing.is_empty() {
            compare(&recorded, &job, resolver, &mut found).await?;
            return Ok(found);
        }
    }
    found.verdict = Verdict::Unknown;
    Ok(found)
}

/// Inputs that have no name to find them by.
fn unnamed(intent: &Intent) -> Vec<MissingInput> {
    let bases = intent.base.iter().map(|source| (Role::Base, source));
    let deps = intent.deps.iter().map(|source| (Role::Deps, source));
    bases
        .chain(deps)
        .filter(|(_, source)| source.name.is_none())
        .map(|(origin, source)| MissingInput {
            origin,
            name: None,
            digest: source.digest.clone(),
            why: "it was read from a place on the machine that composed the image".to_owned(),
        })
        .collect()
}

/// Inputs that are not where their names say.
async fn gone(job: &Job, intent: &Intent, resolver: &Resolver) -> Result<Vec<MissingInput>, Error> {
    let mut missing = Vec::new();
    if let (Reference::Registry(_), Some(source)) = (&job.base, &intent.base) {
        let base = resolver
            .source_at(&job.base, job.pins.base.as_ref())
            .await?;
        if let Some(why) = not_found(base.root().await)? {
            missing.push(MissingInput {
                origin: Role::Base,
                name: source.name.clone(),
                digest: source.digest.clone(),
                why,
            });
        }
    }
    for ((reference, pin), source) in job.deps.iter().zip(&job.pins.deps).zip(&intent.deps) {
        if let Some(why) = not_found(resolver.deps_at(reference, pin.as_ref()).await)? {
            missing.push(MissingInput {
                origin: Role::Deps,
                name: source.name.clone(),
                digest: source.digest.clone(),
                why,
            });
        }
    }
    Ok(missing)
}

fn not_found<T>(outcome: Result<T, Error>) -> Result<Option<String>, Error> {
    match outcome {
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Some(error.why().to_owned())),
        Err(error) => Err(error),
    }
}

async fn compare(
    recorded: &Recorded,
    job: &Job,
    resolver: &Resolver,
    found: &mut Verification,
) -> Result<(), Error> {
    let made = compose::documents(job, resolver).await?;
    found.recomputed = Some(made.root.digest().clone());
    if made.root.digest() == recorded.root.digest() {
        found.verdict = Verdict::Equal;
        return Ok(());
    }
    for (wanted, there) in made.images.iter().zip(&recorded.images) {
        if wanted.manifest.digest() != there.manifest.digest() {
            found.differences.push(ImageDifference {
                platform: Some(there.platform.to_string()),
                manifest: manifest_changes(&wanted.manifest, &there.manifest),
                config: config_changes(wanted.config.object(), there.config.document().object()),
            });
        }
    }
    if made.images.len() != recorded.images.len() {
        found.notes.push(format!(
            "the inputs give {} images, the index lists {}",
            made.images.len(),
            recorded.images.len()
        ));
    }
    let is_image = |manifest: &Manifest| {
        made.images
            .iter()
            .any(|image| image.manifest.digest() == manifest.digest())
    };
    if !is_image(&made.root) {
        found.differences.push(ImageDifference {
            platform: None,
            manifest: manifest_changes(&made.root, &recorded.root),
            config: Vec::new(),
        });
    }
    if found
        .differences
        .iter()
        .all(|image| image.manifest.is_empty() && image.config.is_empty())
    {
        found
            .notes
            .push("the documents say the same, but are written in other bytes".to_owned());
    }
    Ok(())
}

fn manifest_changes(wanted: &Manifest, there: &Manifest) -> Vec<Change> {
    diff::changes(wanted.document().object(), there.document().object())
}

/// With what is told of layers elsewhere.
fn config_changes(wanted: &Map<String, Value>, there: &Map<String, Value>) -> Vec<Change> {
    let mut changes = diff::changes(wanted, there);
    for key in ["rootfs", "history"] {
        let (before, after) = (wanted.get(key), there.get(key));
        if before != after {
            changes.push(Change {
                path: key.to_owned(),
                before: before.cloned(),
                after: after.cloned(),
            });
        }
    }
    changes
}

/// What others did to a composed image's configs since it was composed, where that can be told: a
/// place of the config and what stands there, a line each. Making the image anew drops it.
///
/// # Errors
/// When an input that is there cannot be read.
pub(super) async fn changes_by_others(
    recorded: &Recorded,
    resolver: &Resolver,
    work_dir: &Path,
) -> Result<Vec<String>, Error> {
    if let Some(misfit) = recorded.misfit() {
        return Ok(vec![misfit]);
    }
    let intent = recorded.intent()?;
    let (base, deps) = (BaseChoice::Recorded, DepsChoice::Recorded);
    if !unnamed(&intent).is_empty() {
        return Ok(Vec::new());
    }
    let mut job = job::job(recorded, &base, &deps, work_dir)?;
    job.family = Some(recorded.root.family());
    if !gone(&job, &intent, resolver).await?.is_empty() {
        return Ok(Vec::new());
    }
    let made = compose::documents(&job, resolver).await?;
    let mut found = Vec::new();
    for (wanted, there) in made.images.iter().zip(&recorded.images) {
        for change in diff::changes(wanted.config.object(), there.config.document().object()) {
            let line = match change.after {
                Some(after) => format!("{} = {after}", change.path),
                None => format!("{} removed", change.path),
            };
            if !found.contains(&line) {
                found.push(line);
            }
        }
    }
    Ok(found)
}
