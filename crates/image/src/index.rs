//! Indexes: choosing images by platform, and building the index of composed images.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::annotation;
use super::compose::Composition;
use super::convert;
use super::descriptor::Descriptor;
use super::digest::Digest;
use super::document::Document;
use super::manifest::{Content, Manifest, ManifestError};
use super::media_type::{self, Family};
use super::platform::Platform;

/// Which images of an index are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Every one.
    All,
    /// Those for these platforms, in this order.
    Platforms(Vec<Platform>),
}

/// An image in an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// Its position among the index's entries, or that of the index that lists it.
    pub at: usize,
    /// Its descriptor.
    pub descriptor: Descriptor,
    /// Whether it is listed by an index in the index.
    pub nested: bool,
}

/// An entry of an index that is no image, and why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its position among the index's entries.
    pub at: usize,
    /// Its descriptor.
    pub descriptor: Descriptor,
    /// Why it is left out.
    pub reason: SkipReason,
}

/// Why an entry of an index is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// It attests how an image of the index was built, which says nothing about the composed one.
    Attestation,
    /// It is an artifact.
    Artifact,
    /// It is an index itself.
    NestedIndex,
    /// It is neither a manifest nor an index.
    UnknownType,
}

/// What was chosen from an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The images, in the order asked for.
    pub children: Vec<Child>,
    /// The entries that are no images.
    pub skipped: Vec<Skipped>,
}

