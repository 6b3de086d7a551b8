//! Requests that no honest client sends.

use std::net::SocketAddr;
use std::time::Duration;

use ohoci_image::Digest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::server_conformance::support::{Registry, files};

/// Sends bytes as they are, and reads until the server hangs up.
async fn raw(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

async fn raw_get(address: SocketAddr, target: &str) -> String {
    let request =
        format!("GET {target} HTTP/1.1\r\nHost: registry.example\r\nConnection: close\r\n\r\n");
    raw(address, request.as_bytes()).await
}

#[tokio::test]
async fn no_name_leads_out_of_the_storage() {
    let registry = Registry::start();
    registry.push_image("a", "v1", b"layer").await;
    for (target, code) in [
        ("/v2/../a/manifests/v1", "NAME_INVALID"),
        ("/v2/a/../a/manifests/v1", "NAME_INVALID"),
        ("/v2/%2e%2e/manifests/v1", "NAME_INVALID"),
        ("/v2/a%2f..%2fa/manifests/v1", "NAME_INVALID"),
        ("/v2/x%2fa/manifests/v1", "NAME_INVALID"),
        ("/v2/a%00/manifests/v1", "NAME_INVALID"),
        ("/v2//a/manifests/v1", "NAME_INVALID"),
        ("/v2/A/manifests/v1", "NAME_INVALID"),
        ("/v2/.uploads/tags/list", "NAME_INVALID"),
        ("/v2/a%zz/tags/list", "NAME_INVALID"),
        ("/v2/a/manifests/..", "TAG_INVALID"),
        ("/v2/a/manifests/..%2f..%2findex.json", "TAG_INVALID"),
        ("/v2/a/blobs/sha256:..%2f..%2findex.json", "DIGEST_INVALID"),
        ("/v2/a/blobs/../../index.json", "UNSUPPORTED"),
        ("/v2/a/blobs/uploads/../../index.json", "UNSUPPORTED"),
        ("/v2/a/blobs/uploads/..%2flock", "BLOB_UPLOAD_UNKNOWN"),
        ("/v2/a/blobs/uploads/lock", "BLOB_UPLOAD_UNKNOWN"),
    ] {
        let answer = raw_get(registry.address, target).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{target}: {answer}");
        assert!(answer.contains(code), "{target}: {answer}");
    }
    let long = format!("/v2/{}/tags/list", "a/".repeat(200).trim_end_matches('/'));
    assert!(
        raw_get(registry.address, &long)
            .await
            .contains("NAME_INVALID")
    );
    let tag = format!("/v2/a/manifests/{}", "t".repeat(129));
    assert!(
        raw_get(registry.address, &tag)
            .await
            .contains("TAG_INVALID")
    );
}

#[tokio::test]
async fn names_of_a_layouts_own_files_are_names_like_any_other() {
    let registry = Registry::start();
    let names = ["a", "a/blobs", "a/index.json", "blobs/oci-layout/blobs"];
    for name in names {
        registry.push_image(name, "v1", name.as_bytes()).await;
    }
    for name in names {
        let target = format!("/v2/{name}/tags/list");
        let tags = registry.get(&target).await.is(200);
        assert_eq!(tags.json()["name"], name);
        let blob = format!("/v2/{name}/blobs/{}", Digest::of(name.as_bytes()));
        registry.get(&blob).await.is(200);
        let manifest = format!("/v2/{name}/manifests/v1");
        registry.get(&manifest).await.is(200);
    }
    let found = files(registry.directory.path());
    assert!(
        found.contains(&"a/_blobs/index.json".to_owned()),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_body_that_breaks_off_becomes_nothing() {
    let registry = Registry::start();
    let digest = Digest::of(b"0123456789");
    let location = registry.session("a").await;
    for request in [
        format!("POST /v2/a/blobs/uploads/?digest={digest}"),
        format!("PUT {location}?digest={digest}"),
        format!("PUT {location}?digest={digest}"),
    ] {
        let mut stream = TcpStream::connect(registry.address).await.unwrap();
        let head = "HTTP/1.1\r\nHost: registry.example\r\nContent-Length: 10\r\n\r\n01234";
        let text = format!("{request} {head}");
        stream.write_all(text.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // Whether there is an answer or a reset is the connection's business.
        let _ = stream.read_to_end(&mut answer).await;
    }
    let target = format!("/v2/a/blobs/{digest}");
    registry.head(&target).await.is(404);
    let target = format!("{location}?digest={digest}");
    registry
        .send("PUT", &target, &[], "0123456789")
        .await
        .is(201);
}

#[tokio::test]
async fn a_chunk_that_breaks_off_can_be_resumed() {
    let registry = Registry::start();
    let location = registry.session("a").await;
    let mut stream = TcpStream::connect(registry.address).await.unwrap();
    let head = "HTTP/1.1\r\nHost: registry.example\r\nContent-Length: 10\r\n\r\n01234";
    let text = format!("PATCH {location} {head}");
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    // The status may be asked before the server has noticed.
    let mut status = registry.get(&location).await.is(204);
    while status.header("range") == "0-0" {
        tokio::time::sleep(Duration::from_millis(5)).await;
        status = registry.get(&location).await.is(204);
    }
    assert_eq!(status.header("range"), "0-4");
    let digest = Digest::of(b"0123456789");
    let target = format!("{location}?digest={digest}");
    let range = [("content-range", "5-9")];
    registry.send("PUT", &target, &range, "56789").await.is(201);
}

#[tokio::test]
async fn a_client_that_stops_sending_is_not_waited_for() {
    let registry = Registry::start_with(|options| {
        options.body_idle = Duration::from_millis(50);
    });
    let location = registry.session("a").await;
    let head = "HTTP/1.1\r\nHost: registry.example\r\nContent-Length: 10\r\n\r\n01234";
    let answer = raw(
        registry.address,
        format!("PATCH {location} {head}").as_bytes(),
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    let status = registry.get(&location).await.is(204);
    assert_eq!(status.header("range"), "0-4");
}

#[tokio::test]
async fn uploads_that_nobody_touches_are_thrown_away() {
    let registry = Registry::start_with(|options| {
        options.upload_idle = Duration::ZERO;
        options.empty_upload_idle = Duration::ZERO;
        options.upload_sweep = Duration::from_millis(5);
    });
    let location = registry.session("a").await;
    while registry.get(&location).await.status.as_u16() != 404 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(files(registry.directory.path()), [".uploads/lock"]);
}
