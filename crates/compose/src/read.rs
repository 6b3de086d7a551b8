//! Reads images: the root, the right children of an index, their configs.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use ohoci_image::image_config::ImageConfig;
use ohoci_image::index::{self, Child, Selection, SkipReason, Skipped, Wanted};
use ohoci_image::{Content, Descriptor, Digest, Document, Manifest, Platform, Reference, shape};
use ohoci_store::{Error, ErrorKind, Source};

/// An image of one platform: its two documents.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its position in the index it was chosen from.
    pub at: Option<usize>,
    /// The manifest.
    pub manifest: Manifest,
    /// The config.
    pub config: ImageConfig,
    /// What whoever uses it should know.
    pub notes: Vec<String>,
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
    /// What whoever uses the images should know.
    pub notes: Vec<String>,
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

/// How deep indexes may lie in indexes.
pub(super) const MAX_DEPTH: usize = 4;

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

/// The platform of this machine: the choice where none was asked for.
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
pub(crate) fn public_name(reference: &Reference) -> Option<String> {
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
        let platform = match choice {
            Choice::Platforms(platforms) => platforms.first().cloned(),
            Choice::Default | Choice::All => None,
        };
        let said = Said::by_asking(platform);
        let mut image = image_and_ahead(source.as_ref(), None, root.clone(), &said, ahead).await?;
        check_platform(source.as_ref(), &image, choice)?;
        return Ok(Found {
            source,
            root,
            notes: std::mem::take(&mut image.notes),
            images: vec![image],
            skipped: Vec::new(),
        });
    };
    let all = children(source.as_ref(), &root).await?;
    let wanted = match choice {
        Choice::All => Wanted::All,
        Choice::Platforms(platforms) => Wanted::Platforms(platforms.clone()),
        Choice::Default if all.children.len() == 1 => Wanted::All,
        Choice::Default => Wanted::Platforms(vec![this_machine()]),
    };
    let selection = index::select_among(all, &wanted)
        .map_err(|error| cannot_choose(source.as_ref(), &error))?;
    let mut notes = substitutes(source.as_ref(), &selection.children, &wanted);
    let mut images = each(&source.place(), &selection.children, |child| {
        let source = Arc::clone(&source);
        async move {
            let manifest = source.manifest(&child.descriptor).await?;
            let at = (!child.nested).then_some(child.at);
            let said = Said::by_index(child.descriptor.platform.clone());
            image_and_ahead(source.as_ref(), at, manifest, &said, ahead).await
        }
    })
    .await?;
    for image in &mut images {
        notes.append(&mut image.notes);
    }
    Ok(Found {
        source,
        root,
        images,
        skipped: selection.skipped,
        notes,
    })
}

/// The images of an index, those of the indexes that it lists among them (image-spec
/// `image-index.md` allows that), in the order in which they are listed. What such an index says of
/// the platform counts for its images that say nothing.
///
/// # Errors
/// When it is no index, or an index that it lists cannot be read.
pub async fn children(source: &dyn Source, root: &Manifest) -> Result<Selection, Error> {
    let mut all = index::children(root).map_err(|error| cannot_choose(source, &error))?;
    let mut nested: Vec<Child> = Vec::new();
    all.skipped.retain(|entry| {
        let is_nested = entry.reason == SkipReason::NestedIndex;
        if is_nested {
            nested.push(Child {
                at: entry.at,
                descriptor: entry.descriptor.clone(),
                nested: true,
            });
        }
        !is_nested
    });
    for _ in 0..MAX_DEPTH {
        if nested.is_empty() {
            all.children.sort_by_key(|child| child.at);
            return Ok(all);
        }
        let indexes = each(&source.place(), &nested, |child| {
            source.manifest(&child.descriptor)
        })
        .await?;
        let mut deeper = Vec::new();
        for (outer, inner) in nested.iter().zip(&indexes) {
            let of_outer = |descriptor: &Descriptor| Child {
                at: outer.at,
                descriptor: Descriptor {
                    platform: descriptor
                        .platform
                        .clone()
                        .or_else(|| outer.descriptor.platform.clone()),
                    ..descriptor.clone()
                },
                nested: true,
            };
            let listed = index::children(inner).map_err(|error| cannot_choose(source, &error))?;
            let images = listed.children.iter().map(|child| &child.descriptor);
            all.children.extend(images.map(of_outer));
            for entry in listed.skipped {
                if entry.reason == SkipReason::NestedIndex {
                    deeper.push(of_outer(&entry.descriptor));
                } else {
                    all.skipped.push(entry);
                }
            }
        }
        nested = deeper;
    }
    Err(Error::new(
        ErrorKind::Unsupported,
        format!("cannot read {}", source.place()),
        format!("indexes lie in indexes more than {MAX_DEPTH} deep"),
    ))
}

