//! Writing images to an OCI layout.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::{Arrival, Body, BodyError, Error, ErrorKind, MAX_DOCUMENT, Offer, Target};
use ohoci_files::blocking::blocking;
use ohoci_image::media_type::{LayerKind, layer_kind};
use ohoci_image::{Content, Descriptor, Digest, Document, Manifest, Platform, Pointer, shape};
use ohoci_layout::StagedFile;

use ohoci_layout::Layout;
use ohoci_layout::index::{Chosen, Index, Selection};

/// How many pieces may wait for the disk.
const PIECES_IN_FLIGHT: usize = 8;

/// An OCI layout that images are written to.
///
/// Nothing on disk changes before the first thing is put. Tags are set when their manifest is
/// put; a manifest put without a tag is listed by [`Target::finish`], unless an index that was
/// put lists it.
#[derive(Clone, Debug)]
pub struct LayoutTarget {
    path: PathBuf,
    label: String,
    unnamed: Arc<Mutex<Unnamed>>,
    /// Whether there was nothing at the path.
    is_new: bool,
}

/// Manifests that were put without a tag.
#[derive(Debug, Default)]
struct Unnamed {
    waiting: Vec<(Descriptor, Option<Platform>)>,
    /// What the indexes put so far list.
    listed: BTreeSet<Digest>,
}

impl LayoutTarget {
    /// A target in the directory `path`, which need not exist.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let label = format!("oci:{}", path.display());
        Self {
            is_new: !path.exists(),
            ..Self::labelled(path, label)
        }
    }

    /// A target that calls itself something else, because it is part of that.
    pub(crate) fn labelled(path: PathBuf, label: String) -> Self {
        Self {
            path,
            label,
            unnamed: Arc::default(),
            is_new: false,
        }
    }

    /// The layout, made now if it is not there.
    pub(crate) fn layout(&self) -> Result<Layout, Error> {
        Ok(Layout::create_or_open(&self.path)?)
    }

    /// The layout, if it is there.
    fn existing(&self) -> Result<Option<Layout>, Error> {
        match Layout::open(&self.path) {
            Ok(layout) => Ok(Some(layout)),
            Err(error) if error.kind == ohoci_layout::ErrorKind::NotFound => Ok(None),
            // Whether the directory can become a layout shows when something is put.
            Err(_) if !self.path.join(ohoci_layout::layout::VERSION_FILE).exists() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn put_manifest(&self, manifest: &Manifest, tags: &[String]) -> Result<(), Error> {
        let what = format!(
            "cannot put manifest {} into {}",
            manifest.digest(),
            self.label
        );
        for tag in tags {
            check_name(tag).map_err(|why| Error::new(ErrorKind::Unsupported, &what, why))?;
        }
        let layout = self.layout()?;
        for listed in listed(manifest) {
            if !layout.has(listed)? {
                return Err(Error::new(
                    ErrorKind::Incomplete,
                    what,
                    format!("it lists {}, which is not there", listed.digest),
                ));
            }
        }
        let mut descriptor = manifest.descriptor();
        descriptor.artifact_type = manifest.artifact_type().map(str::to_owned);
        layout.put(&descriptor, manifest.bytes())?;
        let platform = platform_of(&layout, manifest)?;
        if tags.is_empty() {
            self.unnamed().waiting.push((descriptor, platform));
        } else {
            layout.update(|index: &mut Index| {
                for tag in tags {
                    index.set(Some(tag), &descriptor, platform.as_ref());
                }
            })?;
        }
        if let Content::Index { manifests } = manifest.content() {
            let digests = manifests.iter().map(|child| child.digest.clone());
            self.unnamed().listed.extend(digests);
        }
        Ok(())
    }

    fn list_unnamed(&self) -> Result<(), Error> {
        let mut unnamed = self.unnamed();
        let Unnamed { waiting, listed } = &mut *unnamed;
        waiting.retain(|(descriptor, _)| !listed.contains(&descriptor.digest));
        // The order in which concurrent transfers ended must not show.
        waiting.sort_by(|(a, _), (b, _)| a.digest.cmp(&b.digest));
        if !waiting.is_empty() {
            self.layout()?.update(|index| {
                for (descriptor, platform) in &*waiting {
                    index.set(None, descriptor, platform.as_ref());
                }
            })?;
        }
        *unnamed = Unnamed::default();
        Ok(())
    }

    fn unnamed(&self) -> MutexGuard<'_, Unnamed> {
        self.unnamed.lock()
    }
}

