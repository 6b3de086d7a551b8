//! `oci-archive:` files: a tar of an OCI layout (image-spec `image-layout.md`).

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use ohoci_files::blocking::blocking;
use ohoci_image::manifest::MAX_SIZE;
use ohoci_image::{Descriptor, Digest, Manifest, Pointer};

use super::archive::{Collection, copy};
use super::blob_file::BlobFiles;
use super::diff_ids;
use super::error::failure;
use super::layout::LayoutSource;
use super::layout::source::IndexPlace;
use super::layout::target::listed;
use super::tar_file::TarFile;
use super::tar_write::write_archive;
use super::{Arrival, Error, ErrorKind, Offer, Source as _, Target};
use ohoci_layer::limits::UnpackLimits;
use ohoci_layout::layout::{VERSION_CONTENT, check_version};
use ohoci_layout::region::Region;
use ohoci_layout::{Index, Layout, MAX_INDEX};

fn label(path: &Path) -> String {
    format!("oci-archive:{}", path.display())
}

/// A layout that lies in a tar.
#[derive(Debug)]
struct TarLayout {
    tar: TarFile,
    label: String,
}

/// Opens the image that `tag` names in an archive; `@` and a digest does, too, and without one the
/// archive must hold exactly one image.
///
/// The tar is indexed once and read in place. A compressed one is decompressed to a nameless
/// temporary file first, of at most as many bytes as the limits allow.
///
/// # Errors
/// When the file is not there, or holds no layout.
pub(crate) fn open(
    path: &Path,
    tag: Option<&str>,
    limits: UnpackLimits,
) -> Result<LayoutSource, Error> {
    let place = TarLayout::open(path, limits)?;
    Ok(LayoutSource::in_place(Arc::new(place), tag))
}

/// The names in an archive.
///
/// # Errors
/// When it cannot be read.
pub(super) fn names(path: &Path, limits: UnpackLimits) -> Result<Vec<String>, Error> {
    let place = TarLayout::open(path, limits)?;
    let index = Index::parse(place.index_bytes()?).map_err(|error| {
        Error::new(
            ErrorKind::Corrupt,
            format!("cannot read {}", place.label),
            error.to_string(),
        )
    })?;
    Ok(index.names())
}

impl TarLayout {
    fn open(path: &Path, limits: UnpackLimits) -> Result<Self, Error> {
        let label = label(path);
        let tar = TarFile::open(path, &label, limits)?;
        let layout = Self { tar, label };
        let what = || format!("cannot open {}", layout.label);
        match layout.small("oci-layout", MAX_SIZE)? {
            Some(bytes) => {
                check_version(&bytes)
                    .map_err(|(kind, why)| Error::new(kind.into(), what(), why))?;
                Ok(layout)
            }
            None => {
                let error = Error::new(
                    ErrorKind::Corrupt,
                    what(),
                    "the tar has no oci-layout file, so it is no OCI layout",
                );
                Err(if layout.tar.has("manifest.json") {
                    error.hinted("it looks like docker-archive:FILE")
                } else {
                    error
                })
            }
        }
    }

    fn small(&self, name: &str, max: u64) -> Result<Option<Bytes>, Error> {
        let what = || format!("cannot read {name} of {}", self.label);
        let read = |region: Region| {
            if region.length() > max {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("it has {} bytes; at most {max} are read", region.length()),
                ));
            }
            region.read_all()
        };
        let found = self.tar.find(name);
        found
            .and_then(|found| found.map(read).transpose())
            .map_err(|error| failure(what(), error))
    }
}

/// Where a blob lies in a tar of a layout.
pub(super) fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

impl BlobFiles for TarLayout {
    fn find(&self, digest: &Digest) -> io::Result<Option<Region>> {
        self.tar.find(&blob_name(digest))
    }
}

impl IndexPlace for TarLayout {
    fn label(&self) -> String {
        self.label.clone()
    }

    fn index_bytes(&self) -> Result<Bytes, Error> {
        self.small("index.json", MAX_INDEX)?.ok_or_else(|| {
            Error::new(
                ErrorKind::Corrupt,
                format!("cannot read {}", self.label),
                "the layout has no index.json",
            )
        })
    }
}

/// An `oci-archive:` file that images are written to.
///
/// The file is written by [`Target::finish`], at once and only if something was put. It replaces
/// what was there; names that [`Target::current`] reported stay. The same images give the same
/// bytes.
#[derive(Debug)]
pub(crate) struct OciArchiveTarget {
    collection: Collection,
    limits: UnpackLimits,
}

impl OciArchiveTarget {
    /// A target at `path`, where there need be no file.
    #[must_use]
    pub(crate) fn new(path: &Path, limits: UnpackLimits) -> Self {
        Self {
            collection: Collection::new(path, label(path)),
            limits,
        }
    }

