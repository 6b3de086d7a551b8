//! Looks at an image: what it consists of and what it was made from.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::read;
use super::resolver::Resolver;
use ohoci_image::image_config::ImageConfig;
use ohoci_image::index;
use ohoci_image::label::{self, Intent};
use ohoci_image::shape;
use ohoci_image::{
    Content, Descriptor, Digest, Document, Manifest, Platform, Reference, Role, annotation,
    media_type,
};
use ohoci_store::{Error, ErrorKind, Source};

/// What a reference holds.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    /// The reference as it was asked for.
    pub reference: String,
    /// Digest of the manifest or index.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
    /// Whether it is an index.
    pub index: bool,
    /// Its images, or itself when it is one.
    pub images: Vec<ImageInspection>,
    /// Entries of the index that are no images.
    pub others: Vec<OtherEntry>,
}

/// One image.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageInspection {
    /// What it runs on, as its config says, or else the index; `None` for an artifact, and where
    /// neither says.
    pub platform: Option<String>,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Media type of its manifest.
    pub media_type: String,
    /// Size of its manifest in bytes.
    pub size: u64,
    /// Its config.
    pub config: Blob,
    /// When it was made, as its config says.
    pub created: Option<String>,
    /// Sum of its layers' sizes in bytes, as stored.
    pub layers_size: u64,
    /// Its layers, lowest first.
    pub layers: Vec<LayerInspection>,
    /// The image it was made on, as its annotations or labels say.
    pub base: Option<label::Source>,
    /// What it was composed from, when ohoci composed it.
    pub intent: Option<Intent>,
    /// Its annotations and labels aside, what a container of it starts with.
    pub runtime: Runtime,
}

/// What a container starts with: the config's own words.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Runtime {
    /// `Entrypoint`.
    pub entrypoint: Option<Value>,
    /// `Cmd`.
    pub cmd: Option<Value>,
    /// `User`.
    pub user: Option<String>,
    /// `WorkingDir`.
    pub working_dir: Option<String>,
    /// `Env`, each `NAME=VALUE`.
    pub env: Vec<String>,
    /// `ExposedPorts`, each `PORT/PROTOCOL`.
    pub ports: Vec<String>,
    /// `Volumes`, paths.
    pub volumes: Vec<String>,
    /// `StopSignal`.
    pub stop_signal: Option<String>,
    /// `Labels`; what is no text is left out.
    pub labels: BTreeMap<String, String>,
}

/// A blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Blob {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
}

/// A layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerInspection {
    /// The blob.
    #[serde(flatten)]
    pub blob: Blob,
    /// Digest of the uncompressed tar, as the config says.
    pub diff_id: Option<Digest>,
    /// Where it is from, when ohoci composed the image.
    pub origin: Option<Role>,
    /// What made it, as the history says.
    pub created_by: Option<String>,
}

/// An entry of an index that is no image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OtherEntry {
    /// The blob.
    #[serde(flatten)]
    pub blob: Blob,
    /// What it is, in words.
    pub kind: &'static str,
}

/// A document in the bytes that are in the registry.
#[derive(Clone, Debug)]
pub struct RawDocument(pub bytes::Bytes);

