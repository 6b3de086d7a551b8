//! Reads images: the root, the right children of an index, their configs.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::flatten::Flattened;
use crate::oci::image_config::ImageConfig;
use crate::oci::index::{self, Skipped, Wanted};
use crate::oci::{Content, Descriptor, Digest, Document, Manifest, Platform, Reference, shape};
use crate::store::{Error, ErrorKind, Source};

/// An image of one platform: its two documents.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its position in the index it was chosen from.
    pub at: Option<usize>,
    /// The manifest.
    pub manifest: Manifest,
    /// The config.
    pub config: ImageConfig,
}

/// What a reference was found to hold.
#[derive(Debug)]
pub struct Found {
    /// The place it was read from.
    pub source: Arc<dyn Source>,
    /// What the reference names.
    pub root: Manifest,
    /// The chosen images.
    pub images: Vec<Image>,
    /// Entries of the index that are no images.
    pub skipped: Vec<Skipped>,
}

impl Found {
    /// The root, when it is an index.
    #[must_use]
    pub fn index(&self) -> Option<&Manifest> {
        matches!(self.root.content(), Content::Index { .. }).then_some(&self.root)
    }
}

/// How many documents are read at once.
const AT_ONCE: usize = 16;

/// How many entries of an index are read. Real ones list a few dozen; a hostile one fits tens of
/// thousands into its 4 MiB, each of which may name documents of megabytes.
const MAX_CHILDREN: usize = 1024;

/// Does something for each entry of an index, a few at a time, in their order.
pub(super) async fn each<'a, T, R, F>(
    place: &str,
    entries: &'a [T],
    read: impl Fn(&'a T) -> F,
) -> Result<Vec<R>, Error>
where
    F: Future<Output = Result<R, Error>>,
{
    if entries.len() > MAX_CHILDREN {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("cannot read {place}"),
            format!(
                "it lists {} images; at most {MAX_CHILDREN} are read",
                entries.len()
            ),
        ));
    }
    stream::iter(entries)
        .map(read)
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

/// Which images of a base are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The only one; of several, the one for this machine.
    Default,
    /// Those for these platforms.
    Platforms(Vec<Platform>),
    /// Every one.
    All,
}

/// The platform of this machine, for choosing where nobody said which.
#[must_use]
pub fn this_machine() -> Platform {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    };
    Platform::new("linux", architecture)
}

/// The name that others can find an image by: only registries have one.
#[must_use]
pub fn public_name(reference: &Reference) -> Option<String> {
    reference.registry().map(ToString::to_string)
}

/// Is told of each chosen image's manifest as soon as it is known, while its config is being read.
pub type Ahead<'a> = dyn Fn(&dyn Source, &Manifest) + Send + Sync + 'a;

/// Reads the images of a base.
///
/// # Errors
/// When something is missing, unreadable or of a kind that cannot be composed.
pub async fn images(
    source: Arc<dyn Source>,
    choice: &Choice,
    ahead: &Ahead<'_>,
) -> Result<Found, Error> {
    let root = source.root().await?;
    let Content::Index { .. } = root.content() else {
        let image = image_and_ahead(source.as_ref(), None, root.clone(), ahead).await?;
        check_platform(source.as_ref(), &image, choice)?;
        return Ok(Found {
            source,
            root,
            images: vec![image],
            skipped: Vec::new(),
        });
    };
    let wanted = match choice {
        Choice::All => Wanted::All,
        Choice::Platforms(platforms) => Wanted::Platforms(platforms.clone()),
        Choice::Default => {
            let all = index::children(&root).map_err(|error| cannot_choose(&source, &error))?;
            if all.children.len() == 1 {
                Wanted::All
            } else {
                Wanted::Platforms(vec![this_machine()])
            }
        }
    };
    let selection =
        index::select(&root, &wanted).map_err(|error| cannot_choose(&source, &error))?;
    let images = each(&source.place(), &selection.children, |child| {
        let source = Arc::clone(&source);
        async move {
            let manifest = source.manifest(&child.descriptor).await?;
            image_and_ahead(source.as_ref(), Some(child.at), manifest, ahead).await
        }
    })
    .await?;
    Ok(Found {
        source,
        root,
        images,
        skipped: selection.skipped,
    })
}

fn cannot_choose(source: &Arc<dyn Source>, error: &index::IndexError) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("cannot choose an image of {}", source.place()),
        error.to_string(),
    )
    .hinted("name platforms with --platform, or take them all with --all-platforms")
}

fn check_platform(source: &dyn Source, image: &Image, choice: &Choice) -> Result<(), Error> {
    let Choice::Platforms(wanted) = choice else {
        return Ok(());
    };
    wanted
        .iter()
        .try_for_each(|wanted| expect(source, &image.config, wanted))
}

/// Checks that a manifest which stands alone is the image for a platform.
///
/// # Errors
/// When it is for another, is no image, or its config is unreadable.
pub async fn expect_platform(
    source: &dyn Source,
    manifest: &Manifest,
    wanted: &Platform,
) -> Result<(), Error> {
    expect(source, &config(source, manifest).await?, wanted)
}

