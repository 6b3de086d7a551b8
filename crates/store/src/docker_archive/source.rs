//! Reading an image out of a docker archive.
//!
//! `docker save` keeps no manifest before version 25, so one is made, the same for the same
//! archive: an OCI manifest, with the layers as they lie there. OCI, because skopeo, podman and
//! umoci find no Docker manifest in an OCI layout, and everything that reads a registry reads
//! both. Layers that are not compressed stay so, and registries take them; nothing is compressed
//! again, which would give other digests with every version of the compressor. Since version 25 the archive is an OCI layout, too, and
//! when that layout has the image whole, its manifest is taken as it is.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Map, Value};

use crate::blob_file::{BlobFiles, FileBody};
use crate::error::failure;
use crate::oci_archive::blob_name;
use crate::tar_file::{Detected, TarFile, decompressed, detect, read_full};
use crate::{Body, Error, ErrorKind, MAX_DOCUMENT, Source};
use ohoci_files::blocking::blocking;
use ohoci_image::digest::Hasher;
use ohoci_image::manifest::MAX_SIZE;
use ohoci_image::media_type::{self, Compression};
use ohoci_image::{Content, Descriptor, Digest, Document, Manifest, shape};
use ohoci_layer::limits::{Budget, UnpackLimits};
use ohoci_layout::region::Region;
use ohoci_layout::{Index, MAX_INDEX};

use super::{Item, LIST, choose, diff_ids, label, parse_list};

/// How many manifests are looked at in search of the image's own.
const MAX_CANDIDATES: usize = 4096;

/// An image in a docker archive.
#[derive(Clone, Debug)]
pub struct DockerArchiveSource {
    archive: Arc<Archive>,
}

#[derive(Debug)]
struct Archive {
    tar: TarFile,
    label: String,
    limits: UnpackLimits,
    name: Option<String>,
    image: Mutex<Option<Arc<Image>>>,
}

/// The chosen image.
#[derive(Debug)]
struct Image {
    manifest: Manifest,
    blobs: HashMap<Digest, Region>,
}

impl DockerArchiveSource {
    /// Opens the image with that name; without one the archive must hold exactly one image.
    ///
    /// The tar is indexed once and read in place. A compressed one is decompressed to a nameless
    /// temporary file first, of at most as many bytes as the limits allow; so are layers.
    ///
    /// # Errors
    /// When the file is not there, or is no tar.
    pub fn open(path: &Path, name: Option<&str>, limits: UnpackLimits) -> Result<Self, Error> {
        let label = label(path);
        let archive = Archive {
            tar: TarFile::open(path, &label, limits)?,
            label,
            limits,
            name: name.map(str::to_owned),
            image: Mutex::default(),
        };
        Ok(Self {
            archive: Arc::new(archive),
        })
    }
}

impl Archive {
    fn place(&self) -> String {
        match &self.name {
            Some(name) => format!("{}:{name}", self.label),
            None => self.label.clone(),
        }
    }

    fn corrupt(&self, why: impl Into<String>) -> Error {
        Error::new(
            ErrorKind::Corrupt,
            format!("cannot read {}", self.place()),
            why,
        )
    }

    /// The image, looked for on first use. Compressed layers are read for that: only their content
    /// tells their digest.
    fn image(&self) -> Result<Arc<Image>, Error> {
        let mut known = self.image.lock();
        if let Some(image) = &*known {
            return Ok(image.clone());
        }
        let image = Arc::new(self.find_image()?);
        *known = Some(image.clone());
        Ok(image)
    }

    /// A member that must be there.
    fn member(&self, name: &str) -> Result<Region, Error> {
        let what = || format!("cannot read {}", self.place());
        self.tar
            .find(name)
            .map_err(|error| failure(what(), error))?
            .ok_or_else(|| self.corrupt(format!("it lists {name:?}, but does not hold it")))
    }

    fn small(&self, region: &Region, name: &str, max: u64) -> Result<Bytes, Error> {
        if region.length() > max {
            return Err(self.corrupt(format!(
                "{name:?} has {} bytes; at most {max} are read",
                region.length()
            )));
        }
        region
            .read_all()
            .map_err(|error| failure(format!("cannot read {}", self.place()), error))
    }

    fn find_image(&self) -> Result<Image, Error> {
        let what = format!("cannot read {}", self.place());
        if !self.tar.has(LIST) {
            return Err(self.no_list());
        }
        let list = self.small(&self.member(LIST)?, LIST, MAX_SIZE)?;
        let items = parse_list(&list).map_err(|why| self.corrupt(format!("{LIST}: {why}")))?;
        let item = choose(&items, self.name.as_deref(), &what)?;
        let config_region = self.member(&item.config)?;
        let config = self.small(&config_region, &item.config, MAX_DOCUMENT)?;
        let document = Document::parse(config.clone(), &shape::CONFIG)
            .map_err(|error| self.corrupt(format!("the config: {error}")))?;
        let diff_ids =
            diff_ids(&document).map_err(|why| self.corrupt(format!("the config: {why}")))?;
        if diff_ids.len() != item.layers.len() {
            return Err(self.corrupt(format!(
                "it lists {} layers, and the config has {} diff IDs",
                item.layers.len(),
                diff_ids.len()
            )));
        }
        if let Some(image) = self.own_manifest(&Digest::of(&config), diff_ids.len()) {
            return Ok(image);
        }
        self.made_manifest(item, &diff_ids, &config, config_region)
    }

