//! Reading and writing manifests.

use std::sync::Arc;

use ohoci_image::media_type::{OCI_INDEX, OCI_MANIFEST};
use ohoci_image::{Digest, Pointer};
use ohoci_registry::{ErrorKind, HostSettings, ManifestHead, Mirror, PutReceipt, Repository};
use ohoci_store::Source as _;
use ohoci_store::cache::Cache;
use ohoci_store::registry::RegistrySource;

use super::scripted_registry::{Answer, Scripted};
use super::support::*;

const GET: &str = "GET /v2/a/b/manifests/t";
const HEAD: &str = "HEAD /v2/a/b/manifests/t";
const PUT: &str = "PUT /v2/a/b/manifests/t";

fn served() -> Answer {
    Answer::ok(manifest().bytes().to_vec()).header("content-type", OCI_MANIFEST)
}

fn other() -> Digest {
    Digest::of(b"something else")
}

#[tokio::test]
async fn content_with_another_digest_is_refused() {
    let by_digest = Pointer::Digest(other());
    let line = format!("GET /v2/a/b/manifests/{}", other());
    let lying = served().header("docker-content-digest", &other().to_string());
    let server = Scripted::start([(line.as_str(), served()), (GET, lying)]).await;
    let repository = repository(server.host());
    for pointer in [by_digest, tag()] {
        let error = repository.manifest(&pointer).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.why().contains(&other().to_string()), "{error}");
    }
    server.finish();
}