/// Looks at what a reference holds, or at its image for one platform.
///
/// # Errors
/// When something is missing or unreadable.
pub async fn inspect(
    resolver: &Resolver,
    reference: &Reference,
    platform: Option<&Platform>,
) -> Result<Inspection, Error> {
    resolver.announce(&[reference], &[]);
    let source = resolver.source_to_look_at(reference).await?;
    let root = root(source.as_ref(), platform).await?;
    let mut others = Vec::new();
    let manifests = match root.content() {
        Content::Image { .. } => vec![(root.clone(), None)],
        Content::Index { .. } => {
            let own = index::children(&root).map_err(|error| refuse(&*source, &error))?;
            others.extend(own.skipped.iter().map(|entry| OtherEntry {
                blob: blob(&entry.descriptor),
                kind: match entry.reason {
                    index::SkipReason::Attestation => "attestation",
                    index::SkipReason::Artifact => "artifact",
                    index::SkipReason::NestedIndex => "index",
                    index::SkipReason::UnknownType => "unknown",
                },
            }));
            let all = read::children(&*source, &root).await?;
            read::each(&source.place(), &all.children, |child| async {
                let manifest = source.manifest(&child.descriptor).await?;
                Ok((manifest, child.descriptor.platform.as_ref()))
            })
            .await?
            .into_iter()
            .map(|(manifest, platform)| (manifest, platform.cloned()))
            .collect()
        }
    };
    let images = read::each(&source.place(), &manifests, |(manifest, said)| {
        image(source.as_ref(), manifest, said.as_ref())
    })
    .await?;
    Ok(Inspection {
        reference: reference.to_string(),
        digest: root.digest().clone(),
        media_type: root.media_type().to_owned(),
        size: root.bytes().len() as u64,
        index: matches!(root.content(), Content::Index { .. }),
        images,
        others,
    })
}

/// The manifest or index itself.
///
/// # Errors
/// When it is missing or unreadable.
pub async fn manifest(
    resolver: &Resolver,
    reference: &Reference,
    platform: Option<&Platform>,
) -> Result<RawDocument, Error> {
    resolver.announce(&[reference], &[]);
    let source = resolver.source_to_look_at(reference).await?;
    let root = root(source.as_ref(), platform).await?;
    Ok(RawDocument(root.bytes().clone()))
}

/// The config of an image; of an index, of the only image or of the one for this machine.
///
/// # Errors
/// When it is missing or unreadable.
pub async fn config(
    resolver: &Resolver,
    reference: &Reference,
    platform: Option<&Platform>,
) -> Result<RawDocument, Error> {
    resolver.announce(&[reference], &[]);
    let source = resolver.source_to_look_at(reference).await?;
    let mut root = root(source.as_ref(), platform).await?;
    if let Content::Index { .. } = root.content() {
        let all = read::children(&*source, &root).await?;
        let child = match all.children.as_slice() {
            [only] => only.clone(),
            all => index::best_among(all, &read::this_machine())
                .map_err(|error| refuse(&*source, &error).hinted("name one with --platform"))?,
        };
        root = source.manifest(&child.descriptor).await?;
    }
    match root.content() {
        Content::Image { config, .. } => source.document(config).await.map(RawDocument),
        Content::Index { .. } => Err(refuse(&*source, &"an index has no config")),
    }
}

async fn root(source: &dyn Source, platform: Option<&Platform>) -> Result<Manifest, Error> {
    let root = source.root().await?;
    let Some(platform) = platform else {
        return Ok(root);
    };
    if let Content::Image { .. } = root.content() {
        read::expect_platform(source, &root, platform).await?;
        return Ok(root);
    }
    read::chosen(source, &root, platform).await
}

fn refuse(source: &dyn Source, why: &dyn std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("cannot inspect {}", source.place()),
        why.to_string(),
    )
}

fn blob(descriptor: &Descriptor) -> Blob {
    Blob {
        digest: descriptor.digest.clone(),
        media_type: descriptor.media_type.clone(),
        size: descriptor.size,
    }
}

