//! What goes wrong is told in its own words: what failed, why, and what may help. Standard output
//! stays empty then, and the exit code tells a failure (1) from wrong usage (2).

use std::net::TcpListener;
use std::sync::Mutex;
use std::time::Duration;

use ohoci_image::media_type::Family;
use testbed::Relay;

use crate::support::answering::{Answering, answer, image};
use crate::support::certificates::Authority;
use crate::support::command::Ohoci;
use crate::support::debian_registry::{DebianRegistry, PASSWORD, USER};
use crate::support::images::{Image, Index, bare};
use crate::support::peer::Access;
use crate::support::token_server::{Behaviour, TokenServer};

/// Runs a command that fails, and returns what it says.
#[track_caller]
fn complaint(ohoci: &Ohoci, code: i32, arguments: &[&str]) -> String {
    let outcome = ohoci.run(arguments).exits(code);
    assert_eq!(outcome.stdout, "", "{arguments:?}");
    outcome.stderr
}

fn sample() -> Image {
    bare(Family::Oci, vec![]).build()
}

#[test]
fn a_registry_that_is_not_there() {
    let ohoci = Ohoci::new();
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let refused = format!(
        "  {closed} refuses connections\nhint: check the port, and that the registry is running\n"
    );
    let reference = format!("{closed}/a:1");
    assert_eq!(
        complaint(&ohoci, 1, &["inspect", &reference]),
        format!("error: cannot read manifest {reference}\n{refused}")
    );
    let reading = format!("error: cannot read manifest {reference}\n{refused}");
    assert_eq!(
        complaint(&ohoci, 1, &["copy", &reference, "oci:a:1"]),
        reading
    );
    assert_eq!(
        complaint(
            &ohoci,
            1,
            &["compose", "--base", &reference, "--push", "oci:a:1"]
        ),
        reading
    );
    let pushing = complaint(
        &ohoci,
        1,
        &["compose", "--base", "scratch", "--push", &reference],
    );
    assert!(
        pushing.ends_with(&refused) && pushing.contains(&format!("{closed}/a")),
        "{pushing}"
    );
}

#[test]
fn what_lies_here_under_the_name_that_was_typed() {
    let ohoci = Ohoci::new();
    let layout = ohoci.work().join("Layout");
    fs_err::create_dir(&layout).unwrap();
    fs_err::write(layout.join("oci-layout"), "{}").unwrap();
    for (arguments, code) in [
        (&["inspect", "./Layout"][..], 2),
        (&["digest", "./Layout"], 2),
        (&["check", "./Layout"], 2),
        (&["verify", "./Layout"], 2),
        (&["rebase", "./Layout"], 2),
        (&["run", "./Layout"], 2),
    ] {
        let said = complaint(&ohoci, code, arguments);
        assert!(
            said.ends_with("hint: ./Layout is an OCI layout here: oci:./Layout\n"),
            "{arguments:?}: {said}"
        );
    }
}

#[test]
fn a_directory_in_an_image_s_place_is_answered_with_how_it_is_mounted() {
    let said = complaint(&Ohoci::new(), 2, &["run", "/home:/mnt", "debian", "ls"]);
    assert_eq!(
        said,
        "error: /home:/mnt is no image\nhint: --mount /home:/mnt shows a directory of this machine inside\n"
    );
}

#[test]
fn a_host_name_that_nobody_has() {
    // RFC 6761 keeps .invalid free of names.
    let said = complaint(&Ohoci::new(), 1, &["inspect", "registry.invalid/a:1"]);
    assert!(
        said.starts_with("error: cannot read manifest registry.invalid/a:1\n  there is no host registry.invalid ("),
        "{said}"
    );
    assert!(
        said.ends_with("\nhint: check the name for a typo, and the network\n"),
        "{said}"
    );
}

#[test]
fn a_typo_in_a_repository_a_tag_or_a_digest() {
    let registry = DebianRegistry::open();
    let host = registry.host();
    sample().push(&registry.peer(Access::Anonymous), "team/image", "1");
    let ohoci = Ohoci::new();
    let said = complaint(&ohoci, 1, &["inspect", &format!("{host}/taem/image:1")]);
    assert!(
        said.starts_with(&format!(
            "error: cannot read manifest {host}/taem/image:1\n  "
        )) && said.contains("(404 Not Found)"),
        "{said}"
    );
    let said = complaint(&ohoci, 1, &["inspect", &format!("{host}/team/image:2")]);
    assert!(
        said.starts_with(&format!(
            "error: cannot read manifest {host}/team/image:2\n  the repository has no manifest of that name: "
        )),
        "{said}"
    );
    let digest = format!("sha256:{}", "0".repeat(64));
    let said = complaint(
        &ohoci,
        1,
        &["copy", &format!("{host}/team/image@{digest}"), "oci:a"],
    );
    assert!(
        said.contains(&format!("{host}/team/image@{digest}\n")),
        "{said}"
    );
    assert!(!ohoci.work().join("a").exists());
}

