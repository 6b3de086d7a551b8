//! `docker-archive:` files: what `docker save` writes and `docker load` reads.
//!
//! The format is that of moby's `image/tarexport`: `manifest.json` is a list of images, each with
//! the member that holds its config, the members that hold its layers, and its names.

mod name;
mod source;
mod target;

use std::path::Path;

use serde_json::Value;

use ohoci_image::manifest::MAX_SIZE;
use ohoci_image::{Digest, Document, json, shape};

use super::error::failure;
use super::layout::source::names_hint;
use super::tar_file::TarFile;
use super::{Error, ErrorKind};
use ohoci_layer::limits::UnpackLimits;
use ohoci_layout::region::Region;

pub use source::DockerArchiveSource;
pub use target::DockerArchiveTarget;

/// The member that lists the images.
const LIST: &str = "manifest.json";

fn label(path: &Path) -> String {
    format!("docker-archive:{}", path.display())
}

/// One image of `manifest.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    /// The member that holds the config.
    config: String,
    /// The names, as they stand there.
    names: Vec<String>,
    /// The members that hold the layers, lowest first.
    layers: Vec<String>,
}

/// The names in an archive.
///
/// # Errors
/// When it cannot be read.
pub(super) fn names(path: &Path, limits: UnpackLimits) -> Result<Vec<String>, Error> {
    let label = label(path);
    let what = || format!("cannot read {label}");
    let tar = TarFile::open(path, &label, limits)?;
    let read = |region: Region| region.read_all();
    let list = tar
        .find(LIST)
        .and_then(|found| {
            found
                .filter(|list| list.length() <= MAX_SIZE)
                .map(read)
                .transpose()
        })
        .map_err(|error| failure(what(), error))?;
    let items = parse_list(&list.unwrap_or_default())
        .map_err(|why| Error::new(ErrorKind::Corrupt, what(), why))?;
    Ok(items.into_iter().flat_map(|item| item.names).collect())
}

/// Reads `manifest.json`; says why when it is not one.
fn parse_list(bytes: &[u8]) -> Result<Vec<Item>, String> {
    let list = json::parse(bytes, &shape::DOCKER_ARCHIVE).map_err(|error| error.to_string())?;
    let list = list.as_array().ok_or("it is not a list")?;
    let texts = |value: Option<&Value>| -> Option<Vec<String>> {
        match value {
            // Go writes an empty list as null.
            None | Some(Value::Null) => Some(Vec::new()),
            Some(value) => value
                .as_array()?
                .iter()
                .map(|text| text.as_str().map(str::to_owned))
                .collect(),
        }
    };
    list.iter()
        .enumerate()
        .map(|(at, item)| {
            let parsed = || {
                Some(Item {
                    config: item.get("Config")?.as_str()?.to_owned(),
                    names: texts(item.get("RepoTags"))?,
                    layers: texts(item.get("Layers"))?,
                })
            };
            parsed().ok_or_else(|| format!("its item {at} has no Config, or wrong lists"))
        })
        .collect()
}

/// How many images `manifest.json` lists; `None` when it is none. For fuzzing, which has no archive
/// to put it in.
#[doc(hidden)]
#[must_use]
pub fn count_images(list: &[u8]) -> Option<usize> {
    parse_list(list).ok().map(|items| items.len())
}

/// Picks the image with that name, or the only one.
fn choose<'a>(items: &'a [Item], name: Option<&str>, what: &str) -> Result<&'a Item, Error> {
    let names = || {
        let mut names: Vec<String> = items.iter().flat_map(|item| item.names.clone()).collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    match (name, items) {
        (Some(wanted), _) => {
            let full = name::normalized(wanted);
            let is_it = |name: &String| name == wanted || name::normalized(name) == full;
            items
                .iter()
                .find(|item| item.names.iter().any(is_it))
                .ok_or_else(|| {
                    Error::new(
                        ErrorKind::NotFound,
                        what,
                        format!("there is no image {wanted:?}"),
                    )
                    .hinted(names_hint(&names()))
                })
        }
        (None, [only]) => Ok(only),
        (None, []) => Err(Error::new(
            ErrorKind::NotFound,
            what,
            "there is no image in it",
        )),
        (None, items) => Err(Error::new(
            ErrorKind::NotFound,
            what,
            format!(
                "there are {} images in it, and the reference names none of them",
                items.len()
            ),
        )
        .hinted(names_hint(&names()))),
    }
}

/// The digests of a config's uncompressed layers, lowest first; says why when they cannot be told.
fn diff_ids(config: &Document) -> Result<Vec<Digest>, String> {
    match config
        .object()
        .get("rootfs")
        .and_then(|rootfs| rootfs.get("diff_ids"))
    {
        // An image without layers: Go leaves out or nulls the empty list.
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => list
            .iter()
            .map(|id| {
                let text = id.as_str().ok_or("a diff ID is no string")?;
                text.parse::<Digest>().map_err(|error| error.to_string())
            })
            .collect(),
        Some(_) => Err("its diff_ids are no list".to_owned()),
    }
}