/// Why nothing can be chosen or built.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Not an index.
    #[error("it is one image, not an index")]
    NotAnIndex,
    /// The platform is not there.
    #[error("there is no image for {wanted}; there are {there}")]
    NoPlatform {
        /// What was asked for.
        wanted: Box<Platform>,
        /// What there is, as a list for people.
        there: String,
    },
    /// There is no image at all.
    #[error("the index lists no image")]
    Empty,
    /// OCI manifests or annotations in a Docker manifest list.
    #[error("a Docker manifest list cannot hold {0}")]
    NotInDocker(&'static str),
    /// Docker manifests in an OCI index.
    #[error("an OCI index cannot hold Docker manifests")]
    NotInOci,
    /// An entry that is not there.
    #[error("the base index has no entry {0}")]
    NoEntry(usize),
    /// The result is too large, or the base's JSON makes it unreadable.
    #[error("the composed index is invalid: {0}")]
    Manifest(#[from] ManifestError),
}

/// Splits the entries of an index into images and others.
///
/// # Errors
/// When it is no index.
pub fn children(index: &Manifest) -> Result<Selection, IndexError> {
    let Content::Index { manifests } = index.content() else {
        return Err(IndexError::NotAnIndex);
    };
    let mut selection = Selection {
        children: Vec::new(),
        skipped: Vec::new(),
    };
    for (at, descriptor) in manifests.iter().enumerate() {
        let descriptor = descriptor.clone();
        match skip_reason(&descriptor) {
            Some(reason) => selection.skipped.push(Skipped {
                at,
                descriptor,
                reason,
            }),
            None => selection.children.push(Child {
                at,
                descriptor,
                nested: false,
            }),
        }
    }
    // Images may have an artifact type as well. Where all that has a platform has one, these are
    // the images.
    if selection.children.is_empty() {
        let typed = |entry: &Skipped| {
            entry.reason == SkipReason::Artifact
                && entry.descriptor.platform.is_some()
                && media_type::is_manifest(&entry.descriptor.media_type)
        };
        let (typed_images, others) = selection.skipped.into_iter().partition(typed);
        selection.skipped = others;
        let typed_images: Vec<Skipped> = typed_images;
        selection.children = typed_images
            .into_iter()
            .map(|entry| Child {
                at: entry.at,
                descriptor: entry.descriptor,
                nested: false,
            })
            .collect();
    }
    Ok(selection)
}

fn skip_reason(descriptor: &Descriptor) -> Option<SkipReason> {
    let platform = descriptor.platform.as_ref();
    let unknown = platform.is_some_and(Platform::is_unknown);
    let marked = descriptor
        .annotations
        .contains_key(annotation::DOCKER_REFERENCE_TYPE);
    let artifact = descriptor
        .artifact_type
        .as_deref()
        .is_some_and(|kind| !kind.is_empty() && !media_type::is_image_config(kind));
    if unknown || marked {
        Some(SkipReason::Attestation)
    } else if artifact {
        Some(SkipReason::Artifact)
    } else if media_type::is_index(&descriptor.media_type) {
        Some(SkipReason::NestedIndex)
    } else if !media_type::is_manifest(&descriptor.media_type) {
        Some(SkipReason::UnknownType)
    } else {
        None
    }
}

/// Chooses images of an index.
///
/// Of several images for one platform the first is taken, as Docker does; where there is none, one
/// that runs there (for an older variant, say); two wanted platforms that mean the same image give it
/// once.
///
/// # Errors
/// When it is no index, has no image, or has none for a wanted platform.
pub fn select(index: &Manifest, wanted: &Wanted) -> Result<Selection, IndexError> {
    select_among(children(index)?, wanted)
}

/// Chooses among the images of an index.
///
/// # Errors
/// As [`select`].
pub fn select_among(all: Selection, wanted: &Wanted) -> Result<Selection, IndexError> {
    if all.children.is_empty() {
        return Err(IndexError::Empty);
    }
    let Wanted::Platforms(platforms) = wanted else {
        return Ok(all);
    };
    let mut chosen: Vec<Child> = Vec::new();
    for wanted in platforms {
        let with_platform = all.children.iter().filter_map(|child| {
            let platform = child.descriptor.platform.as_ref()?;
            Some((child, platform))
        });
        let chosen_at = wanted.choose(with_platform.clone().map(|(_, platform)| platform));
        let found = chosen_at.and_then(|at| with_platform.map(|(child, _)| child).nth(at));
        let Some(child) = found else {
            return Err(no_platform(wanted, &all.children));
        };
        if !chosen.contains(child) {
            chosen.push(child.clone());
        }
    }
    Ok(Selection {
        children: chosen,
        skipped: all.skipped,
    })
}

/// Chooses the image among those of an index whose code runs best on a machine: for it, or for an older
/// variant of it.
///
/// # Errors
/// When none of them runs there.
pub fn best_among(all: &[Child], machine: &Platform) -> Result<Child, IndexError> {
    let mut best: Option<(u32, &Child)> = None;
    for child in all {
        let fitness = child
            .descriptor
            .platform
            .as_ref()
            .and_then(|platform| platform.fitness_on(machine));
        if let Some(fitness) = fitness
            && best.is_none_or(|(most, _)| fitness > most)
        {
            best = Some((fitness, child));
        }
    }
    match best {
        Some((_, child)) => Ok(child.clone()),
        None => Err(no_platform(machine, all)),
    }
}

fn no_platform(wanted: &Platform, children: &[Child]) -> IndexError {
    // More than anyone reads; an index may list thousands.
    const SHOWN: usize = 40;
    let mut there: Vec<String> = Vec::new();
    for child in children {
        let text = match &child.descriptor.platform {
            Some(platform) => platform.to_string(),
            None => format!("{} (no platform)", child.descriptor.digest),
        };
        if there.len() <= SHOWN && !there.contains(&text) {
            there.push(text);
        }
    }
    if there.len() > SHOWN {
        there.truncate(SHOWN);
        there.push("more".to_owned());
    }
    IndexError::NoPlatform {
        wanted: Box::new(wanted.clone()),
        there: if there.is_empty() {
            "none at all".to_owned()
        } else {
            there.join(", ")
        },
    }
}

/// The family for an index and all its children: OCI as soon as anything is or needs it.
///
/// Set it as [`Composition::family`] of each child before composing.
#[must_use]
pub fn family(
    base: Option<&Manifest>,
    compositions: &[Composition],
    annotations: &BTreeMap<String, String>,
) -> Family {
    let docker = base.is_none_or(|index| index.family() == Family::Docker)
        && annotations.is_empty()
        && !compositions.is_empty()
        && compositions
            .iter()
            .all(|composition| composition.family() == Family::Docker);
    if docker { Family::Docker } else { Family::Oci }
}

/// A composed image to list in an index.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The entry of the base index that it replaces.
    pub base_at: Option<usize>,
    /// Its manifest.
    pub manifest: Descriptor,
    /// What it runs on; written where the base's entry has no platform.
    pub platform: Platform,
}