#[test]
fn a_typo_in_a_local_place() {
    let ohoci = Ohoci::new();
    sample().write_layout(&ohoci.work().join("layout"), "1");
    ohoci.write("work/file.tar", "no tar");
    for (reference, words) in [
        ("oci:nowhere:1", "there is no such directory"),
        ("oci-archive:nowhere.tar", "there is no such file"),
        ("docker-archive:nowhere.tar", "there is no such file"),
        (
            "oci:layout:2",
            "there is no image \"2\"\nhint: the names there are: 1\n",
        ),
        (
            "oci:file.tar",
            "hint: a tar of a layout is oci-archive:FILE",
        ),
        ("oci-archive:file.tar", "file.tar"),
        ("oci-archive:layout", "layout"),
    ] {
        let said = complaint(&ohoci, 1, &["inspect", reference]);
        assert!(
            said.starts_with("error: cannot ") && said.contains(words),
            "{reference}: {said}"
        );
        let (transport, _) = reference.split_once(':').unwrap();
        assert!(
            said.contains(&format!("{transport}:")),
            "{reference}: {said}"
        );
    }
}

#[test]
fn a_missing_permission_says_how_to_log_in() {
    let registry = DebianRegistry::with_password();
    let host = registry.host();
    sample().push(&registry.peer(Access::Password), "a", "1");
    let reference = format!("{host}/a:1");
    let ohoci = Ohoci::new();
    let anonymous = complaint(&ohoci, 1, &["inspect", &reference]);
    assert!(anonymous.contains("access is denied"), "{anonymous}");
    assert!(
        anonymous.contains("\nhint: no credentials were sent"),
        "{anonymous}"
    );
    assert!(
        anonymous.ends_with(&format!("ohoci login {host}\n")),
        "{anonymous}"
    );

    ohoci.log_in(&host, USER, "wrong password");
    let refused = complaint(&ohoci, 1, &["inspect", &reference]);
    assert!(
        refused.contains(&format!("the credentials for {host} were refused")),
        "{refused}"
    );
    assert!(
        refused.ends_with(&format!("ohoci login {host}\n")),
        "{refused}"
    );
    assert!(!refused.contains("wrong password"), "{refused}");

    ohoci.log_in(&host, USER, PASSWORD);
    ohoci.run(["inspect", &reference]).exits(0);
}

#[test]
fn a_push_where_only_pulling_is_allowed() {
    let server = TokenServer::start(Behaviour::default());
    let registry = DebianRegistry::with_tokens(&server);
    let host = registry.host();
    let ohoci = Ohoci::new();
    let to = format!("{host}/a:1");
    let compose = [
        "compose", "--base", "scratch", "--env", "A=b", "--push", &to,
    ];
    let said = complaint(&ohoci, 1, &compose);
    assert!(said.contains("access is denied"), "{said}");
    assert!(said.contains(&format!("ohoci login {host}")), "{said}");
    ohoci.log_in(&host, USER, PASSWORD);
    ohoci.run(compose).exits(0);
}

#[test]
fn credentials_without_the_right() {
    let registry = Answering::start(|request| {
        Some(if request.header("authorization").is_empty() {
            answer(401, &[("www-authenticate", "Basic realm=\"a test\"")], "")
        } else {
            answer(
                403,
                &[],
                r#"{"errors":[{"code":"DENIED","message":"team is only for members"}]}"#,
            )
        })
    });
    let host = registry.host();
    let ohoci = Ohoci::new();
    ohoci.log_in(&host, USER, PASSWORD);
    assert_eq!(
        complaint(&ohoci, 1, &["inspect", &format!("{host}/team/a:1")]),
        format!(
            "error: cannot read manifest {host}/team/a:1\n  access is denied: team is only for members (403 Forbidden)\n\
             hint: the credentials for {host} do not permit this; ask for the right, or log in as another user: ohoci login {host}\n"
        )
    );
}

