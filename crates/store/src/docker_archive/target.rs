//! Writing images to a docker archive.
//!
//! The members are named as crane and skopeo name them, at the top of the tar: `<hex>.json` for a
//! config, `<hex>.tar.gz` or `<hex>.tar` for a layer. gzip layers stay as they are, which every
//! `docker load` and containers/image take. zstd layers are decompressed: Docker reads them only
//! since version 23, and containerd's importer takes them for gzip.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};

use crate::archive::{Collection, copy};
use crate::diff_ids;
use crate::error::failure;
use crate::layout::target::listed;
use crate::tar_file::{Detected, decompressed, detect, read_full};
use crate::tar_write::write_archive;
use crate::{Arrival, Error, ErrorKind, MAX_DOCUMENT, Offer, Source as _, Target};
use ohoci_files::blocking::blocking;
use ohoci_image::media_type::{Compression, LayerKind, is_image_config, layer_kind};
use ohoci_image::{Content, Descriptor, Digest, Document, Manifest, Pointer, shape};
use ohoci_layer::limits::{Budget, UnpackLimits};
use ohoci_layout::Layout;
use ohoci_layout::region::Region;

use super::{DockerArchiveSource, LIST, diff_ids as diff_ids_of, label, name};

/// A `docker-archive:` file that images are written to.
///
/// The file is written by [`Target::finish`], at once and only if something was put. It replaces
/// what was there; names that [`Target::current`] reported stay. The same images give the same
/// bytes. It holds one platform of an image, so an index is refused.
#[derive(Debug)]
pub struct DockerArchiveTarget {
    collection: Collection,
    limits: UnpackLimits,
    images: Mutex<Vec<Image>>,
}

/// An image that has been put.
#[derive(Clone, Debug)]
struct Image {
    manifest: Digest,
    config: Digest,
    layers: Vec<Member>,
    names: Vec<String>,
}

/// A layer's blob and the member that it becomes.
#[derive(Clone, Debug)]
struct Member {
    name: String,
    blob: Digest,
}

impl DockerArchiveTarget {
    /// A target at `path`, where there need be no file.
    #[must_use]
    pub fn new(path: &Path, limits: UnpackLimits) -> Self {
        Self {
            collection: Collection::new(path, label(path)),
            limits,
            images: Mutex::default(),
        }
    }

    fn images(&self) -> MutexGuard<'_, Vec<Image>> {
        self.images.lock()
    }

    /// What a name stands for in the file as it is.
    async fn in_old_file(&self, name: &str) -> Option<(DockerArchiveSource, Manifest)> {
        let (path, name) = (self.collection.path().to_owned(), name.to_owned());
        let limits = self.limits;
        let opened = blocking(move || {
            if path.is_file() {
                DockerArchiveSource::open(&path, Some(&name), limits).map(Some)
            } else {
                Ok(None)
            }
        });
        // A file that cannot be read is replaced, so it does not matter what is wrong with it.
        let source = opened.await.ok().flatten()?;
        let root = source.root().await.ok()?;
        Some((source, root))
    }

    /// Takes an image on; its names leave whatever bore them before.
    fn add(&self, image: Image) {
        let mut images = self.images();
        for other in images.iter_mut() {
            other.names.retain(|name| !image.names.contains(name));
        }
        match images
            .iter_mut()
            .find(|known| known.manifest == image.manifest)
        {
            Some(known) => known.names.extend(image.names),
            None => images.push(image),
        }
    }
}

