//! Opening the places on this machine that references name.

use std::sync::Arc;

use ohoci_image::Reference;
use ohoci_layer::limits::UnpackLimits;

use super::docker_archive::{DockerArchiveSource, DockerArchiveTarget};
use super::layout::{Layout, LayoutSource, LayoutTarget};
use super::oci_archive::{self, OciArchiveTarget};
use super::{Error, Source, Target};
use ohoci_files::blocking::blocking;

/// Opens an image on this machine; `None` when the reference is to a registry or to `scratch`. An
/// archive that is compressed may unpack to as much as the limits allow.
///
/// # Errors
/// When there is nothing, or nothing that can be read.
pub async fn open_source(
    reference: &Reference,
    limits: UnpackLimits,
) -> Result<Option<Arc<dyn Source>>, Error> {
    let reference = reference.clone();
    blocking(move || {
        let source: Arc<dyn Source> = match &reference {
            Reference::Registry(_) | Reference::Scratch => return Ok(None),
            Reference::Layout { path, tag } => {
                Arc::new(LayoutSource::new(Layout::open(path)?, tag.as_deref()))
            }
            Reference::OciArchive { path, tag } => {
                Arc::new(oci_archive::open(path, tag.as_deref(), limits)?)
            }
            Reference::DockerArchive { path, name } => {
                Arc::new(DockerArchiveSource::open(path, name.as_deref(), limits)?)
            }
        };
        Ok(Some(source))
    })
    .await
}

/// A target on this machine; `None` when the reference is to a registry or to `scratch`.
///
/// Layers whose content is compared with the config may unpack to as much as the limits allow.
///
/// Nothing is read or written yet. References that differ only in their tag name one place (see
/// [`place_of`]), and an archive is written anew by each target, so open one for all of them.
#[must_use]
pub fn open_target(reference: &Reference, limits: UnpackLimits) -> Option<Arc<dyn Target>> {
    Some(match reference {
        Reference::Registry(_) | Reference::Scratch => return None,
        Reference::Layout { path, .. } => Arc::new(LayoutTarget::new(path)),
        Reference::OciArchive { path, .. } => Arc::new(OciArchiveTarget::new(path, limits)),
        Reference::DockerArchive { path, .. } => Arc::new(DockerArchiveTarget::new(path, limits)),
    })
}

/// The reference without its tag and with an absolute path: equal for references that are to
/// share a target. `None` when the reference is to a registry or to `scratch`.
#[must_use]
pub fn place_of(reference: &Reference) -> Option<Reference> {
    let mut place = reference.clone();
    let path = match &mut place {
        Reference::Registry(_) | Reference::Scratch => return None,
        Reference::Layout { path, tag } | Reference::OciArchive { path, tag } => {
            *tag = None;
            path
        }
        Reference::DockerArchive { path, name } => {
            *name = None;
            path
        }
    };
    // Without a working directory the path stays as it was given.
    if let Ok(absolute) = std::path::absolute(&*path) {
        *path = absolute;
    }
    Some(place)
}

/// The tag or name that a reference to a place on this machine gives.
#[must_use]
pub fn tag_of(reference: &Reference) -> Option<&str> {
    match reference {
        Reference::Registry(_) | Reference::Scratch => None,
        Reference::Layout { tag, .. } | Reference::OciArchive { tag, .. } => tag.as_deref(),
        Reference::DockerArchive { name, .. } => name.as_deref(),
    }
}
