//! Deps images: the right image for each platform, and one path out of it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::fit;
use super::flatten::{self, Flattened};
use super::layer_reader::LayerReader;
use super::read::{self, Image, Said};
use ohoci_image::index::{self, Child};
use ohoci_image::{Content, Descriptor, Digest, Manifest, Platform};
use ohoci_store::{Error, ErrorKind, Source};

/// A deps image, of which the right child is chosen for each platform.
#[derive(Debug)]
pub struct Deps {
    /// The place it is read from.
    pub source: Arc<dyn Source>,
    /// The reference that others can find it by, if there is one.
    pub name: Option<String>,
    /// What the reference names.
    pub root: Manifest,
    /// Its images, when it is an index.
    pub entries: Vec<Child>,
    read: tokio::sync::Mutex<HashMap<Digest, Image>>,
    /// What was taken out of it, by image and path. Held while it is being done.
    flattened: tokio::sync::Mutex<HashMap<(Digest, String), Flattened>>,
    /// Which of some paths an image does not have.
    missing: tokio::sync::Mutex<HashMap<(Digest, String), Option<String>>>,
}

impl Deps {
    /// Reads what the reference names.
    ///
    /// # Errors
    /// When it is missing or unreadable.
    pub async fn open(source: Arc<dyn Source>, name: Option<String>) -> Result<Self, Error> {
        let root = source.root().await?;
        let entries = match root.content() {
            Content::Image { .. } => Vec::new(),
            Content::Index { .. } => read::children(source.as_ref(), &root).await?.children,
        };
        Ok(Self {
            root,
            entries,
            source,
            name,
            read: tokio::sync::Mutex::default(),
            flattened: tokio::sync::Mutex::default(),
            missing: tokio::sync::Mutex::default(),
        })
    }

    /// The image that fits a platform best, read once however often it is asked for.
    ///
    /// # Errors
    /// When there is none for the platform (the message lists what there is), or it is unreadable.
    pub async fn image_for(&self, platform: &Platform) -> Result<Image, Error> {
        let descriptor = match self.root.content() {
            Content::Image { .. } => self.root.descriptor(),
            Content::Index { .. } => {
                index::best_among(&self.entries, platform)
                    .map_err(|error| {
                        Error::new(
                            ErrorKind::Unsupported,
                            format!("cannot use deps {}", self.source.place()),
                            error.to_string(),
                        )
                    })?
                    .descriptor
            }
        };
        let mut read = self.read.lock().await;
        if let Some(image) = read.get(&descriptor.digest) {
            return Ok(image.clone());
        }
        let manifest = self.child(&descriptor).await?;
        let said = Said {
            platform: descriptor
                .platform
                .clone()
                .unwrap_or_else(|| platform.clone()),
            guess: descriptor
                .platform
                .is_none()
                .then(|| format!("its config names no platform; it is taken to be for {platform}")),
        };
        let image = read::image(self.source.as_ref(), None, manifest, &said).await?;
        read.insert(descriptor.digest, image.clone());
        Ok(image)
    }

    /// The image for this machine where there is one, or else the first: what they all say.
    ///
    /// # Errors
    /// When there is none at all, or it is unreadable.
    pub async fn first_image(&self) -> Result<Image, Error> {
        let mut platform = read::this_machine();
        if let Content::Index { .. } = self.root.content()
            && index::best_among(&self.entries, &platform).is_err()
        {
            let mut found = self.entries.iter();
            let first = found.find_map(|child| child.descriptor.platform.clone());
            platform = first.unwrap_or(platform);
        }
        self.image_for(&platform).await
    }

    /// The first of these paths that one of its images does not have. Of its layers no more is read
    /// than it takes to find them, each once on one machine.
    ///
    /// # Errors
    /// When a layer cannot be read.
    pub async fn first_missing(
        &self,
        image: &Image,
        paths: &[&str],
        reader: LayerReader<'_>,
    ) -> Result<Option<String>, Error> {
        let mut missing = self.missing.lock().await;
        let key = (image.manifest.digest().clone(), paths.join(":"));
        if let Some(known) = missing.get(&key) {
            return Ok(known.clone());
        }
        let found = fit::first_missing(self.source.as_ref(), image, paths, reader).await?;
        missing.insert(key, found.clone());
        Ok(found)
    }

    /// What `path` finally holds in one of its images, as one layer. It is made once.
    ///
    /// # Errors
    /// As [`flatten`](flatten::flatten).
    pub async fn flattened(
        &self,
        image: &Image,
        path: &str,
        reader: LayerReader<'_>,
        work_dir: &Path,
    ) -> Result<Flattened, Error> {
        let mut flattened = self.flattened.lock().await;
        let key = (image.manifest.digest().clone(), path.to_owned());
        if let Some(known) = flattened.get(&key) {
            return Ok(known.clone());
        }
        let source = self.source.as_ref();
        let made = flatten::flatten(source, image, path, reader, work_dir).await?;
        flattened.insert(key, made.clone());
        Ok(made)
    }

    async fn child(&self, descriptor: &Descriptor) -> Result<Manifest, Error> {
        if descriptor.digest == *self.root.digest() {
            Ok(self.root.clone())
        } else {
            self.source.manifest(descriptor).await
        }
    }
}
