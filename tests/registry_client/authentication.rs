//! How the client proves who asks.

use std::collections::BTreeMap;

use ohoci_image::media_type::OCI_MANIFEST;
use ohoci_registry::{Credential, ErrorKind, HostSettings, MountOutcome, Scope};

use super::scripted_registry::{Answer, Scripted, Seen};
use super::support::*;

const GET: &str = "GET /v2/a/b/manifests/t";
const TOKEN: &str = "GET /token?service=registry.example&scope=repository%3Aa%2Fb%3Apull";

fn served() -> Answer {
    Answer::ok(manifest().bytes().to_vec()).header("content-type", OCI_MANIFEST)
}

fn authorizations(seen: &[Seen]) -> Vec<Option<&str>> {
    seen.iter().map(|s| s.header("authorization")).collect()
}

#[tokio::test]
async fn a_cold_anonymous_pull_is_a_refusal_a_token_and_the_answer() {
    let server = Scripted::start([
        (GET, Answer::challenge("repository:a/b:pull")),
        (TOKEN, Answer::token("t1")),
        (GET, served()),
    ])
    .await;
    let client = client();
    let repository = client.repository(server.host(), "a/b");
    let read = repository.manifest(&tag()).await.unwrap();
    assert_eq!(read.digest(), manifest().digest());
    let requests = client.statistics().requests;
    assert_eq!(requests, BTreeMap::from([("GET".to_owned(), 3)]));
    let seen = server.finish();
    assert_eq!(authorizations(&seen), [None, None, Some("Bearer t1")]);
    assert!(
        seen.iter().all(|s| s.connection == 1),
        "one connection for all"
    );
    assert_eq!(seen[0].header("user-agent"), Some("ohoci/test"));
    assert!(seen[0].header("accept").unwrap().contains(OCI_MANIFEST));
}

#[tokio::test]
async fn a_known_registry_is_asked_for_a_token_first() {
    let server = Scripted::start([
        (GET, Answer::challenge("repository:a/b:pull")),
        (TOKEN, Answer::token("t1")),
        (GET, served()),
        (
            "GET /token?service=registry.example&scope=repository%3Ac%3Apull",
            Answer::ok(r#"{"access_token":"t2"}"#),
        ),
        ("GET /v2/c/manifests/t", served()),
        ("GET /v2/c/manifests/t", served()),
    ])
    .await;
    let client = client();
    client
        .repository(server.host(), "a/b")
        .manifest(&tag())
        .await
        .unwrap();
    for _ in 0..2 {
        client
            .repository(server.host(), "c")
            .manifest(&tag())
            .await
            .unwrap();
    }
    let seen = server.finish();
    assert_eq!(seen[4].header("authorization"), Some("Bearer t2"));
}

#[tokio::test]
async fn many_cold_requests_share_one_refusal_and_one_token() {
    let mut script = vec![
        (GET, Answer::challenge("repository:a/b:pull")),
        (TOKEN, Answer::token("t1")),
    ];
    script.extend((0..8).map(|_| (GET, served())));
    let server = Scripted::start(script).await;
    let repository = client_with(user(), HostSettings::default()).repository(server.host(), "a/b");
    let tag = tag();
    let all = (0..8).map(|_| repository.manifest(&tag));
    for result in futures_util::future::join_all(all).await {
        result.unwrap();
    }
    assert_eq!(server.finish().len(), 10);
}

#[tokio::test]
async fn at_a_registry_that_is_likely_open_no_request_waits_for_another() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    // Answers nobody before both have asked.
    let server = tokio::spawn(async move {
        let mut asking = Vec::new();
        while asking.len() < 2 {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            assert!(connection.read(&mut request).await.unwrap() > 0);
            asking.push(connection);
        }
        for mut connection in asking {
            let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
            connection.write_all(answer).await.unwrap();
        }
    });
    let repository = repository(&host);
    let tag = tag();
    let both = futures_util::future::join(
        repository.manifest_head(&tag),
        repository.manifest_head(&tag),
    );
    let (one, other) = tokio::time::timeout(std::time::Duration::from_secs(20), both)
        .await
        .expect("one request waits for the answer to the other");
    assert!(one.unwrap().is_none() && other.unwrap().is_none());
    server.await.unwrap();
}

