//! A repository in a registry as a [`Source`] and a [`Target`].
//!
//! Requests are a budget: what the cache proves is not asked for, and what a manifest proves to be
//! in a repository is not pushed there again.

mod knowledge;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;

use self::knowledge::{Knowledge, layers_proven_by, note_shown};
use super::cache::Cache;
use super::{
    Arrival, Body, Error, ErrorKind, MAX_DOCUMENT, Offer, Origin, Source, Target, tag_about,
};
use ohoci_image::{Descriptor, Digest, Manifest, Pointer, RegistryReference};
use ohoci_registry::{MountOutcome, Repository, UploadSession};

/// An image in a registry.
#[derive(Debug)]
pub struct RegistrySource {
    repository: Repository,
    reference: RegistryReference,
    cache: Arc<Cache>,
}

impl RegistrySource {
    /// An image that `repository` holds under `reference`.
    #[must_use]
    pub fn new(repository: Repository, reference: RegistryReference, cache: Arc<Cache>) -> Self {
        Self {
            repository,
            reference,
            cache,
        }
    }

    fn cached(&self, digest: &Digest, served_as: Option<&str>) -> Option<Manifest> {
        let bytes = self.cache.get(digest, ohoci_image::manifest::MAX_SIZE)?;
        let manifest = Manifest::parse(bytes, served_as).ok()?;
        note_shown(&self.repository, &manifest);
        Some(manifest)
    }

    async fn fetch(&self, pointer: &Pointer) -> Result<Manifest, Error> {
        let manifest = self.repository.manifest(pointer).await?;
        self.cache.put(manifest.digest(), manifest.bytes());
        note_shown(&self.repository, &manifest);
        if let Pointer::Tag(tag) = pointer
            && let Ok(registry) = self.repository.registry()
        {
            let name = self.reference.repository();
            self.cache
                .remember_reference(&registry, name, tag, manifest.digest());
        }
        Ok(manifest)
    }
}

#[async_trait]
impl Source for RegistrySource {
    fn place(&self) -> String {
        self.reference.to_string()
    }

    fn origin(&self) -> Option<Origin> {
        Some((&self.reference).into())
    }

    async fn root(&self) -> Result<Manifest, Error> {
        let pointer = self.reference.pointer();
        match &pointer {
            Pointer::Digest(digest) => {
                if let Some(manifest) = self.cached(digest, None) {
                    return Ok(manifest);
                }
            }
            // A tag that was read before has most likely not moved: HEAD costs the same round
            // trip as GET, moves no bytes, and is not counted as a pull by Docker Hub.
            Pointer::Tag(tag) => {
                let registry = self.repository.registry()?;
                let remembered = self
                    .cache
                    .reference(&registry, self.reference.repository(), tag);
                if let Some(remembered) = remembered
                    && self.cached(&remembered, None).is_some()
                    && let Some(head) = self.repository.manifest_head_to_read(&pointer).await?
                    && let Some(digest) = head.digest
                    && let Some(manifest) = self.cached(&digest, head.media_type.as_deref())
                {
                    return Ok(manifest);
                }
            }
        }
        self.fetch(&pointer).await
    }

