//! What a registry that composes answers: as distribution-spec has it, to reading requests only, for
//! bases that its rules permit.

use ohoci_image::media_type::Family;
use reqwest::Method;
use rustix::process::Signal;
use serde_json::Value;

use super::{Scene, error, metric, peer, start};
use crate::support::command::Ohoci;
use crate::support::debian_registry::{HTPASSWD, PASSWORD, USER};
use crate::support::peer::{Peer, block_on, sha256};

/// A GET with headers, straight.
fn get(url: &str, headers: &[(&str, &str)]) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let mut request = client.get(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    block_on(async {
        let answer = request.send().await.unwrap();
        let headers = answer.headers().iter();
        let headers =
            headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        (
            answer.status().as_u16(),
            headers.collect(),
            answer.bytes().await.unwrap().to_vec(),
        )
    })
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> &'a str {
    headers
        .iter()
        .find(|(key, _)| key == name)
        .map_or("", |(_, value)| value)
}

#[test]
fn reading_is_answered_as_a_registry_does() {
    let scene = Scene::new();
    let base = scene.bench.push_base("base", Family::Oci);
    base.push(&scene.bench.peer, "base", "2");
    let gateway = start(
        &scene.bench.ohoci,
        &scene.rule("deps = [\"@/deps:1\"]"),
        &[],
    );
    let url = format!("http://{}", gateway.address);
    let (status, headers, bytes) = get(&format!("{url}/v2/openhands/base/manifests/1"), &[]);
    let digest = sha256(&bytes);
    assert_eq!(status, 200);
    assert_eq!(header(&headers, "docker-content-digest"), digest);
    let etag = header(&headers, "etag").to_owned();
    let (status, _, none) = get(
        &format!("{url}/v2/openhands/base/manifests/1"),
        &[("If-None-Match", &etag)],
    );
    assert_eq!((status, none.len()), (304, 0));

    let layer = &base.layers[0];
    let blob = format!("{url}/v2/openhands/base/blobs/{}", layer.digest);
    let size = layer.bytes.len();
    let (status, headers, whole) = get(&blob, &[]);
    assert_eq!((status, whole), (200, layer.bytes.clone()));
    assert_eq!(header(&headers, "content-length"), size.to_string());
    for (range, from, to) in [
        ("bytes=0-9", 0, 10),
        ("bytes=5-", 5, size),
        ("bytes=-7", size - 7, size),
        ("bytes=100-100000000", 100, size),
    ] {
        let (status, headers, part) = get(&blob, &[("Range", range)]);
        assert_eq!(status, 206, "{range}");
        assert_eq!(part, layer.bytes[from..to], "{range}");
        let expected = format!("bytes {from}-{}/{size}", to - 1);
        assert_eq!(header(&headers, "content-range"), expected);
    }
    let (status, headers, _) = get(&blob, &[("Range", &format!("bytes={size}-"))]);
    assert_eq!(status, 416);
    assert_eq!(header(&headers, "content-range"), format!("bytes */{size}"));

    let composed = peer(&gateway);
    let head = composed.send(
        Method::HEAD,
        &format!("/v2/openhands/base/blobs/{}", layer.digest),
        "",
        vec![],
    );
    assert_eq!(head.unwrap().status, 200);
    let list: Value =
        serde_json::from_slice(&composed.get("/v2/openhands/base/tags/list?n=1").body).unwrap();
    assert_eq!(list["tags"], serde_json::json!(["1"]));
    let list = composed.get(&format!("/v2/openhands/base/referrers/{digest}"));
    assert_eq!(list.media_type, "application/vnd.oci.image.index.v1+json");
    // What is pinned to the base's own digest is the base itself.
    let (_, own) = composed.manifest("openhands/base", &base.digest);
    assert_eq!(own, base.manifest);
    assert_eq!(composed.get("/healthz").status, 200);
    assert_eq!(metric(&composed, "ohoci_composed_total"), 1);
    gateway.terminate(Signal::TERM);
}

