//! Copies an image, whatever kind of place it lies in and goes to; an index with all it lists.
//!
//! Documents are copied byte for byte, except that Docker's manifests become OCI manifests in OCI
//! layouts, and that manifests name other blobs where layers are compressed anew.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::attach;
use super::plan::Need;
use super::read;
use super::recompress;
use super::referrers;
use super::resolver::Resolver;
use super::shipment::{self, CopyReport, Shipment, digests};
use super::watch::{Event, Observer};
use ohoci_image::media_type::{self, LayerKind};
use ohoci_image::{Content, Descriptor, Digest, Manifest, Platform, Reference, Role};
use ohoci_layer::compress::Settings;
use ohoci_store::{Error, ErrorKind, Source};

/// What to copy where.
#[derive(Clone, Debug)]
pub struct Job {
    /// What is copied.
    pub from: Reference,
    /// Where to.
    pub to: Vec<Reference>,
    /// Of an index, only the image for this platform.
    pub platform: Option<Platform>,
    /// Fail rather than move layer bytes.
    pub no_upload: bool,
    /// Copy what is about the image as well: signatures, bills of materials.
    pub referrers: bool,
    /// Compress layers in this way; `None` is as they are.
    pub compression: Option<Settings>,
    /// Where blobs are kept that go to several targets.
    pub work_dir: PathBuf,
}

/// Copies.
///
/// # Errors
/// The first thing that failed. Nothing was tagged then, except in targets that were finished
/// before the one that failed.
pub async fn copy(
    job: &Job,
    resolver: &Resolver,
    observer: &Arc<dyn Observer>,
) -> Result<CopyReport, Error> {
    let started = std::time::Instant::now();
    if job.referrers
        && resolver
            .signing
            .as_ref()
            .is_some_and(|signing| signing.with_tag)
    {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("cannot copy {}", job.from),
            "its signatures under a tag and a new one there would take each other's place",
        )
        .hinted("copy with --referrers first, then `ohoci sign --tag`"));
    }
    if job.referrers || resolver.signing.is_some() {
        job.to.iter().try_for_each(attach::check)?;
    }
    if job.referrers && job.compression.is_some() {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("cannot copy {} with what is about it", job.from),
            "layers that are compressed anew give its manifest another digest, which nothing is about",
        )
        .hinted("copy with one of --referrers and --compression, and sign the copy with --sign-key"));
    }
    let destinations = resolver.destinations(&job.to)?;
    resolver.announce(&[&job.from], &job.to.iter().collect::<Vec<_>>());
    observer.event(&Event::Step(format!("reading {}", job.from)));
    let source = resolver.source(&job.from).await?;
    let one_image = job
        .to
        .iter()
        .any(|to| matches!(to, Reference::DockerArchive { .. }));
    let root = root(source.as_ref(), job, one_image).await?;
    let mut manifests = Vec::new();
    collect(source.as_ref(), root.clone(), &mut manifests).await?;
    let mut recompressed = None;
    if let Some(settings) = job.compression {
        let as_asked = (settings, resolver.limits);
        let made = recompress::recompressed(
            source.as_ref(),
            &manifests,
            as_asked,
            &job.work_dir,
            observer,
        );
        let made = made.await?;
        manifests.clone_from(&made.manifests);
        recompressed = Some(made);
    }
    let mut about = Vec::new();
    let mut tagged = Vec::new();
    if job.referrers {
        for referrer in referrers::about(source.as_ref(), &manifests).await? {
            collect(source.as_ref(), referrer, &mut about).await?;
        }
        let subjects: Vec<Digest> = digests(&manifests)
            .chain(digests(&about))
            .cloned()
            .collect();
        for (tag, manifest) in referrers::by_tag(source.as_ref(), &subjects).await? {
            let mut below = Vec::new();
            collect(source.as_ref(), manifest.clone(), &mut below).await?;
            below.pop();
            about.append(&mut below);
            tagged.push((tag, manifest));
        }
    }
    let with_tags = tagged.iter().map(|(_, manifest)| manifest);
    let mut needs = needs(&source, manifests.iter().chain(&about).chain(with_tags));
    if let Some(made) = &recompressed {
        made.supply(&mut needs);
    }
    observer.event(&Event::Step(format!("copying {}", job.from)));
    let shipment = Shipment {
        what: format!("cannot copy {}", job.from),
        manifests,
        about,
        tagged,
        needs,
        no_upload: job.no_upload,
        work_dir: &job.work_dir,
    };
    let delivered = shipment::deliver(shipment, &destinations, resolver, observer, started);
    let mut report = Box::pin(delivered).await?;
    report
        .warnings
        .extend(recompressed.map(|made| made.warnings).unwrap_or_default());
    Ok(report)
}

