//! Places that images are read from and written to: one pair of traits, many places.

pub mod add_images;
mod archive;
mod blob_file;
pub mod cache;
mod diff_ids;
pub mod docker_archive;
mod error;
pub mod file_body;
pub mod layout;
mod oci_archive;
pub mod open;
pub mod registry;
mod tar_file;
mod tar_write;

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

pub use add_images::add_images;
pub use error::{Error, ErrorKind};
pub use ohoci_registry::{Body, BodyError, ByteStream};

use ohoci_image::{Descriptor, Digest, Manifest, RegistryReference};

/// Largest document other than a manifest (a config, say) that is read into memory, in bytes.
pub const MAX_DOCUMENT: u64 = 16 << 20;

/// A repository in a registry from which another repository there may mount blobs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The registry as it stands in references.
    pub host: String,
    /// The repository inside it.
    pub repository: String,
}

impl From<&RegistryReference> for Origin {
    fn from(reference: &RegistryReference) -> Self {
        Self {
            host: reference.host().to_owned(),
            repository: reference.repository().to_owned(),
        }
    }
}

/// An image that can be read.
///
/// Everything that these methods return has been checked against the size and the digest that it
/// was asked for by.
#[async_trait]
pub trait Source: Debug + Send + Sync {
    /// What a person calls this place: a reference, for messages.
    fn place(&self) -> String;

    /// The repository that blobs of this source can be mounted from, when it is in a registry.
    fn origin(&self) -> Option<Origin> {
        None
    }

    /// Reads the manifest or index that the reference names.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none, with the names that there are as the hint.
    async fn root(&self) -> Result<Manifest, Error>;

    /// Reads a manifest that an index lists.
    ///
    /// # Errors
    /// When it is missing, too large, or not what the descriptor says.
    async fn manifest(&self, descriptor: &Descriptor) -> Result<Manifest, Error>;

    /// Reads a small blob, such as a config, whole.
    ///
    /// # Errors
    /// When it is missing, larger than [`MAX_DOCUMENT`], or not what the descriptor says.
    async fn document(&self, descriptor: &Descriptor) -> Result<Bytes, Error>;

    /// Lists the manifests that name `subject` as what they are about. What they say has not been
    /// checked.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] where no manifest refers to another.
    async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        Err(Error::new(
            ErrorKind::Unsupported,
            format!("cannot list what is about {subject} in {}", self.place()),
            "archives in Docker's format hold images only",
        ))
    }

    /// Reads what stands under tags that are made from the digests of `subjects`, with those tags:
    /// `sha256-HEX.sig` and whatever else begins so and has a suffix.
    ///
    /// # Errors
    /// When the place cannot be asked, or one of them cannot be read.
    async fn tagged_about(&self, subjects: &[Digest]) -> Result<Vec<(String, Manifest)>, Error> {
        let _ = subjects;
        Ok(Vec::new())
    }

    /// A handle from which the blob's bytes can be read, again and again. Nothing is read yet.
    fn blob(&self, descriptor: &Descriptor) -> Arc<dyn Body>;
}

/// What tags about a subject begin with; what follows is a suffix such as `sig`.
pub(crate) fn tag_about(subject: &Digest) -> String {
    format!("{}-{}.", subject.algorithm().name(), subject.hex())
}

/// How a blob came to be in a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Arrival {
    /// It was there already.
    Present,
    /// The registry linked it from another of its repositories; no byte moved.
    Mounted,
    /// Its bytes came from this machine.
    Uploaded,
    /// Its bytes came out of another registry, through this process.
    Copied,
}

/// A blob for a target, and every way of getting it there.
#[derive(Clone, Debug)]
pub struct Offer {
    /// What the blob is.
    pub descriptor: Descriptor,
    /// Repositories that are known to have it, best first. Only those on the target's own
    /// registry are of use.
    pub mount_from: Vec<Origin>,
    /// Its bytes; `None` when they must not be moved.
    pub body: Option<Arc<dyn Body>>,
    /// What to report when the bytes were moved: [`Arrival::Uploaded`] or [`Arrival::Copied`].
    pub moved: Arrival,
}

/// A place that images can be written to.
///
/// Order is the caller's business: blobs first, then the manifests that list them, then tags. A
/// crash between any two calls leaves no name that points at something incomplete.
#[async_trait]
pub trait Target: Debug + Send + Sync {
    /// What a person calls this place: a reference without its tag, for messages.
    fn place(&self) -> String;

