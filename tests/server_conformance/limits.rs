//! Clients that keep the server waiting, and more of them than it has room for.

use std::time::Duration;

use ohoci_image::Digest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::server_conformance::support::Registry;

async fn connect(registry: &Registry, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(registry.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// Reads until the server hangs up.
async fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is an end, too.
    let _ = stream.read_to_end(&mut bytes).await;
    bytes
}

/// A request whose answer waits for a body that does not come.
async fn stuck(registry: &Registry) -> TcpStream {
    let digest = Digest::of(b"0123456789");
    let request = format!(
        "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: registry.example\r\n\
         Content-Length: 10\r\nExpect: 100-continue\r\n\r\n"
    );
    let mut stream = connect(registry, request.as_bytes()).await;
    let mut go_ahead = [0; 25];
    stream.read_exact(&mut go_ahead).await.unwrap();
    assert_eq!(&go_ahead, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

/// Asks until the server has room.
async fn is_served(registry: &Registry) {
    while registry.get("/v2/").await.status.as_u16() != 200 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let registry = Registry::start_with(|options| {
        options.head_timeout = Duration::from_millis(50);
        options.keep_alive = Duration::from_secs(3600);
    });
    for begun in ["", "GET /v2/ HTTP/1.1\r\nHost: registry.example\r\n"] {
        let stream = connect(&registry, begun.as_bytes()).await;
        assert_eq!(rest(stream).await, b"");
    }
    // The same behind a request that was answered.
    let request = b"GET /v2/ HTTP/1.1\r\nHost: registry.example\r\n\r\n";
    let mut stream = connect(&registry, request).await;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    stream.write_all(b"GET /v2").await.unwrap();
    let after = String::from_utf8(rest(stream).await).unwrap();
    assert!(!after.contains("HTTP/1.1"), "{after}");
}

#[tokio::test]
async fn a_head_that_trickles_is_not_waited_for() {
    let registry = Registry::start_with(|options| {
        options.head_timeout = Duration::from_millis(100);
    });
    let mut stream = connect(&registry, b"GET /v2/ HTTP/1.1\r\nX: ").await;
    while stream.write_all(b"x").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_connection_without_a_next_request_is_closed() {
    let registry = Registry::start_with(|options| {
        options.keep_alive = Duration::from_millis(50);
    });
    let request = b"GET /v2/ HTTP/1.1\r\nHost: registry.example\r\n\r\n";
    let answer = String::from_utf8(rest(connect(&registry, request).await).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_body_that_trickles_is_not_waited_for() {
    let registry = Registry::start_with(|options| {
        options.body_idle = Duration::from_millis(100);
    });
    let location = registry.session("a").await;
    let request = format!(
        "PATCH {location} HTTP/1.1\r\nHost: registry.example\r\nContent-Length: 1000000\r\n\r\n"
    );
    let mut stream = connect(&registry, request.as_bytes()).await;
    let mut answer = [0; 12];
    loop {
        // It reads on for a while after it has refused, so that the refusal is seen.
        let _ = stream.write_all(b"x").await;
        let read = stream.read_exact(&mut answer);
        if tokio::time::timeout(Duration::from_millis(5), read)
            .await
            .is_ok()
        {
            break;
        }
    }
    assert_eq!(&answer, b"HTTP/1.1 408");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_not_waited_for() {
    let registry = Registry::start_with(|options| {
        options.write_idle = Duration::from_millis(100);
        options.max_connections = Some(1);
    });
    // More than the buffers of both sockets.
    let content = vec![7; 32 << 20];
    let digest = registry.push_blob("a", &content).await;
    let request = format!("GET /v2/a/blobs/{digest} HTTP/1.1\r\nHost: registry.example\r\n\r\n");
    let stream = connect(&registry, request.as_bytes()).await;
    stream.readable().await.unwrap();
    is_served(&registry).await;
    assert!(rest(stream).await.len() < content.len());
}

#[tokio::test]
async fn connections_without_a_request_make_room_for_others() {
    let registry = Registry::start_with(|options| {
        options.max_connections = Some(4);
        options.head_timeout = Duration::from_secs(3600);
        options.keep_alive = Duration::from_secs(3600);
    });
    let mut idle = Vec::new();
    for n in 0..60 {
        let begun: &[u8] = if n % 2 == 0 { b"" } else { b"GET /v2/ HT" };
        idle.push(connect(&registry, begun).await);
    }
    registry.push_image("a", "v1", b"layer").await;
    registry.get("/v2/a/manifests/v1").await.is(200);
    // The longest there went first.
    assert_eq!(rest(idle.swap_remove(0)).await, b"");
}

#[tokio::test]
async fn without_room_a_client_is_told_and_those_inside_are_left_alone() {
    let registry = Registry::start_with(|options| {
        options.max_connections = Some(2);
        options.body_idle = Duration::from_secs(3600);
    });
    let (mut first, second) = (stuck(&registry).await, stuck(&registry).await);
    let answer = registry.get("/v2/").await;
    assert_eq!(answer.header("retry-after"), "2");
    answer.refused(503, "TOOMANYREQUESTS");
    first.write_all(b"0123456789").await.unwrap();
    let mut answer = [0; 12];
    first.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 201");
    drop(second);
    is_served(&registry).await;
}

#[tokio::test]
async fn uploads_that_are_begun_and_left_have_a_limit() {
    let registry = Registry::start_with(|options| options.max_uploads = Some(2));
    let first = registry.session("a").await;
    registry.session("a").await;
    let post = "/v2/a/blobs/uploads/";
    let answer = registry.send("POST", post, &[], "").await;
    let answer = answer.refused(429, "TOOMANYREQUESTS");
    assert_eq!(answer.header("retry-after"), "10");
    // An upload in one request needs no session.
    let whole = format!("{post}?digest={}", Digest::of(b"content"));
    registry.send("POST", &whole, &[], "content").await.is(201);
    registry.delete(&first).await.is(204);
    registry.session("a").await;
}

#[tokio::test]
async fn an_upload_is_not_thrown_away_right_after_a_chunk_that_took_long() {
    let registry = Registry::start_with(|options| {
        options.upload_idle = Duration::from_secs(2);
        options.empty_upload_idle = Duration::from_secs(2);
        options.upload_sweep = Duration::from_millis(1);
        options.body_idle = Duration::from_secs(3600);
    });
    let location = registry.session("a").await;
    let request = format!(
        "PATCH {location} HTTP/1.1\r\nHost: registry.example\r\nContent-Length: 2\r\n\r\n0"
    );
    let mut stream = connect(&registry, request.as_bytes()).await;
    // Another upload, which nobody touches, tells when the time is over.
    let other = registry.session("a").await;
    let id = other.rsplit('/').next().unwrap();
    let file = registry.directory.path().join(".uploads").join(id);
    while file.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stream.write_all(b"1").await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 202");
    let target = format!("{location}?digest={}", Digest::of(b"01"));
    registry.send("PUT", &target, &[], "").await.is(201);
}
