//! Artifacts that are files of this machine: pushed under a tag, and read back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::flatten::spool;
use super::resolver::Resolver;
use ohoci_image::artifact;
use ohoci_image::{Content, Digest, Reference};
use ohoci_layer::PackedLayer;
use ohoci_store::file_body::file_body;
use ohoci_store::{Arrival, Error, ErrorKind, Offer};

/// An artifact of one layer.
#[derive(Debug)]
pub struct Job<'a> {
    /// Where it goes, with its tag.
    pub to: &'a Reference,
    /// Its type.
    pub kind: &'a str,
    /// What it holds.
    pub layer: &'a PackedLayer,
    /// What is said of it.
    pub annotations: BTreeMap<String, String>,
}

/// Pushes it; its tag moves last. Gives the digest of its manifest, which depends on nothing but
/// the layer and what is said of it.
///
/// # Errors
/// When the place cannot be written to, or is a docker archive, which holds images only.
pub async fn push(job: &Job<'_>, resolver: &Resolver) -> Result<Digest, Error> {
    let what = || format!("cannot push to {}", job.to);
    let layer = &job.layer.descriptor;
    let manifest = artifact::manifest(job.kind, std::slice::from_ref(layer), &job.annotations)
        .map_err(|error| Error::new(ErrorKind::Unsupported, what(), error.to_string()))?;
    let offer = Offer {
        descriptor: layer.clone(),
        mount_from: Vec::new(),
        body: Some(file_body(job.layer.file.path(), layer)),
        moved: Arrival::Uploaded,
    };
    for destination in resolver.destinations(std::slice::from_ref(job.to))? {
        let target = &destination.target;
        let (config, content) = artifact::empty_config();
        target.place_blob(&offer).await?;
        target.place_document(&config, content).await?;
        target.place_manifest(&manifest, &destination.tags).await?;
        target.finish().await?;
    }
    Ok(manifest.digest().clone())
}

/// Reads the layers of an artifact into files of a directory, lowest first; `None` where there is
/// nothing under that name.
///
/// # Errors
/// When it cannot be read, or is of another type.
pub async fn pull(
    from: &Reference,
    kind: &str,
    resolver: &Resolver,
    directory: &Path,
) -> Result<Option<Vec<PathBuf>>, Error> {
    let found = async {
        let source = resolver.source(from).await?;
        let root = source.root().await?;
        Ok::<_, Error>((source, root))
    };
    let (source, root) = match found.await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        found => found?,
    };
    let layers = match root.content() {
        Content::Image { layers, .. } if root.artifact_type() == Some(kind) => layers,
        _ => {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("cannot use {from}"),
                format!("it is no artifact of type {kind}"),
            ));
        }
    };
    let mut files = Vec::new();
    for layer in layers {
        let path = directory.join(layer.digest.hex());
        files.push(spool(Arc::as_ref(&source), layer, path).await?);
    }
    Ok(Some(files))
}
