//! The job that makes an image anew, from its record.

use std::path::Path;

use crate::fit::Fit;
use crate::job::{Job, Pins};
use crate::read::Choice;
use crate::recorded::Recorded;
use ohoci_image::compose::USUAL_LAYERS;
use ohoci_image::label;
use ohoci_image::{Content, Digest, Platform, Reference, RegistryReference};
use ohoci_store::{Error, ErrorKind};

/// The base that an image is put on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BaseChoice {
    /// What the recorded reference names now.
    #[default]
    Current,
    /// What it named then.
    Recorded,
    /// Another.
    Other(Reference),
}

/// The deps images that are put into an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DepsChoice {
    /// What the recorded references name now.
    #[default]
    Current,
    /// What they named then.
    Recorded,
    /// Others, in place of all that are recorded.
    Other(Vec<Reference>),
}

/// The job that makes an image anew that was read.
///
/// # Errors
/// When it carries no record, or names something that only the machine that composed it had.
pub(super) fn job(
    recorded: &Recorded,
    base: &BaseChoice,
    deps: &DepsChoice,
    work_dir: &Path,
) -> Result<Job, Error> {
    let intent = recorded.intent()?;
    let (base, base_pin) = match (base, &intent.base) {
        (BaseChoice::Other(reference), _) => (reference.clone(), None),
        (_, None) => (Reference::Scratch, None),
        (choice, Some(source)) => (
            named(recorded, source, "base")?,
            pin(source, *choice == BaseChoice::Recorded),
        ),
    };
    let (references, deps_pins) = match deps {
        DepsChoice::Other(references) => (references.clone(), Vec::new()),
        DepsChoice::Current | DepsChoice::Recorded => {
            let references = intent
                .deps
                .iter()
                .map(|source| named(recorded, source, "deps"))
                .collect::<Result<_, _>>()?;
            let pinned = *deps == DepsChoice::Recorded;
            let pins = intent.deps.iter().map(|source| pin(source, pinned));
            (references, pins.collect())
        }
    };
    let mut paths = intent.deps.iter().map(|source| source.path.clone());
    let deps_path = paths.next().flatten();
    if paths.any(|path| path != deps_path) {
        return Err(refuse(
            recorded,
            "different paths were taken out of its deps images",
        ));
    }
    Ok(Job {
        deps: references,
        pins: Pins {
            base: base_pin,
            deps: deps_pins,
        },
        deps_path,
        layers: recorded.local_layers()?,
        push: own(&recorded.reference).into_iter().collect(),
        choice: choice(recorded),
        patch: intent.patch,
        annotations: intent.annotations,
        position: intent.position,
        fit: intent
            .local
            .iter()
            .find_map(|source| Fit::recorded(source.name.as_deref()?))
            .unwrap_or_default(),
        // As many as it was allowed to have.
        max_layers: layer_count(recorded).max(USUAL_LAYERS),
        may_add_nothing: true,
        created: intent.created,
        ..Job::on(base, work_dir.to_owned())
    })
}

fn layer_count(recorded: &Recorded) -> usize {
    let counts = recorded.images.iter().map(|image| image.layers().len());
    counts.max().unwrap_or(0)
}

fn pin(source: &label::Source, pinned: bool) -> Option<Digest> {
    pinned.then(|| source.digest.clone()).flatten()
}

/// What a recorded source is found by.
fn named(recorded: &Recorded, source: &label::Source, flag: &str) -> Result<Reference, Error> {
    let Some(name) = &source.name else {
        return Err(refuse(
            recorded,
            &format!("its {flag} was read from a place on the machine that composed it"),
        )
        .hinted(format!("say where it is now: --{flag} REF")));
    };
    name.parse::<RegistryReference>()
        .map(Reference::Registry)
        .map_err(|error| refuse(recorded, &format!("its record names no {flag}: {error}")))
}

fn refuse(recorded: &Recorded, why: &str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("cannot recompose {}", recorded.reference),
        why,
    )
}

/// The reference to push to when none is named. A digest names what exists, and an archive that is
/// written anew would lose what else it holds.
fn own(reference: &Reference) -> Option<Reference> {
    match reference {
        Reference::Registry(registry) if registry.digest().is_none() => Some(reference.clone()),
        Reference::Layout { tag: Some(_), .. } => Some(reference.clone()),
        _ => None,
    }
}

/// The platforms that the image is for, and an index where it is one.
fn choice(recorded: &Recorded) -> Choice {
    let platforms: Vec<Platform> = recorded
        .images
        .iter()
        .map(|image| image.platform.clone())
        .collect();
    let index = matches!(recorded.root.content(), Content::Index { .. });
    // One platform alone becomes an index only where all of the base's are taken.
    if index && platforms.len() == 1 {
        Choice::All
    } else {
        Choice::Platforms(platforms)
    }
}
