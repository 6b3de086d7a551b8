//! Category "Pull".

use ohoci_image::{Digest, media_type};
use serde_json::json;

use crate::server_conformance::support::{Registry, digest_of, image};

#[tokio::test]
async fn the_base_says_that_the_api_is_here() {
    let registry = Registry::start();
    for target in ["/v2/", "/v2"] {
        let answer = registry.get(target).await.is(200);
        let version = answer.header("docker-distribution-api-version");
        assert_eq!(version, "registry/2.0");
    }
    registry.get("/").await.refused(404, "UNSUPPORTED");
}

#[tokio::test]
async fn a_manifest_comes_back_as_it_was_pushed() {
    let registry = Registry::start();
    let mut manifest = image(b"{}", &[b"layer"]);
    registry.push_blob("a/b", b"{}").await;
    registry.push_blob("a/b", b"layer").await;
    manifest["unknown"] = json!({"z": 1.0, "a": [null]});
    let text = serde_json::to_string_pretty(&manifest).unwrap();
    let digest = Digest::of(text.as_bytes());
    let kind = [("content-type", media_type::OCI_MANIFEST)];
    let answer = registry
        .send("PUT", "/v2/a/b/manifests/v1", &kind, text.clone())
        .await
        .is(201);
    assert_eq!(answer.location(), format!("/v2/a/b/manifests/{digest}"));
    for reference in ["v1".to_owned(), digest.to_string()] {
        let target = format!("/v2/a/b/manifests/{reference}");
        let got = registry.get(&target).await.is(200);
        assert_eq!(got.body, text.as_bytes());
        let head = registry.head(&target).await.is(200);
        assert!(head.body.is_empty());
        for answer in [&got, &head] {
            assert_eq!(answer.header("content-type"), media_type::OCI_MANIFEST);
            assert_eq!(answer.header("content-length"), text.len().to_string());
            let header = answer.header("docker-content-digest");
            assert_eq!(header, digest.to_string());
        }
    }
}

#[tokio::test]
async fn a_blob_comes_back_as_it_was_pushed() {
    let registry = Registry::start();
    for content in [b"".as_slice(), b"{}", &[7; 3_000_000]] {
        let digest = registry.push_blob("a", content).await;
        let target = format!("/v2/a/blobs/{digest}");
        let got = registry.get(&target).await.is(200);
        assert_eq!(got.body, content);
        let head = registry.head(&target).await.is(200);
        for answer in [&got, &head] {
            assert_eq!(answer.header("content-length"), content.len().to_string());
            let header = answer.header("docker-content-digest");
            assert_eq!(header, digest.to_string());
        }
    }
}

#[tokio::test]
async fn one_range_of_a_blob_can_be_had() {
    let registry = Registry::start();
    let content: Vec<u8> = (0..=255).cycle().take(2048).collect();
    let digest = registry.push_blob("a", &content).await;
    let target = format!("/v2/a/blobs/{digest}");
    for (range, first, last) in [
        ("bytes=500-1499", 500, 1499),
        ("bytes=500-", 500, 2047),
        ("bytes=-500", 1548, 2047),
        ("bytes=2000-5000", 2000, 2047),
    ] {
        let answer = registry.send("GET", &target, &[("range", range)], "").await;
        let answer = answer.is(206);
        let expected = format!("bytes {first}-{last}/2048");
        assert_eq!(answer.header("content-range"), expected);
        assert_eq!(answer.body, content[first..=last], "{range}");
    }
    for range in ["bytes=500-0", "bytes=5000-10000"] {
        let answer = registry.send("GET", &target, &[("range", range)], "").await;
        let answer = answer.is(416);
        assert_eq!(answer.header("content-range"), "bytes */2048");
    }
    let stale = [("range", "bytes=1-2"), ("if-range", "\"other\"")];
    let answer = registry.send("GET", &target, &stale, "").await.is(200);
    assert_eq!(answer.body, content);
    let head = registry.send("HEAD", &target, &[("range", "bytes=1-2")], "");
    head.await.is(200);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let registry = Registry::start();
    let manifest = registry.push_image("a", "v1", b"layer").await;
    let absent = Digest::of(b"absent");
    for (target, code) in [
        (format!("/v2/a/manifests/{absent}"), "MANIFEST_UNKNOWN"),
        ("/v2/a/manifests/absent".to_owned(), "MANIFEST_UNKNOWN"),
        (format!("/v2/a/blobs/{absent}"), "BLOB_UNKNOWN"),
        (format!("/v2/b/blobs/{absent}"), "NAME_UNKNOWN"),
        ("/v2/b/manifests/v1".to_owned(), "NAME_UNKNOWN"),
        ("/v2/b/tags/list".to_owned(), "NAME_UNKNOWN"),
        // A blob is no manifest, whatever it contains.
        (
            format!("/v2/a/manifests/{}", Digest::of(b"{}")),
            "MANIFEST_UNKNOWN",
        ),
        // Repositories do not show each other's content.
        (
            format!("/v2/b/manifests/{}", digest_of(&manifest)),
            "NAME_UNKNOWN",
        ),
        ("/v2/a/nothing".to_owned(), "UNSUPPORTED"),
    ] {
        registry.get(&target).await.refused(404, code);
        assert!(registry.head(&target).await.is(404).body.is_empty());
    }
    for target in ["/v2/a/manifests/sha256:short", "/v2/a/blobs/sha256:short"] {
        registry.get(target).await.refused(400, "DIGEST_INVALID");
    }
}
