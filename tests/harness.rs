//! The servers, images and clients that the other tests rely on do what they are said to do.

use std::path::Path;
use std::time::Duration;

use ohoci_image::media_type::{Compression, Family};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::Relay;

use crate::support::certificates::Authority;
use crate::support::clients::{run, run_in_container, skopeo};
use crate::support::command::{Ohoci, Outcome};
use crate::support::debian_registry::{DebianRegistry, PASSWORD, USER};
use crate::support::images::{Index, Layer, Node, bare, busybox};
use crate::support::peer::{Access, sha256};
use crate::support::token_server::{Behaviour, IDENTITY_TOKEN, Scopes, TokenRequest, TokenServer};

#[test]
fn every_file_is_part_of_the_test_program() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let main = fs_err::read_to_string(tests.join("main.rs")).unwrap();
    for entry in fs_err::read_dir(&tests).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        // A file, or a folder of files.
        let module = name.strip_suffix(".rs").unwrap_or(&name);
        if module == "main" {
            continue;
        }
        assert!(
            main.contains(&format!("mod {module};")),
            "tests/{name} is not run: name it in tests/main.rs"
        );
    }
}

#[test]
fn images_of_both_families_and_all_compressions_run() {
    let registry = DebianRegistry::open();
    let peer = registry.peer(Access::Anonymous);
    for (family, compression) in [
        (Family::Docker, Compression::Gzip),
        (Family::Oci, Compression::None),
        (Family::Oci, Compression::Gzip),
        (Family::Oci, Compression::Zstd),
    ] {
        let layer = Layer::pack(
            &[("etc/greeting", Node::File(b"hello".to_vec()))],
            compression,
        );
        let image = busybox(family, compression)
            .layer(layer)
            .set("WorkingDir", json!("/etc"))
            .build();
        image.push(&peer, "base", "one");
        let source = format!("docker://{}/base:one", registry.host());
        let done = run_in_container(
            &source,
            &["sh", "-c", "cat greeting; echo; pwd; echo $PATH; exit 7"],
        );
        let expected =
            "hello\n/etc\n/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n";
        assert_eq!(
            (done.stdout.as_str(), done.code),
            (expected, Some(7)),
            "{family:?} {compression:?}: {}",
            done.stderr
        );
    }
}

#[test]
fn an_index_is_read_by_skopeo_from_a_registry_and_from_a_layout() {
    let registry = DebianRegistry::open();
    let index = Index::busybox(Family::Oci, Compression::Gzip);
    index.push(&registry.peer(Access::Anonymous), "some/index", "latest");
    let layout = TempDir::new().unwrap();
    index.write_layout(layout.path(), "latest");
    let url = format!("docker://{}/some/index", registry.host());
    let oci = format!("oci:{}:latest", layout.path().display());
    for source in [url, oci] {
        let raw = skopeo(&["inspect", "--raw", "--tls-verify=false", &source]);
        assert_eq!(sha256(raw.as_bytes()), index.digest, "{source}");
        let target = TempDir::new().unwrap();
        let target = format!("oci:{}", target.path().display());
        skopeo(&[
            "copy",
            "--quiet",
            "--all",
            "--src-tls-verify=false",
            &source,
            &target,
        ]);
    }
}

#[test]
fn odd_images_are_taken_by_the_registry_and_keep_their_fields() {
    let registry = DebianRegistry::open();
    let peer = registry.peer(Access::Anonymous);
    let image = bare(Family::Oci, vec![])
        .many_layers(150, Compression::Gzip)
        .platform("arm64", Some("v8"))
        .without_history()
        .set(
            "Healthcheck",
            json!({"Test": ["CMD", "true"], "Interval": 30_000_000_000_u64}),
        )
        .set("OnBuild", json!(["RUN true"]))
        .set("x-unknown", json!(1.0))
        .set_top("x-top", json!({"b": 1, "a": 2}))
        .set_manifest("annotations", json!({"k": "v"}))
        .build();
    image.push(&peer, "odd", "1");
    let (media_type, manifest) = peer.manifest("odd", "1");
    assert_eq!(
        (media_type.as_str(), sha256(&manifest)),
        (image.media_type, image.digest.clone())
    );
    let config: Value =
        serde_json::from_slice(&peer.blob("odd", &sha256(&image.config)).unwrap()).unwrap();
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 150);
    assert!(config.get("history").is_none());
    assert_eq!(
        config["config"]["Healthcheck"]["Interval"],
        json!(30_000_000_000_u64)
    );
    assert_eq!(peer.blob("odd", &sha256(b"never pushed")), None);

    let layout = TempDir::new().unwrap();
    image.write_layout(layout.path(), "1");
    let raw = skopeo(&[
        "inspect",
        "--raw",
        &format!("oci:{}:1", layout.path().display()),
    ]);
    assert_eq!(sha256(raw.as_bytes()), image.digest);
}

