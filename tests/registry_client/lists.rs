//! Lists of tags and of referrers.

use std::time::Duration;

use futures_util::future::Either;
use ohoci_image::media_type::{OCI_INDEX, OCI_MANIFEST};
use ohoci_image::{Descriptor, Digest, Manifest, Pointer};
use ohoci_registry::{Credential, ErrorKind, HostSettings};
use serde_json::{Value, json};

use super::scripted_registry::{Answer, Scripted};
use super::support::*;

#[tokio::test]
async fn tags_are_read_page_by_page() {
    let page = |tags: &str| Answer::ok(format!(r#"{{"name":"a/b","tags":{tags}}}"#));
    let server = Scripted::start([
        (
            "GET /v2/a/b/tags/list?n=1000",
            page(r#"["z","a"]"#).header("link", r#"</v2/a/b/tags/list?n=1000&last=a>; rel="next""#),
        ),
        (
            "GET /v2/a/b/tags/list?n=1000&last=a",
            page(r#"["b","not a tag",7]"#).header(
                "link",
                r#"<http://{host}/v2/a/b/tags/list?last=b>; rel="next""#,
            ),
        ),
        ("GET /v2/a/b/tags/list?last=b", page("null")),
    ])
    .await;
    let tags = repository(server.host()).tags().await.unwrap();
    assert_eq!(tags, ["z", "a", "b"]);
    server.finish();
}

#[tokio::test]
async fn a_registry_that_limits_the_page_is_asked_without_a_limit() {
    let server = Scripted::start([
        (
            "GET /v2/a/b/tags/list?n=1000",
            Answer::error(400, "PAGINATION_NUMBER_INVALID", "too many"),
        ),
        ("GET /v2/a/b/tags/list", Answer::ok(r#"{"tags":["t"]}"#)),
    ])
    .await;
    assert_eq!(repository(server.host()).tags().await.unwrap(), ["t"]);
    server.finish();
}

#[tokio::test]
async fn a_list_stays_in_the_registry_and_ends() {
    for link in [
        r#"<https://other.example/v2/a/b/tags/list>; rel="next""#,
        r#"</v2/a/b/tags/list?n=1000>; rel="next""#,
        r#"<http://169.254.169.254/>; rel="next""#,
    ] {
        let page = Answer::ok(r#"{"tags":["t"]}"#).header("link", link);
        let server = Scripted::start([("GET /v2/a/b/tags/list?n=1000", page)]).await;
        let error = repository(server.host()).tags().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Server, "{link}");
        server.finish();
    }
}

fn subject() -> Digest {
    Digest::of(b"the subject")
}

fn referrer() -> Manifest {
    let config = Descriptor::of("application/vnd.oci.empty.v1+json", b"{}");
    let json = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": "application/x-proof",
        "config": config.to_json(),
        "layers": [],
        "subject": Descriptor::new(OCI_MANIFEST, subject(), 11).to_json(),
        "annotations": {"k": "v"},
    });
    Manifest::parse(json.to_string().into_bytes(), None).unwrap()
}

fn index(entries: &[Value]) -> Vec<u8> {
    json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries, "x-kept": 1})
        .to_string()
        .into_bytes()
}

fn entry(of: &[u8], artifact_type: &str) -> Value {
    let mut entry = Descriptor::of(OCI_MANIFEST, of).to_json();
    entry.insert("artifactType".to_owned(), artifact_type.into());
    entry.into()
}

#[tokio::test]
async fn referrers_of_a_registry_that_lists_them() {
    let line = format!("GET /v2/a/b/referrers/{}", subject());
    let body = index(&[entry(b"1", "application/x-proof"), entry(b"2", "other")]);
    let list = Answer::ok(body).header("content-type", OCI_INDEX);
    let server = Scripted::start([(line, list)]).await;
    let found = repository(server.host())
        .referrers(&subject(), Some("application/x-proof"))
        .await
        .unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].digest, Digest::of(b"1"));
    server.finish();
}