    /// The repository, when it is one in a registry.
    fn origin(&self) -> Option<Origin> {
        None
    }

    /// What `tag` (or a digest reference) names now; `None` when it names nothing.
    ///
    /// # Errors
    /// When the place cannot be asked.
    async fn current(&self, pointer: &ohoci_image::Pointer) -> Result<Option<Digest>, Error>;

    /// Says that a config of yet unknown content will be put, so that whatever can be done
    /// without the content is done now. Never fails: what goes wrong shows when it is put.
    async fn prepare(&self) {}

    /// Begins to mount a blob that will be placed. Never fails: what goes wrong shows then.
    fn prepare_mount(&self, digest: &Digest, from: &Origin) {
        let _ = (digest, from);
    }

    /// Why the blob is here, in words for a plan, where that is known without asking.
    fn proof(&self, digest: &Digest) -> Option<String> {
        let _ = digest;
        None
    }

    /// Whether blobs with a [`proof`](Self::proof) can be taken to be here. The first time that only
    /// memory says so, one of them is asked for; if it is gone, memory is dropped.
    ///
    /// # Errors
    /// When the place cannot be asked.
    async fn prove(&self, blobs: &[&Descriptor]) -> Result<bool, Error> {
        let _ = blobs;
        Ok(false)
    }

    /// Forgets what was known of the place, which says that something of it is not so; `false`
    /// where nothing is ever taken to be known, so that trying again is of no use.
    fn forget(&self) -> bool {
        false
    }

    /// The digest that this machine last gave to `tag`, if it remembers.
    fn remembered(&self, tag: &str) -> Option<Digest> {
        let _ = tag;
        None
    }

    /// Whether the place lists a tag that this machine saw to name `digest` not long ago, where
    /// asking for the list once is cheaper than asking for each tag; `None` where it is not, or
    /// where the list is not to be relied on.
    async fn lists(&self, tag: &str, digest: &Digest) -> Option<bool> {
        let _ = (tag, digest);
        None
    }

    /// Puts a blob, by the cheapest of the ways offered.
    ///
    /// `Ok` means that the blob is there now, whoever put it.
    ///
    /// # Errors
    /// [`ErrorKind::WouldUpload`] when only moving the bytes would do and the offer has none.
    async fn place_blob(&self, offer: &Offer) -> Result<Arrival, Error>;

    /// Puts a small blob that is in memory: a config.
    ///
    /// # Errors
    /// When it cannot be written.
    async fn place_document(&self, descriptor: &Descriptor, bytes: Bytes)
    -> Result<Arrival, Error>;

    /// Puts a small blob of a manifest that refers to another: a signature, say. As
    /// [`place_document`](Self::place_document), but nothing is kept of it for later commands, which
    /// never read it by its digest alone.
    ///
    /// # Errors
    /// When it cannot be written.
    async fn place_attachment(
        &self,
        descriptor: &Descriptor,
        bytes: Bytes,
    ) -> Result<Arrival, Error> {
        self.place_document(descriptor, bytes).await
    }

    /// Puts a manifest under its digest and under the tags given. Every blob and manifest that it
    /// lists is there.
    ///
    /// # Errors
    /// [`ErrorKind::Incomplete`] when the place finds that something it lists is not there.
    async fn place_manifest(&self, manifest: &Manifest, tags: &[String]) -> Result<(), Error>;

    /// Puts a manifest about another one, its subject, so that it is found by it. Every blob that
    /// it lists is there; the subject need not be.
    ///
    /// # Errors
    /// As [`Self::place_manifest`]; [`ErrorKind::Unsupported`] where no manifest refers to another.
    async fn place_referrer(&self, manifest: &Manifest) -> Result<(), Error> {
        Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "cannot attach {} to an image in {}",
                manifest.digest(),
                self.place()
            ),
            "only registries and OCI layouts hold documents about images",
        ))
    }

    /// What was replaced that the person may not have meant: a file that held something else. A
    /// sentence each; asked for when all is finished.
    fn replaced(&self) -> Vec<String> {
        Vec::new()
    }

    /// What was made that was not there, in a sentence: a reference with a typo makes a directory.
    fn made(&self) -> Option<String> {
        None
    }

    /// Makes everything durable and visible. Archives are written here, at once.
    ///
    /// # Errors
    /// When the place cannot be written.
    async fn finish(&self) -> Result<(), Error>;
}