/// What is copied: what the reference names, or one image of it.
async fn root(source: &dyn Source, job: &Job, one_image: bool) -> Result<Manifest, Error> {
    let root = source.root().await?;
    if !matches!(root.content(), Content::Index { .. }) {
        if let Some(platform) = &job.platform {
            read::expect_platform(source, &root, platform).await?;
        }
        return Ok(root);
    }
    let wanted = match (&job.platform, one_image) {
        (Some(platform), _) => platform.clone(),
        (None, false) => return Ok(root),
        (None, true) => {
            let all = read::children(source, &root).await?;
            if let [only] = all.children.as_slice() {
                return source.manifest(&only.descriptor).await;
            }
            read::this_machine()
        }
    };
    read::chosen(source, &root, &wanted).await
}

/// Reads everything below a manifest; each is listed behind all that it lists.
pub(super) async fn collect(
    source: &dyn Source,
    root: Manifest,
    manifests: &mut Vec<Manifest>,
) -> Result<(), Error> {
    let mut found = HashMap::from([(root.digest().clone(), root.clone())]);
    let mut level = vec![root.clone()];
    let mut depth = 0;
    loop {
        let mut below: Vec<&Descriptor> = Vec::new();
        let mut asked: HashSet<&Digest> = HashSet::new();
        for descriptor in level.iter().flat_map(children) {
            if !found.contains_key(&descriptor.digest) && asked.insert(&descriptor.digest) {
                below.push(descriptor);
            }
        }
        if below.is_empty() {
            break;
        }
        depth += 1;
        if depth > read::MAX_DEPTH {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("cannot copy {}", source.place()),
                format!("indexes lie in indexes more than {} deep", read::MAX_DEPTH),
            ));
        }
        let next = read::each(&source.place(), &below, |child| source.manifest(child)).await?;
        for manifest in &next {
            found.insert(manifest.digest().clone(), manifest.clone());
        }
        level = next;
    }
    list_behind_children(&root, &mut found, manifests);
    Ok(())
}

/// The documents that an index lists.
fn children(manifest: &Manifest) -> impl Iterator<Item = &Descriptor> {
    let entries = match manifest.content() {
        Content::Index { manifests } => manifests.as_slice(),
        Content::Image { .. } => &[],
    };
    let is_document = |entry: &&Descriptor| media_type::is_document(&entry.media_type);
    entries.iter().filter(is_document)
}

/// The blobs that a manifest lists, or an index that is no image's.
fn blobs(manifest: &Manifest) -> Vec<&Descriptor> {
    match manifest.content() {
        Content::Image { config, layers } => {
            std::iter::once(config.as_ref()).chain(layers).collect()
        }
        Content::Index { manifests } => {
            let is_blob = |entry: &&Descriptor| !media_type::is_document(&entry.media_type);
            manifests.iter().filter(is_blob).collect()
        }
    }
}

