//! Trying again, waiting as long as asked, and giving up with the right words.

use std::time::Duration;

use ohoci_http::RetryPolicy;
use ohoci_image::media_type::OCI_MANIFEST;
use ohoci_registry::{
    Client, Credential, ErrorKind, HostSettings, RateLimit, Repository, Settings,
};
use tokio::net::TcpListener;

use super::scripted_registry::{Answer, Scripted};
use super::support::*;

const GET: &str = "GET /v2/a/b/manifests/t";

fn served() -> Answer {
    Answer::ok(manifest().bytes().to_vec()).header("content-type", OCI_MANIFEST)
}

#[tokio::test]
async fn transient_failures_are_tried_again() {
    for status in [408, 429, 500, 502, 503, 504] {
        let server = Scripted::start([(GET, Answer::status(status)), (GET, served())]).await;
        let repository = repository(server.host());
        repository.manifest(&tag()).await.unwrap();
        assert_eq!(repository.client().statistics().retries, 1);
        server.finish();
    }
    for broken in [
        Answer::drop_connection(),
        Answer::hang(),
        Answer::raw("HTTP/1.1 200 OK\r\ncontent-le"),
    ] {
        let server = Scripted::start([(GET, broken), (GET, served())]).await;
        repository(server.host()).manifest(&tag()).await.unwrap();
        server.finish();
    }
}

#[tokio::test]
async fn lasting_failures_are_not() {
    for status in [400, 403, 404, 410, 501] {
        let server = Scripted::start([(GET, Answer::status(status))]).await;
        let error = repository(server.host())
            .manifest(&tag())
            .await
            .unwrap_err();
        assert_eq!(error.status(), Some(status));
        server.finish();
    }
}

#[tokio::test]
async fn giving_up_repeats_what_the_registry_said() {
    let failing = || Answer::error(503, "UNAVAILABLE", "maintenance until noon");
    let server = Scripted::start([(GET, failing()), (GET, failing()), (GET, failing())]).await;
    let error = repository(server.host())
        .manifest(&tag())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server);
    assert!(
        error.why().contains("maintenance until noon (503"),
        "{error}"
    );
    server.finish();
}

fn patient_only_when_asked() -> Client {
    // Any wait of the policy's own would exceed the test's time limit.
    let forever = Duration::from_secs(3600);
    Client::new(Settings {
        retry: RetryPolicy {
            first_delay: forever,
            longest_delay: forever,
            ..impatient()
        },
        ..Settings::default()
    })
    .unwrap()
}

#[tokio::test]
async fn the_registry_says_how_long_to_wait() {
    let seconds = Answer::status(429).header("retry-after", "0");
    let date = Answer::status(503)
        .header("date", "Sun, 06 Nov 1994 08:49:37 GMT")
        .header("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT");
    let server = Scripted::start([(GET, seconds), (GET, date), (GET, served())]).await;
    let repository = patient_only_when_asked().repository(server.host(), "a/b");
    tokio::time::timeout(Duration::from_secs(20), repository.manifest(&tag()))
        .await
        .unwrap()
        .unwrap();
    server.finish();
}

