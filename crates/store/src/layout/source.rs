//! Reading an image out of an OCI layout, in a directory or inside a tar.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::blob_file::{BlobFiles, FileBody};
use crate::{Body, Error, ErrorKind, MAX_DOCUMENT, Source};
use ohoci_image::manifest::MAX_SIZE;
use ohoci_image::{Descriptor, Digest, Manifest};

use crate::error::failure;
use ohoci_layout::Layout;
use ohoci_layout::index::{ChoiceError, Chosen, Index, Selection};
use ohoci_layout::region::Region;

/// How many names a hint lists.
const NAMES_IN_HINT: usize = 20;

/// Blobs with an `index.json`.
pub(crate) trait IndexPlace: BlobFiles {
    /// The place as it stands in references, without a tag.
    fn label(&self) -> String;

    /// The bytes of `index.json`, at most [`ohoci_layout::MAX_INDEX`].
    fn index_bytes(&self) -> Result<Bytes, Error>;
}

impl BlobFiles for Layout {
    fn find(&self, digest: &Digest) -> io::Result<Option<Region>> {
        Self::find(self, digest)
    }
}

impl IndexPlace for Layout {
    fn label(&self) -> String {
        Self::label(self)
    }

    fn index_bytes(&self) -> Result<Bytes, Error> {
        Ok(Self::index_bytes(self)?)
    }
}

/// An image in an OCI layout.
#[derive(Clone, Debug)]
pub struct LayoutSource {
    place: Arc<dyn IndexPlace>,
    tag: Option<String>,
}

impl LayoutSource {
    /// The image that `tag` names in a layout; `@` and a digest does, too, and without one the
    /// layout must hold exactly one image.
    #[must_use]
    pub fn new(layout: Layout, tag: Option<&str>) -> Self {
        Self::in_place(Arc::new(layout), tag)
    }

    pub(crate) fn in_place(place: Arc<dyn IndexPlace>, tag: Option<&str>) -> Self {
        Self {
            place,
            tag: tag.map(str::to_owned),
        }
    }

    fn what(&self) -> String {
        format!("cannot read {}", self.place())
    }

    fn read_manifest(
        &self,
        descriptor: &Descriptor,
        media_type: Option<&str>,
    ) -> Result<Manifest, Error> {
        let bytes = self.read(descriptor, MAX_SIZE, "manifest")?;
        Manifest::parse(bytes, media_type).map_err(|error| {
            Error::new(ErrorKind::Corrupt, self.what(), error.to_string()).caused_by(error)
        })
    }

    fn read(&self, descriptor: &Descriptor, max: u64, kind: &str) -> Result<Bytes, Error> {
        let what = || format!("{}: {kind} {}", self.what(), descriptor.digest);
        if descriptor.size > max {
            return Err(Error::new(
                ErrorKind::Corrupt,
                what(),
                format!("it has {} bytes; at most {max} are read", descriptor.size),
            ));
        }
        let region = self
            .place
            .find(&descriptor.digest)
            .and_then(|found| {
                found.ok_or_else(|| {
                    io::Error::new(
                        io::ErrorKind::NotFound,
                        "the layout lists it, but does not hold it",
                    )
                })
            })
            .map_err(|error| failure(what(), error))?;
        region
            .read_checked(descriptor)
            .map_err(|error| failure(what(), error))
    }

    fn read_root(&self) -> Result<Manifest, Error> {
        let bytes = self.place.index_bytes()?;
        let broken = |error: String| Error::new(ErrorKind::Corrupt, self.what(), error);
        let index = Index::parse(bytes.clone()).map_err(|error| broken(error.to_string()))?;
        let selection = Selection::parse(self.tag.as_deref());
        match (index.choose(&selection), &selection) {
            (Ok(Chosen::Entry(descriptor)), _) => {
                self.read_manifest(&descriptor, Some(&descriptor.media_type))
            }
            (Ok(Chosen::WholeIndex), _) => {
                Manifest::parse(bytes, None).map_err(|error| broken(error.to_string()))
            }
            // A child of an index, say, which is there without being listed.
            (Err(ChoiceError::NotFound { wanted, names }), Selection::Digest(digest)) => {
                let found = self.place.find(digest);
                match found.map_err(|error| failure(self.what(), error))? {
                    Some(region) => {
                        let descriptor = Descriptor::new("", digest.clone(), region.length());
                        self.read_manifest(&descriptor, None)
                    }
                    None => Err(self.choice(&ChoiceError::NotFound { wanted, names })),
                }
            }
            (Err(error), _) => Err(self.choice(&error)),
        }
    }

    /// The layout says of no entry what it is about, so all are looked at. Nothing else in a layout
    /// is harmed by a broken entry, and neither is this.
    fn listed_about(&self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        let bytes = self.place.index_bytes()?;
        let index = Index::parse(bytes)
            .map_err(|error| Error::new(ErrorKind::Corrupt, self.what(), error.to_string()))?;
        let mut found: Vec<Descriptor> = Vec::new();
        for entry in index.entries() {
            let Ok(descriptor) = Descriptor::from_json(entry) else {
                continue;
            };
            let is_about = self
                .read_manifest(&descriptor, Some(&descriptor.media_type))
                .ok()
                .and_then(|manifest| manifest.subject())
                .is_some_and(|named| named.digest == *subject);
            if is_about && found.iter().all(|other| other.digest != descriptor.digest) {
                found.push(descriptor);
            }
        }
        Ok(found)
    }

    fn choice(&self, error: &ChoiceError) -> Error {
        let kind = match error {
            ChoiceError::NotFound { .. } | ChoiceError::Empty | ChoiceError::Several { .. } => {
                ErrorKind::NotFound
            }
            ChoiceError::Ambiguous(_) | ChoiceError::Broken(_) => ErrorKind::Corrupt,
        };
        let failure = Error::new(kind, self.what(), error.to_string());
        match error {
            ChoiceError::NotFound { names, .. } | ChoiceError::Several { names, .. } => {
                failure.hinted(names_hint(names))
            }
            ChoiceError::Ambiguous(_) => {
                failure.hinted("name the one you mean by its digest: :@sha256:…")
            }
            ChoiceError::Empty | ChoiceError::Broken(_) => failure,
        }
    }
}

/// Says which names there are.
pub(crate) fn names_hint(names: &[String]) -> String {
    if names.is_empty() {
        return "none of its images has a name; one is chosen by its digest: :@sha256:…".to_owned();
    }
    let shown: Vec<&str> = names
        .iter()
        .take(NAMES_IN_HINT)
        .map(String::as_str)
        .collect();
    let list = shown.join(", ");
    match names.len().saturating_sub(shown.len()) {
        0 => format!("the names there are: {list}"),
        more => format!("the names there are: {list} and {more} more"),
    }
}

#[async_trait]
impl Source for LayoutSource {
    fn place(&self) -> String {
        match &self.tag {
            Some(tag) => format!("{}:{tag}", self.place.label()),
            None => self.place.label(),
        }
    }

    async fn root(&self) -> Result<Manifest, Error> {
        self.read_root()
    }

    async fn manifest(&self, descriptor: &Descriptor) -> Result<Manifest, Error> {
        self.read_manifest(descriptor, Some(&descriptor.media_type))
    }

    async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        self.listed_about(subject)
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Bytes, Error> {
        self.read(descriptor, MAX_DOCUMENT, "blob")
    }

    fn blob(&self, descriptor: &Descriptor) -> Arc<dyn Body> {
        Arc::new(FileBody::new(self.place.clone(), descriptor.clone()))
    }
}
