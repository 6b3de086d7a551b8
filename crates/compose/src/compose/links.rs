//! Symlinks of the base in whose place a layer puts a directory: `/bin` of distributions that have
//! everything below `/usr`, for one. Runtimes then show the directory, and what the link led to is
//! gone: `/bin/sh`, most likely.

use crate::fit::{Listing, cheap_listing, known_listing, listing_of};
use crate::job::Job;
use crate::local::LocalLayer;
use crate::read::Found;
use crate::resolver::Resolver;
use ohoci_image::label::Position;
use ohoci_layer::LayerPath;
use ohoci_layer::path::printable;
use ohoci_store::{Error, ErrorKind};

/// Directories that are symlinks in many bases.
const OFTEN_LINKS: [&str; 8] = [
    "bin", "lib", "lib32", "lib64", "libx32", "sbin", "var/lock", "var/run",
];

/// Refuses layers that would replace a symlink of the base, where the base's layers have been read
/// or lie on this machine; where they have not, says which may.
///
/// # Errors
/// When a layer would, or a layer of the base cannot be read.
pub(super) async fn replaced(
    job: &Job,
    layers: &[LocalLayer],
    base: Option<&Found>,
    resolver: &Resolver,
) -> Result<Vec<String>, Error> {
    let reader = resolver.reader();
    let is_own = |layer: &LocalLayer| resolver.own_layer(&layer.name).is_some();
    let Some(found) = base.filter(|_| job.position == Position::Top) else {
        return Ok(Vec::new());
    };
    let is_any_doubtful = layers.iter().any(is_doubtful);
    let mut notes = Vec::new();
    for image in &found.images {
        let listing = match known_listing(image, reader.cache) {
            Some(listing) => Some(listing),
            None if is_any_doubtful && found.source.origin().is_none() => {
                Some(listing_of(found.source.as_ref(), image, reader).await?)
            }
            None if layers.iter().any(is_own) => {
                cheap_listing(found.source.as_ref(), image, reader).await
            }
            None => None,
        };
        let platform = image.config.platform();
        let is_for =
            |layer: &&LocalLayer| layer.platform.as_ref().is_none_or(|only| only == platform);
        for layer in layers.iter().filter(is_for) {
            let is_own = is_own(layer);
            match &listing {
                Some(listing) => {
                    if let Some((directory, target)) = in_the_way(&layer.directories, listing) {
                        return Err(Error::new(
                            ErrorKind::Unsupported,
                            format!("cannot put layer {} on {}", layer.name, job.base),
                            format!(
                                "it has the directory {directory}, which is a symlink to {target} \
                                 in the base: it would take the link's place and hide all that is \
                                 there"
                            ),
                        )
                        .hinted(if is_own || layer.packing.is_some() {
                            "--fit auto puts its files where the base's links lead".to_owned()
                        } else {
                            format!(
                                "put its files where the link leads, such as \
                                 --layer DIR{directory}:/{}",
                                target.trim_start_matches('/')
                            )
                        }));
                    }
                }
                None => {
                    let named: Vec<String> = layer
                        .directories
                        .iter()
                        .filter(|path| doubtful(path))
                        .map(ToString::to_string)
                        .collect();
                    if !named.is_empty() {
                        notes.push(format!(
                            "layer {} has {}: if that is a symlink in the base, as in most \
                             distributions, it takes the link's place and hides what is there \
                             (--fit auto reads the base, and puts it where the link leads)",
                            layer.name,
                            named.join(" and ")
                        ));
                    }
                }
            }
        }
    }
    notes.sort_unstable();
    notes.dedup();
    Ok(notes)
}

/// The first directory that stands where the base has a symlink, and where that leads to.
fn in_the_way<'a>(
    directories: &'a [LayerPath],
    listing: &Listing,
) -> Option<(&'a LayerPath, String)> {
    directories.iter().find_map(|path| {
        let target = listing.link_at(&printable(path.as_bytes()))?;
        Some((path, target.to_owned()))
    })
}

/// Whether a layer has a directory that is a symlink in many bases.
pub(super) fn is_doubtful(layer: &LocalLayer) -> bool {
    layer.directories.iter().any(doubtful)
}

fn doubtful(path: &LayerPath) -> bool {
    OFTEN_LINKS.iter().any(|often| is(path, often))
}

fn is(path: &LayerPath, text: &str) -> bool {
    path.as_bytes() == text.as_bytes()
}