#[test]
fn what_cannot_be_had_is_refused_with_a_reason() {
    let scene = Scene::new();
    scene.bench.push_base("base", Family::Oci);
    scene.bench.push_layers("many", 130);
    let rules = scene.rule("deps = [\"@/deps:1\"]\nmost-bytes = 100000000")
        + &scene.rule("").replace("openhands/", "nothing/")
        + &scene
            .rule("deps = [\"@/deps:1\"]\nmost-bytes = 10")
            .replace("openhands/", "small/")
        + &scene
            .rule("deps = [\"@/deps:1\"]")
            .replace("openhands/", "closed/")
            .replace("/**", "/open/**");
    let gateway = start(&scene.bench.ohoci, &rules, &[]);
    let composed = peer(&gateway);
    for (path, status, code, reason) in [
        (
            "openhands/none/manifests/1",
            404,
            "MANIFEST_UNKNOWN",
            "/none:1",
        ),
        (
            "openhands/base/manifests/none",
            404,
            "MANIFEST_UNKNOWN",
            "/base:none",
        ),
        ("openhands/many/manifests/1", 422, "UNSUPPORTED", "127"),
        (
            "nothing/base/manifests/1",
            422,
            "UNSUPPORTED",
            "nothing to put on it",
        ),
        ("small/base/manifests/1", 422, "UNSUPPORTED", "at most 10"),
        (
            "closed/base/manifests/1",
            403,
            "DENIED",
            "not composed here",
        ),
        (
            "other/base/manifests/1",
            404,
            "NAME_UNKNOWN",
            "no image is composed",
        ),
        (
            "openhands/manifests/1",
            404,
            "NAME_UNKNOWN",
            "no image is composed",
        ),
        ("_catalog", 404, "UNSUPPORTED", "no list"),
        ("openhands/../base/manifests/1", 400, "NAME_INVALID", ""),
        ("openhands/%2e%2e/base/manifests/1", 400, "NAME_INVALID", ""),
        (
            "openhands/base%2f..%2fx/manifests/1",
            400,
            "NAME_INVALID",
            "",
        ),
        ("openhands/base/manifests/..", 400, "TAG_INVALID", ""),
    ] {
        // As it is written: clients tidy paths.
        let (got, body) = super::clients::raw(gateway.address, &format!("/v2/{path}"));
        let (said, message) = error(&body);
        assert_eq!((got, said.as_str()), (status, code), "{path}: {message}");
        assert!(message.contains(reason), "{path}: {message}");
    }
    for (method, path) in [
        (Method::POST, "/v2/openhands/base/blobs/uploads/"),
        (Method::PUT, "/v2/openhands/base/manifests/1"),
        (Method::DELETE, "/v2/openhands/base/manifests/1"),
    ] {
        let answer = composed.send(method, path, "", vec![]).unwrap();
        assert_eq!(answer.status, 405, "{path}");
    }
    gateway.signal(Signal::TERM);
    gateway.end().exits(0);
}

#[test]
fn an_unknown_digest_is_looked_for_once() {
    let scene = Scene::new();
    scene.bench.push_base("base", Family::Oci);
    let gateway = start(
        &scene.bench.ohoci,
        &scene.rule("deps = [\"@/deps:1\"]"),
        &[],
    );
    let composed = peer(&gateway);
    scene.registry.take_requests();
    for number in 0..20_u8 {
        let digest = sha256(&[number]);
        for kind in ["manifests", "blobs"] {
            let answer = composed.get(&format!("/v2/openhands/base/{kind}/{digest}"));
            assert_eq!(answer.status, 404, "{digest}");
        }
    }
    let asked = scene.registry.take_requests();
    let count = |what: &str| asked.iter().filter(|(_, path)| path.contains(what)).count();
    assert_eq!(count("tags/list"), 1, "{asked:?}");
    assert_eq!(metric(&composed, "ohoci_composed_total"), 1);
    gateway.terminate(Signal::TERM);
}

#[test]
fn a_mirror_is_asked_by_the_names_of_the_registry_that_it_stands_for() {
    let scene = Scene::new();
    let base = scene.bench.push_base("team/base", Family::Oci);
    let host = scene.registry.host();
    let rules = format!(
        "[[rule]]\nname = \"{{registry}}/{{repository}}\"\nbase = \"{{registry}}/{{repository}}\"\n\
         bases = [\"{host}/team/*\"]\ndeps = [\"{host}/deps:1\"]\n"
    );
    let gateway = start(&scene.bench.ohoci, &rules, &[]);
    let composed = peer(&gateway);
    let port = host.replace(':', "%3A");
    let answer = composed.get(&format!("/v2/team/base/manifests/1?ns={port}"));
    assert_eq!(answer.status, 200);
    let manifest: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 2);
    // A pinned digest passes as it is.
    let pinned = composed.get(&format!(
        "/v2/team/base/manifests/{}?ns={port}",
        base.digest
    ));
    assert_eq!(pinned.body, base.manifest);
    let layer = &base.layers[0];
    let blob = composed.get(&format!("/v2/team/base/blobs/{}?ns={port}", layer.digest));
    assert_eq!(blob.body, layer.bytes);
    let denied = composed.get(&format!("/v2/deps/manifests/1?ns={port}"));
    assert_eq!(denied.status, 403);
    gateway.terminate(Signal::TERM);
}

#[test]
fn who_may_ask_is_in_a_file_and_no_password_is_passed_on_or_logged() {
    let scene = Scene::new();
    scene.bench.push_base("base", Family::Oci);
    let ohoci = Ohoci::new();
    let users = ohoci.write("work/users", HTPASSWD);
    let rules = scene.rule("deps = [\"@/deps:1\"]");
    let more = [
        "--htpasswd",
        users.to_str().unwrap(),
        "--access-log",
        "--verbose",
    ];
    let gateway = start(&ohoci, &rules, &more);
    let url = format!("http://{}", gateway.address);
    let anonymous = peer(&gateway);
    assert_eq!(anonymous.get("/healthz").status, 200);
    for path in ["/metrics", "/v2/", "/v2/openhands/base/manifests/1"] {
        assert_eq!(anonymous.get(path).status, 401, "{path}");
    }
    let known = Peer::new(&url, crate::support::peer::Access::Password, None, None);
    known.manifest("openhands/base", "1");
    gateway.signal(Signal::TERM);
    let said = gateway.end().exits(0).stderr;
    assert!(
        said.contains("\"path\":\"/v2/openhands/base/manifests/1\",\"status\":200"),
        "{said}"
    );
    let encoded = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        format!("{USER}:{PASSWORD}"),
    );
    for secret in [PASSWORD, &encoded] {
        assert!(!said.contains(secret), "{said}");
    }
}
