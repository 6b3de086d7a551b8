//! OCI layouts.

use std::sync::Arc;

use bytes::Bytes;
use ohoci_image::{Content, Pointer};
use ohoci_store::layout::{Layout, LayoutTarget};
use ohoci_store::{Arrival, ErrorKind, Target};

use crate::local_places::support::*;

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
    assert_eq!(error.hint(), Some("the names there are: one, two"));
    assert_eq!(
        refusal("oci", &path, "").await.hint(),
        Some("the names there are: one, two")
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
    fs_err::write(layout.blob_path(&layer.digest), &bytes).unwrap();
    let source = source("oci", &path, "a").await;
    let error = content(&*source, layer).await.unwrap_err();
    assert_eq!(
        std::io::Error::from(error).kind(),
        std::io::ErrorKind::InvalidData
    );

    let mut negative = layout.index().unwrap().to_bytes().to_vec();
    let text = String::from_utf8(negative.clone()).unwrap();
    negative = text.replacen("\"size\":", "\"size\":-", 1).into_bytes();
    fs_err::write(path.join("index.json"), negative).unwrap();
    assert_eq!(refusal("oci", &path, "a").await.kind(), ErrorKind::Corrupt);
    fs_err::write(path.join("index.json"), text).unwrap();
    fs_err::remove_file(layout.blob_path(image.manifest.digest())).unwrap();
    assert_eq!(refusal("oci", &path, "a").await.kind(), ErrorKind::NotFound);
    let target = LayoutTarget::new(&path);
    let current = target.current(&Pointer::Tag("a".into())).await.unwrap();
    assert_eq!(current, None);
}
