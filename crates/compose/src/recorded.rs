//! Composed images with the record that they carry of how they were made.

use std::sync::Arc;

use futures_util::future::try_join_all;

use crate::fit::Fit;
use crate::inspect::layer_history;
use crate::local::{LayerBytes, LocalLayer};
use crate::read;
use crate::resolver::Resolver;
use ohoci_image::image_config::ImageConfig;
use ohoci_image::label::{self, Intent, LabelError};
use ohoci_image::shape;
use ohoci_image::{
    Content, Descriptor, Digest, Document, Manifest, Platform, Reference, Role, media_type,
};
use ohoci_store::{Error, ErrorKind, Source};

/// An image or an index of images, as it was found.
#[derive(Debug)]
pub(crate) struct Recorded {
    /// The reference that it was asked for by.
    pub reference: Reference,
    /// The place it was read from.
    pub source: Arc<dyn Source>,
    /// What the reference names.
    pub root: Manifest,
    /// Its images; none when it is an artifact.
    pub images: Vec<RecordedImage>,
}

/// An image of one platform.
#[derive(Clone, Debug)]
pub(crate) struct RecordedImage {
    /// What it runs on: as the index says, where it is in one.
    pub platform: Platform,
    /// Its manifest.
    pub manifest: Manifest,
    /// Its config.
    pub config: ImageConfig,
}

/// Reads an image, or every image of an index.
///
/// With `remembered`, a tag that this machine has read or pushed is taken to name what it named
/// then, where that is in the cache: no request is sent. It is good where this machine alone moves
/// the tag.
///
/// # Errors
/// When something is missing or unreadable.
pub(crate) async fn read(
    resolver: &Resolver,
    reference: &Reference,
    remembered: bool,
) -> Result<Recorded, Error> {
    resolver.announce(&[reference], &[]);
    let pin = remembered.then(|| in_cache(resolver, reference)).flatten();
    let source = resolver.source_at(reference, pin.as_ref()).await?;
    let root = source.root().await?;
    let children: Vec<(Option<Platform>, Manifest)> = match root.content() {
        Content::Image { .. } => vec![(None, root.clone())],
        Content::Index { .. } => {
            let all = read::children(&*source, &root).await?;
            try_join_all(all.children.iter().map(|child| async {
                let manifest = source.manifest(&child.descriptor).await?;
                Ok::<_, Error>((child.descriptor.platform.clone(), manifest))
            }))
            .await?
        }
    };
    let images = try_join_all(
        children
            .into_iter()
            .map(|(platform, manifest)| image(source.as_ref(), platform, manifest)),
    )
    .await?;
    Ok(Recorded {
        reference: reference.clone(),
        root,
        images: images.into_iter().flatten().collect(),
        source,
    })
}

/// The digest that a tag is remembered by, when its manifest is in the cache.
fn in_cache(resolver: &Resolver, reference: &Reference) -> Option<Digest> {
    let registry = reference.registry()?;
    if registry.digest().is_some() {
        return None;
    }
    let tag = registry.tag().unwrap_or("latest");
    let repository = resolver
        .client
        .repository(registry.host(), registry.repository());
    let digest =
        resolver
            .cache
            .recent_reference(&repository.registry().ok()?, repository.name(), tag)?;
    resolver.cache.path_of(&digest).map(|_| digest)
}

/// `None` for an artifact.
async fn image(
    source: &dyn Source,
    platform: Option<Platform>,
    manifest: Manifest,
) -> Result<Option<RecordedImage>, Error> {
    let Content::Image { config, .. } = manifest.content() else {
        return Err(refuse(source, &"an index inside an index is not an image"));
    };
    if !media_type::is_image_config(&config.media_type) {
        return Ok(None);
    }
    let bytes = source.document(config).await?;
    let document =
        Document::parse(bytes, &shape::CONFIG).map_err(|error| refuse(source, &error))?;
    let assumed = platform.clone().unwrap_or_else(read::this_machine);
    let (config, _) =
        ImageConfig::parse_assuming(document, &assumed).map_err(|error| refuse(source, &error))?;
    Ok(Some(RecordedImage {
        platform: platform.unwrap_or_else(|| config.platform().clone()),
        manifest,
        config,
    }))
}

/// What of it was made for the base, as it was asked for.
fn fits(intent: &Intent) -> impl Iterator<Item = Fit> {
    let names = intent.local.iter();
    names.filter_map(|source| Fit::recorded(source.name.as_deref()?))
}

fn refuse(source: &dyn Source, why: &dyn std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("cannot read how {} was composed", source.place()),
        why.to_string(),
    )
}

/// A local layer of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Carried {
    descriptor: Descriptor,
    diff_id: Digest,
    name: String,
    created_by: String,
}

impl RecordedImage {
    /// The image's record.
    ///
    /// # Errors
    /// When it has one that this ohoci cannot read.
    pub(crate) fn intent(&self) -> Result<Option<Intent>, LabelError> {
        label::intent(self.config.document().object())
    }

    /// Its layers, lowest first.
    #[must_use]
    pub(crate) fn layers(&self) -> &[Descriptor] {
        match self.manifest.content() {
            Content::Image { layers, .. } => layers,
            Content::Index { .. } => &[],
        }
    }

