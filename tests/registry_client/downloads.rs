//! Reading blobs.

use futures_util::TryStreamExt;
use ohoci_image::{Descriptor, Digest};
use ohoci_registry::{Error, ErrorKind, HostSettings, Repository};

use super::scripted_registry::{Answer, Scripted};
use super::support::*;

async fn read(repository: &Repository, blob: &Descriptor, offset: u64) -> Result<Vec<u8>, Error> {
    let stream = repository.blob_body(blob).open(offset).await?;
    let pieces: Vec<bytes::Bytes> = stream.try_collect().await?;
    Ok(pieces.concat())
}

fn line(blob: &Descriptor) -> String {
    format!("GET /v2/a/b/blobs/{}", blob.digest)
}

#[tokio::test]
async fn a_broken_download_goes_on_where_it_broke() {
    let (content, blob) = blob(100_000);
    let rest = Answer::status(206)
        .header("content-range", "bytes 60000-99999/100000")
        .body(&content[60_000..]);
    let server = Scripted::start([
        (line(&blob), Answer::ok(content.clone()).cut_after(60_000)),
        (line(&blob), rest),
    ])
    .await;
    let repository = repository(server.host());
    assert_eq!(read(&repository, &blob, 0).await.unwrap(), content);
    let seen = server.finish();
    assert_eq!(seen[0].header("range"), None);
    assert_eq!(seen[1].header("range"), Some("bytes=60000-"));
    let statistics = repository.client().statistics();
    assert_eq!((statistics.bytes_down, statistics.retries), (100_000, 1));
}

#[tokio::test]
async fn a_server_without_ranges_is_read_from_the_start_again() {
    let (content, blob) = blob(50_000);
    let server = Scripted::start([
        (line(&blob), Answer::ok(content.clone()).cut_after(20_000)),
        (line(&blob), Answer::ok(content.clone())),
    ])
    .await;
    let repository = repository(server.host());
    assert_eq!(read(&repository, &blob, 0).await.unwrap(), content);
    server.finish();
}

#[tokio::test]
async fn reading_from_an_offset() {
    let (content, blob) = blob(1000);
    let rest = Answer::status(206)
        .header("content-range", "bytes 900-999/1000")
        .body(&content[900..]);
    let server = Scripted::start([
        (line(&blob), rest),
        (line(&blob), Answer::ok(content.clone())),
    ])
    .await;
    let repository = repository(server.host());
    assert_eq!(read(&repository, &blob, 900).await.unwrap(), content[900..]);
    assert_eq!(read(&repository, &blob, 900).await.unwrap(), content[900..]);
    assert_eq!(read(&repository, &blob, 1000).await.unwrap(), b"");
    server.finish();
}

#[tokio::test]
async fn a_download_that_never_gets_on_ends() {
    let (content, blob) = blob(1000);
    let cut = || Answer::ok(content.clone()).cut_after(0);
    let server = Scripted::start([
        (line(&blob), cut()),
        (line(&blob), cut()),
        (line(&blob), cut()),
    ])
    .await;
    let error = read(&repository(server.host()), &blob, 0)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error:?}");
    assert!(error.what().contains(&blob.digest.to_string()), "{error}");
    server.finish();
}

#[tokio::test]
async fn a_server_that_falls_silent_is_left() {
    let (content, blob) = blob(1000);
    let server = Scripted::start([
        (line(&blob), Answer::hang()),
        (line(&blob), Answer::ok(content.clone())),
    ])
    .await;
    let repository = repository(server.host());
    assert_eq!(repository.blob(&blob, 1000).await.unwrap(), content);
    server.finish();
}

#[tokio::test]
async fn content_that_is_not_what_it_should_be_is_refused() {
    let (content, blob) = blob(1000);
    let longer = [content.clone(), vec![0]].concat();
    for answer in [
        Answer::ok(vec![0; 1000]),
        Answer::ok(longer.clone()),
        Answer::ok(longer).endless(),
        Answer::ok(content[..999].to_vec()),
        Answer::ok(content.clone()).lying_length(1 << 40),
        Answer::status(206).body(content.clone()),
    ] {
        let server = Scripted::start([(line(&blob), answer.clone())]).await;
        let error = read(&repository(server.host()), &blob, 0)
            .await
            .unwrap_err();
        let kinds = [ErrorKind::Corrupt, ErrorKind::Server];
        assert!(kinds.contains(&error.kind()), "{answer:?}: {error:?}");
        server.finish();
    }
}

