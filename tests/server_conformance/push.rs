//! Category "Push".

use std::os::unix::fs::MetadataExt as _;

use ohoci_image::{Digest, media_type};
use serde_json::{Value, json};

use crate::server_conformance::support::{
    Registry, descriptor, digest_of, files, image, index, sha512,
};

const OCTETS: (&str, &str) = ("content-type", "application/octet-stream");

#[tokio::test]
async fn a_blob_can_be_pushed_in_one_request() {
    let registry = Registry::start();
    for digest in [Digest::of(b"content"), sha512(b"content")] {
        let target = format!("/v2/a/blobs/uploads/?digest={digest}");
        let answer = registry
            .send("POST", &target, &[OCTETS], "content")
            .await
            .is(201);
        assert_eq!(answer.location(), format!("/v2/a/blobs/{digest}"));
        let header = answer.header("docker-content-digest");
        assert_eq!(header, digest.to_string());
        let got = registry.get(answer.location()).await.is(200);
        assert_eq!(got.body, b"content");
    }
}

#[tokio::test]
async fn a_blob_can_be_pushed_in_chunks() {
    let registry = Registry::start();
    let content: Vec<u8> = (0..=255).cycle().take(3000).collect();
    for (last_by_put, digest, parameter) in [
        (false, Digest::of(&content), ""),
        (true, Digest::of(&content), ""),
        (true, sha512(&content), "?digest-algorithm=sha512"),
        // The algorithm shows only at the end.
        (false, sha512(&content), ""),
    ] {
        let target = format!("/v2/a/blobs/uploads/{parameter}");
        let answer = registry.send("POST", &target, &[], "").await.is(202);
        let mut location = answer.location().to_owned();
        for first in [0, 1000, 2000] {
            let range = format!("{first}-{}", first + 999);
            let headers = [OCTETS, ("content-range", range.as_str())];
            let chunk = content[first..first + 1000].to_vec();
            if last_by_put && first == 2000 {
                let target = format!("{location}?digest={digest}");
                registry.send("PUT", &target, &headers, chunk).await.is(201);
            } else {
                let answer = registry.send("PATCH", &location, &headers, chunk).await;
                let answer = answer.is(202);
                assert_eq!(answer.header("range"), format!("0-{}", first + 999));
                location = answer.location().to_owned();
            }
        }
        if !last_by_put {
            let target = format!("{location}?digest={digest}");
            registry.send("PUT", &target, &[], "").await.is(201);
        }
        let got = registry.get(&format!("/v2/a/blobs/{digest}")).await.is(200);
        assert_eq!(got.body, content);
        registry
            .delete(&format!("/v2/a/blobs/{digest}"))
            .await
            .is(202);
    }
}

#[tokio::test]
async fn a_blob_can_be_streamed_without_saying_how_long_it_is() {
    let registry = Registry::start();
    let location = registry.session("a").await;
    let pieces = (0..100_u8).map(|n| Ok::<_, std::io::Error>(vec![n; 30_000]));
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    let content: Vec<u8> = (0..100_u8).flat_map(|n| vec![n; 30_000]).collect();
    let answer = registry
        .send("PATCH", &location, &[OCTETS], body)
        .await
        .is(202);
    assert_eq!(answer.header("range"), "0-2999999");
    let digest = Digest::of(&content);
    let target = format!("{}?digest={digest}", answer.location());
    registry.send("PUT", &target, &[], "").await.is(201);
    let got = registry.get(&format!("/v2/a/blobs/{digest}")).await.is(200);
    assert_eq!(got.body, content);
}