    /// What a name stands for in the file as it is.
    async fn in_old_file(&self, name: &str) -> Option<(LayoutSource, Manifest)> {
        let (path, tag) = (self.collection.path().to_owned(), name.to_owned());
        let limits = self.limits;
        let opened = blocking(move || {
            if path.is_file() {
                open(&path, Some(&tag), limits).map(Some)
            } else {
                Ok(None)
            }
        });
        // A file that cannot be read is replaced, so it does not matter what is wrong with it.
        let source = opened.await.ok().flatten()?;
        let root = source.root().await.ok()?;
        Some((source, root))
    }
}

#[async_trait]
impl Target for OciArchiveTarget {
    fn place(&self) -> String {
        self.collection.label().to_owned()
    }

    async fn current(&self, pointer: &Pointer) -> Result<Option<Digest>, Error> {
        if let Some(staging) = self.collection.existing()
            && let Some(digest) = staging.target.current(pointer).await?
        {
            return Ok(Some(digest));
        }
        let Pointer::Tag(name) = pointer else {
            return Ok(None);
        };
        let Some((_, root)) = self.in_old_file(name).await else {
            return Ok(None);
        };
        self.collection.report(name);
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
        let staging = self.collection.staging()?;
        let (layout, checked) = (staging.target.layout()?, manifest.clone());
        let (label, limits) = (self.collection.label().to_owned(), self.limits);
        blocking(move || diff_ids::compare_all(&layout, &checked, &label, limits)).await?;
        staging.target.place_manifest(manifest, tags).await
    }

    fn replaced(&self) -> Vec<String> {
        self.collection.replaced()
    }

    async fn finish(&self) -> Result<(), Error> {
        let Some((staging, reported)) = self.collection.outstanding() else {
            return Ok(());
        };
        staging.target.finish().await?;
        let layout = staging.target.layout()?;
        let index = layout.index()?;
        if index.entries().is_empty() {
            // Blobs without an image are no reason to take the old file away.
            return Ok(());
        }
        let present = index.names();
        for name in reported.iter().filter(|name| !present.contains(name)) {
            if let Some((source, root)) = self.in_old_file(name).await {
                let names = std::slice::from_ref(name);
                copy(&source, &staging.target, &root, names, 0).await?;
            }
        }
        let names = layout.index()?.names();
        let path = self.collection.path().to_owned();
        let (label, limits) = (self.collection.label().to_owned(), self.limits);
        let held = blocking(move || {
            let held = path.is_file().then(|| self::names(&path, limits).ok());
            write(&layout, &path, &label)?;
            Ok::<_, Error>(held)
        })
        .await?;
        if let Some(held) = held {
            self.collection.replace(held.as_deref(), &names);
        }
        self.collection.written(names);
        Ok(())
    }
}

/// Writes the layout's images and what they list, in the order of the names.
fn write(layout: &Layout, path: &Path, label: &str) -> Result<(), Error> {
    let mut index = layout.index()?;
    index.sort();
    let mut blobs = BTreeSet::new();
    for entry in index.entries() {
        if let Ok(descriptor) = Descriptor::from_json(entry) {
            collect(layout, &descriptor, &mut blobs)?;
        }
    }
    write_archive(path, label, |tar| {
        tar.directory("blobs")?;
        let mut algorithm = None;
        for digest in &blobs {
            if algorithm != Some(digest.algorithm()) {
                algorithm = Some(digest.algorithm());
                tar.directory(&format!("blobs/{}", digest.algorithm().name()))?;
            }
            let region = layout.find(digest)?.ok_or_else(|| {
                io::Error::new(io::ErrorKind::NotFound, format!("blob {digest} is gone"))
            })?;
            tar.region(&blob_name(digest), &region)?;
        }
        tar.bytes("index.json", &index.to_bytes())?;
        tar.bytes("oci-layout", VERSION_CONTENT.as_bytes())
    })
}

/// Adds a manifest and what it lists. Everything is there, and was checked when it was put.
fn collect(
    layout: &Layout,
    descriptor: &Descriptor,
    blobs: &mut BTreeSet<Digest>,
) -> Result<(), Error> {
    if !blobs.insert(descriptor.digest.clone()) {
        return Ok(());
    }
    let Some(bytes) = layout.read(&descriptor.digest, MAX_SIZE)? else {
        return Ok(());
    };
    let Ok(manifest) = Manifest::parse(bytes, Some(&descriptor.media_type)) else {
        return Ok(());
    };
    for below in listed(&manifest) {
        if matches!(manifest.content(), ohoci_image::Content::Index { .. }) {
            collect(layout, below, blobs)?;
        } else {
            blobs.insert(below.digest.clone());
        }
    }
    Ok(())
}
