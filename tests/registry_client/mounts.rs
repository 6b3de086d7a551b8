//! Mounting blobs from other repositories.

use ohoci_image::Digest;
use ohoci_registry::{ErrorKind, MountOutcome};

use super::scripted_registry::{Answer, Scripted};
use super::support::*;

fn line(digest: &Digest, from: Option<&str>) -> String {
    let from = from.map_or_else(String::new, |from| format!("&from={from}"));
    format!(
        "POST /v2/a/b/blobs/uploads/?mount={}{from}",
        encoded(digest)
    )
}

#[tokio::test]
async fn a_mount_is_one_request() {
    let (_, layer) = blob(3);
    let done = Answer::status(201).header("docker-content-digest", &layer.digest.to_string());
    let server = Scripted::start([(line(&layer.digest, Some("base")), done)]).await;
    let outcome = repository(server.host())
        .mount(&layer.digest, Some("base"))
        .await;
    assert!(matches!(outcome, Ok(MountOutcome::Mounted)), "{outcome:?}");
    let seen = server.finish();
    assert_eq!(seen[0].header("content-length"), Some("0"));
    // zot refuses uploads of any other type.
    assert_eq!(
        seen[0].header("content-type"),
        Some("application/octet-stream")
    );
}

#[tokio::test]
async fn a_mount_that_opens_an_upload_saves_the_next_request() {
    let (content, layer) = blob(3);
    let server = Scripted::start([
        (
            line(&layer.digest, Some("base")),
            Answer::status(202).header("location", "/v2/a/b/blobs/uploads/u1?_state=x%3D"),
        ),
        (
            format!(
                "PUT /v2/a/b/blobs/uploads/u1?_state=x%3D&digest={}",
                layer.digest
            ),
            Answer::status(201),
        ),
    ])
    .await;
    let repository = repository(server.host());
    let outcome = repository.mount(&layer.digest, Some("base")).await.unwrap();
    let MountOutcome::Session(session) = outcome else {
        panic!("{outcome:?}");
    };
    let body = bytes::Bytes::from(content.clone());
    repository
        .upload(&layer, &body, Some(session))
        .await
        .unwrap();
    assert_eq!(server.finish()[1].body, content);
}

#[tokio::test]
async fn no_refusal_is_an_error_and_a_clear_one_is_remembered() {
    for (status, code, remembered) in [
        (400, "UNSUPPORTED", true),
        (403, "DENIED", true),
        (404, "NAME_UNKNOWN", true),
        // Of another blob the registry may know more.
        (404, "BLOB_UNKNOWN", false),
        (405, "UNSUPPORTED", true),
        (500, "UNKNOWN", false),
        (503, "UNAVAILABLE", false),
    ] {
        let (_, layer) = blob(3);
        let refused = || Answer::error(status, code, "no mounts here");
        let times = if remembered { 1 } else { 2 };
        let server =
            Scripted::start((0..times).map(|_| (line(&layer.digest, Some("base")), refused())))
                .await;
        let repository = repository(server.host());
        for nth in 0..2 {
            let outcome = repository.mount(&layer.digest, Some("base")).await.unwrap();
            let MountOutcome::Refused { status: said, why } = outcome else {
                panic!("{status}");
            };
            if nth == 0 || !remembered {
                assert_eq!(said, Some(status));
                assert!(why.contains("no mounts here"), "{why}");
            } else {
                assert_eq!(said, None);
            }
        }
        server.finish();
    }
}

#[tokio::test]
async fn a_refusal_for_one_target_says_nothing_of_the_next() {
    let (_, layer) = blob(3);
    let into_a = line(&layer.digest, Some("base"));
    let into_c = into_a.replace("/v2/a/b/", "/v2/c/");
    let server = Scripted::start([
        (into_a, Answer::error(403, "DENIED", "not yours")),
        (into_c, Answer::status(201)),
    ])
    .await;
    let client = client();
    let mount = async |target: &str| {
        let repository = client.repository(server.host(), target);
        repository.mount(&layer.digest, Some("base")).await.unwrap()
    };
    assert!(matches!(mount("a/b").await, MountOutcome::Refused { .. }));
    assert!(matches!(mount("c").await, MountOutcome::Mounted));
    server.finish();
}

