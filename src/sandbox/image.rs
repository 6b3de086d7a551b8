//! An image's files in a directory of this machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::try_join_all;

use super::remove::RemovedDirectory;
use super::unpack::{Owners, UnpackError, unpack};
use crate::layer::{LayerPath, Tree};
use crate::oci::image_config::ImageConfig;
use crate::oci::{Content, Platform, Reference};
use crate::store::{Error, ErrorKind};
use crate::transfer::flatten;
use crate::transfer::places::Places;
use crate::transfer::read::{self, Choice};

/// An image that was unpacked.
#[derive(Debug)]
pub struct UnpackedImage {
    /// Its config.
    pub config: ImageConfig,
    /// Its files, which are removed with this.
    pub directory: RemovedDirectory,
}

/// Unpacks an image into a directory for temporary files, as whoever runs this may: everything is
/// owned by them. Of an index that is the only image, or the one for the platform, or for this
/// machine.
///
/// Layers wait in `work_dir` until they are unpacked.
///
/// # Errors
/// When the image cannot be read, is not for Linux, or cannot be unpacked.
pub async fn unpack_image(
    places: &Places,
    reference: &Reference,
    platform: Option<&Platform>,
    work_dir: &Path,
) -> Result<UnpackedImage, Error> {
    let what = || format!("cannot unpack {reference}");
    let unsupported = |why: String| Error::new(ErrorKind::Unsupported, what(), why);
    let choice = platform.map_or(Choice::Default, |platform| {
        Choice::Platforms(vec![platform.clone()])
    });
    places.announce(&[reference], &[]);
    let source = places.source(reference).await?;
    let found = read::images(Arc::clone(&source), &choice, &|_, _| ()).await?;
    let image = found.images.into_iter().next();
    let image = image.ok_or_else(|| unsupported("it holds no image".to_owned()))?;
    if image.config.platform().os != "linux" {
        let platform = image.config.platform();
        return Err(unsupported(format!(
            "it is for {platform}; only images for Linux can be unpacked"
        )));
    }
    let Content::Image { layers, .. } = image.manifest.content() else {
        return Err(unsupported("it is an index, not an image".to_owned()));
    };
    let files = try_join_all(layers.iter().enumerate().map(|(at, layer)| {
        let path = work_dir.join(format!("image-layer-{at}"));
        flatten::spool(source.as_ref(), layer, path)
    }))
    .await?;
    // A thread cannot be dropped like a future: it is told to stop, and cleans up itself.
    let wanted = Wanted(Arc::new(AtomicBool::new(true)));
    let still_wanted = Arc::clone(&wanted.0);
    let work = work_dir.to_owned();
    let directory = tokio::task::spawn_blocking(move || write(&files, &work, &still_wanted))
        .await
        .map_err(|error| Error::new(ErrorKind::Io, what(), error.to_string()))?
        .map_err(|failure| failure.into_error(what()))?;
    Ok(UnpackedImage {
        config: image.config,
        directory,
    })
}

/// Says that nobody waits any more, when it is dropped.
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

enum Failure {
    Layers(String),
    Unpack(UnpackError),
    Io(std::io::Error),
}

impl Failure {
    fn into_error(self, what: String) -> Error {
        match self {
            Self::Layers(why) => Error::new(ErrorKind::Unsupported, what, why),
            Self::Io(error) => Error::io(what, error),
            Self::Unpack(UnpackError::Write {
                action,
                path,
                error,
            }) => {
                let message = format!("cannot {action} {path}: {error}");
                Error::io(what, std::io::Error::new(error.kind(), message))
            }
            Self::Unpack(error) => Error::new(ErrorKind::Unsupported, what, error.to_string()),
        }
    }
}

fn write(
    files: &[PathBuf],
    work_dir: &Path,
    wanted: &AtomicBool,
) -> Result<RemovedDirectory, Failure> {
    // An image without layers has no files, which is nothing to be complained of.
    let tree = if files.is_empty() {
        Tree::new()
    } else {
        flatten::tree(files, &LayerPath::root(), work_dir).map_err(Failure::Layers)?
    };
    for file in files {
        // They only take room by now, and go with the directory at the latest.
        let _ = fs_err::remove_file(file);
    }
    let directory = RemovedDirectory::create().map_err(Failure::Io)?;
    let proceed = || wanted.load(Ordering::Relaxed);
    unpack(tree, directory.path(), Owners::Own, &proceed).map_err(Failure::Unpack)?;
    Ok(directory)
}
