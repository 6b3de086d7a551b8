//! What an image has, from the headers of its layers, each read once.

use std::sync::Arc;

use futures_util::future::try_join_all;
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::listing::Listing;
use crate::read::Image;
use ohoci_image::{Content, Descriptor, Digest};
use ohoci_layer::decompress::Decompressor;
use ohoci_layer::headers::read_headers_through;
use ohoci_layer::limits::Budget;
use ohoci_layer::{Hashed, WrongDiffId};
use ohoci_store::cache::Cache;
use ohoci_store::{Error, ErrorKind, Source};

/// What the cache calls listings; the number changes when equal layers give other listings.
const FACT: &str = "listing-5";

/// What an image has, where that is known without reading a layer.
#[must_use]
pub(crate) fn known_listing(image: &Image, cache: &Cache) -> Option<Listing> {
    let Content::Image { layers, .. } = image.manifest.content() else {
        return None;
    };
    let diff_ids = image.config.diff_ids();
    let mut all = Listing::default();
    for (layer, diff_id) in layers.iter().zip(diff_ids) {
        let fact = cache.fact(FACT, &key(layer, diff_id))?;
        all.add(&serde_json::from_value(fact).ok()?);
    }
    (layers.len() == diff_ids.len()).then_some(all)
}

/// What a layer is remembered by: one that is what its diff ID says.
fn key(layer: &Descriptor, diff_id: &Digest) -> String {
    format!("{} {diff_id}", layer.digest)
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
    let diff_ids = image.config.diff_ids();
    let refuse = |kind, why| {
        let what = format!("cannot read the layers of {}", source.place());
        Error::new(kind, what, why)
    };
    if layers.len() != diff_ids.len() {
        let why = format!(
            "its manifest lists {} layers, but its config {} diff IDs",
            layers.len(),
            diff_ids.len()
        );
        return Err(refuse(ErrorKind::Corrupt, why));
    }
    let budget = Arc::new(Budget::of_process());
    let listings = layers
        .iter()
        .zip(diff_ids)
        .map(|(layer, diff_id)| of_layer(source, layer, diff_id, cache, Arc::clone(&budget)));
    let mut all = Listing::default();
    for (at, read) in try_join_all(listings).await?.into_iter().enumerate() {
        if let Err(wrong) = read.content {
            return Err(refuse(
                ErrorKind::Corrupt,
                format!("layer {}: {wrong}", at + 1),
            ));
        }
        all.add(&read.listing);
    }
    Ok(all)
}

/// A layer that was read.
struct ReadLayer {
    listing: Listing,
    /// Whether it is what its diff ID says.
    content: Result<(), WrongDiffId>,
}

async fn of_layer(
    source: &dyn Source,
    layer: &Descriptor,
    diff_id: &Digest,
    cache: &Cache,
    budget: Arc<Budget>,
) -> Result<ReadLayer, Error> {
    let key = key(layer, diff_id);
    let known = cache.fact(FACT, &key);
    if let Some(listing) = known.and_then(|fact| serde_json::from_value(fact).ok()) {
        return Ok(ReadLayer {
            listing,
            content: Ok(()),
        });
    }
    let what = || format!("cannot read layer {} of {}", layer.digest, source.place());
    let stream = source.blob(layer).open(0).await;
    let stream = stream.map_err(|error| Error::io(what(), error))?;
    let mut input = SyncIoBridge::new(StreamReader::new(stream));
    let expected = diff_id.clone();
    let (members, content) = tokio::task::spawn_blocking(move || {
        let content = Decompressor::within(&mut input, &budget)?;
        let mut content = Hashed::new(content, Some(&expected));
        let members = read_headers_through(&mut content, &budget)?;
        let compared = content.compare(&expected)?;
        // The digest counts for all of it.
        std::io::copy(&mut input, &mut std::io::sink())?;
        Ok::<_, ohoci_layer::tar_read::TarError>((members, compared))
    })
    .await
    .map_err(|error| Error::new(ErrorKind::Io, what(), error.to_string()))?
    .map_err(|error| Error::new(ErrorKind::Unsupported, what(), error.to_string()))?;
    let listing = Listing::of(&members);
    if content.is_ok() {
        // Strings and lists: nothing that JSON could not hold.
        let fact = serde_json::to_value(&listing).unwrap_or_default();
        cache.remember_fact(FACT, &key, &fact);
    }
    Ok(ReadLayer { listing, content })
}