#[tokio::test]
async fn a_mount_that_is_not_permitted_is_a_refusal() {
    // Harbor, for a source in a project that does not exist (harbor#17097).
    let (_, layer) = blob(3);
    let server = Scripted::start([(
        line(&layer.digest, Some("gone/base")).replace("gone/", "gone%2F"),
        Answer::error(401, "UNAUTHORIZED", "project gone not found"),
    )])
    .await;
    let outcome = repository(server.host())
        .mount(&layer.digest, Some("gone/base"))
        .await
        .unwrap();
    assert!(
        matches!(&outcome, MountOutcome::Refused { status: Some(401), why } if why.contains("not found")),
        "{outcome:?}"
    );
    server.finish();
}

#[tokio::test]
async fn a_refused_token_for_a_mount_is_a_refusal_too() {
    let (_, layer) = blob(3);
    let token = |scopes: &str| format!("GET /token?service=registry.example&{scopes}");
    let server = Scripted::start([
        (
            line(&layer.digest, Some("base")),
            Answer::challenge("repository:a/b:pull,push"),
        ),
        (
            token("scope=repository%3Aa%2Fb%3Apull%2Cpush&scope=repository%3Abase%3Apull"),
            Answer::status(403),
        ),
        (
            token("scope=repository%3Aa%2Fb%3Apull%2Cpush"),
            Answer::status(403),
        ),
    ])
    .await;
    let outcome = repository(server.host())
        .mount(&layer.digest, Some("base"))
        .await;
    assert!(
        matches!(outcome, Ok(MountOutcome::Refused { .. })),
        "{outcome:?}"
    );
    server.finish();
}

#[tokio::test]
async fn another_blob_than_was_asked_for_is_no_mount() {
    let (_, layer) = blob(3);
    let other = Digest::of(b"other").to_string();
    let server = Scripted::start([(
        line(&layer.digest, Some("base")),
        Answer::status(201).header("docker-content-digest", &other),
    )])
    .await;
    let outcome = repository(server.host())
        .mount(&layer.digest, Some("base"))
        .await;
    assert!(
        matches!(&outcome, Ok(MountOutcome::Refused { why, .. }) if why.contains(&other)),
        "{outcome:?}"
    );
    server.finish();
}

#[tokio::test]
async fn an_upload_that_cannot_be_used_is_a_refusal() {
    let (_, layer) = blob(3);
    let line = line(&layer.digest, Some("base"));
    let broken = format!("/v2/a/b/blobs/uploads/?mount={}", layer.digest);
    for location in [
        Some(broken.as_str()),
        Some("https://169.254.169.254:x/"),
        Some("file:///etc/passwd"),
        Some(""),
        None,
    ] {
        let mut opened = Answer::status(202);
        if let Some(location) = location {
            opened = opened.header("location", location);
        }
        let server = Scripted::start([(line.as_str(), opened)]).await;
        let outcome = repository(server.host())
            .mount(&layer.digest, Some("base"))
            .await;
        assert!(
            matches!(
                outcome,
                Ok(MountOutcome::Refused {
                    status: Some(202),
                    ..
                })
            ),
            "{location:?} {outcome:?}"
        );
        server.finish();
    }
}

#[tokio::test]
async fn a_mount_needs_no_source_where_the_registry_finds_the_blob_itself() {
    let (_, layer) = blob(3);
    let server = Scripted::start([
        (line(&layer.digest, None), Answer::status(201)),
        // Quay.
        (line(&layer.digest, None), Answer::status(400)),
        (line(&layer.digest, Some("base")), Answer::status(201)),
    ])
    .await;
    let repository = repository(server.host());
    let first = repository.mount(&layer.digest, None).await.unwrap();
    assert!(matches!(first, MountOutcome::Mounted));
    for _ in 0..2 {
        let refused = repository.mount(&layer.digest, None).await.unwrap();
        assert!(matches!(refused, MountOutcome::Refused { .. }));
    }
    // Only the mount without a source is out of the question now.
    let named = repository.mount(&layer.digest, Some("base")).await.unwrap();
    assert!(matches!(named, MountOutcome::Mounted));
    server.finish();
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_an_error() {
    let (_, layer) = blob(3);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = repository(&host)
        .mount(&layer.digest, Some("base"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.what().starts_with("cannot mount blob"), "{error}");
}