#[tokio::test]
async fn a_digest_that_cannot_be_checked_does_not_count() {
    let odd = served().header("docker-content-digest", "blake3:abc");
    let server = Scripted::start([(GET, odd)]).await;
    repository(server.host()).manifest(&tag()).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn what_is_no_usable_manifest_is_said_in_words() {
    for (answer, words) in [
        (
            Answer::ok("x".repeat(1 << 16)).endless(),
            "larger than 4194304",
        ),
        (
            Answer::ok("{}").lying_length(5 << 20),
            "larger than 4194304",
        ),
        (Answer::ok("<html>"), "not valid JSON"),
        (Answer::ok(r#"{"schemaVersion":1}"#), "schema 1"),
        (
            Answer::ok(manifest().bytes().to_vec()).header("content-type", OCI_INDEX),
            "but was served as",
        ),
    ] {
        let server = Scripted::start([(GET, answer)]).await;
        let error = repository(server.host())
            .manifest(&tag())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.why().contains(words), "{error}");
        server.finish();
    }
}

#[tokio::test]
async fn a_missing_repository_and_a_missing_tag_read_differently() {
    let mut said = Vec::new();
    for code in ["NAME_UNKNOWN", "MANIFEST_UNKNOWN"] {
        let server = Scripted::start([(GET, Answer::error(404, code, "unknown"))]).await;
        let error = repository(server.host())
            .manifest(&tag())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.status(), Some(404));
        assert_eq!(error.code(), Some(code));
        said.push(error.why().to_owned());
        server.finish();
    }
    assert_eq!(
        said,
        [
            "the repository does not exist: unknown (404 Not Found)",
            "the repository has no manifest of that name: unknown (404 Not Found)"
        ]
    );
}

#[tokio::test]
async fn looking_up_a_tag() {
    let there = Answer::ok("x".repeat(500))
        .header("docker-content-digest", &other().to_string())
        .header(
            "content-type",
            "application/vnd.oci.image.index.v1+json; charset=utf-8",
        );
    let server = Scripted::start([
        (HEAD, there),
        (HEAD, Answer::status(200)),
        (HEAD, Answer::status(404)),
        (HEAD, Answer::status(403)),
    ])
    .await;
    let repository = repository(server.host());
    let tag = tag();
    assert_eq!(
        repository.manifest_head(&tag).await.unwrap(),
        Some(ManifestHead {
            digest: Some(other()),
            media_type: Some(OCI_INDEX.to_owned()),
            size: Some(500),
        })
    );
    let head = repository.manifest_head(&tag).await.unwrap().unwrap();
    assert_eq!(head.digest, None);
    assert_eq!(repository.manifest_head(&tag).await.unwrap(), None);
    let error = repository.manifest_head(&tag).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    server.finish();
}

#[tokio::test]
async fn putting_sends_the_exact_bytes_and_type() {
    let taken = Answer::status(201).header("oci-subject", "sha256:abc");
    let server = Scripted::start([(PUT, taken)]).await;
    let receipt = repository(server.host())
        .put_manifest(&tag(), &manifest())
        .await
        .unwrap();
    assert_eq!(
        receipt,
        PutReceipt {
            subject: Some("sha256:abc".to_owned())
        }
    );
    let seen = server.finish();
    assert_eq!(seen[0].body, manifest().bytes().as_ref());
    assert_eq!(seen[0].header("content-type"), Some(OCI_MANIFEST));
}

#[tokio::test]
async fn a_manifest_that_the_registry_stores_differently_is_an_error() {
    let changed = Answer::status(201).header("docker-content-digest", &other().to_string());
    let server = Scripted::start([(PUT, changed)]).await;
    let error = repository(server.host())
        .put_manifest(&tag(), &manifest())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    server.finish();
}

#[tokio::test]
async fn eventually_consistent_storage_gets_a_little_time() {
    // Nexus and S3-backed registries (manifest-tool#191).
    let blind = || Answer::error(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry");
    let server =
        Scripted::start([(PUT, blind()), (PUT, blind()), (PUT, Answer::status(201))]).await;
    let put = repository(server.host());
    put.put_manifest(&tag(), &manifest()).await.unwrap();
    server.finish();

    let server = Scripted::start([(PUT, blind()), (PUT, blind()), (PUT, blind())]).await;
    let put = repository(server.host());
    let error = put.put_manifest(&tag(), &manifest()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incomplete);
    assert!(error.why().contains("blob unknown to registry"), "{error}");
    server.finish();
}

#[tokio::test]
async fn an_immutable_tag_that_is_where_it_should_be_is_no_error() {
    // ECR answers 400, Harbor 412.
    for status in [400, 409, 412] {
        let refused = || Answer::error(status, "TAG_IMMUTABLE", "the tag cannot be overwritten");
        let at = |digest: &Digest| {
            Answer::status(200).header("docker-content-digest", &digest.to_string())
        };
        let same = manifest().digest().clone();
        let server = Scripted::start([
            (PUT, refused()),
            (HEAD, at(&same)),
            (PUT, refused()),
            (HEAD, at(&other())),
        ])
        .await;
        let repository = repository(server.host());
        repository.put_manifest(&tag(), &manifest()).await.unwrap();
        let error = repository
            .put_manifest(&tag(), &manifest())
            .await
            .unwrap_err();
        assert!(error.why().contains("cannot be overwritten"), "{error}");
        server.finish();
    }
}

fn with_mirror(host: &str, mirror: &str, prefix: &str) -> Repository {
    let mirror = Mirror {
        host: mirror.to_owned(),
        prefix: prefix.to_owned(),
    };
    let own_host = host.to_owned();
    let client = client_for_hosts(move |host| HostSettings {
        mirrors: (host == own_host)
            .then(|| mirror.clone())
            .into_iter()
            .collect(),
        ..HostSettings::default()
    });
    client.repository(host, "a/b")
}

#[tokio::test]
async fn a_mirror_is_asked_first() {
    let (content, config) = blob(100);
    let mirror = Scripted::start([
        ("GET /v2/cache/a/b/manifests/t".to_owned(), served()),
        (
            format!("GET /v2/cache/a/b/blobs/{}", config.digest),
            Answer::ok(content.clone()),
        ),
        // Tags that are looked up to be written, and writes, are the host's own business.
    ])
    .await;
    let server = Scripted::start([(HEAD, Answer::status(404)), (PUT, Answer::status(201))]).await;
    let repository = with_mirror(server.host(), mirror.host(), "cache");
    repository.manifest(&tag()).await.unwrap();
    assert_eq!(repository.blob(&config, 4096).await.unwrap(), content);
    repository.manifest_head(&tag()).await.unwrap();
    repository.put_manifest(&tag(), &manifest()).await.unwrap();
    mirror.finish();
    server.finish();
}

#[tokio::test]
async fn a_mirror_is_passed_over_when_it_fails_and_never_believed() {
    let pointer = Pointer::Digest(manifest().digest().clone());
    let line = format!("GET /v2/a/b/manifests/{}", manifest().digest());
    for (answer, asked_again) in [
        (Answer::status(503), true),
        (Answer::status(404), true),
        (Answer::ok("{}"), false),
        (Answer::drop_connection(), false),
    ] {
        let times = if asked_again { 2 } else { 1 };
        let mirror = Scripted::start((0..times).map(|_| (line.clone(), answer.clone()))).await;
        let server = Scripted::start([(line.clone(), served()), (line.clone(), served())]).await;
        let repository = with_mirror(server.host(), mirror.host(), "");
        repository.manifest(&pointer).await.unwrap();
        repository.manifest(&pointer).await.unwrap();
        mirror.finish();
        server.finish();
    }
}

#[tokio::test]
async fn a_blob_that_a_mirror_garbles_comes_from_the_host() {
    let (content, config) = blob(100);
    let line = format!("GET /v2/a/b/blobs/{}", config.digest);
    let mirror = Scripted::start([(line.as_str(), Answer::ok(vec![0; 100]))]).await;
    let server = Scripted::start([(line.as_str(), Answer::ok(content.clone()))]).await;
    let repository = with_mirror(server.host(), mirror.host(), "");
    assert_eq!(repository.blob(&config, 4096).await.unwrap(), content);
    mirror.finish();
    server.finish();
}

#[tokio::test]
async fn a_manifest_that_breaks_off_is_read_again() {
    let server = Scripted::start([(GET, served().cut_after(20)), (GET, served())]).await;
    repository(server.host()).manifest(&tag()).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn a_mirror_that_is_not_there_is_passed_over() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone_host = gone.local_addr().unwrap().to_string();
    drop(gone);
    let server = Scripted::start([(GET, served())]).await;
    let repository = with_mirror(server.host(), &gone_host, "");
    repository.manifest(&tag()).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn a_tag_that_was_read_through_a_mirror_is_looked_up_there_again() {
    let mirror = Scripted::start([
        (GET, served()),
        (
            HEAD,
            Answer::status(200)
                .header("content-type", OCI_MANIFEST)
                .header("docker-content-digest", &manifest().digest().to_string()),
        ),
    ])
    .await;
    // Only the mirror can be reached.
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = gone.local_addr().unwrap().to_string();
    drop(gone);
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let source = RegistrySource::new(
            with_mirror(&host, mirror.host(), ""),
            format!("{host}/a/b:t").parse().unwrap(),
            Arc::new(Cache::new(directory.path())),
        );
        let root = source.root().await.unwrap();
        assert_eq!(root.digest(), manifest().digest());
    }
    mirror.finish();
}
