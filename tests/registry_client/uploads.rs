//! Uploading blobs: every rung of the ladder.

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use ohoci_image::{Descriptor, Digest};
use ohoci_registry::{Body, BodyError, ByteStream, ErrorKind, HostSettings, Repository};

use super::scripted_registry::{Answer, Scripted};
use super::support::*;

const MIB: usize = 1 << 20;
const POST: &str = "POST /v2/a/b/blobs/uploads/";

fn opened(location: &str) -> Answer {
    Answer::status(202).header("location", location)
}

fn put(location: &str, blob: &Descriptor) -> String {
    let join = if location.contains('?') { '&' } else { '?' };
    format!("PUT {location}{join}digest={}", blob.digest)
}

fn repository_with_single_post(host: &str) -> Repository {
    let settings = HostSettings {
        single_post: Some(true),
        ..HostSettings::default()
    };
    client_with(ohoci_registry::Credential::Anonymous, settings).repository(host, "a/b")
}

#[tokio::test]
async fn an_upload_is_a_post_and_a_put() {
    let (content, blob) = blob(70_000);
    let server = Scripted::start([
        (
            POST.to_owned(),
            opened("/v2/a/b/blobs/uploads/u1?_state=a%2Fb%3D&x"),
        ),
        (
            put("/v2/a/b/blobs/uploads/u1?_state=a%2Fb%3D&x", &blob),
            Answer::status(201).header("docker-content-digest", &blob.digest.to_string()),
        ),
    ])
    .await;
    let repository = repository(server.host());
    repository
        .upload(&blob, &Bytes::from(content.clone()), None)
        .await
        .unwrap();
    let seen = server.finish();
    assert_eq!(seen[1].body, content);
    assert_eq!(seen[1].header("content-length"), Some("70000"));
    assert_eq!(repository.client().statistics().bytes_up, 70_000);
}

#[tokio::test]
async fn an_opened_upload_waits_for_its_content() {
    let (content, blob) = blob(10);
    let server = Scripted::start([
        (POST.to_owned(), opened("http://{host}/u1")),
        (put("/u1", &blob), Answer::status(204)),
    ])
    .await;
    let repository = repository(server.host());
    let session = repository.open_upload().await.unwrap();
    repository
        .upload(&blob, &Bytes::from(content), Some(session))
        .await
        .unwrap();
    server.finish();
}

#[tokio::test]
async fn an_empty_blob_can_be_uploaded() {
    let (_, blob) = blob(0);
    let server = Scripted::start([
        (POST.to_owned(), opened("/u1")),
        (put("/u1", &blob), Answer::status(201)),
    ])
    .await;
    repository(server.host())
        .upload(&blob, &Bytes::new(), None)
        .await
        .unwrap();
    assert_eq!(server.finish()[1].header("content-length"), Some("0"));
}

#[tokio::test]
async fn an_upload_to_another_host_goes_without_credentials() {
    let (content, blob) = blob(10);
    let storage = Scripted::start([(put("/signed?sig=a%2Fb", &blob), Answer::status(201))]).await;
    let elsewhere = format!("//{}/signed?sig=a%2Fb", storage.host());
    let basic = Answer::status(401).header("www-authenticate", "Basic realm=x");
    let server = Scripted::start([(POST, basic), (POST, opened(&elsewhere))]).await;
    let repository = client_with(user(), HostSettings::default()).repository(server.host(), "a/b");
    repository
        .upload(&blob, &Bytes::from(content), None)
        .await
        .unwrap();
    assert!(server.finish()[1].header("authorization").is_some());
    assert_eq!(storage.finish()[0].header("authorization"), None);
}

#[tokio::test]
async fn a_known_registry_gets_a_blob_in_one_post() {
    let (content, blob) = blob(10);
    let line = format!("{POST}?digest={}", blob.digest);
    let server = Scripted::start([(line, Answer::status(201))]).await;
    let repository = repository_with_single_post(server.host());
    repository
        .upload(&blob, &Bytes::from(content.clone()), None)
        .await
        .unwrap();
    assert_eq!(server.finish()[0].body, content);
}