    async fn manifest(&self, descriptor: &Descriptor) -> Result<Manifest, Error> {
        let manifest = match self.cached(&descriptor.digest, Some(&descriptor.media_type)) {
            Some(manifest) => manifest,
            None => {
                self.fetch(&Pointer::Digest(descriptor.digest.clone()))
                    .await?
            }
        };
        if manifest.bytes().len() as u64 != descriptor.size {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "cannot read manifest {}@{}",
                    self.reference.name(),
                    descriptor.digest
                ),
                format!(
                    "the index says that it has {} bytes, but it has {}",
                    descriptor.size,
                    manifest.bytes().len()
                ),
            ));
        }
        Ok(manifest)
    }

    async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        Ok(self.repository.referrers(subject, None).await?)
    }

    async fn tagged_about(&self, subjects: &[Digest]) -> Result<Vec<(String, Manifest)>, Error> {
        let listed: HashSet<String> = match self.repository.tags().await {
            Ok(tags) => tags.into_iter().collect(),
            // Not every registry lists tags, nor to every user; these are cosign's.
            Err(_) => {
                let suffixes = ["sig", "att", "sbom"];
                let names = |subject| suffixes.map(|suffix| tag_about(subject) + suffix);
                subjects.iter().flat_map(names).collect()
            }
        };
        let mut about: Vec<&String> = listed
            .iter()
            .filter(|tag| {
                subjects
                    .iter()
                    .any(|subject| tag.starts_with(&tag_about(subject)))
            })
            .collect();
        about.sort_unstable();
        let mut found = Vec::new();
        for tag in about {
            match self.fetch(&Pointer::Tag(tag.clone())).await {
                Ok(manifest) => found.push((tag.clone(), manifest)),
                // It is gone by now, or was only a guess.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Bytes, Error> {
        if let Some(bytes) = self.cache.get(&descriptor.digest, MAX_DOCUMENT)
            && bytes.len() as u64 == descriptor.size
        {
            return Ok(bytes);
        }
        let bytes = self.repository.blob(descriptor, MAX_DOCUMENT).await?;
        self.cache.put(&descriptor.digest, &bytes);
        Ok(bytes)
    }

    fn blob(&self, descriptor: &Descriptor) -> Arc<dyn Body> {
        self.repository.blob_body(descriptor)
    }
}

#[derive(Debug)]
struct EarlyMount {
    from: Origin,
    task: JoinHandle<Result<MountOutcome, ohoci_registry::Error>>,
}

/// From how many images on a repository's tags are listed instead of asked for one by one.
const LIST_FROM: usize = 8;

/// How mounting a blob went.
#[derive(Debug, Default)]
struct Mounting {
    mounted: bool,
    /// What the registry opened instead.
    session: Option<UploadSession>,
    /// What it said, for when nothing else is possible.
    refusals: Vec<String>,
}

/// A repository in a registry that images are pushed to. All images of a run that go there share
/// it, so that each blob is placed once.
#[derive(Debug)]
pub struct RegistryTarget {
    repository: Repository,
    host: String,
    name: String,
    cache: Arc<Cache>,
    knowledge: Knowledge,
    /// Upload sessions that were opened before the content was known; any image may take one.
    prepared: Mutex<VecDeque<JoinHandle<Result<UploadSession, ohoci_registry::Error>>>>,
    /// Mounts that were begun before the blob was asked for.
    mounts: Mutex<HashMap<Digest, EarlyMount>>,
    /// How many images of this run go here.
    images: AtomicUsize,
    /// The repository's tags as they were when first asked for; `None` when it does not tell.
    listed: OnceCell<Option<HashSet<String>>>,
    /// Blobs that are being placed or were: one image at a time does it, the others wait for it.
    flights: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
}

impl RegistryTarget {
    /// The repository `name` on `host`.
    #[must_use]
    pub fn new(repository: Repository, host: &str, name: &str, cache: Arc<Cache>) -> Self {
        Self {
            knowledge: Knowledge::new(repository.clone(), Arc::clone(&cache)),
            repository,
            host: host.to_owned(),
            name: name.to_owned(),
            cache,
            prepared: Mutex::default(),
            mounts: Mutex::default(),
            images: AtomicUsize::new(0),
            listed: OnceCell::new(),
            flights: Mutex::default(),
        }
    }

    /// Whether the blob is there, as far as is known without asking.
    fn knows(&self, digest: &Digest) -> bool {
        self.knowledge.knows(digest)
    }

    /// Takes a manifest that the repository was found to hold as proof of its layers.
    pub fn learn(&self, manifest: &Manifest) {
        self.knowledge.saw(layers_proven_by(manifest));
    }

    /// Whether it is known, and proven in this run, that the blob is there.
    async fn surely_has(&self, blob: &Descriptor) -> Result<bool, Error> {
        Ok(self.knows(&blob.digest) && self.prove(&[blob]).await?)
    }

    /// Says that one more image of this run goes here.
    pub fn expect_image(&self) {
        self.images.fetch_add(1, Ordering::Relaxed);
    }

    /// Mounts a blob from the first repository that the registry will link it from. The mount
    /// that was begun goes first, whichever repository it is from.
    async fn mount(&self, offer: &Offer) -> Result<Mounting, Error> {
        let digest = &offer.descriptor.digest;
        let mut mounting = Mounting::default();
        let early = self.mounts.lock().remove(digest);
        let tried = early.as_ref().map(|early| early.from.clone());
        if let Some(EarlyMount { from, task }) = early
            && let Ok(outcome) = task.await
        {
            self.note(&mut mounting, &from, outcome?).await;
        }
        for from in &offer.mount_from {
            let useless = from.host != self.host || from.repository == self.name;
            if mounting.mounted || useless || tried.as_ref() == Some(from) {
                continue;
            }
            let outcome = self
                .repository
                .mount(digest, Some(&from.repository))
                .await?;
            self.note(&mut mounting, from, outcome).await;
        }
        Ok(mounting)
    }

    async fn note(&self, mounting: &mut Mounting, from: &Origin, outcome: MountOutcome) {
        match outcome {
            MountOutcome::Mounted => mounting.mounted = true,
            MountOutcome::Session(opened) => {
                mounting.refusals.push(format!(
                    "the registry did not mount it from {} but offered an upload",
                    from.repository
                ));
                if let Some(unused) = mounting.session.replace(opened) {
                    self.repository.cancel(unused).await;
                }
            }
            MountOutcome::Refused { why, .. } => mounting.refusals.push(format!(
                "mounting it from {} failed: {why}",
                from.repository
            )),
        }
    }

    /// Uploads a document that the repository does not have.
    async fn bring(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        bytes: Bytes,
    ) -> Result<Arrival, Error> {
        let flight = self.flight(&descriptor.digest);
        let _in_flight = flight.lock().await;
        if self.surely_has(descriptor).await? {
            return Ok(Arrival::Present);
        }
        let session = self.take_prepared().await;
        repository
            .upload_document(descriptor, &bytes, session)
            .await?;
        self.knowledge.saw([&descriptor.digest]);
        Ok(Arrival::Uploaded)
    }

    /// Takes a session opened by `prepare`, if there is one and it opened.
    async fn take_prepared(&self) -> Option<UploadSession> {
        let task = self.prepared.lock().pop_front()?;
        task.await.ok()?.ok()
    }

    /// Cancels what was begun and is not needed. No image may be under way.
    pub async fn close(&self) {
        while !self.prepared.lock().is_empty() {
            if let Some(unused) = self.take_prepared().await {
                self.repository.cancel(unused).await;
            }
        }
        let unused: Vec<EarlyMount> = self.mounts.lock().drain().map(|(_, early)| early).collect();
        for early in unused {
            if let Ok(Ok(MountOutcome::Session(session))) = early.task.await {
                self.repository.cancel(session).await;
            }
        }
    }

    /// Remembers a manifest that the registry took.
    fn taken(&self, manifest: &Manifest) {
        self.knowledge.took(manifest);
        self.cache.put(manifest.digest(), manifest.bytes());
    }

    fn flight(&self, digest: &Digest) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(self.flights.lock().entry(digest.clone()).or_default())
    }

    fn would_upload(&self, descriptor: &Descriptor, why: &[String]) -> Error {
        let why = if why.is_empty() {
            "no repository on this registry is known to have it".to_owned()
        } else {
            why.join("; ")
        };
        Error::new(
            ErrorKind::WouldUpload,
            format!(
                "cannot put layer {} ({} bytes) into {} without moving its bytes",
                descriptor.digest,
                descriptor.size,
                self.place()
            ),
            why,
        )
        .hinted("push the deps image to the same registry first, or leave out --no-upload")
    }
}