#[tokio::test]
async fn chunks_out_of_order_are_refused_and_the_upload_goes_on() {
    let registry = Registry::start();
    let location = registry.session("a").await;
    let chunk = |range: &'static str| [OCTETS, ("content-range", range)];
    let answer = registry
        .send("PATCH", &location, &chunk("5-9"), "56789")
        .await;
    answer.refused(416, "BLOB_UPLOAD_INVALID");
    registry.get(&location).await.is(204);
    registry
        .send("PATCH", &location, &chunk("0-4"), "01234")
        .await
        .is(202);
    for range in ["0-4", "6-10"] {
        let range = [OCTETS, ("content-range", range)];
        let answer = registry
            .send("PATCH", &location, &range, "xxxxx")
            .await
            .is(416);
        assert_eq!(answer.header("range"), "0-4");
        assert_eq!(answer.location(), location);
        let digest = Digest::of(b"0123456789");
        let target = format!("{location}?digest={digest}");
        registry.send("PUT", &target, &range, "xxxxx").await.is(416);
    }
    let status = registry.get(&location).await.is(204);
    assert_eq!(status.header("range"), "0-4");
    let digest = Digest::of(b"0123456789");
    let target = format!("{}?digest={digest}", status.location());
    registry
        .send("PUT", &target, &chunk("5-9"), "56789")
        .await
        .is(201);
}

#[tokio::test]
async fn a_chunk_of_another_length_than_announced_leaves_nothing_behind() {
    let registry = Registry::start();
    let location = registry.session("a").await;
    let range = [("content-range", "0-4")];
    let long = registry.send("PATCH", &location, &range, "0123456").await;
    long.refused(400, "SIZE_INVALID");
    for text in ["012", "0123456"] {
        let pieces = futures_util::stream::iter([Ok::<_, std::io::Error>(text)]);
        let body = reqwest::Body::wrap_stream(pieces);
        let answer = registry.send("PATCH", &location, &range, body).await;
        answer.refused(400, "SIZE_INVALID");
    }
    let odd = [("content-range", "five to nine")];
    let answer = registry.send("PATCH", &location, &odd, "x").await;
    answer.refused(400, "BLOB_UPLOAD_INVALID");
    registry
        .send("PATCH", &location, &range, "01234")
        .await
        .is(202);
    let digest = Digest::of(b"01234");
    let target = format!("{location}?digest={digest}");
    registry.send("PUT", &target, &[], "").await.is(201);
}

#[tokio::test]
async fn content_with_another_digest_is_refused_and_never_seen() {
    let registry = Registry::start();
    let (wrong, right) = (Digest::of(b"expected"), Digest::of(b"came"));
    let target = format!("/v2/a/blobs/uploads/?digest={wrong}");
    let answer = registry.send("POST", &target, &[], "came").await;
    answer.refused(400, "DIGEST_INVALID");
    let location = registry.session("a").await;
    let target = format!("{location}?digest={wrong}");
    let answer = registry.send("PUT", &target, &[], "came").await;
    answer.refused(400, "DIGEST_INVALID");
    let location = registry.session("a").await;
    registry.send("PATCH", &location, &[], "came").await.is(202);
    let target = format!("{location}?digest={wrong}");
    let answer = registry.send("PUT", &target, &[], "").await;
    answer.refused(400, "DIGEST_INVALID");
    registry
        .get(&location)
        .await
        .refused(404, "BLOB_UPLOAD_UNKNOWN");
    for digest in [wrong, right] {
        registry
            .head(&format!("/v2/a/blobs/{digest}"))
            .await
            .is(404);
    }
    for parameter in ["", "?digest=", "?digest=md5:00", "?digest=sha256:xyz"] {
        let target = format!("{}{parameter}", registry.session("a").await);
        let answer = registry.send("PUT", &target, &[], "came").await;
        answer.refused(400, "DIGEST_INVALID");
    }
    assert_eq!(
        files(registry.directory.path())
            .iter()
            .filter(|file| !file.starts_with(".uploads"))
            .count(),
        0
    );
}

#[tokio::test]
async fn an_upload_can_be_cancelled() {
    let registry = Registry::start();
    let location = registry.session("a").await;
    registry
        .send("PATCH", &location, &[], "content")
        .await
        .is(202);
    registry.delete(&location).await.is(204);
    for method in ["GET", "PATCH", "PUT", "DELETE"] {
        let answer = registry.send(method, &location, &[], "").await;
        answer.refused(404, "BLOB_UPLOAD_UNKNOWN");
    }
    assert_eq!(files(registry.directory.path()), [".uploads/lock"]);
}