/// The image of an index that a person means who asks for a platform.
///
/// # Errors
/// When the index cannot be read, or holds no image that runs there.
pub async fn chosen(
    source: &dyn Source,
    root: &Manifest,
    platform: &Platform,
) -> Result<Manifest, Error> {
    let wanted = Wanted::Platforms(vec![platform.clone()]);
    let all = children(source, root).await?;
    let selection =
        index::select_among(all, &wanted).map_err(|error| cannot_choose(source, &error))?;
    match selection.children.first() {
        Some(child) => source.manifest(&child.descriptor).await,
        None => Err(cannot_choose(source, &index::IndexError::Empty)),
    }
}

/// Says where images were chosen that are not for the platform asked for, but run there.
fn substitutes(source: &dyn Source, chosen: &[Child], wanted: &Wanted) -> Vec<String> {
    let Wanted::Platforms(wanted) = wanted else {
        return Vec::new();
    };
    let there = |wanted: &&Platform| {
        chosen
            .iter()
            .filter_map(|child| child.descriptor.platform.as_ref())
            .any(|platform| wanted.selects(platform))
    };
    wanted
        .iter()
        .filter(|wanted| !there(wanted))
        .filter_map(|wanted| {
            let mut platforms = chosen
                .iter()
                .filter_map(|child| child.descriptor.platform.as_ref());
            let taken = wanted.choose(platforms.clone())?;
            let taken = platforms.nth(taken)?;
            Some(format!(
                "{} has no image for {wanted}; the one for {taken} is taken, which runs there",
                source.place()
            ))
        })
        .collect()
}

/// What is known of an image's platform besides its config.
pub(super) struct Said {
    pub(super) platform: Platform,
    /// How that is known, where it is only a guess.
    pub(super) guess: Option<String>,
}

impl Said {
    fn by_index(platform: Option<Platform>) -> Self {
        Self::or_machine(
            platform,
            "neither its config nor the index names a platform",
        )
    }

    fn by_asking(platform: Option<Platform>) -> Self {
        Self::or_machine(platform, "its config names no platform")
    }

    fn or_machine(platform: Option<Platform>, why: &str) -> Self {
        match platform {
            Some(platform) => Self {
                platform,
                guess: None,
            },
            None => {
                let platform = this_machine();
                Self {
                    guess: Some(format!(
                        "{why}; it is taken to be for {platform}, as this machine is (--platform \
                         names another)"
                    )),
                    platform,
                }
            }
        }
    }
}

fn cannot_choose(source: &dyn Source, error: &index::IndexError) -> Error {
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
pub(crate) async fn expect_platform(
    source: &dyn Source,
    manifest: &Manifest,
    wanted: &Platform,
) -> Result<(), Error> {
    let said = Said::by_asking(Some(wanted.clone()));
    let (config, _) = config(source, manifest, &said).await?;
    expect(source, &config, wanted)
}

/// Checks that what was read is what was to be read: local places cannot be asked by digest.
///
/// # Errors
/// When the digest is another.
pub(crate) fn expect_pin(
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
    if wanted.choose(std::iter::once(there)).is_some() {
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
    said: &Said,
    ahead: &Ahead<'_>,
) -> Result<Image, Error> {
    let known = manifest.clone();
    let (image, ()) = futures_util::join!(image(source, at, manifest, said), async {
        ahead(source, &known);
    });
    image
}

/// Reads the config of a manifest.
pub(super) async fn image(
    source: &dyn Source,
    at: Option<usize>,
    manifest: Manifest,
    said: &Said,
) -> Result<Image, Error> {
    let (config, note) = config(source, &manifest, said).await?;
    Ok(Image {
        at,
        manifest,
        config,
        notes: note.into_iter().collect(),
    })
}

/// The config, and what is to be said of it.
async fn config(
    source: &dyn Source,
    manifest: &Manifest,
    said: &Said,
) -> Result<(ImageConfig, Option<String>), Error> {
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
    if !ohoci_image::media_type::is_image_config(&config.media_type) {
        return Err(refuse(format!(
            "it is an artifact of type {:?}, not an image",
            config.media_type
        )));
    }
    let bytes = source.document(config).await?;
    let document = Document::parse(bytes, &shape::CONFIG)
        .map_err(|error| refuse(format!("config: {error}")))?;
    let (config, assumed) = ImageConfig::parse_assuming(document, &said.platform)
        .map_err(|error| refuse(error.to_string()))?;
    let note = said.guess.as_ref().filter(|_| assumed);
    Ok((
        config,
        note.map(|guess| format!("{}: {guess}", source.place())),
    ))
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