#[async_trait]
impl Target for RegistryTarget {
    fn place(&self) -> String {
        format!("{}/{}", self.host, self.name)
    }

    fn origin(&self) -> Option<Origin> {
        Some(Origin {
            host: self.host.clone(),
            repository: self.name.clone(),
        })
    }

    async fn current(&self, pointer: &Pointer) -> Result<Option<Digest>, Error> {
        match self.repository.manifest_head(pointer).await? {
            None => Ok(None),
            Some(head) => match head.digest {
                Some(digest) => Ok(Some(digest)),
                // A registry that leaves the header out: the content tells.
                None => Ok(Some(
                    self.repository.manifest(pointer).await?.digest().clone(),
                )),
            },
        }
    }

    async fn prepare(&self) {
        if self.repository.takes_blob_in_one_post() {
            return;
        }
        let repository = self.repository.clone();
        let opening = tokio::spawn(async move { repository.open_upload().await });
        self.prepared.lock().push_back(opening);
    }

    fn prepare_mount(&self, digest: &Digest, from: &Origin) {
        if from.host != self.host
            || from.repository == self.name
            || self.knows(digest)
            || self.flights.lock().contains_key(digest)
        {
            return;
        }
        self.mounts.lock().entry(digest.clone()).or_insert_with(|| {
            let (repository, digest, name) = (
                self.repository.clone(),
                digest.clone(),
                from.repository.clone(),
            );
            EarlyMount {
                from: from.clone(),
                task: tokio::spawn(async move { repository.mount(&digest, Some(&name)).await }),
            }
        });
    }