#[test]
fn tokens_that_expire_during_a_run_are_renewed_without_a_word() {
    let server = TokenServer::start(Behaviour {
        expires_in: Some(1),
        ..Behaviour::default()
    });
    let registry = DebianRegistry::with_tokens(&server);
    let relay = Relay::start(registry.address(), Duration::from_millis(500)).unwrap();
    let images = vec![
        sample(),
        bare(Family::Oci, vec![]).platform("arm64", None).build(),
    ];
    let token = Access::Token(server.token_for(&["a"]));
    Index::new(Family::Oci, images).push(&registry.peer(token), "a", "1");
    server.take_requests();
    let outcome = Ohoci::new()
        .run(["inspect", &format!("{}/a:1", relay.address())])
        .exits(0);
    assert_eq!(outcome.stderr, "");
    let requests = server.take_requests();
    assert!(requests.len() >= 2, "{requests:?}");
    assert!(
        requests.iter().all(|request| request.status == 200),
        "{requests:?}"
    );
}

/// A registry and its token server, which takes every token back after one use.
fn forgetful(held: Image) -> Answering {
    let valid = Mutex::new((0, None));
    Answering::start(move |request| {
        let mut valid = valid.lock().unwrap();
        if request.target.starts_with("/token") {
            valid.0 += 1;
            let token = format!("token-{}", valid.0);
            let body = format!(r#"{{"token":"{token}","expires_in":300}}"#);
            valid.1 = Some(format!("Bearer {token}"));
            return Some(answer(200, &[], body));
        }
        if valid
            .1
            .take()
            .is_some_and(|token| token == request.header("authorization"))
        {
            return Some(image(&held, request));
        }
        let challenge = format!(
            "Bearer realm=\"http://{}/token\",service=\"a test\"",
            request.header("host")
        );
        let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"token has been revoked"}]}"#;
        Some(answer(401, &[("www-authenticate", &challenge)], body))
    })
}

#[test]
fn a_token_that_is_revoked_during_a_run_is_renewed_without_a_word() {
    let registry = forgetful(sample());
    let outcome = Ohoci::new()
        .run(["inspect", &format!("{}/a:1", registry.host())])
        .exits(0);
    assert_eq!(outcome.stderr, "");
    let requests = registry.requests();
    let tokens = requests.iter().filter(|line| line.contains("/token"));
    assert_eq!(tokens.count(), 2, "{requests:?}");
}

#[test]
fn tokens_that_the_registry_never_takes() {
    let server = TokenServer::start(Behaviour::default());
    let realm = server.realm();
    let registry = Answering::start(move |_| {
        let challenge = format!("Bearer realm=\"{realm}\",service=\"a test\"");
        let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"invalid token"}]}"#;
        Some(answer(401, &[("www-authenticate", &challenge)], body))
    });
    let host = registry.host();
    let ohoci = Ohoci::new();
    let said = complaint(&ohoci, 1, &["inspect", "-v", &format!("{host}/a:1")]);
    let told = format!(
        "error: cannot read manifest {host}/a:1\n  access is denied: invalid token (401 Unauthorized)\n"
    );
    assert!(said.contains(&told), "{said}");
    assert!(said.contains(&format!("ohoci login {host}")), "{said}");
    assert!(!said.contains("eyJ"), "a token is shown: {said}");
    let requests = registry.requests();
    assert!(requests.len() <= 3, "asked again and again: {requests:?}");
}

#[test]
fn https_asked_of_a_port_that_speaks_http() {
    let registry = DebianRegistry::open();
    let host = registry.host();
    let authority = Authority::new();
    let file = authority.file().display().to_string();
    let ohoci = Ohoci::new();
    let table = format!("[registry.\"{host}\"]\nca = [{file:?}]\n");
    ohoci.write("config/ohoci/config.toml", table);
    let said = complaint(&ohoci, 1, &["inspect", &format!("{host}/a:1")]);
    assert_eq!(
        said,
        format!(
            "error: cannot read manifest {host}/a:1\n  {host} does not speak TLS\n\
             hint: if it is meant to be plain HTTP, say --plain-http {host}\n"
        )
    );
}

#[test]
fn http_asked_of_a_port_that_speaks_https() {
    let registry = DebianRegistry::with_tls(&Authority::new(), false);
    let host = registry.host();
    let said = complaint(&Ohoci::new(), 1, &["inspect", &format!("{host}/a:1")]);
    assert!(
        said.starts_with(&format!("error: cannot read manifest {host}/a:1\n  ")),
        "{said}"
    );
    assert!(
        said.contains("\nhint: if ") && said.contains("--ca-file"),
        "{said}"
    );
}

