//! An image by its reference: its documents, and its layers with where their bytes come from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::try_join_all;

use ohoci_compose::compose::ImageLayer;
use ohoci_compose::flatten;
use ohoci_compose::read::{self, Choice};
use ohoci_compose::resolver::Resolver;
use ohoci_image::image_config::ImageConfig;
use ohoci_image::media_type::Compression;
use ohoci_image::{Content, Digest, Manifest, Platform, Reference};
use ohoci_layer::limits::UnpackLimits;
use ohoci_layer::{LayerPath, PackOptions, PackedLayer, Tree};
use ohoci_store::{Error, ErrorKind, Source};

/// An image whose documents were read, and none of its layers.
pub struct FoundImage {
    /// Its config.
    pub config: ImageConfig,
    manifest: Manifest,
    source: Arc<dyn Source>,
    limits: UnpackLimits,
    what: String,
}

impl std::fmt::Debug for FoundImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("FoundImage").field(self.digest()).finish()
    }
}

/// Reads the documents of an image: of an index those of the only image, or of the one for the
/// platform, or for this machine.
///
/// # Errors
/// When the image cannot be read or is not for Linux.
pub async fn find_image(
    resolver: &Resolver,
    reference: &Reference,
    platform: Option<&Platform>,
) -> Result<FoundImage, Error> {
    let what = format!("cannot unpack {reference}");
    let choice = platform.map_or(Choice::Default, |platform| {
        Choice::Platforms(vec![platform.clone()])
    });
    resolver.announce(&[reference], &[]);
    let source = resolver.source(reference).await?;
    let found = read::images(Arc::clone(&source), &choice, &|_, _| ()).await?;
    let why = match found.images.into_iter().next() {
        None => "it holds no image".to_owned(),
        Some(image) if image.config.platform().os != "linux" => format!(
            "it is for {}; only images for Linux can be unpacked",
            image.config.platform()
        ),
        Some(image) => {
            return Ok(FoundImage {
                config: image.config,
                manifest: image.manifest,
                source,
                limits: resolver.limits,
                what,
            });
        }
    };
    Err(Error::new(ErrorKind::Unsupported, what, why))
}

impl FoundImage {
    /// Its layers, lowest first.
    ///
    /// # Errors
    /// When manifest and config do not agree in how many there are.
    pub fn layers(&self) -> Result<Vec<ImageLayer>, Error> {
        let unsupported = |why: String| Error::new(ErrorKind::Unsupported, self.what.clone(), why);
        let Content::Image { layers, .. } = self.manifest.content() else {
            return Err(unsupported("it is an index, not an image".to_owned()));
        };
        let diff_ids = self.config.diff_ids();
        if layers.len() != diff_ids.len() {
            return Err(unsupported(format!(
                "its manifest lists {} layers, but its config {} diff IDs",
                layers.len(),
                diff_ids.len()
            )));
        }
        let layers = layers
            .iter()
            .zip(diff_ids)
            .map(|(layer, diff_id)| ImageLayer {
                diff_id: diff_id.clone(),
                body: self.source.blob(layer),
                size: layer.size,
            });
        Ok(layers.collect())
    }

    /// The digest of its manifest.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        self.manifest.digest()
    }

    /// What it finally shows, as an uncompressed tar in `work_dir`. Layers wait there until then.
    ///
    /// # Errors
    /// When a layer cannot be read, or the layers do not fit together.
    pub async fn tar(&self, work_dir: &Path) -> Result<PackedLayer, Error> {
        let what = || self.what.clone();
        let files = self.spooled(work_dir).await?;
        let (work, diff_ids) = (work_dir.to_owned(), self.config.diff_ids().to_vec());
        let limits = self.limits;
        tokio::task::spawn_blocking(move || {
            let tree = tree(&files, &diff_ids, (&work, limits))?;
            let options = PackOptions {
                compression: Compression::None,
                ..PackOptions::default()
            };
            ohoci_layer::pack_tree(tree, String::new(), &options, &work)
                .map_err(|error| error.to_string())
        })
        .await
        .map_err(|error| Error::new(ErrorKind::Io, what(), error.to_string()))?
        .map_err(|why| Error::new(ErrorKind::Unsupported, what(), why))
    }

    /// Its layers as files, lowest first.
    async fn spooled(&self, work_dir: &Path) -> Result<Vec<PathBuf>, Error> {
        let Content::Image { layers, .. } = self.manifest.content() else {
            let why = "it is an index, not an image";
            let what = self.what.clone();
            return Err(Error::new(ErrorKind::Unsupported, what, why.to_owned()));
        };
        try_join_all(layers.iter().enumerate().map(|(at, layer)| {
            let path = work_dir.join(format!("image-layer-{at}"));
            flatten::spool(self.source.as_ref(), layer, path)
        }))
        .await
    }
}

/// What the layers in these files finally show; an image without layers has no files, which is nothing to
/// be complained of.
fn tree(
    files: &[PathBuf],
    diff_ids: &[Digest],
    (work_dir, limits): (&Path, UnpackLimits),
) -> Result<Tree, String> {
    if files.is_empty() && diff_ids.is_empty() {
        return Ok(Tree::new());
    }
    flatten::image_tree(files, diff_ids, &LayerPath::root(), (work_dir, limits))
}
