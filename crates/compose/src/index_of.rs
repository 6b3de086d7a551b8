//! Makes an index of images that exist: of images for one platform each, or of some that another index lists.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::attach;
use super::copy::needs;
use super::plan::Need;
use super::read::{self, Said};
use super::resolver::Resolver;
use super::shipment::{self, CopyReport, Shipment};
use super::watch::{Event, Observer};
use ohoci_image::convert;
use ohoci_image::index::{self, Entry, NewIndex};
use ohoci_image::media_type::Family;
use ohoci_image::{Content, Digest, Manifest, Platform, Reference};
use ohoci_store::{Error, ErrorKind, Source};

/// What to list where.
#[derive(Clone, Debug)]
pub struct IndexJob {
    /// The images, in the order in which they are listed; of an index, those that it lists.
    pub from: Vec<Reference>,
    /// Where the index goes, with all that it lists.
    pub to: Vec<Reference>,
    /// List only images for these platforms; all where there is none.
    pub platforms: Vec<Platform>,
    /// Annotations of the index.
    pub annotations: BTreeMap<String, String>,
    /// Fail rather than move layer bytes.
    pub no_upload: bool,
    /// Where blobs are kept that go to several targets.
    pub work_dir: PathBuf,
}

/// An image, what it runs on, and the reference that it was found by.
struct Listed {
    manifest: Manifest,
    platform: Platform,
    place: String,
}

/// Makes an index, and brings it and what it lists to every target.
///
/// Images and their blobs stay byte for byte, except that Docker's manifests become OCI manifests where
/// the index lists an OCI manifest as well, has annotations, or goes to a layout; that is a warning of the
/// report.
///
/// # Errors
/// When an image says of no platform that it is for it, two images are for the same one, a wanted platform
/// is not there, or anything cannot be read or written.
pub async fn index_of(
    job: &IndexJob,
    resolver: &Resolver,
    observer: &Arc<dyn Observer>,
) -> Result<CopyReport, Error> {
    let started = std::time::Instant::now();
    let names: Vec<String> = job.from.iter().map(ToString::to_string).collect();
    let what = format!("cannot make an index of {}", names.join(", "));
    let refuse = |why: String| Error::new(ErrorKind::Unsupported, what.clone(), why);
    for to in &job.to {
        if matches!(to, Reference::DockerArchive { .. }) {
            return Err(refuse(format!("{to} can hold no index"))
                .hinted("write it to an OCI layout, an OCI archive or a registry"));
        }
        if resolver.signing.is_some() {
            attach::check(to)?;
        }
    }
    let destinations = resolver.destinations(&job.to)?;
    resolver.announce(
        &job.from.iter().collect::<Vec<_>>(),
        &job.to.iter().collect::<Vec<_>>(),
    );
    let mut listed: Vec<Listed> = Vec::new();
    let mut all_needs: Vec<Need> = Vec::new();
    for reference in &job.from {
        observer.event(&Event::Step(format!("reading {reference}")));
        let source = resolver.source(reference).await?;
        let images = images(source.as_ref(), &job.platforms).await?;
        all_needs.extend(needs(&source, images.iter().map(|image| &image.manifest)));
        listed.extend(images);
    }
    let listed = once_each(listed).map_err(&refuse)?;
    if let Some(missing) = missing(&job.platforms, &listed) {
        return Err(refuse(format!("none of them has an image for {missing}")));
    }
    let mut seen: HashSet<Digest> = HashSet::new();
    all_needs.retain(|need| seen.insert(need.descriptor.digest.clone()));
    let (manifests, warnings) = with_index(job, listed).map_err(&refuse)?;
    observer.event(&Event::Step("copying what it lists".to_owned()));
    let shipment = Shipment {
        what: what.clone(),
        manifests,
        about: Vec::new(),
        tagged: Vec::new(),
        needs: all_needs,
        no_upload: job.no_upload,
        work_dir: &job.work_dir,
    };
    let delivered = shipment::deliver(shipment, &destinations, resolver, observer, started);
    let mut report = Box::pin(delivered).await?;
    report.warnings.extend(warnings);
    Ok(report)
}

