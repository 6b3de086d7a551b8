//! Making images, and moving them.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use ohoci_image::media_type::{Compression, Family};
use ohoci_image::{Content, Descriptor, Digest, Manifest, Reference};
use ohoci_layer::limits::UnpackLimits;
use ohoci_store::open::{open_source, open_target, tag_of};
use ohoci_store::{Arrival, Offer, Source, Target};
use serde_json::{Value, json};

/// An image in memory.
pub(crate) struct Image {
    pub(crate) manifest: Manifest,
    pub(crate) config: Bytes,
    pub(crate) blobs: Vec<(Descriptor, Bytes)>,
}

pub(crate) fn tar_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        // `set_path` refuses the names that hostile archives have.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

pub(crate) fn compress(content: &[u8], compression: Compression) -> Vec<u8> {
    match compression {
        Compression::None => content.to_vec(),
        Compression::Gzip => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(content).unwrap();
            gzip.finish().unwrap()
        }
        Compression::Zstd => zstd::encode_all(content, 1).unwrap(),
    }
}

/// One layer for each compression; `seed` makes images differ.
pub(crate) fn image(seed: &str, family: Family, layers: &[Compression]) -> Image {
    let mut blobs = Vec::new();
    let mut diff_ids = Vec::new();
    for (at, compression) in layers.iter().enumerate() {
        let name = format!("etc/{seed}-{at}");
        let tar = tar_of(&[(&name, &vec![at as u8; 70_000])]);
        diff_ids.push(Digest::of(&tar).to_string());
        let blob = compress(&tar, *compression);
        let media_type = family.layer(*compression).unwrap();
        blobs.push((Descriptor::of(media_type, &blob), blob.into()));
    }
    let config: Bytes = json!({
        "architecture": "amd64", "os": "linux", "config": {"Env": [format!("SEED={seed}")]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids}
    })
    .to_string()
    .into();
    let list: Vec<Value> = blobs
        .iter()
        .map(|(descriptor, _)| Value::Object(descriptor.to_json()))
        .collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": family.manifest(),
        "config": Descriptor::of(family.config(), &config).to_json(), "layers": list
    });
    Image {
        manifest: Manifest::parse(manifest.to_string(), None).unwrap(),
        config,
        blobs,
    }
}

pub(crate) fn ordinary(seed: &str) -> Image {
    let layers = [Compression::Gzip, Compression::None];
    image(seed, Family::Oci, &layers)
}

pub(crate) fn offer(descriptor: &Descriptor, bytes: &Bytes) -> Offer {
    Offer {
        descriptor: descriptor.clone(),
        mount_from: Vec::new(),
        body: Some(Arc::new(bytes.clone())),
        moved: Arrival::Copied,
    }
}

pub(crate) async fn put(target: &dyn Target, image: &Image, names: &[&str]) {
    for (descriptor, bytes) in &image.blobs {
        target.place_blob(&offer(descriptor, bytes)).await.unwrap();
    }
    let Content::Image { config, .. } = image.manifest.content() else {
        panic!("an image");
    };
    let bytes = image.config.clone();
    target.place_document(config, bytes).await.unwrap();
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    target
        .place_manifest(&image.manifest, &names)
        .await
        .unwrap();
}

pub(crate) fn reference(kind: &str, path: &Path, tag: &str) -> Reference {
    let colon = if tag.is_empty() { "" } else { ":" };
    format!("{kind}:{}{colon}{tag}", path.display())
        .parse()
        .unwrap()
}

pub(crate) async fn source(kind: &str, path: &Path, tag: &str) -> Arc<dyn Source> {
    let opened = open_source(&reference(kind, path, tag), UnpackLimits::default()).await;
    opened.unwrap().unwrap()
}

pub(crate) fn target(kind: &str, path: &Path) -> Arc<dyn Target> {
    open_target(&reference(kind, path, ""), UnpackLimits::default()).unwrap()
}

/// Why an image cannot be read.
pub(crate) async fn refusal(kind: &str, path: &Path, tag: &str) -> ohoci_store::Error {
    match open_source(&reference(kind, path, tag), UnpackLimits::default()).await {
        Err(error) => error,
        Ok(source) => source.unwrap().root().await.unwrap_err(),
    }
}

pub(crate) async fn content(
    source: &dyn Source,
    descriptor: &Descriptor,
) -> Result<Vec<u8>, ohoci_store::BodyError> {
    let pieces: Vec<Bytes> = source.blob(descriptor).open(0).await?.try_collect().await?;
    Ok(pieces.concat())
}

pub(crate) async fn write(kind: &str, path: &Path, image: &Image, names: &[&str]) {
    let target = target(kind, path);
    put(&*target, image, names).await;
    target.finish().await.unwrap();
}

/// Copies what a reference names, and returns its manifest.
pub(crate) async fn copy(from: &Reference, to: &Reference) -> Manifest {
    let source = open_source(from, UnpackLimits::default())
        .await
        .unwrap()
        .unwrap();
    let target = open_target(to, UnpackLimits::default()).unwrap();
    let root = source.root().await.unwrap();
    let Content::Image { config, layers } = root.content() else {
        panic!("an image");
    };
    for layer in layers {
        let offer = Offer {
            descriptor: layer.clone(),
            mount_from: Vec::new(),
            body: Some(source.blob(layer)),
            moved: Arrival::Copied,
        };
        target.place_blob(&offer).await.unwrap();
    }
    let bytes = source.document(config).await.unwrap();
    target.place_document(config, bytes).await.unwrap();
    let tags: Vec<String> = tag_of(to).map(str::to_owned).into_iter().collect();
    target.place_manifest(&root, &tags).await.unwrap();
    target.finish().await.unwrap();
    root
}

pub(crate) fn config_of(manifest: &Manifest) -> Digest {
    match manifest.content() {
        Content::Image { config, .. } => config.digest.clone(),
        Content::Index { .. } => panic!("an image"),
    }
}

/// Whether nothing unfinished lies in a directory.
pub(crate) fn names_in(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs_err::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
