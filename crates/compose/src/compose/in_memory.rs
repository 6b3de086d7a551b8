//! An image that is composed and goes nowhere: to be run, say.

use std::fmt::Debug;
use std::sync::Arc;

use super::documents::Made;
use super::needs::{need, needs};
use super::opened::Opened;
use super::run::Run;
use crate::job::Job;
use crate::plan::Need;
use crate::resolver::Resolver;
use crate::watch::Observer;
use bytes::Bytes;
use ohoci_image::image_config::ImageConfig;
use ohoci_image::{Descriptor, Digest, Manifest};
use ohoci_store::{Body, Error, ErrorKind};

/// A layer of an image, and where its bytes come from.
#[derive(Clone, Debug)]
pub struct ImageLayer {
    /// The digest of its uncompressed tar.
    pub diff_id: Digest,
    /// The blob.
    pub body: Arc<dyn Body>,
    /// Its size in bytes, as the manifest says.
    pub size: u64,
}

/// An image of one platform that is in no place.
#[derive(Debug)]
pub struct InMemory {
    /// The digest that its manifest has wherever the same job puts it as an image of its own.
    pub digest: Digest,
    /// Its config.
    pub config: ImageConfig,
    /// Its layers, lowest first.
    pub layers: Vec<ImageLayer>,
    /// What deserves a second look.
    pub warnings: Vec<String>,
}

/// The documents of a composed image that is in no place, and where its layers can be had.
#[derive(Debug)]
pub struct Documents {
    /// What the result's tags would name: a manifest, or the index over several.
    pub root: Manifest,
    /// The manifests that an index lists; without one, the root alone.
    pub manifests: Vec<Manifest>,
    /// The configs of those.
    pub configs: Vec<(Descriptor, Bytes)>,
    /// The layers of all images, each once. Foreign layers, which stay where their URLs say, are none
    /// of them.
    pub layers: Vec<Need>,
    /// The manifest or index that the base's reference named; `None` for scratch.
    pub base: Option<Digest>,
    /// What deserves a second look.
    pub warnings: Vec<String>,
}

/// Composes everything that a job makes, an index of several images included, and puts it nowhere,
/// whatever the job says of targets. Digests are those that the same job pushes to registries.
///
/// # Errors
/// When something cannot be read or composed.
pub async fn documents_of(
    job: &Job,
    resolver: &Resolver,
    observer: &Arc<dyn Observer>,
) -> Result<Documents, Error> {
    let run = Run::start(job, resolver, observer);
    let composed = Opened::nowhere(run).read().await?.compose().await?;
    let mut layers: Vec<Need> = Vec::new();
    for need in needs(&composed) {
        let digest = &need.descriptor.digest;
        if layers
            .iter()
            .all(|known| known.descriptor.digest != *digest)
        {
            layers.push(need);
        }
    }
    let base = composed.read.base.as_ref();
    let base = base.map(|base| base.root.digest().clone());
    let images = &composed.made.images;
    let configs = images.iter().map(|image| {
        let bytes = image.config.bytes().clone();
        (image.config_descriptor.clone(), bytes)
    });
    Ok(Documents {
        root: composed.made.root.clone(),
        manifests: images.iter().map(|image| image.manifest.clone()).collect(),
        configs: configs.collect(),
        layers,
        base,
        warnings: composed.warnings.clone(),
    })
}

/// Composes the image that a job makes, whatever the job says of targets. Of the base and the deps only
/// documents are read, and what `fit` lists.
///
/// # Errors
/// When something cannot be read or composed, the result is more than one image, or one of its layers
/// is nowhere that ohoci reads from.
pub async fn in_memory(
    job: &Job,
    resolver: &Resolver,
    observer: &Arc<dyn Observer>,
) -> Result<InMemory, Error> {
    let run = Run::start(job, resolver, observer);
    let composed = Opened::nowhere(run).read().await?.compose().await?;
    let unsupported = |why: String| {
        let what = format!("cannot compose on {}", job.base);
        Error::new(ErrorKind::Unsupported, what, why)
    };
    let Made { images, .. } = &composed.made;
    let [image] = images.as_slice() else {
        let count = images.len();
        return Err(
            unsupported(format!("the result is an index of {count} images"))
                .hinted("choose one with --platform"),
        );
    };
    let config = ImageConfig::parse(image.config.clone())
        .map_err(|error| unsupported(format!("its config cannot be used: {error}")))?;
    let layers = image.layers.iter().map(|layer| {
        let digest = &layer.descriptor.digest;
        let need = need(&composed, layer)
            .ok_or_else(|| unsupported(format!("its layer {digest} is in no registry")))?;
        Ok::<_, Error>(ImageLayer {
            diff_id: layer.diff_id.clone(),
            body: need.body,
            size: layer.descriptor.size,
        })
    });
    Ok(InMemory {
        digest: image.manifest.digest().clone(),
        config,
        layers: layers.collect::<Result<_, _>>()?,
        warnings: composed.warnings.clone(),
    })
}