#[tokio::test]
async fn referrers_of_a_registry_that_does_not() {
    let line = format!("GET /v2/a/b/referrers/{}", subject());
    let tag = format!("GET /v2/a/b/manifests/sha256-{}", subject().hex());
    let list = Answer::ok(index(&[entry(b"1", "x")])).header("content-type", OCI_INDEX);
    let server = Scripted::start([
        (line.clone(), Answer::status(404)),
        (tag.clone(), list),
        (line, Answer::status(404)),
        (tag, Answer::error(404, "MANIFEST_UNKNOWN", "unknown")),
    ])
    .await;
    let repository = repository(server.host());
    assert_eq!(
        repository.referrers(&subject(), None).await.unwrap().len(),
        1
    );
    assert_eq!(repository.referrers(&subject(), None).await.unwrap(), []);
    server.finish();
}

#[tokio::test]
async fn a_referrer_is_one_request_where_the_registry_lists_it() {
    let put = format!("PUT /v2/a/b/manifests/{}", referrer().digest());
    let taken = Answer::status(201).header("oci-subject", &subject().to_string());
    let server = Scripted::start([(put, taken)]).await;
    repository(server.host())
        .put_referrer(&referrer())
        .await
        .unwrap();
    server.finish();
}

#[tokio::test]
async fn documents_about_images_do_not_wait_for_requests_for_images() {
    let get = format!("GET /v2/a/b/manifests/{}", subject());
    let put = format!("PUT /v2/a/b/manifests/{}", referrer().digest());
    let taken = Answer::status(201).header("oci-subject", &subject().to_string());
    let server = Scripted::start([(get, Answer::hang()), (put, taken)]).await;
    // The one small request that may be under way is that for an image.
    let settings = HostSettings {
        concurrency: Some(1),
        ..HostSettings::default()
    };
    let client = client_with(Credential::Anonymous, settings);
    let repository = client.repository(server.host(), "a/b");
    let pointer = Pointer::Digest(subject());
    let image = repository.manifest(&pointer);
    let (beside, referrer) = (repository.for_attachments(), referrer());
    let document = beside.put_referrer(&referrer);
    let first = tokio::time::timeout(
        Duration::from_secs(60),
        futures_util::future::select(Box::pin(image), Box::pin(document)),
    );
    match first.await.expect("it waits for the image") {
        Either::Right((taken, _)) => taken.unwrap(),
        Either::Left((image, _)) => panic!("{image:?}"),
    }
    server.finish();
}

#[tokio::test]
async fn elsewhere_it_is_added_to_the_list_once_and_the_list_is_kept() {
    let put = format!("PUT /v2/a/b/manifests/{}", referrer().digest());
    let get_list = format!("GET /v2/a/b/manifests/sha256-{}", subject().hex());
    let put_list = get_list.replace("GET", "PUT");
    let list = |entries: &[Value]| Answer::ok(index(entries)).header("content-type", OCI_INDEX);
    let mut expected = referrer().descriptor().to_json();
    expected.insert("artifactType".to_owned(), "application/x-proof".into());
    expected.insert("annotations".to_owned(), json!({"k": "v"}));
    let expected = Value::Object(expected);
    let server = Scripted::start([
        (put.clone(), Answer::status(201)),
        (get_list.clone(), list(&[entry(b"1", "x")])),
        (put_list.clone(), Answer::status(201)),
        (put.clone(), Answer::status(201)),
        (get_list.clone(), list(std::slice::from_ref(&expected))),
        (put, Answer::status(201)),
        (get_list, Answer::error(404, "MANIFEST_UNKNOWN", "unknown")),
        (put_list, Answer::status(201)),
    ])
    .await;
    let repository = repository(server.host());
    for _ in 0..3 {
        repository.put_referrer(&referrer()).await.unwrap();
    }
    let seen = server.finish();
    let added: Value = serde_json::from_slice(&seen[2].body).unwrap();
    assert_eq!(added["manifests"], json!([entry(b"1", "x"), expected]));
    assert_eq!(added["x-kept"], 1);
    let begun: Value = serde_json::from_slice(&seen[7].body).unwrap();
    assert_eq!(begun["manifests"], json!([expected]));
    assert_eq!(seen[7].header("content-type"), Some(OCI_INDEX));
}