    /// The local layers; `None` when the record does not fit the layers that there are.
    fn local(&self, intent: &Intent) -> Option<Vec<Carried>> {
        let layers = self.layers();
        intent.roles(layers.len())?;
        let diff_ids = self.config.diff_ids();
        if diff_ids.len() != layers.len() {
            return None;
        }
        let history = layer_history(self.config.document().object(), layers.len());
        let mut names = intent.local.iter();
        let mut carried = Vec::new();
        let mut at = 0;
        for (role, run) in &intent.layers {
            if *role == Role::Local {
                let name = names.next()?.name.clone().unwrap_or_default();
                // A tar or directory becomes one layer.
                if *run != 1 {
                    return None;
                }
                carried.push(Carried {
                    descriptor: layers.get(at)?.clone(),
                    diff_id: diff_ids.get(at)?.clone(),
                    created_by: history
                        .get(at)
                        .cloned()
                        .flatten()
                        .unwrap_or_else(|| format!("ohoci compose: layer {name}")),
                    name,
                });
            }
            at += run;
        }
        names.next().is_none().then_some(carried)
    }
}

impl Recorded {
    /// The one record that all images have in common.
    ///
    /// # Errors
    /// When there is none, it cannot be read, or the images of an index were made in different
    /// ways.
    pub(crate) fn intent(&self) -> Result<Intent, Error> {
        let mut common: Option<Intent> = None;
        for image in &self.images {
            let intent = image
                .intent()
                .map_err(|error| refuse(&*self.source, &error))?
                .ok_or_else(|| self.foreign())?;
            match &common {
                // Bases of different platforms may have different numbers of layers, and each platform
                // layers of its own.
                Some(known)
                    if fits(known).ne(fits(&intent))
                        || *known
                            != (Intent {
                                layers: known.layers.clone(),
                                local: known.local.clone(),
                                ..intent.clone()
                            }) =>
                {
                    return Err(self.differs());
                }
                Some(_) => {}
                None => common = Some(intent),
            }
        }
        common.ok_or_else(|| self.foreign())
    }

    /// The local layers, to be taken over from this image.
    ///
    /// # Errors
    /// When the record does not fit the image.
    pub(crate) fn local_layers(&self) -> Result<Vec<LocalLayer>, Error> {
        let mut all: Vec<(&Platform, Vec<Carried>)> = Vec::new();
        for image in &self.images {
            let intent = image
                .intent()
                .map_err(|error| refuse(&*self.source, &error))?
                .ok_or_else(|| self.foreign())?;
            let mut local = image.local(&intent).ok_or_else(|| self.altered())?;
            // It was made for the base, and is made anew for the next one.
            local.retain(|carried| Fit::recorded(&carried.name).is_none());
            all.push((&image.platform, local));
        }
        let same = |(_, a): &(_, Vec<Carried>), (_, b): &(_, Vec<Carried>)| {
            let is_same = |(a, b): (&Carried, &Carried)| {
                a.diff_id == b.diff_id && a.descriptor == b.descriptor
            };
            a.len() == b.len() && a.iter().zip(b).all(is_same)
        };
        // One set for all platforms, or for each its own.
        let is_shared = all.iter().zip(all.iter().skip(1)).all(|(a, b)| same(a, b));
        if is_shared {
            all.truncate(1);
        }
        let layers = all.into_iter().flat_map(|(platform, local)| {
            let platform = (!is_shared).then(|| platform.clone());
            local
                .into_iter()
                .map(move |carried| (platform.clone(), carried))
        });
        Ok(layers
            .map(|(platform, carried)| LocalLayer {
                directories: Vec::new(),
                descriptor: carried.descriptor,
                diff_id: carried.diff_id,
                name: carried.name,
                created_by: carried.created_by,
                platform,
                packing: None,
                from: LayerBytes::Image(Arc::clone(&self.source)),
            })
            .collect())
    }

    /// Why the record does not fit the layers that there are, of the first image where it does not.
    #[must_use]
    pub(crate) fn misfit(&self) -> Option<String> {
        self.images.iter().find_map(|image| {
            let intent = image.intent().ok().flatten()?;
            image.local(&intent).is_none().then(|| {
                let recorded = intent
                    .layers
                    .iter()
                    .fold(0usize, |sum, (_, run)| sum.saturating_add(*run));
                format!(
                    "the record is about {recorded} layers, the image for {} has {}: something \
                     else than ohoci changed it",
                    image.platform,
                    image.layers().len()
                )
            })
        })
    }

    fn foreign(&self) -> Error {
        refuse(
            &*self.source,
            &format!(
                "it carries no record of it (label {})",
                ohoci_image::annotation::INTENT
            ),
        )
        .hinted("only images made by ohoci carry one; make it with ohoci compose --base --deps")
    }

    fn differs(&self) -> Error {
        refuse(
            &*self.source,
            &"the images of the index were composed in different ways",
        )
        .hinted("take its images one by one, by their digests")
    }

    fn altered(&self) -> Error {
        let why = self
            .misfit()
            .unwrap_or_else(|| "its record does not fit its layers".to_owned());
        refuse(&*self.source, &why).hinted("make it anew with ohoci compose")
    }
}