    fn proof(&self, digest: &Digest) -> Option<String> {
        self.knows(digest)
            .then(|| "an image that was pushed there lists it".to_owned())
    }

    async fn prove(&self, blobs: &[&Descriptor]) -> Result<bool, Error> {
        self.knowledge.prove(blobs).await
    }

    /// From now on, what the registry says to have mounted is looked at.
    fn forget(&self) -> bool {
        self.knowledge.forget();
        true
    }

    fn remembered(&self, tag: &str) -> Option<Digest> {
        self.knowledge.tag(tag)
    }

    /// Worth it where many images of a run go here. Beside the list one tag is looked up: if that
    /// names something else than it did, so may the others.
    async fn lists(&self, tag: &str, digest: &Digest) -> Option<bool> {
        if self.images.load(Ordering::Relaxed) < LIST_FROM
            || self.knowledge.recent_tag(tag).as_ref() != Some(digest)
        {
            return None;
        }
        let listed = self
            .listed
            .get_or_init(|| async {
                let pointer = Pointer::Tag(tag.to_owned());
                let (tags, now) =
                    futures_util::join!(self.repository.tags(), self.current(&pointer));
                let as_remembered = now.ok()?.as_ref() == Some(digest);
                as_remembered.then_some(())?;
                Some(tags.ok()?.into_iter().collect())
            })
            .await;
        listed.as_ref().map(|tags| tags.contains(tag))
    }

    async fn place_blob(&self, offer: &Offer) -> Result<Arrival, Error> {
        let descriptor = &offer.descriptor;
        let flight = self.flight(&descriptor.digest);
        let _in_flight = flight.lock().await;
        if self.surely_has(descriptor).await? {
            return Ok(Arrival::Present);
        }
        let Mounting {
            mounted,
            session,
            refusals,
        } = self.mount(offer).await?;
        // A registry whose answer does not name what it mounted, or that missed something that it
        // had said to have, is asked whether it is there. A refused mount does not say that the
        // blob is missing here; without one, asking first costs one request and may save the whole
        // transfer.
        let certain = mounted
            && self.repository.named_in_mount(&descriptor.digest)
            && !self.knowledge.is_doubtful();
        if certain || self.repository.has_blob(descriptor).await? {
            if let Some(unused) = session {
                self.repository.cancel(unused).await;
            }
            self.knowledge.saw([&descriptor.digest]);
            return Ok(if mounted {
                Arrival::Mounted
            } else {
                Arrival::Present
            });
        }
        let Some(body) = &offer.body else {
            if let Some(unused) = session {
                self.repository.cancel(unused).await;
            }
            return Err(self.would_upload(descriptor, &refusals));
        };
        self.repository
            .upload(descriptor, body.as_ref(), session)
            .await?;
        self.knowledge.saw([&descriptor.digest]);
        Ok(offer.moved)
    }

    async fn place_document(
        &self,
        descriptor: &Descriptor,
        bytes: Bytes,
    ) -> Result<Arrival, Error> {
        let arrival = self
            .bring(&self.repository, descriptor, bytes.clone())
            .await?;
        if arrival == Arrival::Uploaded {
            self.cache.put(&descriptor.digest, &bytes);
        }
        Ok(arrival)
    }

    async fn place_attachment(
        &self,
        descriptor: &Descriptor,
        bytes: Bytes,
    ) -> Result<Arrival, Error> {
        let repository = self.repository.for_attachments();
        self.bring(&repository, descriptor, bytes).await
    }

    async fn place_manifest(&self, manifest: &Manifest, tags: &[String]) -> Result<(), Error> {
        if tags.is_empty() {
            let pointer = Pointer::Digest(manifest.digest().clone());
            self.repository.put_manifest(&pointer, manifest).await?;
        }
        for tag in tags {
            let pointer = Pointer::Tag(tag.clone());
            self.repository.put_manifest(&pointer, manifest).await?;
            self.knowledge.remember_tag(tag, manifest.digest());
        }
        self.taken(manifest);
        Ok(())
    }

    async fn place_referrer(&self, manifest: &Manifest) -> Result<(), Error> {
        self.repository
            .for_attachments()
            .put_referrer(manifest)
            .await?;
        self.knowledge.took(manifest);
        Ok(())
    }

    async fn finish(&self) -> Result<(), Error> {
        Ok(())
    }
}