#[test]
fn the_open_registry_deletes() {
    let registry = DebianRegistry::open();
    let peer = registry.peer(Access::Anonymous);
    let image = bare(Family::Oci, vec![]).build();
    image.push(&peer, "gone", "1");
    let answer = peer
        .send(
            Method::DELETE,
            &format!("/v2/gone/manifests/{}", image.digest),
            "",
            vec![],
        )
        .unwrap();
    assert_eq!(answer.status, StatusCode::ACCEPTED);
}

#[test]
fn a_registry_with_passwords_lets_in_only_the_tester() {
    let registry = DebianRegistry::with_password();
    let image = bare(Family::Oci, vec![]).build();
    image.push(&registry.peer(Access::Password), "private", "1");
    let refused = registry
        .peer(Access::Anonymous)
        .send(Method::GET, "/v2/private/manifests/1", "", vec![])
        .unwrap();
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let source = format!("docker://{}/private:1", registry.host());
    skopeo(&[
        "inspect",
        "--raw",
        "--tls-verify=false",
        "--creds",
        &format!("{USER}:{PASSWORD}"),
        &source,
    ]);
}

#[test]
fn registries_with_https_are_reached_only_with_the_authority_and_the_clients_certificate() {
    let authority = Authority::new();
    let image = bare(Family::Oci, vec![]).build();
    let closed = DebianRegistry::with_tls(&authority, true);
    image.push(&closed.tls_peer(&authority, true), "tls", "1");
    assert!(
        closed
            .tls_peer(&authority, false)
            .send(Method::GET, "/v2/", "", vec![])
            .is_err()
    );

    let registry = DebianRegistry::with_tls(&authority, false);
    image.push(&registry.tls_peer(&authority, false), "tls", "1");
    let source = format!("docker://{}/tls:1", registry.host());
    let certificates = authority.directory().to_str().unwrap();
    skopeo(&["inspect", "--raw", "--cert-dir", certificates, &source]);
    assert_ne!(
        run("skopeo", &["inspect", "--raw", &source]).code,
        Some(0),
        "an unknown authority"
    );
}

#[test]
fn the_registry_takes_the_tokens_of_the_token_server() {
    let server = TokenServer::start(Behaviour::default());
    let registry = DebianRegistry::with_tokens(&server);
    let seeder = registry.peer(Access::Token(server.token_for(&["a/b"])));
    bare(Family::Oci, vec![]).build().push(&seeder, "a/b", "1");
    assert_eq!(server.take_requests(), []);

    let source = format!("docker://{}/a/b:1", registry.host());
    skopeo(&["inspect", "--raw", "--tls-verify=false", &source]);
    skopeo(&[
        "inspect",
        "--raw",
        "--tls-verify=false",
        "--creds",
        &format!("{USER}:{PASSWORD}"),
        &source,
    ]);
    let requests = server.take_requests();
    let users: Vec<&str> = requests
        .iter()
        .map(|request| request.user.as_str())
        .collect();
    assert_eq!(users, ["", USER]);
    assert!(
        requests
            .iter()
            .all(|request| request.scopes == ["repository:a/b:pull"] && request.status == 200)
    );

    let other = registry.peer(Access::Token(server.token_for(&["a/c"])));
    let refused = other
        .send(Method::GET, "/v2/a/b/manifests/1", "", vec![])
        .unwrap();
    assert_eq!(
        refused.status,
        StatusCode::UNAUTHORIZED,
        "a token for another repository"
    );
}