/// The images that a source has for these platforms.
async fn images(source: &dyn Source, platforms: &[Platform]) -> Result<Vec<Listed>, Error> {
    let root = source.root().await?;
    let mut found: Vec<(Option<Platform>, Manifest)> = Vec::new();
    if matches!(root.content(), Content::Index { .. }) {
        let all = read::children(source, &root).await?.children;
        let is_wanted = |platform: &Option<Platform>| {
            platform
                .as_ref()
                .is_none_or(|platform| wanted(platforms, platform))
        };
        let entries: Vec<_> = all
            .into_iter()
            .map(|child| child.descriptor)
            .filter(|descriptor| is_wanted(&descriptor.platform))
            .collect();
        let manifests =
            read::each(&source.place(), &entries, |entry| source.manifest(entry)).await?;
        let said = entries.into_iter().map(|entry| entry.platform);
        found.extend(said.zip(manifests));
    } else {
        found.push((None, root));
    }
    let images = read::each(&source.place(), &found, |(said, manifest)| async move {
        let platform = match said {
            Some(platform) => platform.clone(),
            None => named_platform(source, manifest).await?,
        };
        Ok(Listed {
            manifest: manifest.clone(),
            platform,
            place: source.place(),
        })
    })
    .await?;
    let wanted = |image: &Listed| wanted(platforms, &image.platform);
    Ok(images.into_iter().filter(wanted).collect())
}

fn wanted(platforms: &[Platform], platform: &Platform) -> bool {
    platforms.is_empty() || platforms.iter().any(|wanted| wanted.selects(platform))
}

/// What the config says that the image runs on. Nothing is guessed: nodes choose by it.
async fn named_platform(source: &dyn Source, manifest: &Manifest) -> Result<Platform, Error> {
    let said = Said {
        platform: read::this_machine(),
        guess: Some("its config names no platform".to_owned()),
    };
    let image = read::image(source, None, manifest.clone(), &said).await?;
    if image.notes.is_empty() {
        return Ok(image.config.platform().clone());
    }
    Err(Error::new(
        ErrorKind::Unsupported,
        format!("cannot list {}", source.place()),
        "its config names no platform",
    )
    .hinted(
        "`ohoci compose --base REF --platform PLATFORM --push REF` makes an image that names one",
    ))
}

/// Leaves out what is listed already.
fn once_each(listed: Vec<Listed>) -> Result<Vec<Listed>, String> {
    let mut once: Vec<Listed> = Vec::new();
    for image in listed {
        match once.iter().find(|other| other.platform == image.platform) {
            None => once.push(image),
            Some(other) if other.manifest.digest() == image.manifest.digest() => {}
            Some(other) => {
                return Err(format!(
                    "two images are for {}: {} of {} and {} of {}",
                    image.platform,
                    other.manifest.digest(),
                    other.place,
                    image.manifest.digest(),
                    image.place,
                ));
            }
        }
    }
    Ok(once)
}

fn missing<'a>(platforms: &'a [Platform], listed: &[Listed]) -> Option<&'a Platform> {
    platforms
        .iter()
        .find(|wanted| !listed.iter().any(|image| wanted.selects(&image.platform)))
}

/// The manifests as they are listed, the index behind them, and what changed on the way.
fn with_index(job: &IndexJob, listed: Vec<Listed>) -> Result<(Vec<Manifest>, Vec<String>), String> {
    let is_docker = |image: &Listed| image.manifest.family() == Family::Docker;
    let family = match job.annotations.is_empty() && listed.iter().all(is_docker) {
        true => Family::Docker,
        false => Family::Oci,
    };
    let mut manifests = Vec::new();
    let mut entries = Vec::new();
    let mut warnings = Vec::new();
    for image in listed {
        let before = image.manifest.digest().clone();
        let retyped = convert::retype_all(&[image.manifest], family)
            .map_err(|error| format!("{}: {error}", image.place))?;
        for manifest in retyped {
            if *manifest.digest() != before {
                warnings.push(format!(
                    "{before} of {} is a Docker manifest; in an OCI index it becomes {}",
                    image.place,
                    manifest.digest()
                ));
            }
            entries.push(Entry {
                base_at: None,
                manifest: manifest.descriptor(),
                platform: image.platform.clone(),
            });
            manifests.push(manifest);
        }
    }
    let index = index::build(&NewIndex {
        base: None,
        base_name: None,
        base_digest: None,
        entries: &entries,
        annotations: &job.annotations,
        family,
    })
    .map_err(|error| error.to_string())?;
    // One image for several platforms is one manifest.
    let mut seen: HashSet<Digest> = HashSet::new();
    manifests.retain(|manifest: &Manifest| seen.insert(manifest.digest().clone()));
    manifests.push(index);
    Ok((manifests, warnings))
}
