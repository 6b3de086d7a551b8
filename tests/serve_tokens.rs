//! `ohoci registry serve --token-key`: clients get short-lived tokens for their password, which permit what was
//! asked for and nothing else, outlive the server and are in no log.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::secrets::RegistryAuth;
use ohoci_image::media_type::{Compression, Family};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::clients::{run, skopeo};
use crate::support::command::Ohoci;
use crate::support::debian_registry::{HTPASSWD, PASSWORD, USER};
use crate::support::images::busybox;
use crate::support::peer::{Access, Peer, block_on, sha256};
use crate::support::serving::Serving;

/// A server that gives tokens, over images in the working directory.
fn serve(ohoci: &Ohoci, more: &[&str]) -> Serving {
    let users = ohoci.write("work/users", HTPASSWD);
    owners_alone(&users);
    let users = users.to_str().unwrap();
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--htpasswd",
        users,
        "--token-key",
        "token.key",
    ];
    Serving::start(ohoci, &[&arguments[..], more].concat())
}

fn owners_alone(path: &Path) {
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn peer(serving: &Serving, access: Access) -> Peer {
    Peer::new(&format!("http://{}", serving.address), access, None, None)
}

/// A token for these scopes, which the tests' user gets for the password.
fn token(serving: &Serving, scopes: &[&str]) -> String {
    let scopes = scopes.iter().map(|scope| format!("&scope={scope}"));
    let path = format!("/token?service=ohoci{}", scopes.collect::<String>());
    let answer = peer(serving, Access::Password).get(&path);
    assert_eq!(
        answer.status,
        200,
        "{}",
        String::from_utf8_lossy(&answer.body)
    );
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(answer["access_token"], answer["token"]);
    assert_eq!(answer["expires_in"], 300);
    answer["token"].as_str().unwrap().to_owned()
}

fn bearer(serving: &Serving, scopes: &[&str]) -> Peer {
    peer(serving, Access::Token(token(serving, scopes)))
}

/// The challenge of a request that is refused.
fn challenge(serving: &Serving, method: Method, path: &str, token: Option<&str>) -> String {
    let url = format!("http://{}{path}", serving.address);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client.request(method, url);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    block_on(async {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 401);
        let challenge = &answer.headers()["www-authenticate"];
        challenge.to_str().unwrap().to_owned()
    })
}

fn status(peer: &Peer, method: Method, path: &str) -> u16 {
    let answer = peer.send(method, path, "", Vec::new()).unwrap();
    answer.status.as_u16()
}

