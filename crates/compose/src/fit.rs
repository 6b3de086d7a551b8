//! What a base has, from the headers of its layers, and a small layer of what it lacks.

mod account;
mod detail;
mod layer;
pub mod listing;
mod read;
pub(crate) mod trust;

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

pub use account::Account;
use detail::Wanted;
pub use detail::{Detail, Fit, FitError};
pub use listing::Listing;
pub use read::files_of;
pub(crate) use read::listing_of;
pub(super) use read::{cheap_listing, first_missing, first_text, known_listing, stands};

use super::layer_reader::LayerReader;
use super::local::LocalLayer;
use super::read::Found;
use super::watch::{Event, Observer};
use ohoci_image::Platform;
use ohoci_layer::{PackOptions, Tree};
use ohoci_store::{Error, ErrorKind};

/// What a base was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fitted {
    /// The platform.
    pub platform: String,
    /// What it lacked and got.
    pub added: Vec<Detail>,
    /// What is to be said of it.
    #[serde(skip)]
    pub notes: Vec<String>,
}

/// A job's layer whose files are known by its name, so that it can be laid out for each base.
pub(super) struct OwnLayer<'a> {
    /// As it is where the base is not read.
    pub(super) layer: &'a LocalLayer,
    /// What is in it.
    pub(super) tree: Tree,
}

/// The images' platforms and what they have; `scratch` is composed for where there is no base.
pub(super) async fn listings(
    reader: LayerReader<'_>,
    base: Option<&Found>,
    scratch: &[Platform],
    observer: &Arc<dyn Observer>,
) -> Result<Vec<(Platform, Listing)>, Error> {
    let Some(found) = base else {
        let nothing = |platform: &Platform| (platform.clone(), Listing::default());
        return Ok(scratch.iter().map(nothing).collect());
    };
    let mut listings = Vec::new();
    for image in &found.images {
        observer.event(&Event::Step("reading the base's layer headers".to_owned()));
        let listing = listing_of(found.source.as_ref(), image, reader).await?;
        listings.push((image.config.platform().clone(), listing));
    }
    Ok(listings)
}

/// The layers that bases lack, and what those are. `bundles` are where the prefix's
/// certificates are, and those with what only the base has, in the order of `listings`.
pub(super) fn fitted(
    fit: &Fit,
    work_dir: &Path,
    listings: &[(Platform, Listing)],
    account: Option<&Account>,
    bundles: Vec<Option<(String, String)>>,
) -> Result<(Vec<LocalLayer>, Vec<Fitted>), Error> {
    let (mut layers, mut report) = (Vec::new(), Vec::new());
    for ((platform, listing), bundle) in listings.iter().zip(bundles) {
        let wanted = Wanted { account, bundle };
        let mut added = fit.missing(listing, &wanted);
        let mut notes = Vec::new();
        if added.contains(&Detail::Account)
            && let Some(path) = unreadable(listing)
        {
            added.retain(|detail| *detail != Detail::Account);
            notes.push(format!(
                "the user that the image starts as gets no line in {path}, which is no file of \
                 text in UTF-8 of at most 1 MiB in the base for {platform}"
            ));
        }
        report.push(Fitted {
            platform: platform.to_string(),
            added: added.clone(),
            notes,
        });
        if !added.is_empty() {
            let tree = layer::tree(&added, listing, &wanted);
            let tree = tree.map_err(|error| failed(&error.to_string()))?;
            let names: Vec<&str> = added.iter().map(|detail| detail.name()).collect();
            let created_by = format!("ohoci: fit {}", names.join(","));
            layers.push(LocalLayer {
                platform: Some(platform.clone()),
                ..packed(fit.record(), tree, created_by, work_dir)?
            });
        }
    }
    Ok((layers, report))
}

/// Of the files that lines are added to the first that is there, but whose lines are not known.
fn unreadable(base: &Listing) -> Option<&'static str> {
    ["/etc/passwd", "/etc/group"].into_iter().find(|path| {
        let known = base.text(path);
        // What stands for bytes that are no text.
        let is_whole = known.is_some_and(|known| !known.text.contains('\u{fffd}'));
        base.has(path) && !base.dangles(path) && !is_whole
    })
}

/// A layer for each base, laid out as the base's symlinks have it; one for all where none is in the
/// way of any.
pub(super) fn laid_out(
    own: &OwnLayer<'_>,
    work_dir: &Path,
    listings: &[(Platform, Listing)],
) -> Result<Vec<LocalLayer>, Error> {
    let OwnLayer { layer, tree } = own;
    let trees = listings
        .iter()
        .map(|(platform, listing)| Ok((platform, layer::laid_out(tree, listing)?)))
        .collect::<Result<Vec<_>, layer::LayerError>>();
    let trees = trees.map_err(|error| failed(&error.to_string()))?;
    // Packed anew in any case: one that is taken over from an image may be laid out for another base.
    let pack = |tree: Tree| {
        let created_by = layer.created_by.clone();
        packed(layer.name.clone(), tree, created_by, work_dir)
    };
    if trees.iter().all(|(_, moved)| moved.is_none()) {
        return Ok(vec![pack(tree.clone())?]);
    }
    let mut layers = Vec::new();
    for (platform, moved) in trees {
        layers.push(LocalLayer {
            platform: Some(platform.clone()),
            ..pack(moved.unwrap_or_else(|| tree.clone()))?
        });
    }
    Ok(layers)
}

fn failed(why: &str) -> Error {
    Error::new(ErrorKind::Io, "cannot pack what the base lacks", why)
}

fn packed(
    name: String,
    tree: Tree,
    created_by: String,
    work_dir: &Path,
) -> Result<LocalLayer, Error> {
    let packed = ohoci_layer::pack_tree(tree, created_by, &PackOptions::default(), work_dir)
        .map_err(|error| failed(&error.to_string()))?;
    Ok(LocalLayer {
        // It stands where the base's links lead.
        directories: Vec::new(),
        ..LocalLayer::packed(name, packed)?
    })
}
