//! Category "Content Management".

use ohoci_image::Digest;
use serde_json::json;

use crate::server_conformance::support::{Registry, digest_of, index};

#[tokio::test]
async fn a_deleted_tag_is_gone_and_its_manifest_is_not() {
    let registry = Registry::start();
    let manifest = registry.push_image("a", "v1", b"layer").await;
    registry.put_manifest("a", "v2", &manifest).await.is(201);
    registry.delete("/v2/a/manifests/v1").await.is(202);
    let answer = registry.get("/v2/a/manifests/v1").await;
    answer.refused(404, "MANIFEST_UNKNOWN");
    let answer = registry.delete("/v2/a/manifests/v1").await;
    answer.refused(404, "MANIFEST_UNKNOWN");
    registry.get("/v2/a/manifests/v2").await.is(200);
    let target = format!("/v2/a/manifests/{}", digest_of(&manifest));
    registry.get(&target).await.is(200);
}

#[tokio::test]
async fn a_deleted_manifest_takes_its_tags_along() {
    let registry = Registry::start();
    let manifest = registry.push_image("a", "v1", b"layer").await;
    registry.push_image("a", "other", b"other layer").await;
    let target = format!("/v2/a/manifests/{}", digest_of(&manifest));
    registry.delete(&target).await.is(202);
    for gone in [target.as_str(), "/v2/a/manifests/v1"] {
        registry.get(gone).await.refused(404, "MANIFEST_UNKNOWN");
        registry.head(gone).await.is(404);
        registry.delete(gone).await.refused(404, "MANIFEST_UNKNOWN");
    }
    let tags = registry.get("/v2/a/tags/list").await.is(200);
    assert_eq!(tags.json()["tags"], json!(["other"]));
    registry.put_manifest("a", "v1", &manifest).await.is(201);
    registry.get(&target).await.is(200);
    let answer = registry.delete("/v2/b/manifests/v1").await;
    answer.refused(404, "NAME_UNKNOWN");
}

#[tokio::test]
async fn a_deleted_blob_is_gone_from_its_repository_only() {
    let registry = Registry::start();
    let digest = registry.push_blob("a", b"content").await;
    let mount = format!("/v2/b/blobs/uploads/?mount={digest}&from=a");
    registry.send("POST", &mount, &[], "").await.is(201);
    let target = format!("/v2/a/blobs/{digest}");
    registry.delete(&target).await.is(202);
    registry.get(&target).await.refused(404, "BLOB_UNKNOWN");
    registry.delete(&target).await.refused(404, "BLOB_UNKNOWN");
    registry.get(&format!("/v2/b/blobs/{digest}")).await.is(200);
    let absent = format!("/v2/a/blobs/{}", Digest::of(b"absent"));
    registry.delete(&absent).await.refused(404, "BLOB_UNKNOWN");
}

#[tokio::test]
async fn a_manifest_cannot_be_deleted_as_a_blob() {
    let registry = Registry::start();
    let manifest = registry.push_image("a", "v1", b"layer").await;
    let target = format!("/v2/a/blobs/{}", digest_of(&manifest));
    registry.delete(&target).await.refused(405, "UNSUPPORTED");
    registry.get("/v2/a/manifests/v1").await.is(200);
}

#[tokio::test]
async fn manifests_of_a_deleted_index_can_still_be_pulled() {
    let registry = Registry::start();
    let child = registry.push_image("a", "child", b"layer").await;
    let list = index(&[&child]);
    registry.put_manifest("a", "list", &list).await.is(201);
    registry.delete("/v2/a/manifests/child").await.is(202);
    let target = format!("/v2/a/manifests/{}", digest_of(&list));
    registry.delete(&target).await.is(202);
    let target = format!("/v2/a/manifests/{}", digest_of(&child));
    registry.get(&target).await.is(200);
}

#[tokio::test]
async fn methods_that_an_endpoint_has_not_are_refused() {
    let registry = Registry::start();
    let digest = Digest::of(b"x");
    for (method, target) in [
        ("POST", "/v2/".to_owned()),
        ("PUT", "/v2/_catalog".to_owned()),
        ("DELETE", "/v2/a/tags/list".to_owned()),
        ("POST", "/v2/a/manifests/v1".to_owned()),
        ("PUT", format!("/v2/a/blobs/{digest}")),
        ("GET", "/v2/a/blobs/uploads/".to_owned()),
        ("DELETE", format!("/v2/a/referrers/{digest}")),
    ] {
        let answer = registry.send(method, &target, &[], "").await;
        let answer = answer.refused(405, "UNSUPPORTED");
        assert!(
            !answer.header("allow").contains(method),
            "{method} {target}"
        );
    }
}

#[tokio::test]
async fn with_a_password_nothing_is_done_for_strangers() {
    let files = tempfile::tempdir().unwrap();
    let passwords = files.path().join("htpasswd");
    let hash = bcrypt::hash("pass:word", 4).unwrap();
    fs_err::write(&passwords, format!("user:{hash}\n")).unwrap();
    let registry = Registry::start_with(|options| options.htpasswd = Some(passwords));
    let answer = registry.get("/v2/").await.refused(401, "UNAUTHORIZED");
    assert_eq!(answer.header("www-authenticate"), "Basic realm=\"ohoci\"");
    for (credentials, status) in [
        ("Basic dXNlcjpwYXNzOndvcmQ=", 200),
        ("basic dXNlcjpwYXNzOndvcmQ=", 200),
        ("Basic dXNlcjp3cm9uZw==", 401),
        ("Basic ???", 401),
        ("Bearer dXNlcjpwYXNzOndvcmQ=", 401),
    ] {
        let headers = [("authorization", credentials)];
        let answer = registry.send("GET", "/v2/", &headers, "").await;
        answer.is(status);
    }
}