#[tokio::test]
async fn a_registry_without_authentication_gets_nothing_but_the_request() {
    let server = Scripted::start([(GET, served()), (GET, served())]).await;
    let repository = client_with(user(), HostSettings::default()).repository(server.host(), "a/b");
    repository.manifest(&tag()).await.unwrap();
    repository.manifest(&tag()).await.unwrap();
    assert_eq!(authorizations(&server.finish()), [None, None]);
}

#[tokio::test]
async fn a_password_is_sent_where_basic_is_asked_for_and_then_at_once() {
    let refused = Answer::status(401).header("www-authenticate", r#"Basic realm="x""#);
    let server = Scripted::start([(GET, refused), (GET, served()), (GET, served())]).await;
    let repository = client_with(user(), HostSettings::default()).repository(server.host(), "a/b");
    repository.manifest(&tag()).await.unwrap();
    repository.manifest(&tag()).await.unwrap();
    let basic = Some("Basic dXNlcjpzZWNyZXQ=");
    assert_eq!(authorizations(&server.finish()), [None, basic, basic]);
}

#[tokio::test]
async fn without_credentials_the_hint_says_how_to_log_in() {
    let refused = Answer::error(401, "UNAUTHORIZED", "who are you?")
        .header("www-authenticate", r#"Basic realm="x""#);
    let server = Scripted::start([(GET, refused)]).await;
    let error = repository(server.host())
        .manifest(&tag())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.why().contains("who are you? (401"), "{error}");
    assert!(
        error
            .hint()
            .unwrap()
            .contains(&format!("ohoci login {}", server.host()))
    );
    assert_eq!(
        error.what(),
        format!("cannot read manifest {}/a/b:t", server.host())
    );
    server.finish();
}

#[tokio::test]
async fn refused_credentials_are_named_as_the_reason_and_not_tried_again() {
    let server = Scripted::start([
        (GET, Answer::challenge("repository:a/b:pull")),
        (
            TOKEN,
            Answer::status(401).body(r#"{"details":"incorrect username or password"}"#),
        ),
    ])
    .await;
    let repository = client_with(user(), HostSettings::default()).repository(server.host(), "a/b");
    let error = repository.manifest(&tag()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(
        error.why().contains("incorrect username or password"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("were refused"), "{error:?}");
    assert!(!format!("{error:?}").contains("secret"));
    assert_eq!(
        authorizations(&server.finish()),
        [None, Some("Basic dXNlcjpzZWNyZXQ=")]
    );
}

#[tokio::test]
async fn a_revoked_token_is_replaced_once() {
    let server = Scripted::start([
        (GET, Answer::challenge("repository:a/b:pull")),
        (TOKEN, Answer::token("t1")),
        (GET, served()),
        (GET, Answer::challenge("repository:a/b:pull")),
        (TOKEN, Answer::token("t2")),
        (GET, served()),
        (GET, Answer::challenge("repository:a/b:pull")),
        (TOKEN, Answer::token("t3")),
        (GET, Answer::error(401, "DENIED", "not for you")),
    ])
    .await;
    let repository = repository(server.host());
    repository.manifest(&tag()).await.unwrap();
    repository.manifest(&tag()).await.unwrap();
    let error = repository.manifest(&tag()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.why().contains("not for you"));
    server.finish();
}

#[tokio::test]
async fn an_identity_token_is_exchanged_by_post() {
    let server = Scripted::start([
        (GET, Answer::challenge("repository:a/b:pull")),
        (
            "POST /token",
            Answer::ok(r#"{"access_token":"t1","expires_in":60}"#),
        ),
        (GET, served()),
    ])
    .await;
    let credential = Credential::IdentityToken("refresh me".into());
    let repository =
        client_with(credential, HostSettings::default()).repository(server.host(), "a/b");
    repository.manifest(&tag()).await.unwrap();
    let seen = server.finish();
    assert_eq!(
        String::from_utf8_lossy(&seen[1].body),
        "grant_type=refresh_token&service=registry.example&client_id=ohoci\
         &scope=repository%3Aa%2Fb%3Apull&refresh_token=refresh+me"
    );
}

#[tokio::test]
async fn a_token_server_without_oauth2_takes_the_identity_token_as_a_password() {
    for status in [404, 405] {
        let server = Scripted::start([
            (GET, Answer::challenge("repository:a/b:pull")),
            ("POST /token", Answer::status(status)),
            (TOKEN, Answer::token("t1")),
            (GET, served()),
        ])
        .await;
        let credential = Credential::IdentityToken("x".into());
        let repository =
            client_with(credential, HostSettings::default()).repository(server.host(), "a/b");
        repository.manifest(&tag()).await.unwrap();
        let seen = server.finish();
        assert_eq!(seen[2].header("authorization"), Some("Basic PHRva2VuPjp4"));
    }
}

#[tokio::test]
async fn a_registry_token_is_sent_as_it_is() {
    let server = Scripted::start([
        (GET, Answer::challenge("repository:a/b:pull")),
        (GET, served()),
    ])
    .await;
    let credential = Credential::RegistryToken("ready".into());
    let repository =
        client_with(credential, HostSettings::default()).repository(server.host(), "a/b");
    repository.manifest(&tag()).await.unwrap();
    assert_eq!(
        authorizations(&server.finish()),
        [None, Some("Bearer ready")]
    );
}

fn mount_line(digest: &ohoci_image::Digest) -> String {
    format!(
        "POST /v2/a/b/blobs/uploads/?mount={}&from=deps",
        encoded(digest)
    )
}

const PUSH_AND_DEPS: &str = "GET /token?service=registry.example\
    &scope=repository%3Aa%2Fb%3Apull%2Cpush&scope=repository%3Adeps%3Apull";

#[tokio::test]
async fn one_token_carries_everything_announced() {
    let (_, layer) = blob(3);
    let mount = mount_line(&layer.digest);
    let server = Scripted::start([
        (
            "GET /v2/base/manifests/t".to_owned(),
            Answer::challenge("repository:base:pull"),
        ),
        (
            "GET /token?service=registry.example&scope=repository%3Abase%3Apull\
             &scope=repository%3Aa%2Fb%3Apull%2Cpush&scope=repository%3Adeps%3Apull"
                .to_owned(),
            Answer::token("all"),
        ),
        ("GET /v2/base/manifests/t".to_owned(), served()),
        (mount, Answer::status(201)),
    ])
    .await;
    let client = client();
    client.announce(
        server.host(),
        [Scope::push("a/b"), Scope::pull("deps"), Scope::pull("base")],
    );
    client
        .repository(server.host(), "base")
        .manifest(&tag())
        .await
        .unwrap();
    let outcome = client
        .repository(server.host(), "a/b")
        .mount(&layer.digest, Some("deps"))
        .await
        .unwrap();
    assert!(matches!(outcome, MountOutcome::Mounted));
    let seen = server.finish();
    assert_eq!(seen[3].header("authorization"), Some("Bearer all"));
}

#[tokio::test]
async fn a_token_server_that_honours_one_scope_is_asked_for_less() {
    // The refused token was good for something else only; afterwards nobody tries again.
    let server = Scripted::start([
        (GET, Answer::challenge("repository:a/b:pull")),
        (
            "GET /token?service=registry.example&scope=repository%3Aa%2Fb%3Apull\
             &scope=repository%3Ac%3Apull",
            Answer::token("only-c"),
        ),
        (GET, Answer::challenge("repository:a/b:pull")),
        (TOKEN, Answer::token("a")),
        (GET, served()),
        (
            "GET /token?service=registry.example&scope=repository%3Ac%3Apull",
            Answer::token("c"),
        ),
        ("GET /v2/c/manifests/t", served()),
    ])
    .await;
    let client = client();
    client.announce(server.host(), [Scope::pull("a/b"), Scope::pull("c")]);
    client
        .repository(server.host(), "a/b")
        .manifest(&tag())
        .await
        .unwrap();
    client
        .repository(server.host(), "c")
        .manifest(&tag())
        .await
        .unwrap();
    let seen = server.finish();
    assert_eq!(seen[4].header("authorization"), Some("Bearer a"));
}

#[tokio::test]
async fn a_token_that_was_good_for_one_repository_is_not_insisted_on() {
    // Only the first of the scopes was honoured, which shows with the second repository.
    for status in [401, 403] {
        let narrow_c = "GET /token?service=registry.example&scope=repository%3Ac%3Apull";
        let both = "GET /token?service=registry.example&scope=repository%3Ac%3Apull\
                    &scope=repository%3Aa%2Fb%3Apull";
        let c = "GET /v2/c/manifests/t";
        let refused = Answer::challenge("repository:c:pull");
        let mut script = vec![
            (GET, Answer::challenge("repository:a/b:pull")),
            (
                "GET /token?service=registry.example&scope=repository%3Aa%2Fb%3Apull\
                 &scope=repository%3Ac%3Apull",
                Answer::token("only-a"),
            ),
            (GET, served()),
        ];
        if status == 401 {
            // The token may just have expired early: it is renewed once.
            script.extend([(c, refused.clone()), (both, Answer::token("still-only-a"))]);
            script.push((c, refused));
        } else {
            script.push((c, Answer::status(403)));
        }
        script.extend([(narrow_c, Answer::token("c")), (c, served()), (c, served())]);
        let server = Scripted::start(script).await;
        let client = client();
        client.announce(server.host(), [Scope::pull("a/b"), Scope::pull("c")]);
        let first = client.repository(server.host(), "a/b");
        first.manifest(&tag()).await.unwrap();
        let second = client.repository(server.host(), "c");
        second.manifest(&tag()).await.unwrap();
        second.manifest(&tag()).await.unwrap();
        server.finish();
    }
}

#[tokio::test]
async fn a_token_server_that_rejects_several_scopes_is_asked_for_less() {
    let server = Scripted::start([
        (GET, Answer::challenge("repository:a/b:pull")),
        (
            "GET /token?service=registry.example&scope=repository%3Aa%2Fb%3Apull\
             &scope=repository%3Ac%3Apull",
            Answer::status(400).body("duplicate parameter: scope"),
        ),
        (TOKEN, Answer::token("a")),
        (GET, served()),
    ])
    .await;
    let client = client();
    client.announce(server.host(), [Scope::pull("a/b"), Scope::pull("c")]);
    client
        .repository(server.host(), "a/b")
        .manifest(&tag())
        .await
        .unwrap();
    server.finish();
}

#[tokio::test]
async fn a_mount_falls_back_to_a_token_for_the_target() {
    // As GitLab's token server: it honours one of two scopes, and the mount needs both.
    let (_, layer) = blob(3);
    let mount = mount_line(&layer.digest);
    let server = Scripted::start([
        (mount.clone(), Answer::challenge("repository:a/b:pull,push")),
        (PUSH_AND_DEPS.to_owned(), Answer::token("deps-only")),
        (mount.clone(), Answer::challenge("repository:a/b:pull,push")),
        (
            "GET /token?service=registry.example&scope=repository%3Aa%2Fb%3Apull%2Cpush".to_owned(),
            Answer::token("target"),
        ),
        (
            mount,
            Answer::status(202).header("location", "/v2/a/b/blobs/uploads/1"),
        ),
    ])
    .await;
    let outcome = repository(server.host())
        .mount(&layer.digest, Some("deps"))
        .await
        .unwrap();
    assert!(matches!(outcome, MountOutcome::Session(_)), "{outcome:?}");
    assert_eq!(
        server.finish()[4].header("authorization"),
        Some("Bearer target")
    );
}

#[tokio::test]
async fn a_realm_without_tls_elsewhere_gets_nothing() {
    for realm in [
        "http://auth.example/token",
        "http://169.254.169.254/token",
        "https://169.254.169.254/token",
        "https://[fe80::1]/token",
        "ftp://{host}/token",
    ] {
        let challenge = format!(r#"Bearer realm="{realm}""#);
        let refused = Answer::status(401).header("www-authenticate", &challenge);
        let server = Scripted::start([(GET, refused)]).await;
        let repository =
            client_with(user(), HostSettings::default()).repository(server.host(), "a/b");
        let error = repository.manifest(&tag()).await.unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Denied | ErrorKind::Server),
            "{realm}: {error:?}"
        );
        server.finish();
    }
}

#[tokio::test]
async fn hostile_token_servers() {
    for (answer, kind) in [
        (
            Answer::ok("x".repeat(1 << 16)).endless(),
            ErrorKind::Unsupported,
        ),
        (
            Answer::ok("{}").lying_length(1 << 40),
            ErrorKind::Unsupported,
        ),
        (Answer::ok("[]"), ErrorKind::Server),
        (Answer::ok(r#"{"token":"a\r\nx: y"}"#), ErrorKind::Server),
        (
            Answer::status(302).header("location", "/token"),
            ErrorKind::Server,
        ),
    ] {
        let again = answer.clone();
        let looping = kind == ErrorKind::Server && format!("{answer:?}").contains("302");
        let mut script = vec![
            (GET, Answer::challenge("repository:a/b:pull")),
            (TOKEN, answer),
        ];
        if looping {
            script.extend((0..10).map(|_| ("GET /token", again.clone())));
        }
        let server = Scripted::start(script).await;
        let error = repository(server.host())
            .manifest(&tag())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        server.finish();
    }
}

#[tokio::test]
async fn credentials_stay_with_the_registry_when_a_blob_is_elsewhere() {
    let (content, layer) = blob(1000);
    let storage = Scripted::start([("GET /signed?key=1", Answer::ok(content.clone()))]).await;
    let line = format!("GET /v2/a/b/blobs/{}", layer.digest);
    let elsewhere = format!("http://{}/signed?key=1", storage.host());
    let server = Scripted::start([
        (line.clone(), Answer::challenge("repository:a/b:pull")),
        (TOKEN.to_owned(), Answer::token("t1")),
        (line, Answer::status(307).header("location", &elsewhere)),
    ])
    .await;
    let repository = client_with(user(), HostSettings::default()).repository(server.host(), "a/b");
    assert_eq!(repository.blob(&layer, 4096).await.unwrap(), content);
    assert_eq!(authorizations(&storage.finish()), [None]);
    server.finish();
}

#[tokio::test]
async fn an_identity_token_is_not_sent_on_to_another_host() {
    let thief = Scripted::start(std::iter::empty::<(&str, Answer)>()).await;
    let onward = format!("http://{}/token", thief.host());
    let server = Scripted::start([
        (GET, Answer::challenge("repository:a/b:pull")),
        (
            "POST /token",
            Answer::status(307).header("location", &onward),
        ),
    ])
    .await;
    let credential = Credential::IdentityToken("refresh me".into());
    let repository =
        client_with(credential, HostSettings::default()).repository(server.host(), "a/b");
    let error = repository.manifest(&tag()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(error.why().contains(thief.host()), "{error}");
    server.finish();
    assert_eq!(thief.finish().len(), 0);
}
