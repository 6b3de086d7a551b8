//! Images in directories and archives: every kind can be read and written, by ohoci and by the
//! tools that people have, and no file that somebody made up does harm.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use ohoci::oci::media_type::{self, Compression, Family};
use ohoci::oci::{Content, Descriptor, Digest, Document, Manifest, Pointer, Reference};
use ohoci::store::layout::{Layout, LayoutTarget};
use ohoci::store::open::{open_source, open_target, place_of, tag_of};
use ohoci::store::{Arrival, ErrorKind, Offer, Source, Target};
use serde_json::{Value, json};

/// An image in memory.
struct Image {
    manifest: Manifest,
    config: Bytes,
    blobs: Vec<(Descriptor, Bytes)>,
}

fn tar_of(members: &[(&str, &[u8])]) -> Vec<u8> {
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

fn compress(content: &[u8], compression: Compression) -> Vec<u8> {
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
fn image(seed: &str, family: Family, layers: &[Compression]) -> Image {
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

fn ordinary(seed: &str) -> Image {
    let layers = [Compression::Gzip, Compression::None];
    image(seed, Family::Oci, &layers)
}

fn offer(descriptor: &Descriptor, bytes: &Bytes) -> Offer {
    Offer {
        descriptor: descriptor.clone(),
        mount_from: Vec::new(),
        body: Some(Arc::new(bytes.clone())),
        moved: Arrival::Copied,
    }
}

async fn put(target: &dyn Target, image: &Image, names: &[&str]) {
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

fn reference(kind: &str, path: &Path, tag: &str) -> Reference {
    let colon = if tag.is_empty() { "" } else { ":" };
    format!("{kind}:{}{colon}{tag}", path.display())
        .parse()
        .unwrap()
}

async fn source(kind: &str, path: &Path, tag: &str) -> Arc<dyn Source> {
    let opened = open_source(&reference(kind, path, tag)).await;
    opened.unwrap().unwrap()
}

fn target(kind: &str, path: &Path) -> Arc<dyn Target> {
    open_target(&reference(kind, path, "")).unwrap()
}

/// Why an image cannot be read.
async fn refusal(kind: &str, path: &Path, tag: &str) -> ohoci::store::Error {
    match open_source(&reference(kind, path, tag)).await {
        Err(error) => error,
        Ok(source) => source.unwrap().root().await.unwrap_err(),
    }
}

async fn content(source: &dyn Source, descriptor: &Descriptor) -> std::io::Result<Vec<u8>> {
    let pieces: Vec<Bytes> = source.blob(descriptor).open(0).await?.try_collect().await?;
    Ok(pieces.concat())
}

async fn write(kind: &str, path: &Path, image: &Image, names: &[&str]) {
    let target = target(kind, path);
    put(&*target, image, names).await;
    target.finish().await.unwrap();
}

/// Copies what a reference names, and returns its manifest.
async fn copy(from: &Reference, to: &Reference) -> Manifest {
    let source = open_source(from).await.unwrap().unwrap();
    let target = open_target(to).unwrap();
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

fn config_of(manifest: &Manifest) -> Digest {
    match manifest.content() {
        Content::Image { config, .. } => config.digest.clone(),
        Content::Index { .. } => panic!("an image"),
    }
}

/// Whether nothing unfinished lies in a directory.
fn names_in(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn an_image_survives_the_way_through_every_kind_of_place() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for family in [Family::Oci, Family::Docker] {
        let image = image("a", family, &[Compression::Gzip, Compression::None]);
        let first = reference("oci", &at("first"), "a");
        write("oci", &at("first"), &image, &["a"]).await;
        let archive = reference("oci-archive", &at("new/second.tar"), "b:c/d");
        assert_eq!(copy(&first, &archive).await.bytes(), image.manifest.bytes());
        let docker = reference("docker-archive", &at("third.tar"), "demo:1");
        assert_eq!(
            copy(&archive, &docker).await.bytes(),
            image.manifest.bytes()
        );
        let last = reference("oci", &at("last"), "e");
        let root = copy(&docker, &last).await;
        assert_eq!(config_of(&root), config_of(&image.manifest));
        assert_eq!(root.family(), Family::Docker);
        let source = open_source(&last).await.unwrap().unwrap();
        for (descriptor, bytes) in &image.blobs {
            assert!(content(&*source, descriptor).await.unwrap() == *bytes);
        }
        assert_eq!(names_in(&at("new")), ["second.tar"]);
        for place in ["first", "last"] {
            std::fs::remove_dir_all(at(place)).unwrap();
        }
    }
}

#[tokio::test]
async fn zstd_layers_are_decompressed_for_docker() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.tar");
    let packed = image("z", Family::Oci, &[Compression::Zstd, Compression::Gzip]);
    write("docker-archive", &path, &packed, &["z"]).await;
    let root = source("docker-archive", &path, "z:latest")
        .await
        .root()
        .await
        .unwrap();
    assert_eq!(config_of(&root), config_of(&packed.manifest));
    let Content::Image { layers, .. } = root.content() else {
        panic!("an image");
    };
    assert_eq!(layers[0].media_type, media_type::DOCKER_LAYER);
    assert_eq!(layers[1].digest, packed.blobs[1].0.digest);

    let mut wrong = packed;
    let other = image("other", Family::Oci, &[Compression::Zstd]);
    let config = String::from_utf8(wrong.config.to_vec()).unwrap();
    wrong.config = config
        .replacen(&diff_id(&wrong, 0), &diff_id(&other, 0), 1)
        .into();
    let target = target("docker-archive", &path);
    for (descriptor, bytes) in &wrong.blobs {
        target.place_blob(&offer(descriptor, bytes)).await.unwrap();
    }
    let described = Descriptor::of(media_type::OCI_CONFIG, &wrong.config);
    let mut object = wrong.manifest.document().object().clone();
    object["config"] = Value::Object(described.to_json());
    let manifest = Manifest::parse(Document::from_object(object).bytes().clone(), None).unwrap();
    target
        .place_document(&described, wrong.config)
        .await
        .unwrap();
    let error = target.place_manifest(&manifest, &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

fn diff_id(image: &Image, at: usize) -> String {
    let config: Value = serde_json::from_slice(&image.config).unwrap();
    config["rootfs"]["diff_ids"][at]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn archives_depend_on_their_images_only() {
    let directory = tempfile::tempdir().unwrap();
    let images = [ordinary("a"), ordinary("b")];
    for kind in ["oci-archive", "docker-archive"] {
        let (one, two) = (directory.path().join("1"), directory.path().join("2"));
        let target_one = target(kind, &one);
        put(&*target_one, &images[0], &["a:1"]).await;
        put(&*target_one, &images[1], &["b:1", "b:2"]).await;
        target_one.finish().await.unwrap();
        let target_two = target(kind, &two);
        put(&*target_two, &images[1], &["b:2"]).await;
        put(&*target_two, &images[1], &["b:1"]).await;
        put(&*target_two, &images[0], &["a:1"]).await;
        target_two.finish().await.unwrap();
        let read = |path: &Path| std::fs::read(path).unwrap();
        assert!(read(&one) == read(&two), "{kind}");
        for (name, image) in [
            ("a:1", &images[0]),
            ("b:1", &images[1]),
            ("b:2", &images[1]),
        ] {
            let root = source(kind, &one, name).await.root().await.unwrap();
            assert_eq!(
                config_of(&root),
                config_of(&image.manifest),
                "{kind} {name}"
            );
        }
        let error = refusal(kind, &one, "").await;
        assert_eq!(error.hint(), Some("it has a:1, b:1, b:2"));
    }
}

#[tokio::test]
async fn an_unfinished_archive_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    for kind in ["oci-archive", "docker-archive"] {
        let path = directory.path().join("x.tar");
        let unfinished = target(kind, &path);
        put(&*unfinished, &ordinary("a"), &["a:1"]).await;
        drop(unfinished);
        assert!(names_in(directory.path()).is_empty(), "{kind}");
        let untouched = target(kind, &path);
        untouched.finish().await.unwrap();
        let nothing = untouched.current(&Pointer::Tag("a:1".into())).await;
        assert_eq!(nothing.unwrap(), None);
        assert!(names_in(directory.path()).is_empty(), "{kind}");
    }
}

#[tokio::test]
async fn an_archive_is_replaced_but_reported_names_stay() {
    let directory = tempfile::tempdir().unwrap();
    for kind in ["oci-archive", "docker-archive"] {
        let path = directory.path().join("x.tar");
        let old = target(kind, &path);
        put(&*old, &ordinary("a"), &["a:1"]).await;
        put(&*old, &ordinary("b"), &["b:1"]).await;
        old.finish().await.unwrap();

        let new = target(kind, &path);
        let reported = new.current(&Pointer::Tag("a:1".into())).await.unwrap();
        assert!(reported.is_some(), "{kind}");
        let before = std::fs::read(&path).unwrap();
        let (descriptor, bytes) = &ordinary("c").blobs[0];
        new.place_blob(&offer(descriptor, bytes)).await.unwrap();
        new.finish().await.unwrap();
        assert!(before == std::fs::read(&path).unwrap(), "{kind}");
        put(&*new, &ordinary("c"), &["c:1"]).await;
        new.finish().await.unwrap();
        assert_eq!(names_in(directory.path()), ["x.tar"]);
        put(&*new, &ordinary("d"), &["d:1"]).await;
        new.finish().await.unwrap();

        let error = refusal(kind, &path, "b:1").await;
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.hint(), Some("it has a:1, c:1, d:1"));
        let kept = source(kind, &path, "a:1").await.root().await.unwrap();
        assert_eq!(config_of(&kept), config_of(&ordinary("a").manifest));
        assert_eq!(names_in(directory.path()), ["x.tar"]);

        std::fs::write(&path, "no archive at all").unwrap();
        write(kind, &path, &ordinary("d"), &["d:1"]).await;
        source(kind, &path, "d:1").await.root().await.unwrap();
    }
}

#[tokio::test]
async fn concurrent_pushes_to_one_layout_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("layout");
    let pushes = (0..8).map(|n| {
        let path = path.clone();
        tokio::spawn(async move {
            // A target of its own, as another process would have.
            write(
                "oci",
                &path,
                &ordinary(&format!("{}", n / 2)),
                &[&format!("t{n}")],
            )
            .await;
        })
    });
    futures_util::future::try_join_all(pushes).await.unwrap();
    let names = Layout::open(&path).unwrap().index().unwrap().names();
    assert_eq!(names, ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7"]);
    for name in names {
        let source = source("oci", &path, &name).await;
        let root = source.root().await.unwrap();
        let Content::Image { layers, .. } = root.content() else {
            panic!("an image");
        };
        for layer in layers {
            content(&*source, layer).await.unwrap();
        }
    }
    assert_eq!(names_in(&path), ["blobs", "index.json", "oci-layout"]);
}

#[tokio::test]
async fn a_missing_tag_is_answered_with_those_there_are() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("layout");
    write("oci", &path, &ordinary("a"), &["one"]).await;
    write("oci", &path, &ordinary("b"), &["two"]).await;
    let error = refusal("oci", &path, "three").await;
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.hint(), Some("it has one, two"));
    assert_eq!(
        refusal("oci", &path, "").await.hint(),
        Some("it has one, two")
    );
    let digest = ordinary("b").manifest.digest().clone();
    let by_digest = source("oci", &path, &format!("@{digest}")).await;
    assert_eq!(*by_digest.root().await.unwrap().digest(), digest);
}

#[tokio::test]
async fn a_moved_tag_names_the_new_image_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("layout");
    write("oci", &path, &ordinary("a"), &["one"]).await;
    write("oci", &path, &ordinary("b"), &["one"]).await;
    let only = source("oci", &path, "").await.root().await.unwrap();
    assert_eq!(only.digest(), ordinary("b").manifest.digest());
}

#[tokio::test]
async fn an_index_brings_its_children_along_unlisted() {
    let directory = tempfile::tempdir().unwrap();
    let children = [ordinary("a"), ordinary("b")];
    let list: Vec<Value> = children
        .iter()
        .map(|child| Value::Object(child.manifest.descriptor().to_json()))
        .collect();
    let index = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": list
    });
    let index = Manifest::parse(index.to_string(), None).unwrap();
    for kind in ["oci", "oci-archive"] {
        let path = directory.path().join(kind);
        let target = target(kind, &path);
        let early = target.place_manifest(&index, &["x".to_owned()]).await;
        assert_eq!(early.unwrap_err().kind(), ErrorKind::Incomplete);
        for child in &children {
            put(&*target, child, &[]).await;
        }
        target
            .place_manifest(&index, &["x".to_owned()])
            .await
            .unwrap();
        target.finish().await.unwrap();
        let source = source(kind, &path, "").await;
        let root = source.root().await.unwrap();
        assert_eq!(root.bytes(), index.bytes(), "{kind}");
        let Content::Index { manifests } = root.content() else {
            panic!("an index");
        };
        for (descriptor, child) in manifests.iter().zip(&children) {
            let manifest = source.manifest(descriptor).await.unwrap();
            assert_eq!(manifest.bytes(), child.manifest.bytes());
        }
    }
    let docker = target("docker-archive", &directory.path().join("x.tar"));
    let error = docker.place_manifest(&index, &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.hint().is_some_and(|hint| hint.contains("--platform")));

    let path = directory.path().join("digest-only");
    write("oci", &path, &children[0], &[]).await;
    source("oci", &path, "").await.root().await.unwrap();
}