/// Looks at an image; `said` is what an index says of its platform.
async fn image(
    source: &dyn Source,
    manifest: &Manifest,
    said: Option<&Platform>,
) -> Result<ImageInspection, Error> {
    let Content::Image { config, layers } = manifest.content() else {
        return Err(refuse(source, &"an index inside an index is not an image"));
    };
    // What is no image config is shown as far as the manifest tells.
    let parsed = if media_type::is_image_config(&config.media_type) {
        let bytes = source.document(config).await?;
        let document =
            Document::parse(bytes, &shape::CONFIG).map_err(|error| refuse(source, &error))?;
        let read = ImageConfig::parse_assuming(document, &read::this_machine());
        Some(read.map_err(|error| refuse(source, &error))?)
    } else {
        None
    };
    let platform = match &parsed {
        Some((config, false)) => Some(config.platform()),
        Some((_, true)) => said,
        None => None,
    };
    let parsed = parsed.as_ref().map(|(config, _)| config);
    let object = parsed.map(|config| config.document().object());
    let intent = object.and_then(|config| label::intent(config).ok().flatten());
    let origins = intent
        .as_ref()
        .and_then(|intent| intent.roles(layers.len()));
    let created_by = object.map(|config| layer_history(config, layers.len()));
    let diff_ids = parsed.map(ImageConfig::diff_ids).unwrap_or_default();
    let annotations =
        ohoci_image::descriptor::string_map(manifest.document().object().get("annotations"));
    let named = |key: &str| {
        annotations
            .get(key)
            .cloned()
            .or_else(|| label::get(object?, key).map(str::to_owned))
    };
    let base = intent
        .as_ref()
        .and_then(|intent| intent.base.clone())
        .or_else(|| {
            let name = named(annotation::BASE_NAME)?;
            Some(label::Source {
                name: Some(name),
                digest: named(annotation::BASE_DIGEST).and_then(|digest| digest.parse().ok()),
                path: None,
            })
        });
    Ok(ImageInspection {
        platform: platform.map(|platform| platform.to_string()),
        digest: manifest.digest().clone(),
        media_type: manifest.media_type().to_owned(),
        size: manifest.bytes().len() as u64,
        config: blob(config),
        created: parsed.and_then(|config| config.created().map(str::to_owned)),
        layers_size: layers
            .iter()
            .fold(0u64, |sum, layer| sum.saturating_add(layer.size)),
        layers: layers
            .iter()
            .enumerate()
            .map(|(at, layer)| LayerInspection {
                blob: blob(layer),
                diff_id: diff_ids.get(at).cloned(),
                origin: origins
                    .as_ref()
                    .and_then(|origins| origins.get(at).copied()),
                created_by: created_by
                    .as_ref()
                    .and_then(|list| list.get(at).cloned().flatten()),
            })
            .collect(),
        base,
        intent,
        runtime: object.map(runtime).unwrap_or_default(),
    })
}

fn runtime(config: &serde_json::Map<String, Value>) -> Runtime {
    let inner = config.get("config");
    let value = |key: &str| inner?.get(key).filter(|value| !value.is_null()).cloned();
    let text = |key: &str| {
        inner?
            .get(key)?
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    Runtime {
        entrypoint: value("Entrypoint"),
        cmd: value("Cmd"),
        user: text("User"),
        working_dir: text("WorkingDir"),
        env: texts(inner.and_then(|inner| inner.get("Env"))),
        ports: keys(inner.and_then(|inner| inner.get("ExposedPorts"))),
        volumes: keys(inner.and_then(|inner| inner.get("Volumes"))),
        stop_signal: text("StopSignal"),
        labels: ohoci_image::descriptor::string_map(inner.and_then(|inner| inner.get("Labels"))),
    }
}

/// The texts of a list, as they stand.
fn texts(list: Option<&Value>) -> Vec<String> {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The names in a set that is written as an object, in order.
fn keys(set: Option<&Value>) -> Vec<String> {
    let set = set.and_then(Value::as_object).into_iter().flatten();
    let mut names: Vec<String> = set.map(|(name, _)| name.clone()).collect();
    names.sort_unstable();
    names
}

/// What made each layer, when the history has exactly one entry for each.
pub(super) fn layer_history(
    config: &serde_json::Map<String, Value>,
    layers: usize,
) -> Vec<Option<String>> {
    let entries: Vec<Option<String>> = config
        .get("history")
        .and_then(Value::as_array)
        .map(|list| {
            list.iter()
                .filter(|entry| entry.get("empty_layer") != Some(&Value::Bool(true)))
                .map(|entry| {
                    entry
                        .get("created_by")
                        .and_then(Value::as_str)
                        .map(str::to_owned)
                })
                .collect()
        })
        .unwrap_or_default();
    if entries.len() == layers {
        entries
    } else {
        Vec::new()
    }
}
