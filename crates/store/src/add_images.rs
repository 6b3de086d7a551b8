//! Adding images to an archive that may be there already.

use std::path::PathBuf;
use std::sync::Arc;

use ohoci_image::{Pointer, Reference};

use super::archive::copy;
use super::layout::target::blocking;
use super::open::open_target;
use super::{Error, Source, docker_archive, oci_archive};

/// Puts images under names into an archive, beside what it holds already.
///
/// # Errors
/// When an image cannot be read, or the archive cannot be written; it stays as it was then.
pub async fn add_images(
    archive: &Reference,
    images: &[(String, Arc<dyn Source>)],
) -> Result<(), Error> {
    let Some(target) = open_target(archive) else {
        return Ok(());
    };
    let path = match archive {
        Reference::OciArchive { path, .. } | Reference::DockerArchive { path, .. } => path.clone(),
        _ => PathBuf::new(),
    };
    let is_docker = matches!(archive, Reference::DockerArchive { .. });
    // A file that cannot be read is replaced.
    let known = blocking("cannot open the old file", move || {
        Ok(match (path.is_file(), is_docker) {
            (false, _) => Vec::new(),
            (true, true) => docker_archive::names(&path).unwrap_or_default(),
            (true, false) => oci_archive::names(&path).unwrap_or_default(),
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
