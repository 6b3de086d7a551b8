//! Layers of this machine's files, put where the base's symlinks lead: `bin/tool` into `usr/bin` of
//! distributions that have everything below `/usr`.

use std::collections::BTreeSet;
use std::path::Path;

use tokio_util::io::{StreamReader, SyncIoBridge};

use super::links;
use crate::fit::{Fit, Listing, listing_of};
use crate::job::Job;
use crate::local::{LayerBytes, LocalLayer, pack_error};
use crate::read::Found;
use crate::resolver::Resolver;
use ohoci_image::Platform;
use ohoci_layer::path::printable;
use ohoci_layer::{LayerPath, PackOptions, moved};
use ohoci_store::{Error, ErrorKind};

/// Most links on the way to something, as in Linux.
const MOST_LINKS: usize = 40;

/// What the bases have where layers may have to follow their links: of bases on this machine that a layer
/// is doubtful for. Reading others is asked for by `fit`, so that the same run always gives the same image.
///
/// # Errors
/// When a layer of the base cannot be read.
pub(super) async fn listings(
    job: &Job,
    base: Option<&Found>,
    resolver: &Resolver,
) -> Result<Vec<(Platform, Listing)>, Error> {
    let mut follows = job.layers.iter().filter(|layer| layer.packing.is_some());
    let Some(found) = base.filter(|found| {
        job.fit == Fit::None && found.source.origin().is_none() && follows.any(links::is_doubtful)
    }) else {
        return Ok(Vec::new());
    };
    let mut listings = Vec::new();
    for image in &found.images {
        let listing = listing_of(found.source.as_ref(), image, resolver.reader()).await?;
        listings.push((image.config.platform().clone(), listing));
    }
    Ok(listings)
}

/// The layer for each base, and what is to be said: as it is where no link is in the way of any.
///
/// # Errors
/// When it cannot be read or written, or what is in it would land on something else.
pub(super) async fn followed(
    layer: &LocalLayer,
    listings: &[(Platform, Listing)],
    work_dir: &Path,
) -> Result<(Vec<LocalLayer>, Vec<String>), Error> {
    let Some(options) = layer.packing else {
        return Ok((vec![layer.clone()], Vec::new()));
    };
    let is_moved = |listing: &Listing| {
        let mut directories = layer.directories.iter();
        directories.any(|path| listing.link_at(&printable(path.as_bytes())).is_some())
    };
    let wanted = listings
        .iter()
        .filter(|(platform, _)| layer.is_for(platform));
    let wanted: Vec<&(Platform, Listing)> = wanted.collect();
    if !wanted.iter().any(|(_, listing)| is_moved(listing)) {
        return Ok((vec![layer.clone()], Vec::new()));
    }
    let (mut layers, mut notes) = (Vec::new(), BTreeSet::new());
    for (platform, listing) in wanted {
        let own = if is_moved(listing) {
            notes.extend(layer.directories.iter().filter_map(|path| {
                let text = printable(path.as_bytes());
                listing.link_at(&text)?;
                Some(format!(
                    "layer {}: what it has in {path} is put into /{}, where the base's symlink leads",
                    layer.name,
                    listing.end(&text)?
                ))
            }));
            anew(layer, listing.clone(), options, work_dir).await?
        } else {
            layer.clone()
        };
        layers.push(LocalLayer {
            platform: Some(platform.clone()),
            ..own
        });
    }
    Ok((layers, notes.into_iter().collect()))
}

/// The layer, laid out as the base's links have it.
async fn anew(
    layer: &LocalLayer,
    listing: Listing,
    options: PackOptions,
    work_dir: &Path,
) -> Result<LocalLayer, Error> {
    let what = || {
        format!(
            "cannot put layer {} where the base's symlinks lead",
            layer.name
        )
    };
    let LayerBytes::File(body) = &layer.from else {
        return Ok(layer.clone());
    };
    let stream = body.open(0).await;
    let stream = stream.map_err(|error| Error::reading(what(), error))?;
    let input = SyncIoBridge::new(StreamReader::new(stream));
    let out_dir = work_dir.to_owned();
    let written = tokio::task::spawn_blocking(move || {
        let place = |path: &LayerPath, is_directory| place(&listing, path, is_directory);
        moved::moved(input, &place, &options, &out_dir)
    });
    let written = written.await;
    let written = written.map_err(|error| Error::new(ErrorKind::Io, what(), error.to_string()))?;
    let mut packed = written.map_err(|error| match error.io() {
        Some(_) => pack_error(&error),
        None => Error::new(ErrorKind::Unsupported, what(), error.why().to_owned())
            .hinted("name the place where it is to stand: --layer DIR:/PLACE"),
    })?;
    packed.created_by.clone_from(&layer.created_by);
    Ok(LocalLayer {
        packing: Some(options),
        ..LocalLayer::packed(layer.name.clone(), packed)?
    })
}

/// Where an entry of a layer goes. A directory that is a symlink in the base, and leads to one, is that one:
/// it keeps the base's mode and owner.
fn place(
    base: &Listing,
    path: &LayerPath,
    is_directory: bool,
) -> Result<Option<LayerPath>, String> {
    let mut path = path.clone();
    for _ in 0..MOST_LINKS {
        let Some((link, below)) = first_link(base, &path, is_directory)? else {
            return Ok(Some(path));
        };
        let circle = || format!("the base's symlinks on the way to {path} never end");
        let end = base.end(&link).ok_or_else(circle)?;
        let end_path = LayerPath::parse(end.as_bytes()).map_err(|error| error.to_string())?;
        if base.is_file(&end) {
            return Err(format!(
                "{link} is a symlink to /{end} in the base, which is no directory"
            ));
        }
        match below {
            None if end_path.is_root() || base.has(&format!("/{end}")) => return Ok(None),
            None => return Ok(Some(end_path)),
            Some(below) => {
                path = end_path.join(&below).map_err(|error| error.to_string())?;
            }
        }
    }
    Err(format!(
        "the base's symlinks on the way to {path} never end"
    ))
}

/// The first symlink of the base on the way to a path, itself included where it is a directory, and what is
/// below it.
fn first_link(
    base: &Listing,
    path: &LayerPath,
    is_directory: bool,
) -> Result<Option<(String, Option<LayerPath>)>, String> {
    let names: Vec<&[u8]> = path.names().collect();
    let mut above: Vec<u8> = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let below = names.get(at + 1..).unwrap_or_default();
        if below.is_empty() && !is_directory {
            break;
        }
        if !above.is_empty() {
            above.push(b'/');
        }
        above.extend_from_slice(name);
        let text = printable(&above);
        if base.link_at(&text).is_none() {
            continue;
        }
        let below = (!below.is_empty()).then(|| LayerPath::parse(&below.join(&b'/')));
        let below = below.transpose().map_err(|error| error.to_string())?;
        return Ok(Some((text, below)));
    }
    Ok(None)
}
