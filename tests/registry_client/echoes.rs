//! What a registry repeats of a request is not passed on.

use ohoci_registry::HostSettings;

use super::scripted_registry::{Answer, Scripted};
use super::support::*;

const GET: &str = "GET /v2/a/b/manifests/t";

#[tokio::test]
async fn a_refusal_that_repeats_the_password_is_quoted_without_it() {
    let challenge = || Answer::status(401).header("www-authenticate", "Basic realm=\"x\"");
    for echo in [
        r#"{"errors":[{"code":"DENIED","message":"got Authorization: Basic dXNlcjpzZWNyZXQ=","detail":{"password":"secret"}}]}"#,
        "bad header 'Basic dXNlcjpzZWNyZXQ=' of user:secret",
        r#"{"message":"https://user:secret@registry.example/v2/?sig=dXNlcjpzZWNyZXQ%3D"}"#,
    ] {
        let denied = Answer::status(403)
            .header("warning", r#"299 - "you sent dXNlcjpzZWNyZXQ=""#)
            .body(echo);
        let server = Scripted::start([(GET, challenge()), (GET, denied)]).await;
        let client = client_with(user(), HostSettings::default());
        let repository = client.repository(server.host(), "a/b");
        let error = repository.manifest(&tag()).await.unwrap_err();
        let said = format!(
            "{error} {:?} {error:?} {:?}",
            error.hint(),
            client.warnings()
        );
        assert!(said.contains("…"), "{said}");
        for secret in ["dXNlcjpzZWNyZXQ", "secret"] {
            assert!(!said.contains(secret), "{said}");
        }
        server.finish();
    }
}

#[tokio::test]
async fn a_signed_address_that_is_refused_is_not_shown() {
    let signed = "/elsewhere?X-Signature=c2lnbmVk&expires=2030";
    let server = Scripted::start([
        (
            GET.to_owned(),
            Answer::status(307).header("location", &format!("http://{{host}}{signed}")),
        ),
        (
            format!("GET {signed}"),
            Answer::status(403)
                .body("SignatureDoesNotMatch: c2lnbmVk for /elsewhere?X-Signature=c2lnbmVk"),
        ),
    ])
    .await;
    let error = repository(server.host())
        .manifest(&tag())
        .await
        .unwrap_err();
    let said = format!("{error:?}");
    assert!(said.contains("SignatureDoesNotMatch"), "{said}");
    assert!(!said.contains("c2lnbmVk"), "{said}");
    server.finish();
}
