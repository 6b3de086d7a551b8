//! An image that is composed and goes nowhere: to be run, say.

use std::fmt::Debug;
use std::sync::Arc;

use super::documents::Made;
use super::needs::need;
use super::opened::Opened;
use super::run::Run;
use crate::job::Job;
use crate::resolver::Resolver;
use crate::watch::Observer;
use ohoci_image::Digest;
use ohoci_image::image_config::ImageConfig;
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