/// Moves a manifest behind all that it lists. One may be listed by several indexes, on several
/// levels: it stands before the first of them.
fn list_behind_children(
    manifest: &Manifest,
    found: &mut HashMap<Digest, Manifest>,
    manifests: &mut Vec<Manifest>,
) {
    for child in children(manifest) {
        if let Some(child) = found.remove(&child.digest) {
            list_behind_children(&child, found, manifests);
        }
    }
    manifests.push(manifest.clone());
}

/// Every blob that the manifests list, once. Foreign layers stay where their URLs say they are.
pub(super) fn needs<'a>(
    source: &Arc<dyn Source>,
    manifests: impl Iterator<Item = &'a Manifest>,
) -> Vec<Need> {
    let mut seen = HashSet::new();
    manifests
        .flat_map(blobs)
        .filter(|blob| {
            media_type::layer_kind(&blob.media_type) != LayerKind::Foreign || blob.urls.is_empty()
        })
        .filter(|blob| seen.insert(blob.digest.clone()))
        .map(|blob| Need {
            descriptor: blob.clone(),
            role: Role::Base,
            origin: source.origin(),
            place: source.place(),
            local: false,
            body: source.blob(blob),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::Unwatched;
    use crate::report::Status;
    use ohoci_image::media_type::Family;
    use ohoci_registry::{Client, Settings};
    use ohoci_store::cache::Cache;
    use ohoci_store::layout::Layout;

    fn put(layout: &Layout, media_type: &str, content: &serde_json::Value) -> Descriptor {
        let content = Bytes::from(content.to_string());
        let descriptor = Descriptor::of(media_type, &content);
        layout.put(&descriptor, &content).unwrap();
        descriptor
    }

    fn index(layout: &Layout, entries: &[&Descriptor]) -> Descriptor {
        let entries: Vec<_> = entries.iter().map(|entry| entry.to_json()).collect();
        let content = json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": entries
        });
        put(layout, media_type::OCI_INDEX, &content)
    }

    #[tokio::test]
    async fn an_index_inside_an_index_is_copied_behind_what_it_lists() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::create_or_open(directory.path().join("from")).unwrap();
        let config = put(&layout, media_type::DOCKER_CONFIG, &json!({}));
        let image = put(
            &layout,
            media_type::DOCKER_MANIFEST,
            &json!({
                "schemaVersion": 2, "mediaType": media_type::DOCKER_MANIFEST,
                "config": config.to_json(), "layers": []
            }),
        );
        // Each lists the one before it, and all of them the image.
        let inner = index(&layout, &[&image]);
        let middle = index(&layout, &[&inner, &image]);
        let outer = index(&layout, &[&middle, &inner, &image]);
        layout
            .update(|list| list.set(Some("a"), &outer, None))
            .unwrap();
        let reference = |name: &str| {
            let path = directory.path().join(name);
            format!("oci:{}:a", path.display())
                .parse::<Reference>()
                .unwrap()
        };
        let resolver = Resolver::new(
            Client::new(Settings::default()).unwrap(),
            Arc::new(Cache::disabled()),
        );
        let job = Job {
            from: reference("from"),
            to: vec![reference("to")],
            platform: None,
            no_upload: false,
            referrers: false,
            compression: None,
            work_dir: directory.path().to_owned(),
        };
        let observer: Arc<dyn Observer> = Arc::new(Unwatched);
        let report = copy(&job, &resolver, &observer).await.unwrap();
        assert_eq!(report.manifests, 4);
        assert_eq!(report.status, Status::Pushed);
        // All of it became OCI, down to the index that is listed twice.
        let copied = resolver.source(&reference("to")).await.unwrap();
        let mut manifests = Vec::new();
        let root = copied.root().await.unwrap();
        collect(copied.as_ref(), root, &mut manifests)
            .await
            .unwrap();
        assert_eq!(manifests.len(), 4);
        let families: Vec<Family> = manifests.iter().map(Manifest::family).collect();
        assert_eq!(families, [Family::Oci; 4]);
    }
}
