//! What a base has, from the headers of its layers, and a small layer of what it lacks.

mod detail;
mod layer;
pub mod listing;
mod read;

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

pub use detail::{Detail, Fit, FitError};
pub use listing::Listing;
pub use read::{files_of, listing_of};
pub(super) use read::{first_missing, known_listing};

use super::local::LocalLayer;
use super::read::Found;
use super::watch::{Event, Observer};
use ohoci_image::Platform;
use ohoci_layer::PackOptions;
use ohoci_store::cache::Cache;
use ohoci_store::{Error, ErrorKind};

/// What a base was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fitted {
    /// The platform.
    pub platform: String,
    /// What it lacked and got.
    pub added: Vec<Detail>,
}

/// The layers that bases lack, and what those are; `scratch` is composed for where there is no base.
pub(super) async fn fitted(
    fit: &Fit,
    work_dir: &Path,
    cache: &Cache,
    base: Option<&Found>,
    scratch: &[Platform],
    observer: &Arc<dyn Observer>,
) -> Result<(Vec<LocalLayer>, Vec<Fitted>), Error> {
    let mut listings = Vec::new();
    match base {
        Some(found) => {
            for image in &found.images {
                observer.event(&Event::Step("reading the base's layer headers".to_owned()));
                let listing = listing_of(found.source.as_ref(), image, cache).await?;
                listings.push((image.config.platform().clone(), listing));
            }
        }
        None => {
            for platform in scratch {
                listings.push((platform.clone(), Listing::default()));
            }
        }
    }
    let (mut layers, mut report) = (Vec::new(), Vec::new());
    for (platform, listing) in listings {
        let added = fit.missing(&listing);
        report.push(Fitted {
            platform: platform.to_string(),
            added: added.clone(),
        });
        if !added.is_empty() {
            layers.push(LocalLayer {
                // It stands where the base's links lead.
                directories: Vec::new(),
                platform: Some(platform),
                ..packed(fit, &added, &listing, work_dir)?
            });
        }
    }
    Ok((layers, report))
}

fn packed(
    fit: &Fit,
    added: &[Detail],
    listing: &Listing,
    work_dir: &Path,
) -> Result<LocalLayer, Error> {
    let fail = |why: String| Error::new(ErrorKind::Io, "cannot pack what the base lacks", why);
    let tree = layer::tree(added, listing).map_err(|error| fail(error.to_string()))?;
    let names: Vec<&str> = added.iter().map(|detail| detail.name()).collect();
    let created_by = format!("ohoci: fit {}", names.join(","));
    let packed = ohoci_layer::pack_tree(tree, created_by, &PackOptions::default(), work_dir)
        .map_err(|error| fail(error.to_string()))?;
    LocalLayer::packed(fit.record(), packed)
}
