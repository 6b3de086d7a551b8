//! Adding images to an archive that may be there already.

use std::path::PathBuf;
use std::sync::Arc;

use ohoci_image::{Pointer, Reference};
use ohoci_layer::limits::UnpackLimits;

use super::archive::copy;
use super::open::open_target;
use super::{Error, Source, docker_archive, oci_archive};
use ohoci_files::blocking::blocking;

/// Puts images under names into an archive, beside what it holds already.
///
/// # Errors
/// When an image cannot be read, or unpacks to more than the limits allow, or the archive cannot be written; it stays as it was then.
pub async fn add_images(
    archive: &Reference,
    images: &[(String, Arc<dyn Source>)],
    limits: UnpackLimits,
) -> Result<(), Error> {
    let Some(target) = open_target(archive, limits) else {
        return Ok(());
    };
    let path = match archive {
        Reference::OciArchive { path, .. } | Reference::DockerArchive { path, .. } => path.clone(),
        _ => PathBuf::new(),
    };
    let is_docker = matches!(archive, Reference::DockerArchive { .. });
    // A file that cannot be read is replaced.
    let known = blocking(move || {
        Ok::<_, Error>(match (path.is_file(), is_docker) {
            (false, _) => Vec::new(),
            (true, true) => docker_archive::names(&path, limits).unwrap_or_default(),
            (true, false) => oci_archive::names(&path, limits).unwrap_or_default(),
        })
    });
    for name in known.await? {
        target.current(&Pointer::Tag(name)).await?;
    }
    for (name, source) in images {
        let root = source.root().await?;
        copy(&**source, &*target, &root, std::slice::from_ref(name), 0).await?;
    }
    target.finish().await
}
