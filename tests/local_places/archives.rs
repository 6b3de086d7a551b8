//! Both kinds of archive, and the way between all places.

use std::path::Path;

use ohoci_image::media_type::{self, Compression, Family};
use ohoci_image::{Content, Manifest, Pointer, Reference};
use ohoci_layer::limits::UnpackLimits;
use ohoci_store::ErrorKind;
use ohoci_store::open::{open_source, place_of, tag_of};
use serde_json::{Value, json};

use crate::local_places::support::*;

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
        assert_eq!(root.family(), Family::Oci);
        let source = open_source(&last, UnpackLimits::default())
            .await
            .unwrap()
            .unwrap();
        for (descriptor, bytes) in &image.blobs {
            assert!(content(&*source, descriptor).await.unwrap() == *bytes);
        }
        assert_eq!(names_in(&at("new")), ["second.tar"]);
        for place in ["first", "last"] {
            fs_err::remove_dir_all(at(place)).unwrap();
        }
    }
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
        let read = |path: &Path| fs_err::read(path).unwrap();
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
        assert_eq!(
            error.hint(),
            Some(&*names_hint(kind, &["a:1", "b:1", "b:2"]))
        );
    }
}

/// Docker's archives have names in full.
fn names_hint(kind: &str, names: &[&str]) -> String {
    let hub = if kind == "docker-archive" {
        "docker.io/library/"
    } else {
        ""
    };
    let names: Vec<String> = names.iter().map(|name| format!("{hub}{name}")).collect();
    format!("the names there are: {}", names.join(", "))
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
        let before = fs_err::read(&path).unwrap();
        let (descriptor, bytes) = &ordinary("c").blobs[0];
        new.place_blob(&offer(descriptor, bytes)).await.unwrap();
        new.finish().await.unwrap();
        assert!(before == fs_err::read(&path).unwrap(), "{kind}");
        put(&*new, &ordinary("c"), &["c:1"]).await;
        new.finish().await.unwrap();
        assert_eq!(names_in(directory.path()), ["x.tar"]);
        put(&*new, &ordinary("d"), &["d:1"]).await;
        new.finish().await.unwrap();

        let error = refusal(kind, &path, "b:1").await;
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(
            error.hint(),
            Some(&*names_hint(kind, &["a:1", "c:1", "d:1"]))
        );
        let kept = source(kind, &path, "a:1").await.root().await.unwrap();
        assert_eq!(config_of(&kept), config_of(&ordinary("a").manifest));
        assert_eq!(names_in(directory.path()), ["x.tar"]);

        fs_err::write(&path, "no archive at all").unwrap();
        write(kind, &path, &ordinary("d"), &["d:1"]).await;
        source(kind, &path, "d:1").await.root().await.unwrap();
    }
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
