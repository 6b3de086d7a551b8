//! What a base has, from the headers of its layers, and a small layer of what it lacks.

mod detail;
mod layer;
pub mod listing;

use std::sync::Arc;

use futures_util::future::try_join_all;
use serde::Serialize;
use tokio_util::io::{StreamReader, SyncIoBridge};

pub use detail::{Detail, Fit, FitError};
pub use listing::Listing;

use super::compose::{Job, LayerBytes, LocalLayer};
use super::places::Places;
use super::read::{Found, Image};
use super::watch::{Event, Observer};
use crate::layer::headers::read_headers;
use crate::layer::limits::Budget;
use crate::layer::{LayerFile, PackOptions};
use crate::oci::{Content, Descriptor, Platform};
use crate::store::cache::Cache;
use crate::store::file_body::{file_body, own_file_body};
use crate::store::{Error, ErrorKind, Source};

/// What the cache calls listings; the number changes when equal layers give other listings.
const FACT: &str = "listing-3";

/// What a base was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fitted {
    /// The platform.
    pub platform: String,
    /// What it lacked and got.
    pub added: Vec<Detail>,
}

/// A job with the layers that its bases lack, and what those are.
pub(super) async fn fitted(
    job: &Job,
    places: &Places,
    base: Option<&Found>,
    scratch: &[Platform],
    observer: &Arc<dyn Observer>,
) -> Result<(Job, Vec<Fitted>), Error> {
    let mut fitting = job.clone();
    let mut report = Vec::new();
    let mut listings = Vec::new();
    match base {
        Some(found) => {
            for image in &found.images {
                observer.event(&Event::Step("reading the base's layer headers".to_owned()));
                let listing = listing_of(found.source.as_ref(), image, &places.cache).await?;
                listings.push((image.config.platform().clone(), listing));
            }
        }
        None => {
            for platform in scratch {
                listings.push((platform.clone(), Listing::default()));
            }
        }
    }
    for (platform, listing) in listings {
        let added = job.fit.missing(&listing);
        if !added.is_empty() {
            let layer = packed(&added, &listing, &platform, job)?;
            fitting.layers.push(layer);
        }
        report.push(Fitted {
            platform: platform.to_string(),
            added,
        });
    }
    Ok((fitting, report))
}

fn packed(
    added: &[Detail],
    listing: &Listing,
    platform: &Platform,
    job: &Job,
) -> Result<LocalLayer, Error> {
    let what = "cannot pack what the base lacks";
    let fail = |why: String| Error::new(ErrorKind::Io, what, why);
    let tree = layer::tree(added, listing).map_err(|error| fail(error.to_string()))?;
    let names: Vec<&str> = added.iter().map(|detail| detail.name()).collect();
    let created_by = format!("ohoci: fit {}", names.join(","));
    let options = PackOptions::default();
    let packed = crate::layer::pack_tree(tree, created_by, &options, &job.work_dir)
        .map_err(|error| fail(error.to_string()))?;
    let body = match packed.file {
        LayerFile::Given(path) => file_body(path, &packed.descriptor),
        // It lies in the run's own directory, which is removed as a whole at the end.
        LayerFile::Temporary(path) => {
            let path = path.keep().map_err(|error| Error::io(what, error.error))?;
            own_file_body(path, &packed.descriptor)
        }
    };
    Ok(LocalLayer {
        from: LayerBytes::File(body),
        descriptor: packed.descriptor,
        diff_id: packed.diff_id,
        created_by: packed.created_by,
        name: job.fit.record(),
        platform: Some(platform.clone()),
    })
}

/// What an image has. The headers of each layer are read once, ever, on one machine.
///
/// # Errors
/// When a layer cannot be read.
pub async fn listing_of(
    source: &dyn Source,
    image: &Image,
    cache: &Cache,
) -> Result<Listing, Error> {
    let Content::Image { layers, .. } = image.manifest.content() else {
        return Ok(Listing::default());
    };
    let budget = Arc::new(Budget::of_process());
    let listings = layers
        .iter()
        .map(|layer| of_layer(source, layer, cache, Arc::clone(&budget)));
    let mut all = Listing::default();
    for listing in try_join_all(listings).await? {
        all.add(&listing);
    }
    Ok(all)
}

async fn of_layer(
    source: &dyn Source,
    layer: &Descriptor,
    cache: &Cache,
    budget: Arc<Budget>,
) -> Result<Listing, Error> {
    let key = layer.digest.to_string();
    let known = cache.fact(FACT, &key);
    if let Some(listing) = known.and_then(|fact| serde_json::from_value(fact).ok()) {
        return Ok(listing);
    }
    let what = || format!("cannot read layer {} of {}", layer.digest, source.place());
    let stream = source.blob(layer).open(0).await;
    let stream = stream.map_err(|error| Error::io(what(), error))?;
    let mut input = SyncIoBridge::new(StreamReader::new(stream));
    let members = tokio::task::spawn_blocking(move || {
        let members = read_headers(&mut input, &budget)?;
        // The digest counts for all of it.
        std::io::copy(&mut input, &mut std::io::sink())?;
        Ok::<_, crate::layer::tar_read::TarError>(members)
    })
    .await
    .map_err(|error| Error::new(ErrorKind::Io, what(), error.to_string()))?
    .map_err(|error| Error::new(ErrorKind::Unsupported, what(), error.to_string()))?;
    let listing = Listing::of(&members);
    // Strings and lists: nothing that JSON could not hold.
    cache.remember_fact(
        FACT,
        &key,
        &serde_json::to_value(&listing).unwrap_or_default(),
    );
    Ok(listing)
}