    fn no_list(&self) -> Error {
        let error = self.corrupt(format!("the tar has no {LIST}, so it is no docker archive"));
        if self.tar.has("oci-layout") {
            error.hinted("it looks like oci-archive:FILE")
        } else if self.tar.has("repositories") {
            error.hinted("it was saved by Docker before 1.10; load it and save it again")
        } else {
            error
        }
    }

    /// The image's manifest in the OCI layout that the archive may be, too.
    ///
    /// Whatever is missing or wrong there (Docker 25.0.0 listed no layers, moby issue 47065; saving
    /// one platform leaves the others out) only means that the layout is of no use.
    fn own_manifest(&self, config: &Digest, layer_count: usize) -> Option<Image> {
        if !self.tar.has("oci-layout") {
            return None;
        }
        let index = self.tar.find("index.json").ok()??;
        if index.length() > MAX_INDEX {
            return None;
        }
        let index = Index::parse(index.read_all().ok()?).ok()?;
        let mut queue: Vec<Descriptor> = index
            .entries()
            .iter()
            .filter_map(|entry| Descriptor::from_json(entry).ok())
            .collect();
        queue.reverse();
        for _ in 0..MAX_CANDIDATES {
            let candidate = queue.pop()?;
            if candidate.size > MAX_SIZE {
                continue;
            }
            let Some(manifest) = self.candidate(&candidate) else {
                continue;
            };
            match manifest.content() {
                Content::Index { manifests }
                    if queue.len().saturating_add(manifests.len()) <= MAX_CANDIDATES =>
                {
                    queue.extend(manifests.iter().rev().cloned());
                }
                Content::Index { .. } => return None,
                Content::Image {
                    config: listed,
                    layers,
                } if listed.digest == *config && layers.len() == layer_count => {
                    let blobs: Option<HashMap<_, _>> = std::iter::once(&**listed)
                        .chain(layers)
                        .map(|blob| {
                            let region = self.tar.find(&blob_name(&blob.digest)).ok()??;
                            region.check_size(blob).ok()?;
                            Some((blob.digest.clone(), region))
                        })
                        .collect();
                    if let Some(blobs) = blobs {
                        return Some(Image { manifest, blobs });
                    }
                }
                Content::Image { .. } => {}
            }
        }
        None
    }

    fn candidate(&self, descriptor: &Descriptor) -> Option<Manifest> {
        let region = self.tar.find(&blob_name(&descriptor.digest)).ok()??;
        let bytes = region.read_checked(descriptor).ok()?;
        Manifest::parse(bytes, Some(&descriptor.media_type)).ok()
    }

    fn made_manifest(
        &self,
        item: &Item,
        diff_ids: &[Digest],
        config: &[u8],
        config_region: Region,
    ) -> Result<Image, Error> {
        let budget = Budget::new(self.limits);
        let mut found = Vec::new();
        let mut seen: HashMap<(&str, &Digest), Layer> = HashMap::new();
        for (name, diff_id) in item.layers.iter().zip(diff_ids) {
            let layer = match seen.get(&(name, diff_id)) {
                Some(layer) => layer.clone(),
                None => self.layer(name, diff_id, &budget)?,
            };
            seen.insert((name, diff_id), layer.clone());
            found.push(layer);
        }
        let described = Descriptor::of(media_type::OCI_CONFIG, config);
        let mut blobs = HashMap::from([(described.digest.clone(), config_region)]);
        let mut layers = Vec::new();
        for layer in found {
            let media_type = layer.media_type;
            let size = layer.region.length();
            let descriptor = Descriptor::new(media_type, layer.digest.clone(), size);
            layers.push(Value::Object(descriptor.to_json()));
            blobs.insert(layer.digest, layer.region);
        }
        let mut object = Map::new();
        object.insert("schemaVersion".to_owned(), 2.into());
        object.insert("mediaType".to_owned(), media_type::OCI_MANIFEST.into());
        object.insert("config".to_owned(), Value::Object(described.to_json()));
        object.insert("layers".to_owned(), Value::Array(layers));
        let bytes = Document::from_object(object).bytes().clone();
        let manifest =
            Manifest::parse(bytes, None).map_err(|error| self.corrupt(error.to_string()))?;
        Ok(Image { manifest, blobs })
    }