#[tokio::test]
async fn a_refused_upload_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let image = ordinary("a");
    let (descriptor, bytes) = &image.blobs[0];
    let mut forbidden = offer(descriptor, bytes);
    forbidden.body = None;
    for kind in ["oci", "oci-archive", "docker-archive"] {
        let target = target(kind, &directory.path().join("x"));
        let error = target.place_blob(&forbidden).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldUpload);
        assert!(names_in(directory.path()).is_empty());
    }
    let target = LayoutTarget::new(directory.path().join("x"));
    let mut wrong = offer(descriptor, &Bytes::from_static(b"something else"));
    let error = target.place_blob(&wrong).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    wrong.body = Some(Arc::new(bytes.clone()));
    assert_eq!(target.place_blob(&wrong).await.unwrap(), Arrival::Copied);
    assert_eq!(target.place_blob(&wrong).await.unwrap(), Arrival::Present);
    assert_eq!(
        target.place_blob(&forbidden).await.unwrap(),
        Arrival::Present
    );
}

#[tokio::test]
async fn damage_in_a_layout_is_found_when_it_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("layout");
    let image = ordinary("a");
    write("oci", &path, &image, &["a"]).await;
    let layout = Layout::open(&path).unwrap();
    let layer = &image.blobs[1].0;
    let mut bytes = image.blobs[1].1.to_vec();
    bytes[40_000] ^= 1;
    std::fs::write(layout.blob_path(&layer.digest), &bytes).unwrap();
    let source = source("oci", &path, "a").await;
    let error = content(&*source, layer).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);

    let mut negative = layout.index().unwrap().to_bytes().to_vec();
    let text = String::from_utf8(negative.clone()).unwrap();
    negative = text.replacen("\"size\":", "\"size\":-", 1).into_bytes();
    std::fs::write(path.join("index.json"), negative).unwrap();
    assert_eq!(refusal("oci", &path, "a").await.kind(), ErrorKind::Corrupt);
    std::fs::write(path.join("index.json"), text).unwrap();
    std::fs::remove_file(layout.blob_path(image.manifest.digest())).unwrap();
    assert_eq!(refusal("oci", &path, "a").await.kind(), ErrorKind::NotFound);
    let target = LayoutTarget::new(&path);
    let current = target.current(&Pointer::Tag("a".into())).await.unwrap();
    assert_eq!(current, None);
}