/// What an index is built from.
#[derive(Clone, Debug)]
pub struct NewIndex<'a> {
    /// The index that the base's name resolved to, if it was one.
    pub base: Option<&'a Manifest>,
    /// The base's fully qualified reference; `None` when it has none that others can use.
    pub base_name: Option<&'a str>,
    /// What it resolved to; `None` for scratch.
    pub base_digest: Option<&'a Digest>,
    /// The composed images, in order.
    pub entries: &'a [Entry],
    /// The user's annotations.
    pub annotations: &'a BTreeMap<String, String>,
    /// The family of the index and of every entry.
    pub family: Family,
}

/// Builds the index of composed images.
///
/// What the base index and its entries say beside digests and types is kept, with three
/// exceptions: `subject`, `artifactType`, and names of the base's own base, which are replaced.
///
/// # Errors
/// See [`IndexError`].
pub fn build(new: &NewIndex<'_>) -> Result<Manifest, IndexError> {
    if new.entries.is_empty() {
        return Err(IndexError::Empty);
    }
    if new
        .entries
        .iter()
        .any(|entry| entry.manifest.media_type != new.family.manifest())
    {
        return Err(match new.family {
            Family::Docker => IndexError::NotInDocker("OCI manifests"),
            Family::Oci => IndexError::NotInOci,
        });
    }
    if new.family == Family::Docker && !new.annotations.is_empty() {
        return Err(IndexError::NotInDocker("annotations"));
    }
    let mut object = match new.base {
        Some(base) => base.document().object().clone(),
        None => Map::from_iter([("schemaVersion".to_owned(), 2.into())]),
    };
    let old = match object.get_mut("manifests") {
        Some(Value::Array(list)) => std::mem::take(list),
        _ => Vec::new(),
    };
    convert::set_media_type(&mut object, new.family.index());
    object.shift_remove("subject");
    object.shift_remove("artifactType");
    let mut list = Vec::new();
    for entry in new.entries {
        let old = match entry.base_at {
            None => Map::new(),
            Some(at) => old
                .get(at)
                .and_then(Value::as_object)
                .cloned()
                .ok_or(IndexError::NoEntry(at))?,
        };
        list.push(Value::Object(entry_json(new, entry, old)));
    }
    object.insert("manifests".to_owned(), list.into());
    write_annotations(new, &mut object);
    Ok(Manifest::parse(
        Document::from_object(object).bytes().clone(),
        None,
    )?)
}

fn entry_json(
    new: &NewIndex<'_>,
    entry: &Entry,
    mut json: Map<String, Value>,
) -> Map<String, Value> {
    for (key, value) in entry.manifest.to_json() {
        json.insert(key, value);
    }
    for stale in ["data", "urls", "artifactType"] {
        json.shift_remove(stale);
    }
    if !json.get("platform").is_some_and(Value::is_object) {
        json.insert("platform".to_owned(), entry.platform.to_json().into());
    }
    if let Some(annotations) = json.get_mut("annotations").and_then(Value::as_object_mut) {
        for (key, value) in base_annotations(new) {
            if annotations.contains_key(key) {
                put(annotations, key, value);
            }
        }
    }
    json
}

fn write_annotations(new: &NewIndex<'_>, object: &mut Map<String, Value>) {
    if new.family == Family::Docker {
        return;
    }
    let slot = object.entry("annotations").or_insert(Value::Null);
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    if let Some(annotations) = slot.as_object_mut() {
        for (key, value) in base_annotations(new) {
            put(annotations, key, value);
        }
        for (key, value) in new.annotations {
            annotations.insert(key.clone(), value.clone().into());
        }
        if annotations.is_empty() {
            object.shift_remove("annotations");
        }
    }
}

fn base_annotations(new: &NewIndex<'_>) -> [(&'static str, Option<String>); 2] {
    [
        (annotation::BASE_NAME, new.base_name.map(str::to_owned)),
        (
            annotation::BASE_DIGEST,
            new.base_digest.map(ToString::to_string),
        ),
    ]
}

fn put(annotations: &mut Map<String, Value>, key: &str, value: Option<String>) {
    match value {
        Some(value) => {
            annotations.insert(key.to_owned(), value.into());
        }
        None => {
            annotations.shift_remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