/// The repositories that the token in an answer grants.
fn granted(body: &[u8], field: &str) -> Vec<String> {
    use base64::Engine;
    let body: Value = serde_json::from_slice(body).unwrap();
    let token = body[field]
        .as_str()
        .unwrap_or_else(|| panic!("no {field} in {body}"));
    let claims = token.split('.').nth(1).unwrap();
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(claims)
        .unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    claims["access"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn token_servers_differ_in_what_they_make_of_two_scopes() {
    let query = "?scope=repository:a:pull&scope=repository:b:pull,push";
    for (scopes, expected) in [
        (Scopes::All, vec!["a", "b"]),
        (Scopes::First, vec!["a"]),
        (Scopes::Last, vec!["b"]),
    ] {
        let server = TokenServer::start(Behaviour {
            scopes,
            ..Behaviour::default()
        });
        let answer = get(&server, query, Access::Anonymous);
        assert_eq!(granted(&answer.body, "token"), expected, "{scopes:?}");
    }
    let server = TokenServer::start(Behaviour {
        scopes: Scopes::RejectRepeated,
        ..Behaviour::default()
    });
    assert_eq!(
        get(&server, query, Access::Anonymous).status,
        StatusCode::BAD_REQUEST
    );
    let scopes = ["repository:a:pull", "repository:b:pull,push"]
        .map(String::from)
        .into();
    let request = TokenRequest {
        method: "GET".into(),
        user: String::new(),
        scopes,
        status: 400,
    };
    assert_eq!(server.take_requests(), [request]);
    assert_eq!(
        granted(
            &get(
                &server,
                "?scope=repository:a:pull%20repository:b:pull",
                Access::Anonymous
            )
            .body,
            "token"
        ),
        ["a", "b"]
    );
}

fn get(server: &TokenServer, query: &str, access: Access) -> crate::support::peer::Answer {
    let peer = crate::support::peer::Peer::new("", access, None, None);
    peer.send(
        Method::GET,
        &format!("{}{query}", server.realm()),
        "",
        vec![],
    )
    .unwrap()
}

#[test]
fn a_token_server_checks_passwords_and_refresh_tokens() {
    let server = TokenServer::start(Behaviour {
        anonymous: &[],
        expires_in: None,
        ..Behaviour::default()
    });
    assert_eq!(
        get(&server, "", Access::Anonymous).status,
        StatusCode::UNAUTHORIZED
    );
    let answer = get(&server, "?scope=repository:a:pull", Access::Password);
    assert!(
        serde_json::from_slice::<Value>(&answer.body)
            .unwrap()
            .get("expires_in")
            .is_none()
    );

    let peer = crate::support::peer::Peer::new("", Access::Anonymous, None, None);
    let post = |token: &str| {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("grant_type", "refresh_token"),
                ("refresh_token", token),
                ("scope", "repository:a:pull"),
            ])
            .finish();
        let media_type = "application/x-www-form-urlencoded";
        peer.send(Method::POST, &server.realm(), media_type, form.into_bytes())
            .unwrap()
    };
    assert_eq!(granted(&post(IDENTITY_TOKEN).body, "access_token"), ["a"]);
    assert_eq!(post("made up").status, StatusCode::UNAUTHORIZED);
}

#[test]
fn a_relay_in_front_of_a_registry_counts_requests_and_bytes() {
    let registry = DebianRegistry::open();
    let relay = Relay::start(registry.address(), Duration::from_millis(2)).unwrap();
    let image = bare(Family::Oci, vec![]).build();
    image.push(&registry.peer(Access::Anonymous), "counted", "1");
    let source = format!("docker://{}/counted:1", relay.address());
    skopeo(&["inspect", "--raw", "--tls-verify=false", &source]);
    let traffic = relay.take_traffic();
    // skopeo asks for HTTPS first, which no parser can read, and then anew on another connection.
    assert!(
        traffic
            .lines()
            .ends_with(&["GET /v2/".into(), "GET /v2/counted/manifests/1".into()]),
        "{traffic:?}"
    );
    let last = traffic.exchanges.last().unwrap();
    assert_eq!(
        (last.status, last.received),
        (200, image.manifest.len() as u64)
    );
    assert_eq!((traffic.count("GET"), traffic.sent()), (2, 0));
}

#[test]
fn the_binary_runs_with_nothing_of_the_callers_home() {
    let ohoci = Ohoci::new();
    ohoci.log_in("registry.example", USER, PASSWORD);
    let file = ohoci.write("work/file", "content");
    assert_eq!(file.parent().unwrap(), ohoci.work());
    ohoci.run(["--version"]).exits(0);
    let command = ohoci.command();
    let names: Vec<&str> = command
        .get_envs()
        .map(|(name, _)| name.to_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "HOME",
            "PATH",
            "XDG_CACHE_HOME",
            "XDG_CONFIG_HOME",
            "XDG_RUNTIME_DIR"
        ]
    );
    let outcome = Outcome {
        code: Some(0),
        stdout: r#"{"a": 1}"#.into(),
        stderr: String::new(),
    };
    assert_eq!(outcome.json()["a"], json!(1));
}