/// A docker archive made by hand.
struct ByHand {
    directory: tempfile::TempDir,
    image: Image,
    diff: Vec<u8>,
}

impl ByHand {
    fn new() -> Self {
        let image = image("a", Family::Docker, &[Compression::None]);
        Self {
            directory: tempfile::tempdir().unwrap(),
            diff: image.blobs[0].1.to_vec(),
            image,
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("x.tar")
    }

    fn list(&self, layers: &[&str]) -> String {
        json!([{"Config": "c.json", "RepoTags": ["a:1"], "Layers": layers}]).to_string()
    }

    async fn refused(&self, members: &[(&str, &[u8])]) -> ohoci::store::Error {
        std::fs::write(self.path(), tar_of(members)).unwrap();
        refusal("docker-archive", &self.path(), "").await
    }
}

#[tokio::test]
async fn hostile_docker_archives_are_refused() {
    let by_hand = ByHand::new();
    let config = by_hand.image.config.as_ref();
    let good = by_hand.list(&["l.tar"]);
    let (list, layer) = (
        ("manifest.json", good.as_bytes()),
        ("l.tar", &*by_hand.diff),
    );
    let corrupt = [
        vec![list, list, ("c.json", config), layer],
        vec![list, ("c.json", config)],
        vec![list, layer],
        vec![list, ("c.json", b"[]"), layer],
        vec![list, ("c.json", br#"{"rootfs":{"diff_ids":[]}}"#), layer],
        vec![list, ("c.json", br#"{"rootfs":{"diff_ids":["x"]}}"#), layer],
        vec![("manifest.json", b"{}"), ("c.json", config), layer],
        vec![
            ("manifest.json", b"[{\"Layers\":7}]"),
            ("c.json", config),
            layer,
        ],
        vec![("manifest.json", b"[[[["), ("c.json", config), layer],
        vec![("c.json", config), layer],
    ];
    for (at, members) in corrupt.iter().enumerate() {
        let error = by_hand.refused(members).await;
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{at}: {error}");
    }
    let climbing = by_hand.list(&["../l.tar"]);
    let error = by_hand
        .refused(&[
            ("manifest.json", climbing.as_bytes()),
            ("c.json", config),
            ("../l.tar", &by_hand.diff),
        ])
        .await;
    assert_eq!(error.kind(), ErrorKind::Corrupt);

    let gzip = compress(&tar_of(&[("other", b"content")]), Compression::Gzip);
    let error = by_hand
        .refused(&[list, ("c.json", config), ("l.tar", &gzip)])
        .await;
    assert!(error.why().contains("diff ID"), "{error}");
    let torn = compress(&by_hand.diff, Compression::Gzip);
    let error = by_hand
        .refused(&[list, ("c.json", config), ("l.tar", &torn[..torn.len() / 2])])
        .await;
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");

    let whole = tar_of(&[list, ("c.json", config), layer]);
    std::fs::write(by_hand.path(), &whole[..whole.len() - 60_000]).unwrap();
    let error = refusal("docker-archive", &by_hand.path(), "").await;
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(
        error.why().contains("in the middle of \"l.tar\""),
        "{error}"
    );

    let error = by_hand.refused(&[("oci-layout", b"{}")]).await;
    assert_eq!(error.hint(), Some("it looks like oci-archive:FILE"));
    let error = refusal("oci-archive", &by_hand.path(), "").await;
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let error = by_hand.refused(&[("manifest.json", b"[]")]).await;
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = refusal("oci-archive", &by_hand.path(), "").await;
    assert_eq!(error.hint(), Some("it looks like docker-archive:FILE"));
}

#[tokio::test]
async fn a_plain_layer_with_other_content_is_found_when_it_is_read() {
    let by_hand = ByHand::new();
    let mut diff = by_hand.diff.clone();
    diff[1000] ^= 1;
    let tar = tar_of(&[
        ("manifest.json", by_hand.list(&["l.tar"]).as_bytes()),
        ("c.json", &by_hand.image.config),
        ("l.tar", &diff),
    ]);
    std::fs::write(by_hand.path(), tar).unwrap();
    let source = source("docker-archive", &by_hand.path(), "docker.io/library/a:1").await;
    source.root().await.unwrap();
    assert!(content(&*source, &by_hand.image.blobs[0].0).await.is_err());
}

#[tokio::test]
async fn layers_may_be_links_as_old_docker_saved_them() {
    let by_hand = ByHand::new();
    let mut start = tar_of(&[
        ("manifest.json", by_hand.list(&["a/layer.tar"]).as_bytes()),
        ("c.json", &by_hand.image.config),
        ("b/layer.tar", &by_hand.diff),
    ]);
    // Without the two blocks that end a tar, it can go on.
    start.truncate(start.len() - 1024);
    let mut builder = tar::Builder::new(start);
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    builder
        .append_link(&mut header, "a/layer.tar", "../b/layer.tar")
        .unwrap();
    std::fs::write(by_hand.path(), builder.into_inner().unwrap()).unwrap();
    let source = source("docker-archive", &by_hand.path(), "").await;
    let root = source.root().await.unwrap();
    assert_eq!(config_of(&root), config_of(&by_hand.image.manifest));
    let layer = content(&*source, &by_hand.image.blobs[0].0).await.unwrap();
    assert!(layer == by_hand.diff);
}

#[tokio::test]
async fn the_layout_in_a_docker_archive_is_preferred_when_it_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.tar");
    let mut image = image("a", Family::Oci, &[Compression::Zstd]);
    // What a made manifest would not have.
    let mut object = image.manifest.document().object().clone();
    object.insert("annotations".to_owned(), json!({"org.example": "kept"}));
    image.manifest = Manifest::parse(Document::from_object(object).bytes().clone(), None).unwrap();
    let manifest = image.manifest.bytes();
    let inner = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [
        Descriptor::of(media_type::OCI_MANIFEST, b"another platform, left out").to_json(),
        image.manifest.descriptor().to_json()]})
    .to_string();
    let index = json!({"schemaVersion": 2, "manifests": [
        Descriptor::of(media_type::OCI_INDEX, inner.as_bytes()).to_json()]})
    .to_string();
    let blob = |content: &[u8]| format!("blobs/sha256/{}", Digest::of(content).hex());
    let layer = &image.blobs[0].1;
    let names = [
        blob(&image.config),
        blob(layer),
        blob(manifest),
        blob(inner.as_bytes()),
    ];
    let list = json!([{"Config": names[0], "RepoTags": null, "Layers": [names[1]]}]).to_string();
    let members: [(&str, &[u8]); 7] = [
        (&names[0], &image.config),
        (&names[1], layer),
        (&names[2], manifest),
        (&names[3], inner.as_bytes()),
        ("index.json", index.as_bytes()),
        ("manifest.json", list.as_bytes()),
        ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#),
    ];
    std::fs::write(&path, tar_of(&members)).unwrap();
    let root = source("docker-archive", &path, "")
        .await
        .root()
        .await
        .unwrap();
    assert_eq!(root.bytes(), manifest);

    let without: Vec<_> = members
        .into_iter()
        .filter(|(name, _)| *name != names[2])
        .collect();
    std::fs::write(&path, tar_of(&without)).unwrap();
    let source = source("docker-archive", &path, "").await;
    let root = source.root().await.unwrap();
    assert_ne!(root.bytes(), manifest);
    assert_eq!(config_of(&root), config_of(&image.manifest));
    assert_eq!(root.family(), Family::Oci);
    assert!(content(&*source, &image.blobs[0].0).await.unwrap() == *layer);
}

#[test]
fn references_to_one_place_differ_in_their_tag_only() {
    let parse = |text: &str| text.parse::<Reference>().unwrap();
    for kind in ["oci", "oci-archive", "docker-archive"] {
        let (one, two) = (parse(&format!("{kind}:x:a")), parse(&format!("{kind}:x:b")));
        assert_eq!(place_of(&one), place_of(&two));
        assert_eq!(tag_of(&two), Some("b"));
    }
    assert_eq!(place_of(&Reference::Scratch), None);
    assert_eq!(place_of(&parse("registry.example/a")), None);
}

/// Runs skopeo, which must be installed.
fn skopeo(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("skopeo")
        .args(arguments)
        .output()
        .unwrap_or_else(|error| {
            panic!("these tests need skopeo (Debian package `skopeo`): {error}")
        });
    assert!(
        output.status.success(),
        "skopeo {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

#[tokio::test]
async fn skopeo_reads_what_ohoci_writes_and_the_other_way_round() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let image = ordinary("a");
    let kinds = [
        ("oci", "tag"),
        ("oci-archive", "tag"),
        ("docker-archive", "demo:1"),
    ];
    for (kind, tag) in kinds {
        write(kind, &at(kind), &image, &[tag]).await;
        let ours = reference(kind, &at(kind), tag).to_string();
        let config = skopeo(&["inspect", "--config", "--raw", &ours]);
        assert!(config == image.config, "{kind}");
        for (other, other_tag) in kinds {
            let path = at(&format!("{kind}-{other}"));
            let theirs = reference(other, &path, other_tag);
            skopeo(&["copy", "--quiet", &ours, &theirs.to_string()]);
            let source = source(other, &path, other_tag).await;
            let root = source.root().await.unwrap();
            assert_eq!(config_of(&root), config_of(&image.manifest), "{theirs}");
            let Content::Image { layers, .. } = root.content() else {
                panic!("an image");
            };
            assert_eq!(layers.len(), 2);
            for layer in layers {
                content(&*source, layer).await.unwrap();
            }
        }
    }
}
