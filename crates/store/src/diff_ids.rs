//! Layers of an image that goes into an archive, compared with the diff IDs of its config: whoever
//! loads the archive (Docker, podman, containerd) refuses an image in which they differ.

use std::io;
use std::sync::Arc;

use super::layout::Layout;
use crate::{Error, ErrorKind, MAX_DOCUMENT};
use ohoci_image::image_config::ImageConfig;
use ohoci_image::media_type::{LayerKind, is_image_config, layer_kind};
use ohoci_image::{Content, Descriptor, Digest, Document, Manifest};
use ohoci_layer::decompress::Decompressor;
use ohoci_layer::limits::{Budget, UnpackLimits};
use ohoci_layer::{Hashed, WrongDiffId};

/// Compares one layer that lies in a layout.
///
/// # Errors
/// When it cannot be read.
pub(super) fn compare(
    layout: &Layout,
    layer: &Descriptor,
    diff_id: &Digest,
    limits: UnpackLimits,
) -> io::Result<Result<(), WrongDiffId>> {
    let region = layout.find(&layer.digest)?.ok_or_else(|| {
        let gone = format!("blob {} is gone", layer.digest);
        io::Error::new(io::ErrorKind::NotFound, gone)
    })?;
    let content = Decompressor::within(region.reader(), &Arc::new(Budget::new(limits)))?;
    Hashed::new(content, Some(diff_id)).compare(diff_id)
}

/// Compares all layers of an image that lies in a layout; what is no image, and layers that are
/// not ordinary ones or are not there, are passed over.
///
/// # Errors
/// When a layer is not what the config says, or cannot be read.
pub(super) fn compare_all(
    layout: &Layout,
    manifest: &Manifest,
    label: &str,
    limits: UnpackLimits,
) -> Result<(), Error> {
    let Content::Image { config, layers } = manifest.content() else {
        return Ok(());
    };
    if !is_image_config(&config.media_type) {
        return Ok(());
    }
    let fail = |why: String| {
        let what = format!("cannot put manifest {} into {label}", manifest.digest());
        Error::new(ErrorKind::Corrupt, what, why)
    };
    let Some(bytes) = layout.read(&config.digest, MAX_DOCUMENT)? else {
        return Ok(());
    };
    let document = Document::parse(bytes, &ohoci_image::shape::CONFIG)
        .map_err(|error| fail(format!("the config: {error}")))?;
    let config = ImageConfig::parse(document).map_err(|error| fail(error.to_string()))?;
    let diff_ids = config.diff_ids();
    if diff_ids.len() != layers.len() {
        return Err(fail(format!(
            "it lists {} layers, and its config has {} diff IDs",
            layers.len(),
            diff_ids.len()
        )));
    }
    for (layer, diff_id) in layers.iter().zip(diff_ids) {
        if !matches!(layer_kind(&layer.media_type), LayerKind::Ordinary(_)) || !layout.has(layer)? {
            continue;
        }
        match compare(layout, layer, diff_id, limits) {
            Ok(Ok(())) => {}
            Ok(Err(wrong)) => return Err(fail(format!("layer {}: {wrong}", layer.digest))),
            Err(error) => return Err(fail(format!("layer {}: {error}", layer.digest))),
        }
    }
    Ok(())
}
