//! Where every layer of the result can be had.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::documents::Made;
use super::{Job, LayerBytes};
use crate::plan::{Move, Need, Role, Way};
use crate::read::{Deps, Found};
use crate::resolver::Destination;
use ohoci_image::Digest;
use ohoci_image::compose::LayerOrigin;
use ohoci_image::media_type::{self, LayerKind};
use ohoci_store::{Body, Error, ErrorKind};

/// Every layer of the result and where it can be had.
pub(super) fn needs(
    job: &Job,
    base: Option<&Found>,
    deps: &[Arc<Deps>],
    flattened: &BTreeMap<Digest, Arc<dyn Body>>,
    made: &Made,
) -> Vec<Need> {
    let mut needs = Vec::new();
    for image in &made.images {
        for layer in &image.layers {
            // It stays where its URLs say it is.
            let kind = media_type::layer_kind(&layer.descriptor.media_type);
            if kind == LayerKind::Foreign && !layer.descriptor.urls.is_empty() {
                continue;
            }
            let (source, role, file) = match layer.origin {
                LayerOrigin::Base => (base.map(|found| &found.source), Role::Base, None),
                LayerOrigin::Deps(at) => match flattened.get(&layer.descriptor.digest) {
                    Some(body) => (None, Role::Deps, Some(Arc::clone(body))),
                    None => (deps.get(at).map(|deps| &deps.source), Role::Deps, None),
                },
                LayerOrigin::Local(_) => {
                    let digest = &layer.descriptor.digest;
                    let mut layers = job.layers.iter();
                    let layer = layers.find(|known| known.descriptor.digest == *digest);
                    match layer.map(|layer| &layer.from) {
                        Some(LayerBytes::File(body)) => (None, Role::Local, Some(Arc::clone(body))),
                        Some(LayerBytes::Image(source)) => (Some(source), Role::Local, None),
                        None => (None, Role::Local, None),
                    }
                }
            };
            let (origin, place, body) = match (source, &file) {
                (Some(source), _) => (
                    source.origin(),
                    source.place(),
                    source.blob(&layer.descriptor),
                ),
                (None, Some(body)) => (None, "this machine".to_owned(), Arc::clone(body)),
                (None, None) => continue,
            };
            needs.push(Need {
                descriptor: layer.descriptor.clone(),
                role,
                origin,
                place,
                local: file.is_some(),
                body,
            });
        }
    }
    needs
}

pub(super) fn forbid_moves(destination: &Destination, moves: &[Move]) -> Result<(), Error> {
    if destination.registry.is_none() {
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