#[test]
fn a_token_permits_what_was_asked_for_and_nothing_else() {
    let ohoci = Ohoci::new();
    let serving = serve(&ohoci, &["--dir", "images"]);
    let image = busybox(Family::Oci, Compression::Gzip).build();
    for repository in ["a", "b"] {
        let push = format!("repository:{repository}:pull,push");
        image.push(&bearer(&serving, &[&push]), repository, "1");
    }
    let realm = format!(
        "Bearer realm=\"http://{}/token\",service=\"ohoci\"",
        serving.address
    );
    let manifest = "/v2/a/manifests/1";
    for (method, path, scope) in [
        (Method::GET, "/v2/", ""),
        (Method::GET, manifest, ",scope=\"repository:a:pull\""),
        (Method::PUT, manifest, ",scope=\"repository:a:pull,push\""),
        (Method::GET, "/v2/_catalog", ",scope=\"registry:catalog:*\""),
    ] {
        let said = challenge(&serving, method.clone(), path, None);
        assert_eq!(said, format!("{realm}{scope}"), "{method} {path}");
    }
    let pull = token(&serving, &["repository:a:pull"]);
    assert_eq!(
        challenge(&serving, Method::PUT, manifest, Some(&pull)),
        format!("{realm},scope=\"repository:a:pull,push\",error=\"insufficient_scope\"")
    );

    let layer = &image.layers[0].digest;
    let mount = |from: &str| format!("/v2/new/blobs/uploads/?mount={layer}{from}");
    let (pull_a, push_a) = ("repository:a:pull", "repository:a:pull,push");
    let (push_new, both) = (
        "repository:new:pull,push",
        "repository:a:pull%20repository:new:pull,push",
    );
    for (scopes, method, path, expected) in [
        (&[][..], Method::GET, "/v2/", 200),
        (&[], Method::GET, manifest, 401),
        (&[pull_a], Method::GET, manifest, 200),
        (&[pull_a], Method::HEAD, "/v2/b/manifests/1", 401),
        (
            &[pull_a, "repository:b:pull"],
            Method::HEAD,
            "/v2/b/manifests/1",
            200,
        ),
        (&[pull_a], Method::GET, "/v2/a/tags/list", 200),
        (&[pull_a], Method::GET, "/v2/_catalog", 401),
        (&["registry:catalog:*"], Method::GET, "/v2/_catalog", 200),
        (&[pull_a], Method::POST, "/v2/a/blobs/uploads/", 401),
        (&[push_a], Method::POST, "/v2/a/blobs/uploads/", 202),
        (&[push_a], Method::DELETE, manifest, 401),
        (&[push_new], Method::POST, &mount("&from=a"), 401),
        // Without a repository that it is from, no blob of another one is found.
        (&[push_new], Method::POST, &mount(""), 202),
        (&[both], Method::POST, &mount("&from=a"), 201),
        (&["repository:a:delete"], Method::DELETE, manifest, 202),
    ] {
        let shown = status(&bearer(&serving, scopes), method.clone(), path);
        assert_eq!(shown, expected, "{scopes:?} {method} {path}");
    }
    // Passwords are taken as they were.
    assert_eq!(
        status(
            &peer(&serving, Access::Password),
            Method::GET,
            "/v2/_catalog"
        ),
        200
    );
    assert_eq!(peer(&serving, Access::Anonymous).get("/token").status, 401);
    // By POST a form says what is wanted.
    assert_eq!(
        status(&peer(&serving, Access::Password), Method::POST, "/token"),
        400
    );
    assert_eq!(
        status(&peer(&serving, Access::Password), Method::PUT, "/token"),
        405
    );
    serving.terminate(Signal::TERM);
}

/// The status and the answer of a request for a token by a form.
fn posted(serving: &Serving, form: &[(&str, &str)]) -> (u16, Value) {
    let url = format!("http://{}/token", serving.address);
    let form = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client
        .post(url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form);
    block_on(async {
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.bytes().await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    })
}

#[test]
fn tokens_are_given_by_post_for_a_password_and_for_what_was_kept_instead() {
    let ohoci = Ohoci::new();
    let serving = serve(&ohoci, &["--dir", "images", "--access-log"]);
    let image = busybox(Family::Oci, Compression::Gzip).build();
    image.push(&peer(&serving, Access::Password), "a", "1");
    let common = [
        ("service", "ohoci"),
        ("client_id", "test"),
        ("scope", "repository:a:pull"),
    ];
    let ask = |more: &[(&str, &str)]| posted(&serving, &[&common[..], more].concat());
    let password = [
        ("grant_type", "password"),
        ("username", USER),
        ("password", PASSWORD),
    ];
    let reads = |answer: &Value| {
        assert_eq!(answer["scope"], "repository:a:pull");
        assert_eq!(answer["expires_in"], 300);
        let token = answer["access_token"].as_str().unwrap().to_owned();
        let peer = peer(&serving, Access::Token(token));
        assert_eq!(status(&peer, Method::GET, "/v2/a/manifests/1"), 200);
        assert_eq!(status(&peer, Method::PUT, "/v2/a/manifests/2"), 401);
    };
    let (code, answer) = ask(&password);
    assert_eq!((code, answer.get("refresh_token")), (200, None));
    reads(&answer);

    let offline = [&password[..], &[("access_type", "offline")]].concat();
    let (_, answer) = ask(&offline);
    let kept = answer["refresh_token"].as_str().unwrap().to_owned();
    // It is no token by itself.
    let refresh = peer(&serving, Access::Token(kept.clone()));
    assert_eq!(status(&refresh, Method::GET, "/v2/"), 401);
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", kept.as_str()),
    ];
    let (code, answer) = ask(&refresh);
    assert_eq!(code, 200, "{answer}");
    reads(&answer);
    let path = "/token?service=ohoci&offline_token=true";
    let answer = peer(&serving, Access::Password).get(path);
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    assert!(answer["refresh_token"].is_string());

    let token = answer["token"].as_str().unwrap();
    for (form, expected) in [
        (&[][..], 400),
        (&[("grant_type", "authorization_code")], 400),
        (&[("grant_type", "refresh_token")], 400),
        (
            &[("grant_type", "refresh_token"), ("refresh_token", token)],
            401,
        ),
        (&password[..2], 401),
        (
            &[
                ("grant_type", "password"),
                ("username", USER),
                ("password", "wrong"),
            ],
            401,
        ),
    ] {
        let (code, answer) = ask(form);
        assert_eq!(code, expected, "{form:?}: {answer}");
    }
    let beside = ohoci.write("work/beside", HTPASSWD.replace(USER, "somebody"));
    owners_alone(&beside);
    fs_err::rename(beside, ohoci.work().join("users")).unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while ask(&refresh).0 != 401 {
        assert!(std::time::Instant::now() < deadline, "it is still good");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    serving.signal(Signal::TERM);
    let said = serving.end().exits(0).stderr;
    for secret in [PASSWORD, &kept] {
        assert!(!said.contains(secret), "{said}");
    }
}