/// Checks that a docker archive can hold the image, and says how.
fn describe(
    layout: &Layout,
    manifest: &Manifest,
    names: &[String],
    label: &str,
    limits: UnpackLimits,
) -> Result<Image, Error> {
    let what = format!("cannot put manifest {} into {label}", manifest.digest());
    let unsupported = |why: String| Error::new(ErrorKind::Unsupported, &what, why);
    let corrupt = |why: String| Error::new(ErrorKind::Corrupt, &what, why);
    let names = names
        .iter()
        .map(|text| {
            name::normalized(text).ok_or_else(|| {
                unsupported(format!("{text:?} is no image name that Docker would load"))
                    .hinted("use repository:tag, such as demo:latest")
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let Content::Image { config, layers } = manifest.content() else {
        return Err(unsupported(
            "a docker archive holds one platform, and this is an index".to_owned(),
        )
        .hinted("choose one with --platform, or write oci-archive:FILE"));
    };
    if !is_image_config(&config.media_type) {
        return Err(unsupported(format!(
            "its config is {:?}, so it is an artifact and not an image",
            config.media_type
        )));
    }
    for blob in listed(manifest) {
        if !layout.has(blob)? {
            return Err(Error::new(
                ErrorKind::Incomplete,
                what,
                format!("it lists {}, which is not there", blob.digest),
            ));
        }
    }
    let bytes = layout
        .read(&config.digest, MAX_DOCUMENT)?
        .unwrap_or_default();
    let document = Document::parse(bytes, &shape::CONFIG)
        .map_err(|error| corrupt(format!("the config: {error}")))?;
    let diff_ids = diff_ids_of(&document).map_err(|why| corrupt(format!("the config: {why}")))?;
    if diff_ids.len() != layers.len() {
        return Err(corrupt(format!(
            "it lists {} layers, and its config has {} diff IDs",
            layers.len(),
            diff_ids.len()
        )));
    }
    let budget = Budget::new(limits);
    let mut members = Vec::new();
    for (layer, diff_id) in layers.iter().zip(&diff_ids) {
        if !matches!(layer_kind(&layer.media_type), LayerKind::Ordinary(_)) {
            return Err(unsupported(format!(
                "a docker archive cannot hold a layer of type {:?}",
                layer.media_type
            )));
        }
        let layer_what = || format!("{what}: layer {}", layer.digest);
        let compared = diff_ids::compare(layout, layer, diff_id, limits);
        compared
            .map_err(|error| failure(layer_what(), error))?
            .map_err(|wrong| corrupt(format!("layer {}: {wrong}", layer.digest)))?;
        let found = member(layout, layer, diff_id, &budget);
        members.push(found.map_err(|error| failure(layer_what(), error))?);
    }
    Ok(Image {
        manifest: manifest.digest().clone(),
        config: config.digest.clone(),
        layers: members,
        names,
    })
}

/// The member for a layer, decompressed now if it has to be.
fn member(
    layout: &Layout,
    layer: &Descriptor,
    diff_id: &Digest,
    budget: &Budget,
) -> std::io::Result<Member> {
    let region = find(layout, &layer.digest)?;
    let mut start = [0; 6];
    let count = read_full(&mut region.reader(), &mut start)?;
    match detect(start.get(..count).unwrap_or_default()) {
        Detected::Known(Compression::Zstd) => {
            if layout.find(diff_id)?.is_none() {
                decompress(layout, &region, diff_id, budget)?;
            }
            Ok(Member {
                name: format!("{}.tar", diff_id.hex()),
                blob: diff_id.clone(),
            })
        }
        Detected::Known(Compression::None) => Ok(Member {
            name: format!("{}.tar", layer.digest.hex()),
            blob: layer.digest.clone(),
        }),
        // Whatever else it is, the reader must cope with it as it is.
        Detected::Known(Compression::Gzip) | Detected::Foreign(_) => Ok(Member {
            name: format!("{}.tar.gz", layer.digest.hex()),
            blob: layer.digest.clone(),
        }),
    }
}

fn find(layout: &Layout, digest: &Digest) -> std::io::Result<Region> {
    layout.find(digest)?.ok_or_else(|| {
        std::io::Error::new(
            std::io::ErrorKind::NotFound,
            format!("blob {digest} is gone"),
        )
    })
}

fn decompress(
    layout: &Layout,
    region: &Region,
    diff_id: &Digest,
    budget: &Budget,
) -> std::io::Result<()> {
    let mut staged = layout.stage().map_err(std::io::Error::other)?;
    let mut content = decompressed(region.reader(), Compression::Zstd)?;
    let mut piece = vec![0; 1 << 18];
    loop {
        let count = content.read(&mut piece)?;
        if count == 0 {
            break;
        }
        budget.take_bytes(count as u64)?;
        staged.write(piece.get(..count).unwrap_or_default())?;
    }
    staged.commit(diff_id, &layout.blob_path(diff_id))
}

#[async_trait]
impl Target for DockerArchiveTarget {
    fn place(&self) -> String {
        self.collection.label().to_owned()
    }

    async fn current(&self, pointer: &Pointer) -> Result<Option<Digest>, Error> {
        let Pointer::Tag(text) = pointer else {
            let held =
                |digest: &Digest| self.images().iter().any(|image| image.manifest == *digest);
            return Ok(match pointer {
                Pointer::Digest(digest) if held(digest) => Some(digest.clone()),
                _ => None,
            });
        };
        let Some(full) = name::normalized(text) else {
            return Ok(None);
        };
        let put = self
            .images()
            .iter()
            .find(|image| image.names.contains(&full))
            .map(|image| image.manifest.clone());
        if put.is_some() {
            return Ok(put);
        }
        let Some((_, root)) = self.in_old_file(&full).await else {
            return Ok(None);
        };
        self.collection.report(&full);
        Ok(Some(root.digest().clone()))
    }

    async fn place_blob(&self, offer: &Offer) -> Result<Arrival, Error> {
        self.collection.place_blob(offer).await
    }

    async fn place_document(
        &self,
        descriptor: &Descriptor,
        bytes: Bytes,
    ) -> Result<Arrival, Error> {
        self.collection.place_document(descriptor, bytes).await
    }

    async fn place_manifest(&self, manifest: &Manifest, tags: &[String]) -> Result<(), Error> {
        let layout = self.collection.staging()?.target.layout()?;
        let (manifest, tags) = (manifest.clone(), tags.to_vec());
        let (label, limits) = (self.collection.label().to_owned(), self.limits);
        let image = blocking(move || describe(&layout, &manifest, &tags, &label, limits)).await?;
        self.add(image);
        Ok(())
    }

    fn replaced(&self) -> Vec<String> {
        self.collection.replaced()
    }

    async fn finish(&self) -> Result<(), Error> {
        let Some((staging, reported)) = self.collection.outstanding() else {
            return Ok(());
        };
        if self.images().is_empty() {
            // Blobs without an image are no reason to take the old file away.
            return Ok(());
        }
        for name in &reported {
            let put = self.images().iter().any(|image| image.names.contains(name));
            if !put && let Some((source, root)) = self.in_old_file(name).await {
                copy(&source, self, &root, std::slice::from_ref(name), 0).await?;
            }
        }
        let layout = staging.target.layout()?;
        let images = self.images().clone();
        let names: Vec<String> = images
            .iter()
            .flat_map(|image| image.names.clone())
            .collect();
        let path = self.collection.path().to_owned();
        let (label, limits) = (self.collection.label().to_owned(), self.limits);
        let held = blocking(move || {
            let held = path.is_file().then(|| super::names(&path, limits).ok());
            write(&layout, images, &path, &label)?;
            Ok::<_, Error>(held)
        })
        .await?;
        if let Some(held) = held {
            self.collection.replace(held.as_deref(), &names);
        }
        self.collection.written(names);
        self.images().clear();
        Ok(())
    }
}

/// Writes the images, in an order that depends on nothing but them.
fn write(layout: &Layout, mut images: Vec<Image>, path: &Path, label: &str) -> Result<(), Error> {
    for image in &mut images {
        image.names.sort_unstable();
        image.names.dedup();
    }
    images.sort_by(|a, b| (&a.names, &a.manifest).cmp(&(&b.names, &b.manifest)));
    let mut members = BTreeMap::new();
    let mut list = Vec::new();
    for image in &images {
        let config = format!("{}.json", image.config.hex());
        let layers: Vec<&str> = image.layers.iter().map(|layer| &*layer.name).collect();
        list.push(json!({"Config": config, "RepoTags": image.names, "Layers": layers}));
        members.insert(config, &image.config);
        for layer in &image.layers {
            members.insert(layer.name.clone(), &layer.blob);
        }
    }
    write_archive(path, label, |tar| {
        for (name, blob) in &members {
            tar.region(name, &find(layout, blob)?)?;
        }
        tar.bytes(LIST, Value::Array(list).to_string().as_bytes())
    })
}
