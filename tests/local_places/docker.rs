//! Docker archives as they are found in the world, and as they should not be.

use std::path::PathBuf;

use ohoci_image::media_type::{self, Compression, Family};
use ohoci_image::{Content, Descriptor, Digest, Document, Manifest};
use ohoci_store::ErrorKind;
use serde_json::{Value, json};

use crate::local_places::support::*;

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
    assert_eq!(layers[0].media_type, media_type::OCI_LAYER);
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

    async fn refused(&self, members: &[(&str, &[u8])]) -> ohoci_store::Error {
        fs_err::write(self.path(), tar_of(members)).unwrap();
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
    fs_err::write(by_hand.path(), &whole[..whole.len() - 60_000]).unwrap();
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
    fs_err::write(by_hand.path(), tar).unwrap();
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
    fs_err::write(by_hand.path(), builder.into_inner().unwrap()).unwrap();
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
    fs_err::write(&path, tar_of(&members)).unwrap();
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
    fs_err::write(&path, tar_of(&without)).unwrap();
    let source = source("docker-archive", &path, "").await;
    let root = source.root().await.unwrap();
    assert_ne!(root.bytes(), manifest);
    assert_eq!(config_of(&root), config_of(&image.manifest));
    assert!(content(&*source, &image.blobs[0].0).await.unwrap() == *layer);
}