#[tokio::test]
async fn a_registry_that_does_not_do_that_is_remembered() {
    // CNCF distribution ignores `digest` and opens an upload.
    let (content, blob) = blob(10);
    let server = Scripted::start([
        (format!("{POST}?digest={}", blob.digest), opened("/u1")),
        (put("/u1", &blob), Answer::status(201)),
        (POST.to_owned(), opened("/u2")),
        (put("/u2", &blob), Answer::status(201)),
    ])
    .await;
    let repository = repository_with_single_post(server.host());
    let body = Bytes::from(content);
    repository.upload(&blob, &body, None).await.unwrap();
    repository.upload(&blob, &body, None).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn a_small_document_finds_out_whether_one_post_is_enough() {
    let (content, blob) = blob(10);
    let line = format!("{POST}?digest={}", blob.digest);
    let body = Bytes::from(content);
    let server = Scripted::start([
        (line.clone(), Answer::status(201)),
        (line.clone(), opened("/u1")),
        (put("/u1", &blob), Answer::status(201)),
        (POST.to_owned(), opened("/u2")),
        (put("/u2", &blob), Answer::status(201)),
    ])
    .await;
    let tried = repository(server.host());
    for _ in 0..3 {
        tried.upload_document(&blob, &body, None).await.unwrap();
    }
    server.finish();
    // Where it is forbidden, the usual way is gone; where somebody said so, it is not tried.
    let server = Scripted::start([
        (line, Answer::status(403)),
        (POST.to_owned(), opened("/u1")),
        (put("/u1", &blob), Answer::status(201)),
    ])
    .await;
    let tried = repository(server.host());
    tried.upload_document(&blob, &body, None).await.unwrap();
    server.finish();
    let server = Scripted::start([
        (POST.to_owned(), opened("/u1")),
        (put("/u1", &blob), Answer::status(201)),
    ])
    .await;
    let settings = HostSettings {
        single_post: Some(false),
        ..HostSettings::default()
    };
    let tried = client_with(ohoci_registry::Credential::Anonymous, settings)
        .repository(server.host(), "a/b");
    tried.upload_document(&blob, &body, None).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn a_broken_put_goes_on_in_chunks_from_where_the_registry_is() {
    let size = 20 * MIB;
    let (content, blob) = blob(size);
    let have = Answer::status(204)
        .header("range", "0-1048575")
        .header("location", "/u1?state=2");
    let first = opened("/u1?state=3").header("range", &format!("0-{}", 17 * MIB - 1));
    // ECR answers a PATCH with 201.
    let second = Answer::status(201).header("location", "/u1?state=4");
    let server = Scripted::start([
        (POST.to_owned(), opened("/u1?state=1")),
        (
            put("/u1?state=1", &blob),
            Answer::drop_connection().reading_at_most(MIB),
        ),
        ("GET /u1?state=1".to_owned(), have),
        ("PATCH /u1?state=2".to_owned(), first),
        ("PATCH /u1?state=3".to_owned(), second),
        (put("/u1?state=4", &blob), Answer::status(201)),
    ])
    .await;
    repository(server.host())
        .upload(&blob, &Bytes::from(content.clone()), None)
        .await
        .unwrap();
    let seen = server.finish();
    assert_eq!(
        seen[3].header("content-range"),
        Some(format!("{MIB}-{}", 17 * MIB - 1).as_str())
    );
    assert_eq!(
        seen[4].header("content-range"),
        Some(format!("{}-{}", 17 * MIB, size - 1).as_str())
    );
    assert!([&content[..MIB], &seen[3].body, &seen[4].body].concat() == content);
}

#[tokio::test]
async fn chunks_are_as_long_as_the_registry_wants_and_start_where_it_says() {
    let size = 40 * MIB;
    let (content, blob) = blob(size);
    let minimum = (24 * MIB).to_string();
    let server = Scripted::start([
        (
            POST.to_owned(),
            opened("/u1").header("oci-chunk-min-length", &minimum),
        ),
        (put("/u1", &blob), Answer::status(413).reading_at_most(0)),
        (
            "GET /u1".to_owned(),
            Answer::status(204).header("range", "0-0"),
        ),
        (
            "PATCH /u1".to_owned(),
            // It has taken less than was sent.
            opened("/u2").header("range", &format!("bytes=0-{}", 20 * MIB - 1)),
        ),
        ("PATCH /u2".to_owned(), opened("/u3")),
        (put("/u3", &blob), Answer::status(201)),
    ])
    .await;
    repository(server.host())
        .upload(&blob, &Bytes::from(content), None)
        .await
        .unwrap();
    let seen = server.finish();
    let range = |nth: usize| seen[nth].header("content-range").unwrap();
    assert_eq!(range(3), format!("0-{}", 24 * MIB - 1));
    assert_eq!(range(4), format!("{}-{}", 20 * MIB, size - 1));
}

#[tokio::test]
async fn chunks_shrink_to_what_the_registry_takes() {
    // GHCR takes at most 4 MiB with a Content-Range, and says so with 416.
    let (content, blob) = blob(5 * MIB);
    let limit = Answer::error(416, "UNKNOWN", "exceeds 4.00MiB").reading_at_most(0);
    let server = Scripted::start([
        (POST.to_owned(), opened("/u1")),
        (put("/u1", &blob), Answer::status(500).reading_at_most(0)),
        ("GET /u1".to_owned(), Answer::status(204)),
        ("PATCH /u1".to_owned(), limit),
        ("GET /u1".to_owned(), Answer::status(204)),
        ("PATCH /u1".to_owned(), Answer::status(202)),
        ("PATCH /u1".to_owned(), Answer::status(202)),
        (put("/u1", &blob), Answer::status(201)),
    ])
    .await;
    repository(server.host())
        .upload(&blob, &Bytes::from(content), None)
        .await
        .unwrap();
    let seen = server.finish();
    assert_eq!((seen[5].body.len(), seen[6].body.len()), (4 * MIB, MIB));
}

#[tokio::test]
async fn an_upload_that_the_registry_has_forgotten_begins_again() {
    // ACR answers a resumed chunk so (azure-sdk-for-net#25448).
    let (content, blob) = blob(100);
    let gone = || Answer::error(404, "BLOB_UPLOAD_INVALID", "blob upload invalid");
    let head = format!("HEAD /v2/a/b/blobs/{}", blob.digest);
    let server = Scripted::start([
        (POST.to_owned(), opened("/u1")),
        (put("/u1", &blob), Answer::drop_connection()),
        ("GET /u1".to_owned(), gone()),
        (head, Answer::status(404)),
        (POST.to_owned(), opened("/u2")),
        (put("/u2", &blob), Answer::status(201)),
    ])
    .await;
    repository(server.host())
        .upload(&blob, &Bytes::from(content.clone()), None)
        .await
        .unwrap();
    assert_eq!(server.finish()[5].body, content);
}

#[tokio::test]
async fn a_lost_answer_is_no_lost_blob() {
    let (content, blob) = blob(100);
    let server = Scripted::start([
        (POST.to_owned(), opened("/u1")),
        (put("/u1", &blob), Answer::drop_connection()),
        ("GET /u1".to_owned(), Answer::status(404)),
        (
            format!("HEAD /v2/a/b/blobs/{}", blob.digest),
            Answer::ok(content.clone()),
        ),
    ])
    .await;
    repository(server.host())
        .upload(&blob, &Bytes::from(content), None)
        .await
        .unwrap();
    server.finish();
}

#[tokio::test]
async fn a_failed_end_of_a_complete_upload_is_looked_into() {
    // ECR may answer 500 to the empty PUT that ends an upload in chunks.
    let (content, blob) = blob(100);
    let server = Scripted::start([
        (POST.to_owned(), opened("/u1")),
        (put("/u1", &blob), Answer::status(503)),
        (
            "GET /u1".to_owned(),
            Answer::status(204).header("range", "0-99"),
        ),
        (put("/u1", &blob), Answer::status(500)),
        (
            format!("HEAD /v2/a/b/blobs/{}", blob.digest),
            Answer::ok(content.clone()),
        ),
    ])
    .await;
    repository(server.host())
        .upload(&blob, &Bytes::from(content), None)
        .await
        .unwrap();
    server.finish();
}

#[tokio::test]
async fn a_redirected_upload_sends_the_content_again() {
    let (content, blob) = blob(1000);
    let server = Scripted::start([
        (POST.to_owned(), opened("/u1")),
        (
            put("/u1", &blob),
            Answer::status(307).header("location", "/elsewhere"),
        ),
        ("PUT /elsewhere".to_owned(), Answer::status(201)),
    ])
    .await;
    repository(server.host())
        .upload(&blob, &Bytes::from(content.clone()), None)
        .await
        .unwrap();
    assert_eq!(server.finish()[2].body, content);
}

#[tokio::test]
async fn a_refusal_is_told_and_the_upload_given_up() {
    let (content, blob) = blob(10);
    let server = Scripted::start([
        (POST.to_owned(), opened("/u1")),
        (
            put("/u1", &blob),
            Answer::error(403, "DENIED", "storage quota exceeded"),
        ),
        ("DELETE /u1".to_owned(), Answer::status(404)),
    ])
    .await;
    let error = repository(server.host())
        .upload(&blob, &Bytes::from(content), None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.why().contains("storage quota exceeded"), "{error}");
    assert!(
        error.what().starts_with("cannot upload blob sha256:"),
        "{error}"
    );
    server.finish();
}

#[tokio::test]
async fn a_registry_that_stores_something_else_is_an_error() {
    let (content, blob) = blob(10);
    let other = Digest::of(b"other").to_string();
    let server = Scripted::start([
        (POST.to_owned(), opened("/u1")),
        (
            put("/u1", &blob),
            Answer::status(201).header("docker-content-digest", &other),
        ),
        ("DELETE /u1".to_owned(), Answer::status(204)),
    ])
    .await;
    let error = repository(server.host())
        .upload(&blob, &Bytes::from(content), None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    server.finish();
}

/// Fails in the middle.
#[derive(Debug)]
struct Torn;

#[async_trait]
impl Body for Torn {
    async fn open(&self, _offset: u64) -> Result<ByteStream, BodyError> {
        let pieces = [
            Ok(Bytes::from(vec![0; MIB])),
            Err(io::Error::other("the disk is gone").into()),
        ];
        Ok(futures_util::stream::iter(pieces).boxed())
    }
}

#[tokio::test]
async fn a_body_that_fails_is_named_as_the_reason() {
    let (_, blob) = blob(4 * MIB);
    let server = Scripted::start([
        (POST.to_owned(), opened("/u1")),
        (put("/u1", &blob), Answer::status(201)),
        ("DELETE /u1".to_owned(), Answer::status(204)),
    ])
    .await;
    let error = repository(server.host())
        .upload(&blob, &Torn, None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.why().contains("the disk is gone"), "{error}");
    server.finish();
}

#[tokio::test]
async fn a_blob_streams_from_one_registry_into_another() {
    let (content, blob) = blob(3 * MIB);
    let line = format!("GET /v2/a/b/blobs/{}", blob.digest);
    let source = Scripted::start([
        (line.clone(), Answer::ok(content.clone()).cut_after(2 * MIB)),
        (
            line,
            Answer::status(206)
                .header(
                    "content-range",
                    &format!("bytes {}-{}/{}", 2 * MIB, 3 * MIB - 1, 3 * MIB),
                )
                .body(&content[2 * MIB..]),
        ),
    ])
    .await;
    let target = Scripted::start([
        (POST.to_owned(), opened("/u1")),
        (put("/u1", &blob), Answer::status(201)),
    ])
    .await;
    let client = client();
    let body = client.repository(source.host(), "a/b").blob_body(&blob);
    client
        .repository(target.host(), "a/b")
        .upload(&blob, body.as_ref(), None)
        .await
        .unwrap();
    assert!(target.finish()[1].body == content);
    source.finish();
}

#[tokio::test]
async fn an_upload_that_is_fed_by_the_same_registry_does_not_wait_for_itself() {
    let (content, blob) = blob(MIB);
    let line = format!("GET /v2/source/blobs/{}", blob.digest);
    let mut script = Vec::new();
    for _ in 0..4 {
        script.push((POST.to_owned(), opened("/u")));
        script.push((line.clone(), Answer::ok(content.clone())));
        script.push((put("/u", &blob), Answer::status(201)));
    }
    let server = Scripted::in_any_order(script).await;
    let settings = HostSettings {
        concurrency: Some(1),
        ..HostSettings::default()
    };
    let client = client_with(ohoci_registry::Credential::Anonymous, settings);
    let body = client.repository(server.host(), "source").blob_body(&blob);
    let target = client.repository(server.host(), "a/b");
    let all = (0..4).map(|_| target.upload(&blob, body.as_ref(), None));
    for result in futures_util::future::join_all(all).await {
        result.unwrap();
    }
    server.finish();
}

#[tokio::test]
async fn a_token_for_what_feeds_an_upload_does_not_wait_for_the_upload() {
    let (content, blob) = blob(100);
    let read = format!("GET /v2/source/blobs/{}", blob.digest);
    let token = |scope: &str| format!("GET /token?service=registry.example&scope={scope}");
    let server = Scripted::start([
        (
            POST.to_owned(),
            Answer::challenge("repository:a/b:pull,push"),
        ),
        (
            token("repository%3Aa%2Fb%3Apull%2Cpush"),
            Answer::token("write"),
        ),
        (POST.to_owned(), opened("/u")),
        (token("repository%3Asource%3Apull"), Answer::token("read")),
        (read, Answer::ok(content.clone())),
        (put("/u", &blob), Answer::status(201)),
    ])
    .await;
    // The one small request that may be under way is the upload itself.
    let settings = HostSettings {
        concurrency: Some(1),
        ..HostSettings::default()
    };
    let client = client_with(ohoci_registry::Credential::Anonymous, settings);
    let body = client.repository(server.host(), "source").blob_body(&blob);
    let target = client.repository(server.host(), "a/b");
    let upload = target.upload(&blob, body.as_ref(), None);
    tokio::time::timeout(Duration::from_secs(60), upload)
        .await
        .expect("it waits for itself")
        .unwrap();
    server.finish();
}

#[tokio::test]
async fn locations_that_are_none_are_an_error_and_no_panic() {
    let (content, blob) = blob(10);
    for location in [
        "",
        "http://",
        "http://[::",
        "javascript:1",
        "http://169.254.169.254/u",
        "\u{fffd}",
    ] {
        let server = Scripted::start([(POST, opened(location))]).await;
        let error = repository(server.host())
            .upload(&blob, &Bytes::from(content.clone()), None)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Server, "{location}: {error:?}");
        server.finish();
    }
}

#[tokio::test]
async fn a_registry_that_never_takes_anything_is_given_up() {
    let (content, blob) = blob(10);
    let server = Scripted::start([
        (POST.to_owned(), opened("/u1")),
        (put("/u1", &blob), Answer::status(503)),
        (
            "GET /u1".to_owned(),
            Answer::status(204).header("range", "0-0"),
        ),
        (
            "PATCH /u1".to_owned(),
            Answer::status(202).header("range", "0-0"),
        ),
        (
            "PATCH /u1".to_owned(),
            Answer::status(202).header("range", "0-0"),
        ),
        ("DELETE /u1".to_owned(), Answer::status(204)),
    ])
    .await;
    let error = repository(server.host())
        .upload(&blob, &Bytes::from(content), None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server);
    server.finish();
}