/// What must be there before the manifest is.
pub(crate) fn listed(manifest: &Manifest) -> Vec<&Descriptor> {
    match manifest.content() {
        Content::Index { manifests } => manifests.iter().collect(),
        Content::Image { config, layers } => std::iter::once(&**config)
            .chain(layers)
            .filter(|blob| layer_kind(&blob.media_type) != LayerKind::Foreign)
            .collect(),
    }
}

/// What the config says the image runs on: image-spec wants it in `index.json`.
fn platform_of(layout: &Layout, manifest: &Manifest) -> Result<Option<Platform>, Error> {
    let Content::Image { config, .. } = manifest.content() else {
        return Ok(None);
    };
    if !ohoci_image::media_type::is_image_config(&config.media_type) || config.size > MAX_DOCUMENT {
        return Ok(None);
    }
    let bytes = layout.read(&config.digest, MAX_DOCUMENT)?;
    Ok(bytes
        .and_then(|bytes| Document::parse(bytes, &shape::CONFIG).ok())
        .and_then(|config| Platform::from_json(&Value::Object(config.into_object()))))
}

/// Whether a name can stand in `index.json` (image-spec `annotations.md`, `ref.name`) and behind
/// the path in a reference.
fn check_name(name: &str) -> Result<(), String> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._:@+/".contains(&b);
    if name.is_empty() || name.starts_with('@') || !name.bytes().all(legal) {
        return Err(format!(
            "{name:?} is no name for an image: letters, digits and - . _ : @ + / only"
        ));
    }
    Ok(())
}

/// Writes what `body` yields to a file, hashing it on a thread of its own.
pub(crate) async fn receive(
    body: &dyn Body,
    mut staged: StagedFile,
    limit: u64,
) -> Result<StagedFile, BodyError> {
    let mut pieces = body.open(0).await?;
    let (sender, mut receiver) = mpsc::channel::<Bytes>(PIECES_IN_FLIGHT);
    let writer = tokio::task::spawn_blocking(move || {
        while let Some(piece) = receiver.blocking_recv() {
            staged.write(&piece)?;
            if staged.size() > limit {
                break;
            }
        }
        Ok::<_, std::io::Error>(staged)
    });
    let mut broken = None;
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(piece) => {
                // The writer has stopped, and says why below.
                if sender.send(piece).await.is_err() {
                    break;
                }
            }
            Err(error) => {
                broken = Some(error);
                break;
            }
        }
    }
    drop(sender);
    let written = writer.await.map_err(std::io::Error::other)?;
    match broken {
        Some(error) => Err(error),
        None => Ok(written?),
    }
}

/// Gives a file of ours its name in the layout, after reading it through, and says whether that
/// could be done: not across file systems, for example. Whoever cannot have the file itself copies
/// it, and learns there what is wrong, if anything is.
async fn link(layout: &Layout, body: &dyn Body, file: PathBuf, descriptor: &Descriptor) -> bool {
    let (layout, descriptor) = (layout.clone(), descriptor.clone());
    if !layout.may_link(&file) {
        return false;
    }
    let Ok(mut pieces) = body.open(0).await else {
        return false;
    };
    while let Some(piece) = pieces.next().await {
        if piece.is_err() {
            return false;
        }
    }
    blocking(move || Ok::<_, Error>(layout.link(&file, &descriptor)?))
        .await
        .is_ok()
}

/// Puts a blob into a layout, by its body.
pub(crate) async fn place_in(layout: Layout, offer: &Offer, label: &str) -> Result<Arrival, Error> {
    let descriptor = offer.descriptor.clone();
    let what = format!("cannot put blob {} into {label}", descriptor.digest);
    if layout.has(&descriptor)? {
        return Ok(Arrival::Present);
    }
    let Some(body) = &offer.body else {
        return Err(Error::new(
            ErrorKind::WouldUpload,
            what,
            "it is not there, and its bytes may not be moved",
        ));
    };
    if let Some(file) = body.file()
        && link(&layout, &**body, file, &descriptor).await
    {
        return Ok(offer.moved);
    }
    let staged = receive(&**body, layout.stage()?, descriptor.size)
        .await
        .map_err(|error| Error::reading(&what, error))?;
    blocking(move || Ok::<_, Error>(layout.commit_as(staged, &descriptor)?)).await?;
    Ok(offer.moved)
}

#[async_trait]
impl Target for LayoutTarget {
    fn place(&self) -> String {
        self.label.clone()
    }