#[test]
fn a_certificate_of_an_authority_that_nobody_trusts() {
    let registry = DebianRegistry::with_tls(&Authority::new(), false);
    let host = registry.host();
    let other = Authority::new();
    let file = other.file().display().to_string();
    let said = complaint(
        &Ohoci::new(),
        1,
        &["inspect", "--ca-file", &file, &format!("{host}/a:1")],
    );
    assert!(
        said.starts_with(&format!(
            "error: cannot read manifest {host}/a:1\n  the certificate of {host} is not trusted: "
        )),
        "{said}"
    );
    assert!(
        said.contains("\nhint: ") && said.contains("--ca-file"),
        "{said}"
    );
}

#[test]
fn wrong_usage_exits_with_two() {
    let ohoci = Ohoci::new();
    sample().write_layout(&ohoci.work().join("a"), "1");
    let compose = ["compose", "--base", "oci:a:1", "--push", "oci:b:1"];
    for (arguments, words) in [
        (
            &["inspect", "registry.example/UPPER:1"][..],
            "registry.example/UPPER:1",
        ),
        (&["inspect", "oci:"], "oci:"),
        (
            &["copy", "oci:a:1", "registry.example/a@sha256:0"],
            "sha256:0",
        ),
        (
            &["inspect", "--platform", "linux", "oci:a:1"],
            "expected os/architecture",
        ),
        (
            &["copy", "--platform", "a/b/c/d", "oci:a:1", "oci:b:1"],
            "expected os/architecture",
        ),
        (
            &[&compose[..], &["--platform", "linux"]].concat(),
            "expected os/architecture",
        ),
        (
            &[&compose[..], &["--env", "NAME"]].concat(),
            "--env \"NAME\": expected KEY=VALUE",
        ),
        (
            &[&compose[..], &["--env", "=value"]].concat(),
            "expected KEY=VALUE",
        ),
        (
            &[&compose[..], &["--entrypoint", "sh -c true"]].concat(),
            r#"hint: --entrypoint '["sh","-c","true"]'"#,
        ),
        (&["compose", "--push", "oci:b:1"], "hint: --base REF"),
        (&["compose", "--base", "oci:a:1"], "hint: --push REF"),
        (&["inspect", "--nonsense", "oci:a:1"], "--nonsense"),
        (&["inspekt", "oci:a:1"], "'inspect'"),
        (
            &["inspect", "--config", "--manifest", "oci:a:1"],
            "cannot be used with",
        ),
        (&["copy", "oci:a:1"], "<DST>"),
        (&["registry", "serve", "--listen", "nonsense"], "--listen"),
        (
            &["inspect", "--ca-file", "nowhere.pem", "oci:a:1"],
            "nowhere.pem",
        ),
        (&[], "Usage: ohoci"),
    ] {
        let said = complaint(&ohoci, 2, arguments);
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    assert!(!ohoci.work().join("b").exists());
}

#[test]
fn a_broken_configuration_names_file_line_and_column() {
    let ohoci = Ohoci::new();
    sample().write_layout(&ohoci.work().join("a"), "1");
    let file = ohoci.write(
        "config/ohoci/config.toml",
        "[registry.\"registry.example\"]\nplain_http = true\n",
    );
    let said = complaint(&ohoci, 1, &["inspect", "oci:a:1"]);
    let start = format!(
        "error: cannot use the configuration\n  {}:2:1: ",
        file.display()
    );
    assert!(said.starts_with(&start), "{said}");
    assert!(
        said.ends_with("hint: did you mean \"plain-http\"?\n"),
        "{said}"
    );

    fs_err::remove_file(file).unwrap();
    ohoci.write("work/ohoci.toml", "[compose]\nbase = \"a b\"\n");
    let said = complaint(&ohoci, 1, &["inspect", "oci:a:1"]);
    assert!(said.contains("ohoci.toml:2:8: "), "{said}");
}

#[test]
fn credentials_that_cannot_be_read() {
    let registry = DebianRegistry::with_password();
    let ohoci = Ohoci::new();
    let file = ohoci.write("home/.docker/config.json", "{\"auths\": hunter2");
    let said = complaint(&ohoci, 1, &["inspect", &format!("{}/a:1", registry.host())]);
    assert!(said.contains(&file.display().to_string()), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}