#[tokio::test]
async fn the_wrong_part_of_a_blob_is_refused() {
    let (content, blob) = blob(1000);
    let wrong = Answer::status(206)
        .header("content-range", "bytes 0-499/1000")
        .body(&content[..500]);
    let server = Scripted::start([
        (line(&blob), Answer::ok(content.clone()).cut_after(500)),
        (line(&blob), wrong),
    ])
    .await;
    let error = read(&repository(server.host()), &blob, 0)
        .await
        .unwrap_err();
    assert!(error.why().contains("another part"), "{error}");
    server.finish();
}

#[tokio::test]
async fn nothing_is_asked_for_that_is_too_large_to_be_taken() {
    let blob = Descriptor::new("x", Digest::of(b"x"), 1 << 40);
    let error = repository("127.0.0.1:1")
        .blob(&blob, 1 << 20)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn an_empty_blob_is_a_blob() {
    let (_, blob) = blob(0);
    let server = Scripted::start([(line(&blob), Answer::status(200))]).await;
    assert!(
        repository(server.host())
            .blob(&blob, 10)
            .await
            .unwrap()
            .is_empty()
    );
    server.finish();
}

#[tokio::test]
async fn redirects_that_lead_nowhere_end() {
    let (_, blob) = blob(10);
    let looping =
        || Answer::status(302).header("location", &format!("/v2/a/b/blobs/{}", blob.digest));
    let server = Scripted::start((0..11).map(|_| (line(&blob), looping()))).await;
    let error = repository(server.host()).blob(&blob, 10).await.unwrap_err();
    assert!(error.why().contains("more than 10 times"), "{error}");
    server.finish();
}

#[tokio::test]
async fn redirects_to_where_no_registry_should_send_us_are_not_followed() {
    let (_, blob) = blob(10);
    for location in [
        "http://169.254.169.254/latest/meta-data",
        "https://[fd00:ec2::254]/",
        "http://[::ffff:169.254.169.254]/",
        "gopher://127.0.0.1/",
        "file:///etc/passwd",
        "http://",
        "//",
        "http://[",
    ] {
        let server = Scripted::start([(
            line(&blob),
            Answer::status(307).header("location", location),
        )])
        .await;
        let error = repository(server.host()).blob(&blob, 10).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Server, "{location}: {error:?}");
        server.finish();
    }
}

#[tokio::test]
async fn looking_up_a_blob() {
    let (content, blob) = blob(123);
    let head = format!("HEAD /v2/a/b/blobs/{}", blob.digest);
    let server = Scripted::start([
        (head.as_str(), Answer::ok(content)),
        (head.as_str(), Answer::status(404)),
        (head.as_str(), Answer::status(403)),
    ])
    .await;
    let repository = repository(server.host());
    assert_eq!(repository.blob_head(&blob.digest).await.unwrap(), Some(123));
    assert_eq!(repository.blob_head(&blob.digest).await.unwrap(), None);
    let error = repository.blob_head(&blob.digest).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    server.finish();
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect() {
    let (content, blob) = blob(10);
    for status in [301, 302, 303, 307, 308] {
        for (name, own) in [("127.0.0.1", false), ("localhost", false), ("", true)] {
            let storage = Scripted::start([("GET /elsewhere", Answer::ok(content.clone()))]).await;
            let port = storage.host().rsplit_once(':').unwrap().1.to_owned();
            let location = if own {
                "/elsewhere".to_owned()
            } else {
                format!("http://somebody:word@{name}:{port}/elsewhere")
            };
            let redirect = Answer::status(status).header("location", &location);
            let challenge =
                Answer::status(401).header("www-authenticate", "Basic realm=\"registry.example\"");
            let mut script = vec![(line(&blob), challenge), (line(&blob), redirect)];
            if own {
                script.push(("GET /elsewhere".to_owned(), Answer::ok(content.clone())));
            }
            let server = Scripted::start(script).await;
            let client = client_with(user(), HostSettings::default());
            let repository = client.repository(server.host(), "a/b");
            assert_eq!(repository.blob(&blob, 10).await.unwrap(), content);
            let asked = server.finish();
            assert!(asked[1].header("authorization").is_some());
            if own {
                assert!(asked[2].header("authorization").is_some(), "{status}");
            } else {
                let seen = storage.finish();
                assert_eq!(seen[0].header("authorization"), None, "{status} to {name}");
            }
        }
    }
}