    fn layer(&self, name: &str, diff_id: &Digest, budget: &Budget) -> Result<Layer, Error> {
        let region = self.member(name)?;
        let what = || format!("cannot read layer {name:?} of {}", self.place());
        let mut start = [0; 6];
        let count =
            read_full(&mut region.reader(), &mut start).map_err(|error| failure(what(), error))?;
        let compression = match detect(start.get(..count).unwrap_or_default()) {
            Detected::Known(compression) => compression,
            Detected::Foreign(tool) => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    what(),
                    format!("it is compressed with {tool}"),
                ));
            }
        };
        let digest = if compression == Compression::None {
            // Checked whenever the layer is read.
            diff_id.clone()
        } else {
            let (digest, found) = digests(&region, compression, diff_id, budget)
                .map_err(|error| failure(what(), error))?;
            if found != *diff_id {
                return Err(Error::new(
                    ErrorKind::Corrupt,
                    what(),
                    format!("its diff ID is {found} where the config says {diff_id}"),
                ));
            }
            digest
        };
        let media_type = match compression {
            Compression::None => media_type::OCI_LAYER,
            Compression::Gzip => media_type::OCI_LAYER_GZIP,
            Compression::Zstd => media_type::OCI_LAYER_ZSTD,
        };
        Ok(Layer {
            digest,
            media_type,
            region,
        })
    }
}

/// A layer as it lies in the archive.
#[derive(Clone, Debug)]
struct Layer {
    digest: Digest,
    media_type: &'static str,
    region: Region,
}

/// Hashes what passes through.
struct Hashing<'a, R> {
    input: R,
    hasher: &'a mut Hasher,
}

impl<R: Read> Read for Hashing<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

/// The digests of a compressed layer: as it is, and decompressed.
fn digests(
    region: &Region,
    compression: Compression,
    like: &Digest,
    budget: &Budget,
) -> io::Result<(Digest, Digest)> {
    let invalid = |error: io::Error| io::Error::new(io::ErrorKind::InvalidData, error.to_string());
    let mut outer = Hasher::new(ohoci_image::Algorithm::Sha256);
    let mut inner = Hasher::new(like.algorithm());
    let mut input = io::BufReader::with_capacity(
        1 << 18,
        Hashing {
            input: region.reader(),
            hasher: &mut outer,
        },
    );
    let mut content = decompressed(&mut input, compression)?;
    let mut piece = vec![0; 1 << 18];
    loop {
        match content.read(&mut piece).map_err(invalid)? {
            0 => break,
            count => {
                budget.take_bytes(count as u64)?;
                inner.update(piece.get(..count).unwrap_or_default());
            }
        }
    }
    drop(content);
    // What the decompressor did not ask for belongs to the blob all the same.
    io::copy(&mut input, &mut io::sink())?;
    drop(input);
    Ok((outer.finish(), inner.finish()))
}

impl BlobFiles for Archive {
    fn find(&self, digest: &Digest) -> io::Result<Option<Region>> {
        let image = self.image().map_err(io::Error::other)?;
        Ok(image.blobs.get(digest).cloned())
    }
}

#[async_trait]
impl Source for DockerArchiveSource {
    fn place(&self) -> String {
        self.archive.place()
    }

    async fn root(&self) -> Result<Manifest, Error> {
        let archive = self.archive.clone();
        let image = blocking(move || archive.image()).await?;
        Ok(image.manifest.clone())
    }

    async fn manifest(&self, descriptor: &Descriptor) -> Result<Manifest, Error> {
        let root = self.root().await?;
        if *root.digest() == descriptor.digest && root.bytes().len() as u64 == descriptor.size {
            return Ok(root);
        }
        Err(Error::new(
            ErrorKind::NotFound,
            format!("cannot read {}", self.place()),
            format!("it has no manifest {}", descriptor.digest),
        ))
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Bytes, Error> {
        self.root().await?;
        let what = format!("cannot read blob {} of {}", descriptor.digest, self.place());
        let found = self.archive.find(&descriptor.digest);
        let region = found
            .map_err(|error| failure(&what, error))?
            .ok_or_else(|| Error::new(ErrorKind::NotFound, &what, "it is not there"))?;
        if descriptor.size > MAX_DOCUMENT {
            return Err(Error::new(
                ErrorKind::Corrupt,
                what,
                format!(
                    "it has {} bytes; at most {MAX_DOCUMENT} are read",
                    descriptor.size
                ),
            ));
        }
        region
            .read_checked(descriptor)
            .map_err(|error| failure(what, error))
    }

    fn blob(&self, descriptor: &Descriptor) -> Arc<dyn Body> {
        Arc::new(FileBody::new(self.archive.clone(), descriptor.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_digests_come_from_one_pass() {
        let tar = vec![3; 1 << 20];
        for (packed, compression) in [
            (zstd::encode_all(&*tar, 1).unwrap(), Compression::Zstd),
            (gzip(&tar), Compression::Gzip),
        ] {
            let mut file = tempfile::tempfile().unwrap();
            io::Write::write_all(&mut file, &packed).unwrap();
            let file = fs_err::File::from_parts(file, "test");
            let region = Region::whole(file).unwrap();
            let (outer, inner) =
                digests(&region, compression, &Digest::of(b""), &Budget::unlimited()).unwrap();
            assert_eq!(outer, Digest::of(&packed));
            assert_eq!(inner, Digest::of(&tar));
        }
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut encoder, content).unwrap();
        encoder.finish().unwrap()
    }
}
