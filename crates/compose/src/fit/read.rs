//! What an image has, from its layers, each read once.

use std::sync::Arc;

use futures_util::future::try_join_all;
use tokio_util::io::{StreamReader, SyncIoBridge};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::listing::Listing;
use crate::files::Files;
use crate::layer_reader::{LayerReader, UnpackedLayers};
use crate::read::Image;
use ohoci_image::{Content, Descriptor, Digest};
use ohoci_layer::decompress::Decompressor;
use ohoci_layer::limits::Budget;
use ohoci_layer::tar_read::{Limits, TarReader};
use ohoci_layer::{Hashed, Rules, WrongDiffId};
use ohoci_store::cache::Cache;
use ohoci_store::{Error, ErrorKind, Source};

/// Most bytes of an image's layers that are read without being asked to.
const MOST_READ_UNASKED: u64 = 256 << 20;

/// What a layer is looked at for, and is remembered of it.
trait View: Default + Serialize + DeserializeOwned {
    /// What the cache calls it; the number changes when equal layers give something else.
    const FACT: &str;

    /// The one of both that it is.
    fn of(read: (Listing, Files)) -> Self;

    /// Puts a layer on top.
    fn put_on_top(&mut self, above: &Self);
}

impl View for Listing {
    const FACT: &str = "listing-7";

    fn of((listing, _): (Listing, Files)) -> Self {
        listing
    }

    fn put_on_top(&mut self, above: &Self) {
        self.add(above);
    }
}

impl View for Files {
    const FACT: &str = "files-5";

    fn of((_, files): (Listing, Files)) -> Self {
        files
    }

    fn put_on_top(&mut self, above: &Self) {
        self.add(above);
    }
}

/// What an image has, where that is known without reading a layer.
#[must_use]
pub(crate) fn known_listing(image: &Image, cache: &Cache) -> Option<Listing> {
    let Content::Image { layers, .. } = image.manifest.content() else {
        return None;
    };
    let diff_ids = image.config.diff_ids();
    let mut all = Listing::default();
    for (layer, diff_id) in layers.iter().zip(diff_ids) {
        let fact = cache.fact(Listing::FACT, &key(layer, diff_id))?;
        all.add(&serde_json::from_value(fact).ok()?);
    }
    (layers.len() == diff_ids.len()).then_some(all)
}

/// What an image has, where that is known or cheap to find out: its layers lie on this machine and are
/// small. Layers that cannot be read tell nothing.
pub(crate) async fn cheap_listing(
    source: &dyn Source,
    image: &Image,
    reader: LayerReader<'_>,
) -> Option<Listing> {
    if let Some(known) = known_listing(image, reader.cache) {
        return Some(known);
    }
    let Content::Image { layers, .. } = image.manifest.content() else {
        return None;
    };
    let bytes = layers.iter().map(|layer| layer.size);
    let is_small = bytes.fold(0, u64::saturating_add) <= MOST_READ_UNASKED;
    if source.origin().is_some() || !is_small {
        return None;
    }
    listing_of(source, image, reader).await.ok()
}

/// What a layer is remembered by: one that is what its diff ID says.
fn key(layer: &Descriptor, diff_id: &Digest) -> String {
    format!("{} {diff_id}", layer.digest)
}

/// What an image has at the paths that matter. Each layer is read once, ever, on one machine.
///
/// # Errors
/// When a layer cannot be read.
pub(crate) async fn listing_of(
    source: &dyn Source,
    image: &Image,
    reader: LayerReader<'_>,
) -> Result<Listing, Error> {
    view_of(source, image, reader).await
}

/// All that an image shows. Each layer is read once, ever, on one machine.
///
/// # Errors
/// When a layer cannot be read.
pub async fn files_of(
    source: &dyn Source,
    image: &Image,
    reader: LayerReader<'_>,
) -> Result<Files, Error> {
    view_of(source, image, reader).await
}

/// The first of these paths that an image does not have. The smallest layers are read first, and no
/// more than it takes to find them all.
///
/// # Errors
/// When a layer cannot be read.
pub(crate) async fn first_missing(
    source: &dyn Source,
    image: &Image,
    paths: &[&str],
    reader: LayerReader<'_>,
) -> Result<Option<String>, Error> {
    let has_all = |files: &Files| paths.iter().all(|path| files.has(path));
    let files = files_until(source, image, &has_all, reader).await?;
    let missing = paths.iter().find(|path| !files.has(path));
    Ok(missing.map(|path| (*path).to_owned()))
}

/// Whether anything stands at a path of an image, a symlink to nothing as well; read as
/// [`first_missing`] does.
///
/// # Errors
/// When a layer cannot be read.
pub(crate) async fn stands(
    source: &dyn Source,
    image: &Image,
    path: &str,
    reader: LayerReader<'_>,
) -> Result<bool, Error> {
    let has_it = |files: &Files| files.stands(path);
    let files = files_until(source, image, &has_it, reader).await?;
    Ok(files.stands(path))
}

/// Where a path of an image leads, and what the file there says, where its text is kept; read as
/// [`first_missing`] does.
///
/// # Errors
/// When a layer cannot be read.
pub(crate) async fn first_text(
    source: &dyn Source,
    image: &Image,
    path: &str,
    reader: LayerReader<'_>,
) -> Result<Option<(String, String)>, Error> {
    let has_it = |files: &Files| files.text(path).is_some();
    let files = files_until(source, image, &has_it, reader).await?;
    let text = files.text(path).map(str::to_owned);
    Ok(files.follow(path).ok().zip(text))
}