#[tokio::test]
async fn an_upload_belongs_to_its_repository() {
    let registry = Registry::start();
    let location = registry.session("a").await;
    let elsewhere = location.replace("/v2/a/", "/v2/b/");
    let answer = registry.get(&elsewhere).await;
    answer.refused(404, "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn a_blob_is_mounted_without_being_copied() {
    let registry = Registry::start();
    let digest = registry.push_blob("source/one", b"content").await;
    for (target, from) in [("b/named", "&from=source/one"), ("b/anonymous", "")] {
        let post = format!("/v2/{target}/blobs/uploads/?mount={digest}{from}");
        let answer = registry.send("POST", &post, &[], "").await.is(201);
        assert_eq!(answer.location(), format!("/v2/{target}/blobs/{digest}"));
        let header = answer.header("docker-content-digest");
        assert_eq!(header, digest.to_string());
        let got = registry.get(answer.location()).await.is(200);
        assert_eq!(got.body, b"content");
    }
    let blob = |name: &str| {
        let path = registry.directory.path().join(name);
        let path = path.join("blobs/sha256").join(digest.hex());
        fs_err::metadata(path).unwrap()
    };
    assert_eq!(blob("b/named").ino(), blob("source/one").ino());
    assert_eq!(blob("b/anonymous").nlink(), 3);
}

#[tokio::test]
async fn a_mount_that_cannot_be_becomes_an_upload() {
    let registry = Registry::start();
    let digest = registry.push_blob("source", b"content").await;
    let absent = Digest::of(b"absent");
    for query in [
        format!("mount={absent}&from=source"),
        format!("mount={digest}&from=nowhere"),
        format!("mount={digest}&from=../source"),
        format!("mount={absent}"),
    ] {
        let target = format!("/v2/b/blobs/uploads/?{query}");
        let answer = registry.send("POST", &target, &[], "").await.is(202);
        let target = format!("{}?digest={digest}", answer.location());
        registry.send("PUT", &target, &[], "content").await.is(201);
        registry
            .delete(&format!("/v2/b/blobs/{digest}"))
            .await
            .is(202);
    }
    let target = "/v2/b/blobs/uploads/?mount=sha256:xyz&from=source";
    let answer = registry.send("POST", target, &[], "").await;
    answer.refused(400, "DIGEST_INVALID");
}

#[tokio::test]
async fn identical_uploads_at_once_all_succeed() {
    let registry = Registry::start();
    let content = vec![3; 2_000_000];
    let pushes = (0..8).map(|_| registry.push_blob("a", &content));
    let digests = futures_util::future::join_all(pushes).await;
    let target = format!("/v2/a/blobs/{}", digests[0]);
    assert_eq!(registry.get(&target).await.is(200).body, content);
    assert_eq!(
        files(registry.directory.path()),
        [
            ".uploads/lock".to_owned(),
            format!("a/blobs/sha256/{}", digests[0].hex()),
            "a/index.json".to_owned(),
            "a/oci-layout".to_owned(),
        ]
    );
}

#[tokio::test]
async fn one_request_can_give_many_tags() {
    let registry = Registry::start();
    let manifest = registry.push_image("a", "first", b"layer").await;
    let digest = digest_of(&manifest);
    let reference = format!("{digest}?tag=1&tag=1.2&tag=latest");
    let answer = registry
        .put_manifest("a", &reference, &manifest)
        .await
        .is(201);
    let tags: Vec<_> = answer.headers.get_all("oci-tag").iter().collect();
    assert_eq!(tags, ["1", "1.2", "latest"]);
    for tag in ["1", "1.2", "latest"] {
        let got = registry
            .get(&format!("/v2/a/manifests/{tag}"))
            .await
            .is(200);
        let header = got.header("docker-content-digest");
        assert_eq!(header, digest.to_string());
    }
    let bad = format!("{digest}?tag=ok&tag=.bad");
    let answer = registry.put_manifest("a", &bad, &manifest).await;
    answer.refused(400, "TAG_INVALID");
    registry.head("/v2/a/manifests/ok").await.is(404);
    let many: String = (0..101).map(|n| format!("&tag=t{n}")).collect();
    let reference = format!("{digest}?{many}");
    let answer = registry.put_manifest("a", &reference, &manifest).await;
    answer.refused(414, "UNSUPPORTED");
}

#[tokio::test]
async fn manifests_can_be_pushed_by_either_digest() {
    let registry = Registry::start();
    let manifest = registry.push_image("a", "v1", b"layer").await;
    let digest = sha512(manifest.to_string().as_bytes());
    let answer = registry
        .put_manifest("a", &digest.to_string(), &manifest)
        .await
        .is(201);
    let header = answer.header("docker-content-digest");
    assert_eq!(header, digest.to_string());
    let got = registry.get(answer.location()).await.is(200);
    assert_eq!(got.body, manifest.to_string().as_bytes());
    let other = Digest::of(b"other").to_string();
    let answer = registry.put_manifest("a", &other, &manifest).await;
    answer.refused(400, "DIGEST_INVALID");
    registry
        .head(&format!("/v2/a/manifests/{other}"))
        .await
        .is(404);
}

#[tokio::test]
async fn what_a_manifest_lists_has_to_be_there() {
    let registry = Registry::start();
    registry.push_blob("elsewhere", b"layer").await;
    let manifest = image(b"{}", &[b"layer"]);
    let answer = registry.put_manifest("a", "v1", &manifest).await;
    let answer = answer.refused(400, "MANIFEST_BLOB_UNKNOWN");
    let errors = answer.json()["errors"].as_array().unwrap().clone();
    let missing: Vec<_> = errors
        .iter()
        .map(|e| e["detail"]["digest"].clone())
        .collect();
    let of = |content: &[u8]| Value::from(Digest::of(content).to_string());
    assert_eq!(missing, [of(b"{}"), of(b"layer")]);
    let answer = registry.get("/v2/a/tags/list").await;
    answer.refused(404, "NAME_UNKNOWN");

    registry.push_blob("a", b"{}").await;
    registry.push_blob("a", b"layer").await;
    let list = index(&[&manifest]);
    // A manifest that was pushed as a blob is none.
    registry
        .push_blob("a", manifest.to_string().as_bytes())
        .await;
    let answer = registry.put_manifest("a", "list", &list).await;
    answer.refused(400, "MANIFEST_BLOB_UNKNOWN");
    let digest = digest_of(&manifest).to_string();
    registry.put_manifest("a", &digest, &manifest).await.is(201);
    registry.put_manifest("a", "list", &list).await.is(201);
    let nested = index(&[&list, &manifest]);
    registry.put_manifest("a", "nested", &nested).await.is(201);

    let mut lying = manifest.clone();
    lying["layers"][0]["size"] = json!(6);
    let answer = registry.put_manifest("a", "v2", &lying).await;
    answer.refused(400, "MANIFEST_INVALID");
}

#[tokio::test]
async fn foreign_layers_and_subjects_need_not_be_there() {
    let registry = Registry::start();
    registry.push_blob("a", b"{}").await;
    let mut manifest = image(b"{}", &[b"not here", b"nor this"]);
    manifest["layers"][0]["mediaType"] =
        json!("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip");
    manifest["layers"][1]["urls"] = json!(["https://registry.example/layer"]);
    let subject = descriptor(media_type::OCI_MANIFEST, b"not here");
    manifest["subject"] = subject.clone();
    let answer = registry.put_manifest("a", "v1", &manifest).await.is(201);
    assert_eq!(answer.header("oci-subject"), subject["digest"]);
}

#[tokio::test]
async fn what_is_no_manifest_is_refused() {
    let registry = Registry::start();
    let good = registry.push_image("a", "good", b"layer").await;
    let kind = media_type::OCI_MANIFEST;
    let put = |kind: &'static str, body: String| {
        let headers = [("content-type", kind)];
        let registry = &registry;
        async move {
            let target = "/v2/a/manifests/bad";
            registry.send("PUT", target, &headers, body).await
        }
    };
    let mut both = good.clone();
    both["manifests"] = json!([]);
    let mut subject = good.clone();
    subject["subject"] = json!({"digest": "sha256:xyz"});
    let mut escaping = good.clone();
    escaping["config"]["digest"] = json!("sha256:../../../index.json");
    for bad in [both, subject, escaping, json!([]), json!({}), json!("x")] {
        put(kind, bad.to_string())
            .await
            .refused(400, "MANIFEST_INVALID");
    }
    put(kind, "{".to_owned())
        .await
        .refused(400, "MANIFEST_INVALID");
    for other in [media_type::OCI_INDEX, "application/json", "text/plain"] {
        let answer = put(other, good.to_string()).await;
        answer.refused(400, "MANIFEST_INVALID");
    }
    let schema1 = json!({"schemaVersion": 1, "name": "a", "tag": "b", "fsLayers": []});
    let answer = put(media_type::DOCKER_SCHEMA1[0], schema1.to_string()).await;
    answer.refused(400, "MANIFEST_INVALID");
    let with_parameter = "application/vnd.oci.image.manifest.v1+json; charset=utf-8";
    put(with_parameter, good.to_string()).await.is(201);
    let target = "/v2/a/manifests/untyped";
    registry
        .send("PUT", target, &[], good.to_string())
        .await
        .is(201);
}

