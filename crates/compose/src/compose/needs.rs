//! Where every layer of the result can be had.

use std::sync::Arc;

use super::composed::Composed;
use crate::local::LayerBytes;
use crate::plan::{Move, Need, Way};
use crate::resolver::Destination;
use ohoci_image::Role;
use ohoci_image::compose::ComposedLayer;
use ohoci_image::media_type::{self, LayerKind};
use ohoci_store::{Error, ErrorKind};

/// Every layer of the result and where it can be had.
pub(super) fn needs(composed: &Composed<'_>) -> Vec<Need> {
    let layers = composed.made.images.iter().flat_map(|image| &image.layers);
    layers.filter_map(|layer| need(composed, layer)).collect()
}

pub(super) fn need(composed: &Composed<'_>, layer: &ComposedLayer) -> Option<Need> {
    // It stays where its URLs say it is.
    let kind = media_type::layer_kind(&layer.descriptor.media_type);
    if kind == LayerKind::Foreign && !layer.descriptor.urls.is_empty() {
        return None;
    }
    let digest = &layer.descriptor.digest;
    let read = &composed.read;
    let lies_in = match layer.role {
        Role::Base => LayerBytes::Image(Arc::clone(&read.base.as_ref()?.source)),
        Role::Deps => match composed.flattened.get(digest) {
            Some(body) => LayerBytes::File(Arc::clone(body)),
            None => LayerBytes::Image(Arc::clone(&read.deps.get(layer.addition?)?.source)),
        },
        Role::Local => {
            let mut layers = composed.local.iter();
            let local = layers.find(|known| known.descriptor.digest == *digest)?;
            local.from.clone()
        }
    };
    let descriptor = layer.descriptor.clone();
    Some(match lies_in {
        LayerBytes::File(body) => Need {
            descriptor,
            role: layer.role,
            origin: None,
            place: "this machine".to_owned(),
            local: true,
            body,
        },
        LayerBytes::Image(source) => Need {
            body: source.blob(&descriptor),
            descriptor,
            role: layer.role,
            origin: source.origin(),
            place: source.place(),
            local: false,
        },
    })
}

/// Refuses a plan that is certain to move bytes into a registry.
pub(super) fn forbid_moves(destination: &Destination, moves: &[Move]) -> Result<(), Error> {
    if destination.target.origin().is_none() {
        return Ok(());
    }
    let refused: Vec<String> = moves
        .iter()
        .filter(|step| step.way.moves_bytes())
        .map(|step| {
            format!(
                "{} ({} bytes): {}",
                step.offer.descriptor.digest,
                step.offer.descriptor.size,
                step.way.describe()
            )
        })
        .collect();
    // Whether a layer from elsewhere happens to be in the target only the registry knows; it is
    // asked when the plan runs, and the offer carries no bytes.
    let certain = moves.iter().any(|step| matches!(step.way, Way::Upload));
    if certain {
        return Err(Error::new(
            ErrorKind::WouldUpload,
            format!(
                "cannot push to {} without moving layer bytes",
                destination.target.place()
            ),
            refused.join("\n  "),
        )
        .hinted("leave out --no-upload, or take the layer from an image in the same registry"));
    }
    Ok(())
}