    async fn current(&self, pointer: &Pointer) -> Result<Option<Digest>, Error> {
        let Some(layout) = self.existing()? else {
            return Ok(None);
        };
        match pointer {
            Pointer::Digest(digest) => Ok(layout.blob_size(digest)?.map(|_| digest.clone())),
            Pointer::Tag(tag) => {
                let selection = Selection::Name(tag.clone());
                match layout.index()?.choose(&selection) {
                    Ok(Chosen::Entry(entry)) if layout.has(&entry)? => Ok(Some(entry.digest)),
                    // Whatever is wrong with the entry, putting the tag replaces it.
                    _ => Ok(None),
                }
            }
        }
    }

    async fn place_blob(&self, offer: &Offer) -> Result<Arrival, Error> {
        // Asked without creating anything, so that a refusal leaves nothing behind.
        if offer.body.is_none() && self.existing()?.is_none() {
            return Err(Error::new(
                ErrorKind::WouldUpload,
                format!(
                    "cannot put blob {} into {}",
                    offer.descriptor.digest, self.label
                ),
                "it is not there, and its bytes may not be moved",
            ));
        }
        place_in(self.layout()?, offer, &self.label).await
    }

    async fn place_document(
        &self,
        descriptor: &Descriptor,
        bytes: Bytes,
    ) -> Result<Arrival, Error> {
        let layout = self.layout()?;
        let new = layout.put(descriptor, &bytes)?;
        Ok(if new {
            Arrival::Uploaded
        } else {
            Arrival::Present
        })
    }

    async fn place_manifest(&self, manifest: &Manifest, tags: &[String]) -> Result<(), Error> {
        let (this, manifest, tags) = (self.clone(), manifest.clone(), tags.to_vec());
        blocking(move || this.put_manifest(&manifest, &tags)).await
    }

    async fn place_referrer(&self, manifest: &Manifest) -> Result<(), Error> {
        // Readers of layouts look through the manifests that index.json lists for subjects.
        self.place_manifest(manifest, &[]).await
    }

    fn made(&self) -> Option<String> {
        (self.is_new && self.path.exists())
            .then(|| format!("{} is new: the directory was made", self.label))
    }

    async fn finish(&self) -> Result<(), Error> {
        let this = self.clone();
        blocking(move || this.list_unnamed()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file_body::{file_body, own_file_body};
    use std::os::unix::fs::MetadataExt as _;

    async fn place(
        target: &LayoutTarget,
        body: Arc<dyn Body>,
        content: &[u8],
    ) -> Result<u64, Error> {
        let descriptor = Descriptor::of("a/b", content);
        let offer = Offer {
            descriptor: descriptor.clone(),
            mount_from: Vec::new(),
            body: Some(body),
            moved: Arrival::Uploaded,
        };
        target.place_blob(&offer).await?;
        let path = target.layout()?.blob_path(&descriptor.digest);
        assert_eq!(fs_err::read(&path).unwrap(), content);
        Ok(fs_err::metadata(path).unwrap().ino())
    }

    #[tokio::test]
    async fn a_file_of_ours_is_linked_and_that_of_others_is_copied() {
        let directory = tempfile::tempdir().unwrap();
        let target = LayoutTarget::new(directory.path().join("layout"));
        let file = directory.path().join("file");
        let write = |content: &[u8]| {
            fs_err::write(&file, content).unwrap();
            fs_err::metadata(&file).unwrap().ino()
        };
        let descriptor = |content: &[u8]| Descriptor::of("a/b", content);

        let inode = write(b"given");
        let given = file_body(&file, &descriptor(b"given"));
        assert_ne!(place(&target, given, b"given").await.unwrap(), inode);

        let inode = write(b"ours");
        let ours = own_file_body(&file, &descriptor(b"ours"));
        assert_eq!(place(&target, ours, b"ours").await.unwrap(), inode);
        fs_err::remove_file(&file).unwrap();

        // Others may read the layout's files.
        let inode = write(b"private");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs_err::set_permissions(&file, mode).unwrap();
        let private = own_file_body(&file, &descriptor(b"private"));
        assert_ne!(place(&target, private, b"private").await.unwrap(), inode);
    }

    #[tokio::test]
    async fn a_damaged_file_of_ours_gets_no_name() {
        let directory = tempfile::tempdir().unwrap();
        let target = LayoutTarget::new(directory.path().join("layout"));
        let file = directory.path().join("file");
        fs_err::write(&file, b"abd").unwrap();
        let descriptor = Descriptor::of("a/b", b"abc");
        let error = place(&target, own_file_body(&file, &descriptor), b"abc")
            .await
            .unwrap_err();
        assert!(error.to_string().contains("blob"), "{error}");
        let layout = target.layout().unwrap();
        assert!(!layout.blob_path(&descriptor.digest).exists());
    }
}