#[test]
fn tokens_outlive_the_server_and_end_with_its_key_or_the_users_password() {
    let ohoci = Ohoci::new();
    let serving = serve(&ohoci, &["--dir", "images"]);
    let given = token(&serving, &[]);
    let key = ohoci.work().join("token.key");
    let mode = fs_err::metadata(&key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    serving.signal(Signal::KILL);
    drop(serving.end());

    let serving = serve(&ohoci, &["--dir", "images"]);
    let asked = || {
        status(
            &peer(&serving, Access::Token(given.clone())),
            Method::GET,
            "/v2/",
        )
    };
    assert_eq!(asked(), 200);
    let becomes = |wanted: u16| {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while asked() != wanted {
            assert!(
                std::time::Instant::now() < deadline,
                "it never answers {wanted}"
            );
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    };
    let replace = |name: &str, text: &str| {
        let beside = ohoci.write("work/beside", text);
        owners_alone(&beside);
        fs_err::rename(beside, ohoci.work().join(name)).unwrap();
    };
    replace("users", &HTPASSWD.replace(USER, "somebody"));
    becomes(401);
    replace("users", HTPASSWD);
    becomes(200);
    let made = fs_err::read_to_string(&key).unwrap();
    replace("token.key", &"a1".repeat(32));
    becomes(401);
    replace("token.key", &made);
    becomes(200);
    let mut changed = given.clone();
    changed.replace_range(..1, "x");
    let said = challenge(&serving, Method::GET, "/v2/", Some(&changed));
    assert!(said.ends_with(",error=\"invalid_token\""), "{said}");
    serving.terminate(Signal::TERM);
}

#[test]
fn ohoci_skopeo_and_podman_get_tokens_and_no_secret_is_logged() {
    let ohoci = Ohoci::new();
    let serving = serve(&ohoci, &["--dir", "images", "--access-log", "--verbose"]);
    let host = serving.address.to_string();
    let image = busybox(Family::Oci, Compression::Gzip).build();
    image.push(&peer(&serving, Access::Password), "a", "1");
    let given = token(&serving, &["repository:a:pull"]);

    ohoci.log_in(&host, USER, PASSWORD);
    let (from, to) = (format!("{host}/a:1"), format!("{host}/b:1"));
    ohoci.run(["copy", &from, &to]).exits(0);
    ohoci.run(["ls", &format!("{host}/b")]).exits(0);
    ohoci.run(["delete", &format!("{host}/a:1")]).exits(0);

    let credentials = format!("{USER}:{PASSWORD}");
    let from = format!("docker://{host}/b:1");
    let to = format!("docker://{host}/c/d:1");
    skopeo(&[
        "copy",
        "--quiet",
        "--src-creds",
        &credentials,
        "--dest-creds",
        &credentials,
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        &from,
        &to,
    ]);
    let wrong = run(
        "skopeo",
        &[
            "inspect",
            "--tls-verify=false",
            "--creds",
            "tester:wrong",
            &to,
        ],
    );
    assert_ne!(wrong.code, Some(0), "{}", wrong.stdout);

    let work = tempfile::tempdir().unwrap();
    let path = |name: &str| work.path().join(name).to_str().unwrap().to_owned();
    let (root, runroot) = (path("root"), path("runroot"));
    let pulled = run(
        "podman",
        &[
            "--root",
            &root,
            "--runroot",
            &runroot,
            "--storage-driver",
            "vfs",
            "pull",
            "--quiet",
            "--tls-verify=false",
            "--creds",
            &credentials,
            &format!("{host}/c/d:1"),
        ],
    );
    assert_eq!(pulled.code, Some(0), "{}", pulled.stderr);
    let copied = peer(&serving, Access::Password).manifest("c/d", "1").1;
    assert_eq!(sha256(&copied), image.digest);

    serving.signal(Signal::TERM);
    let said = serving.end().exits(0).stderr;
    // Each of them asked for a token, and reads and writes were done by it.
    let tokens = said.matches("\"path\":\"/token").count();
    assert!(tokens >= 5, "{tokens}: {said}");
    let encoded = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        credentials.as_bytes(),
    );
    let key = fs_err::read_to_string(ohoci.work().join("token.key")).unwrap();
    for secret in [PASSWORD, &encoded, &given, key.trim()] {
        assert!(!said.contains(secret), "{said}");
    }
}

#[test]
fn what_composes_gives_tokens_for_reading_only() {
    let bases = crate::support::ohoci_registry::OhociRegistry::start();
    let image = busybox(Family::Oci, Compression::Gzip).build();
    image.push(&bases.peer(), "base", "1");
    let ohoci = Ohoci::new();
    let rules = format!(
        "[[rule]]\nname = \"oh/{{repository}}\"\nbase = \"{host}/{{repository}}\"\n\
         bases = [\"{host}/**\"]\nenv = {{ A = \"b\" }}\n",
        host = bases.host()
    );
    ohoci.write("work/gateway.toml", rules);
    let serving = serve(&ohoci, &["--compose", "gateway.toml"]);
    let given = token(&serving, &["repository:oh/base:pull,push,delete"]);
    let claims = given.split('.').nth(1).unwrap();
    let claims = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims);
    let claims: Value = serde_json::from_slice(&claims.unwrap()).unwrap();
    assert_eq!(
        claims["access"],
        serde_json::json!([{"type": "repository", "name": "oh/base", "actions": ["pull"]}])
    );
    let composed = peer(&serving, Access::Token(given));
    assert_eq!(
        status(&composed, Method::GET, "/v2/oh/base/manifests/1"),
        200
    );
    assert_eq!(
        status(&composed, Method::GET, "/v2/oh/other/manifests/1"),
        401
    );
    let credentials = format!("{USER}:{PASSWORD}");
    let source = format!("docker://{}/oh/base:1", serving.address);
    skopeo(&[
        "inspect",
        "--raw",
        "--tls-verify=false",
        "--creds",
        &credentials,
        &source,
    ]);
    let client = oci_client::Client::new(ClientConfig {
        protocol: ClientProtocol::Http,
        ..ClientConfig::default()
    });
    let reference = format!("{}/oh/base:1", serving.address).parse().unwrap();
    let auth = RegistryAuth::Basic(USER.to_owned(), PASSWORD.to_owned());
    let types = vec!["application/vnd.oci.image.layer.v1.tar+gzip"];
    let pulled = block_on(client.pull(&reference, &auth, types)).unwrap();
    let composed = composed.manifest("oh/base", "1").1;
    assert_eq!(pulled.digest, Some(sha256(&composed)));
    serving.terminate(Signal::TERM);
}

#[test]
fn a_key_that_cannot_be_used_is_told_before_anything_is_served() {
    let ohoci = Ohoci::new();
    ohoci.write("work/users", HTPASSWD);
    ohoci.write("work/short.key", "hunter2");
    let serve = ["registry", "serve", "--listen", "127.0.0.1:0"];
    for (more, code, word) in [
        (&["--token-key", "token.key"][..], 2, "--htpasswd"),
        (
            &["--htpasswd", "users", "--token-key", "short.key"],
            1,
            "hexadecimal",
        ),
        (
            &["--htpasswd", "users", "--token-key", "none/token.key"],
            1,
            "none/token.key",
        ),
        (
            &[
                "--htpasswd",
                "users",
                "--token-key",
                "token.key",
                "--token-seconds",
                "5",
            ],
            2,
            "60..=86400",
        ),
    ] {
        let said = ohoci.run([&serve[..], more].concat()).exits(code).stderr;
        assert!(said.contains(word) && !said.contains("hunter2"), "{said}");
    }
}