#[tokio::test]
async fn a_wait_that_is_too_long_is_told_instead() {
    let later = Answer::error(429, "TOOMANYREQUESTS", "pull rate limit reached")
        .header("retry-after", "21600")
        .header("ratelimit-limit", "100;w=21600")
        .header("ratelimit-remaining", "0;w=21600");
    let server = Scripted::start([(GET, later)]).await;
    let repository = repository(server.host());
    let error = repository.manifest(&tag()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert!(error.why().contains("pull rate limit reached"), "{error}");
    assert_eq!(
        error.hint(),
        Some("the registry asks to come back in 6 hours")
    );
    assert_eq!(
        repository
            .client()
            .statistics()
            .rate_limits
            .get(server.host()),
        Some(&RateLimit {
            limit: Some(100),
            remaining: Some(0),
            window: Some(21600)
        })
    );
    server.finish();
}

#[tokio::test]
async fn one_answer_of_too_many_requests_holds_back_every_request() {
    let slow_down = Answer::status(429).header("retry-after", "1");
    let other = "GET /v2/c/manifests/t";
    // Whatever is asked after the 429 comes only after its second is over, in whichever order.
    let server =
        Scripted::in_any_order([(GET, slow_down), (GET, served()), (other, served())]).await;
    let client = client();
    let first = client.repository(server.host(), "a/b");
    let second = client.repository(server.host(), "c");
    let tag = tag();
    let start = tokio::time::Instant::now();
    let (one, held_back) = tokio::join!(first.manifest(&tag), async {
        while client.statistics().retries == 0 {
            tokio::task::yield_now().await;
        }
        second.manifest(&tag).await.unwrap();
        start.elapsed()
    });
    one.unwrap();
    // No measure of speed: the registry forbade anything earlier.
    assert!(held_back >= Duration::from_secs(1), "{held_back:?}");
    server.finish();
}

#[tokio::test]
async fn odd_refusals_of_too_many_requests_are_understood() {
    // Docker Hub's load balancer has answered without carriage returns and without JSON.
    let bare = Answer::raw(
        "HTTP/1.0 429 Too Many Requests\nContent-Type: text/html\n\n<html>429</html>\n",
    );
    let text = Answer::status(429).body("toomanyrequests: slow down");
    let server = Scripted::start([(GET, bare), (GET, text), (GET, Answer::status(429))]).await;
    let error = repository(server.host())
        .manifest(&tag())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert!(error.why().contains("too many requests"), "{error}");
    server.finish();
}

async fn unused_host() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_told_at_once() {
    let host = unused_host().await;
    let repository = patient_only_when_asked().repository(&host, "a/b");
    let error = tokio::time::timeout(Duration::from_secs(20), repository.manifest(&tag()))
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(
        error.why().contains(&format!("{host} refuses connections")),
        "{error}"
    );
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_told_at_once() {
    // No resolver asks the network for a label of more than 63 characters.
    let host = format!("{}.example", "x".repeat(64));
    let settings = HostSettings {
        plain_http: true,
        ..HostSettings::default()
    };
    let repository = client_with(Credential::Anonymous, settings).repository(&host, "a/b");
    let error = repository.manifest(&tag()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert_eq!(repository.client().statistics().retries, 0);
    assert!(error.why().contains("there is no host"), "{error}");
    assert!(error.hint().unwrap().contains("typo"));
}

#[tokio::test]
async fn plain_http_where_tls_was_expected_is_recognised() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let server = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut hello = [0; 512];
            let _ = stream.read(&mut hello).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            let _ = stream.read(&mut hello).await;
        }
    });
    // Settings about TLS make the client use it on loopback, too.
    let settings = HostSettings {
        skip_tls_verify: true,
        ..HostSettings::default()
    };
    let repository = client_with(Credential::Anonymous, settings).repository(&host, "a/b");
    let error = repository.manifest(&tag()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error:?}");
    assert!(
        error
            .hint()
            .unwrap()
            .contains(&format!("--plain-http {host}")),
        "{error:?}"
    );
    server.abort();
}

async fn read_from(answer: Answer) -> ohoci_registry::Error {
    let server = Scripted::start([(GET, answer)]).await;
    let repository: Repository = repository(server.host());
    let error = repository.manifest(&tag()).await.unwrap_err();
    server.finish();
    error
}

#[tokio::test]
async fn answers_that_are_no_http_are_an_error() {
    let headers = "x: y\r\n".repeat(100_000);
    for raw in [
        b"\x15\x03\x01\x00\x02\x02\x16".to_vec(),
        b"SSH-2.0-OpenSSH_9.9\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\nna me\x00: v\r\n\r\n".to_vec(),
        format!("HTTP/1.1 200 OK\r\n{headers}\r\n").into_bytes(),
    ] {
        let error = read_from(Answer::raw(raw)).await;
        assert_eq!(error.kind(), ErrorKind::Server, "{error:?}");
    }
}

#[tokio::test]
async fn an_endless_reason_is_cut_short() {
    let error = read_from(Answer::status(404).body("no ".repeat(1000)).endless()).await;
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.why().len() < 1000, "{}", error.why().len());
}

#[tokio::test]
async fn warnings_are_kept_once() {
    let warned = || served().header("warning", r#"299 - "this registry moves""#);
    let server = Scripted::start([(GET, warned()), (GET, warned())]).await;
    let repository = repository(server.host());
    repository.manifest(&tag()).await.unwrap();
    repository.manifest(&tag()).await.unwrap();
    let expected = format!("{}: this registry moves", server.host());
    assert_eq!(repository.client().warnings(), [expected]);
    server.finish();
}
