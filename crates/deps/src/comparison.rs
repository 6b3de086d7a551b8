//! What changed from one deps image to another.

use std::collections::BTreeMap;
use std::io;

use serde::Serialize;

use super::built::BuiltImage;
use ohoci_image::Digest;
use ohoci_image::digest::{Algorithm, Hasher};
use ohoci_layer::{Entry, Kind, LayerPath};

/// The difference between two images for one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// The platform.
    pub platform: String,
    /// Packages that came, went or changed.
    pub packages: Vec<Difference>,
    /// Files that did.
    pub files: Vec<Difference>,
    /// Bytes in the files of the old image.
    pub old_bytes: u64,
    /// Bytes in the files of the new one.
    pub new_bytes: u64,
}

/// Something that came, went or changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The package, or the path from the image's root.
    pub name: String,
    /// What it was: a version, or what kind of file; `None` when it was not there.
    pub old: Option<String>,
    /// What it is.
    pub new: Option<String>,
    /// Bytes that it had.
    pub old_bytes: u64,
    /// Bytes that it has.
    pub new_bytes: u64,
}

/// Compares two images for the same platform.
///
/// # Errors
/// When a file's content cannot be read.
pub fn compare(old: &BuiltImage, new: &BuiltImage) -> io::Result<Comparison> {
    let (old_files, new_files) = (files(old), files(new));
    let mut differences = Vec::new();
    for (path, entry) in &old_files {
        match new_files.get(path) {
            None => differences.push(difference(path, Some(entry), None)),
            Some(other) if !same(entry, other)? => {
                differences.push(difference(path, Some(entry), Some(other)));
            }
            Some(_) => {}
        }
    }
    for (path, entry) in &new_files {
        if !old_files.contains_key(path) {
            differences.push(difference(path, None, Some(entry)));
        }
    }
    differences.sort_by(|one, other| one.name.cmp(&other.name));
    let total =
        |files: &BTreeMap<&LayerPath, &Entry>| files.values().map(|entry| size(entry)).sum();
    Ok(Comparison {
        platform: new.platform.to_string(),
        packages: packages(old, new, &old_files, &new_files),
        old_bytes: total(&old_files),
        new_bytes: total(&new_files),
        files: differences,
    })
}

/// Everything that is no directory, as the layers leave it.
fn files(image: &BuiltImage) -> BTreeMap<&LayerPath, &Entry> {
    let entries = image.layers.iter().flat_map(|layer| layer.tree.iter());
    entries.filter(|(_, entry)| !entry.is_directory()).collect()
}

fn size(entry: &Entry) -> u64 {
    match &entry.kind {
        Kind::File(content) => content.size(),
        _ => 0,
    }
}

fn same(one: &Entry, other: &Entry) -> io::Result<bool> {
    if one.mode != other.mode || one.uid != other.uid || one.gid != other.gid {
        return Ok(false);
    }
    match (&one.kind, &other.kind) {
        (Kind::File(a), Kind::File(b)) => {
            Ok(a.size() == b.size() && hash(&mut *a.open()?)? == hash(&mut *b.open()?)?)
        }
        (Kind::Symlink(a), Kind::Symlink(b)) => Ok(a == b),
        (Kind::Hardlink(a), Kind::Hardlink(b)) => Ok(a == b),
        (a, b) => Ok(a.noun() == b.noun()),
    }
}

fn hash(input: &mut dyn io::Read) -> io::Result<Digest> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut buffer = vec![0; 128 << 10];
    loop {
        let count = input.read(&mut buffer)?;
        if count == 0 {
            return Ok(hasher.finish());
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
    }
}

fn difference(path: &LayerPath, old: Option<&&Entry>, new: Option<&&Entry>) -> Difference {
    let noun = |entry: &&&Entry| entry.kind.noun().to_owned();
    Difference {
        name: path.to_string(),
        old: old.as_ref().map(noun),
        new: new.as_ref().map(noun),
        old_bytes: old.map_or(0, |entry| size(entry)),
        new_bytes: new.map_or(0, |entry| size(entry)),
    }
}

fn packages(
    old: &BuiltImage,
    new: &BuiltImage,
    old_files: &BTreeMap<&LayerPath, &Entry>,
    new_files: &BTreeMap<&LayerPath, &Entry>,
) -> Vec<Difference> {
    let (old, new) = (versions(old, old_files), versions(new, new_files));
    let mut differences = Vec::new();
    for name in old.keys().chain(new.keys()) {
        let (was, is) = (old.get(name), new.get(name));
        if was.map(|(version, _)| version) == is.map(|(version, _)| version) {
            continue;
        }
        differences.push(Difference {
            name: name.clone(),
            old: was.map(|(version, _)| version.clone()),
            new: is.map(|(version, _)| version.clone()),
            old_bytes: was.map_or(0, |(_, bytes)| *bytes),
            new_bytes: is.map_or(0, |(_, bytes)| *bytes),
        });
    }
    differences.sort_by(|one, other| one.name.cmp(&other.name));
    differences.dedup();
    differences
}

/// Version and bytes of each package.
fn versions(
    image: &BuiltImage,
    files: &BTreeMap<&LayerPath, &Entry>,
) -> BTreeMap<String, (String, u64)> {
    let mut versions = BTreeMap::new();
    for layer in &image.layers {
        let Some(contents) = &layer.contents else {
            continue;
        };
        // The contents stand below the prefix, whose name the file's own path tells.
        for (name, package) in &contents.packages {
            let bytes = files
                .iter()
                .filter(|(path, _)| {
                    let below = path.to_string();
                    let below = below.trim_start_matches('/');
                    below
                        .split_once('/')
                        .is_some_and(|(_, below)| package.files.contains(below))
                })
                .map(|(_, entry)| size(entry))
                .sum();
            versions.insert(name.clone(), (package.version.clone(), bytes));
        }
    }
    versions
}