#[tokio::test]
async fn manifests_of_four_mebibytes_are_taken_and_no_larger_ones() {
    let registry = Registry::start();
    let mut manifest = registry.push_image("a", "small", b"layer").await;
    manifest["annotations"] = json!({"fill": ""});
    let fill = (4 << 20) - manifest.to_string().len();
    manifest["annotations"]["fill"] = "x".repeat(fill).into();
    registry
        .put_manifest("a", "largest", &manifest)
        .await
        .is(201);
    manifest["annotations"]["fill"] = "x".repeat(fill + 1).into();
    let answer = registry.put_manifest("a", "larger", &manifest).await;
    answer.refused(413, "SIZE_INVALID");
    let pieces = vec![Ok::<_, std::io::Error>(manifest.to_string())];
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    let target = "/v2/a/manifests/larger";
    registry.send("PUT", target, &[], body).await.is(413);
}

#[tokio::test]
async fn blobs_over_the_cap_are_refused() {
    let registry = Registry::start_with(|options| options.max_blob = 1000);
    let target = format!("/v2/a/blobs/uploads/?digest={}", Digest::of(b"x"));
    let answer = registry.send("POST", &target, &[], vec![0; 1001]).await;
    answer.refused(413, "SIZE_INVALID");
    let location = registry.session("a").await;
    registry
        .send("PATCH", &location, &[], vec![0; 600])
        .await
        .is(202);
    registry
        .send("PATCH", &location, &[], vec![0; 401])
        .await
        .is(413);
    let pieces = vec![Ok::<_, std::io::Error>(vec![0; 401])];
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    registry.send("PATCH", &location, &[], body).await.is(413);
    registry
        .send("PATCH", &location, &[], vec![0; 400])
        .await
        .is(202);
    let digest = Digest::of(&[0; 1000]);
    let target = format!("{location}?digest={digest}");
    registry.send("PUT", &target, &[], "").await.is(201);
}

#[tokio::test]
async fn every_request_is_recorded_before_it_is_answered() {
    let registry = Registry::start();
    let digest = registry.push_blob("a", b"content").await;
    let target = format!("/v2/a/blobs/{digest}");
    registry.get(&target).await.is(200);
    registry.head(&target).await.is(200);
    let records = registry.records();
    let short: Vec<_> = records
        .iter()
        .map(|r| (r.method.as_str(), r.status, r.received, r.sent))
        .collect();
    assert_eq!(
        short,
        [
            ("POST", 202, 0, 0),
            ("PUT", 201, 7, 0),
            ("GET", 200, 0, 7),
            ("HEAD", 200, 0, 0),
        ]
    );
    assert_eq!(records[2].target, target);
    assert!(records[1].target.ends_with(&format!("?digest={digest}")));
}