/// Checks that what was read is what was to be read: local places cannot be asked by digest.
///
/// # Errors
/// When the digest is another.
pub fn expect_pin(
    reference: &Reference,
    pin: Option<&Digest>,
    root: &Manifest,
) -> Result<(), Error> {
    match pin {
        Some(pin) if pin != root.digest() => Err(Error::new(
            ErrorKind::NotFound,
            format!("cannot read {reference} at {pin}"),
            format!("it is {} now", root.digest()),
        )),
        _ => Ok(()),
    }
}

fn expect(source: &dyn Source, config: &ImageConfig, wanted: &Platform) -> Result<(), Error> {
    let there = config.platform();
    if wanted.selects(there) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Unsupported,
        format!("cannot choose an image of {}", source.place()),
        format!("there is no image for {wanted}; it is one image, for {there}"),
    ))
}

/// Reads the config of a manifest. The request for it goes first, so that it gets the connection
/// that has just become free.
async fn image_and_ahead(
    source: &dyn Source,
    at: Option<usize>,
    manifest: Manifest,
    ahead: &Ahead<'_>,
) -> Result<Image, Error> {
    let known = manifest.clone();
    let (image, ()) = futures_util::join!(image(source, at, manifest), async {
        ahead(source, &known);
    });
    image
}

/// Reads the config of a manifest.
async fn image(source: &dyn Source, at: Option<usize>, manifest: Manifest) -> Result<Image, Error> {
    let config = config(source, &manifest).await?;
    Ok(Image {
        at,
        manifest,
        config,
    })
}

async fn config(source: &dyn Source, manifest: &Manifest) -> Result<ImageConfig, Error> {
    let refuse = |why: String| {
        Error::new(
            ErrorKind::Unsupported,
            format!("cannot use {}", source.place()),
            why,
        )
    };
    let Content::Image { config, .. } = manifest.content() else {
        return Err(refuse(
            "an index inside an index is not an image".to_owned(),
        ));
    };
    if !crate::oci::media_type::is_image_config(&config.media_type) {
        return Err(refuse(format!(
            "it is an artifact of type {:?}, not an image",
            config.media_type
        )));
    }
    let bytes = source.document(config).await?;
    let document = Document::parse(bytes, &shape::CONFIG)
        .map_err(|error| refuse(format!("config: {error}")))?;
    ImageConfig::parse(document).map_err(|error| refuse(error.to_string()))
}

/// A deps image, of which the right child is chosen for each platform.
#[derive(Debug)]
pub struct Deps {
    /// The place it is read from.
    pub source: Arc<dyn Source>,
    /// The reference that others can find it by, if there is one.
    pub name: Option<String>,
    /// What the reference names.
    pub root: Manifest,
    read: tokio::sync::Mutex<HashMap<Digest, Image>>,
    /// What was taken out of it, by image and path. Held while it is being done.
    pub(super) flattened: tokio::sync::Mutex<HashMap<String, Flattened>>,
}

impl Deps {
    /// Reads what the reference names.
    ///
    /// # Errors
    /// When it is missing or unreadable.
    pub async fn open(source: Arc<dyn Source>, name: Option<String>) -> Result<Self, Error> {
        Ok(Self {
            root: source.root().await?,
            source,
            name,
            read: tokio::sync::Mutex::default(),
            flattened: tokio::sync::Mutex::default(),
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
                index::best_for(&self.root, platform)
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
        let image = image(self.source.as_ref(), None, manifest).await?;
        read.insert(descriptor.digest, image.clone());
        Ok(image)
    }

    /// The image for this machine where there is one, or else the first: what they all say.
    ///
    /// # Errors
    /// When there is none at all, or it is unreadable.
    pub async fn first_image(&self) -> Result<Image, Error> {
        let mut platform = this_machine();
        if let Content::Index { .. } = self.root.content()
            && index::best_for(&self.root, &platform).is_err()
            && let Ok(children) = index::children(&self.root)
        {
            let mut found = children.children.into_iter();
            let first = found.find_map(|child| child.descriptor.platform);
            platform = first.unwrap_or(platform);
        }
        self.image_for(&platform).await
    }

    async fn child(&self, descriptor: &Descriptor) -> Result<Manifest, Error> {
        if descriptor.digest == *self.root.digest() {
            Ok(self.root.clone())
        } else {
            self.source.manifest(descriptor).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_index_of_thousands_is_not_read() {
        let read = |number: &usize| {
            let number = *number;
            async move { Ok::<_, Error>(number) }
        };
        let few: Vec<usize> = (0..MAX_CHILDREN).collect();
        assert_eq!(each("x", &few, read).await.unwrap(), few);
        let many: Vec<usize> = (0..=MAX_CHILDREN).collect();
        let refused = each("x", &many, read).await.unwrap_err();
        assert!(refused.why().contains("1025 images"), "{refused}");
    }
}