/// What the smallest layers of an image show together that it takes until something holds.
async fn files_until(
    source: &dyn Source,
    image: &Image,
    holds: &(dyn Fn(&Files) -> bool + Sync),
    reader: LayerReader<'_>,
) -> Result<Files, Error> {
    let mut layers = layers_of(source, image)?;
    layers.sort_by_key(|(at, layer, _)| (layer.size, *at));
    let budget = Arc::new(Budget::new(reader.limits));
    let mut read: Vec<(usize, Files)> = Vec::new();
    let mut all = Files::default();
    for (at, layer, diff_id) in layers {
        let files = of_layer(source, (at, layer, diff_id), reader, Arc::clone(&budget)).await?;
        read.push((at, files));
        read.sort_by_key(|(at, _)| *at);
        all = Files::default();
        read.iter().for_each(|(_, files)| all.add(files));
        if holds(&all) {
            break;
        }
    }
    Ok(all)
}

/// The layers of an image with their numbers and diff IDs.
fn layers_of<'a>(
    source: &dyn Source,
    image: &'a Image,
) -> Result<Vec<(usize, &'a Descriptor, &'a Digest)>, Error> {
    let Content::Image { layers, .. } = image.manifest.content() else {
        return Ok(Vec::new());
    };
    let diff_ids = image.config.diff_ids();
    if layers.len() != diff_ids.len() {
        let why = format!(
            "its manifest lists {} layers, but its config {} diff IDs",
            layers.len(),
            diff_ids.len()
        );
        let what = format!("cannot read the layers of {}", source.place());
        return Err(Error::new(ErrorKind::Corrupt, what, why));
    }
    let both = layers.iter().zip(diff_ids).enumerate();
    Ok(both
        .map(|(at, (layer, diff_id))| (at, layer, diff_id))
        .collect())
}

async fn view_of<V: View>(
    source: &dyn Source,
    image: &Image,
    reader: LayerReader<'_>,
) -> Result<V, Error> {
    let budget = Arc::new(Budget::new(reader.limits));
    let views = layers_of(source, image)?
        .into_iter()
        .map(|layer| of_layer(source, layer, reader, Arc::clone(&budget)));
    let mut all = V::default();
    for view in try_join_all(views).await? {
        all.put_on_top(&view);
    }
    Ok(all)
}

async fn of_layer<V: View>(
    source: &dyn Source,
    (at, layer, diff_id): (usize, &Descriptor, &Digest),
    reader: LayerReader<'_>,
    budget: Arc<Budget>,
) -> Result<V, Error> {
    let cache = reader.cache;
    let key = key(layer, diff_id);
    let known = cache.fact(V::FACT, &key);
    if let Some(view) = known.and_then(|fact| serde_json::from_value(fact).ok()) {
        return Ok(view);
    }
    if let Some(read) = unpacked(diff_id, reader.unpacked, &budget).await {
        remember(cache, &key, &read);
        return Ok(V::of(read));
    }
    let what = || format!("cannot read layer {} of {}", layer.digest, source.place());
    let stream = source.blob(layer).open(0).await;
    let stream = stream.map_err(|error| Error::reading(what(), error))?;
    let mut input = SyncIoBridge::new(StreamReader::new(stream));
    let expected = diff_id.clone();
    let (read, compared) = tokio::task::spawn_blocking(move || {
        let content = Decompressor::within(&mut input, &budget)?;
        let mut content = Hashed::new(content, Some(&expected));
        let mut members = Vec::new();
        let mut reader = TarReader::new(&mut content, Rules::Foreign, Limits::of_budget());
        let files = Files::read(&mut reader, |member| {
            budget.take_entry(member.names())?;
            members.push(member.clone());
            Ok(())
        })?;
        let compared = content.compare(&expected)?;
        // The digest counts for all of it.
        std::io::copy(&mut input, &mut std::io::sink())?;
        let read = (Listing::of(&members).with_texts(&files), files);
        Ok::<(_, Result<(), WrongDiffId>), ohoci_layer::tar_read::TarError>((read, compared))
    })
    .await
    .map_err(|error| Error::new(ErrorKind::Io, what(), error.to_string()))?
    .map_err(|error| Error::new(ErrorKind::Unsupported, what(), error.to_string()))?;
    if let Err(wrong) = compared {
        let what = format!("cannot read the layers of {}", source.place());
        let why = format!("layer {}: {wrong}", at + 1);
        return Err(Error::new(ErrorKind::Corrupt, what, why));
    }
    remember(cache, &key, &read);
    Ok(V::of(read))
}

fn remember(cache: &Cache, key: &str, (listing, files): &(Listing, Files)) {
    // Strings and lists: nothing that JSON could not hold.
    let fact = serde_json::to_value(listing).unwrap_or_default();
    cache.remember_fact(Listing::FACT, key, &fact);
    if files.is_small() {
        let fact = serde_json::to_value(files).unwrap_or_default();
        cache.remember_fact(Files::FACT, key, &fact);
    }
}

/// What a layer has that is unpacked on this machine, if it is, and can be looked at.
async fn unpacked(
    diff_id: &Digest,
    layers: Option<&Arc<dyn UnpackedLayers>>,
    budget: &Arc<Budget>,
) -> Option<(Listing, Files)> {
    let (layers, diff_id) = (Arc::clone(layers?), diff_id.clone());
    let budget = Arc::clone(budget);
    let read = tokio::task::spawn_blocking(move || {
        let (mut members, mut files) = (Vec::new(), Files::default());
        let is_there = layers.members(&diff_id, &mut |member, mut content| {
            budget.take_entry(member.names())?;
            files.take(member, &mut content)?;
            members.push(member.clone());
            Ok(())
        });
        // One that an ordinary user may not read whole is read from where it comes from.
        let is_there = is_there.unwrap_or(false);
        is_there.then(|| (Listing::of(&members).with_texts(&files), files))
    });
    read.await.ok()?
}
