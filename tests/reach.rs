//! Registries that are hard to reach: their own certificates, helpers that are not there, proxies
//! that fail, limits on the size of a request.

use axum::http::Method;
use ohoci_image::media_type::{Compression, Family};
use testbed::docker_registry::Tls;

use crate::support::answering::{Answering, answer, image};
use crate::support::certificates::Authority;
use crate::support::command::Ohoci;
use crate::support::debian_registry::DebianRegistry;
use crate::support::images::{Image, Layer, Node, bare};
use crate::support::peer::Peer;
use crate::support::trusting_registry::TrustingRegistry;

fn sample() -> Image {
    bare(Family::Oci, vec![])
        .many_layers(1, Compression::Gzip)
        .build()
}

/// A registry with a certificate of its own, and an image in it.
fn with_certificate(tls: &Tls) -> DebianRegistry {
    let registry = DebianRegistry::with_own_certificate(tls);
    let url = format!("https://{}", registry.host());
    sample().push(&Peer::trusting(&url), "a", "1");
    registry
}

#[test]
fn a_certificate_that_is_given_as_trust_is_trusted_though_it_is_the_servers_own() {
    let files = Authority::new();
    let tls = files.self_signed("own", 2090);
    let registry = with_certificate(&tls);
    let host = registry.host();
    let from = format!("{host}/a:1");
    let file = tls.certificate.display().to_string();
    Ohoci::new()
        .run(["inspect", &from, "--ca-file", &file])
        .exits(0);
    let by_directory = Ohoci::new();
    let path = format!("config/containers/certs.d/{host}/ca.crt");
    by_directory.write(path, fs_err::read(&tls.certificate).unwrap());
    by_directory.run(["inspect", &from]).exits(0);
    // Another self-signed certificate of the same name is no trust for this one.
    let other = files.self_signed("other", 2090).certificate;
    let other = other.display().to_string();
    let outcome = Ohoci::new()
        .run(["inspect", &from, "--ca-file", &other])
        .exits(1);
    assert!(outcome.stderr.contains("not trusted"), "{}", outcome.stderr);
}

#[test]
fn a_certificate_that_is_given_as_trust_may_not_have_expired() {
    let files = Authority::new();
    let tls = files.self_signed("old", 2001);
    let registry = DebianRegistry::with_own_certificate(&tls);
    let from = format!("{}/a:1", registry.host());
    let file = tls.certificate.display().to_string();
    let outcome = Ohoci::new()
        .run(["inspect", &from, "--ca-file", &file])
        .exits(1);
    assert!(outcome.stderr.contains("expired"), "{}", outcome.stderr);
}

#[test]
fn verification_is_left_out_for_a_host_where_that_is_said_and_every_run_says_so() {
    let files = Authority::new();
    let registry = with_certificate(&files.self_signed("own", 2090));
    let host = registry.host();
    let from = format!("{host}/a:1");
    let flagged = Ohoci::new()
        .run(["inspect", &from, "--skip-tls-verify", &host])
        .exits(0);
    assert!(
        flagged.stderr.contains("is not verified"),
        "{}",
        flagged.stderr
    );
    Ohoci::new()
        .run(["inspect", &from, "--skip-tls-verify", "other.example"])
        .exits(1);
    let configured = Ohoci::new();
    let table = format!("[registry.\"{host}\"]\nskip-tls-verify = true\n");
    configured.write("config/ohoci/config.toml", &table);
    let outcome = configured.run(["inspect", &from]).exits(0);
    assert!(
        outcome.stderr.contains("is not verified"),
        "{}",
        outcome.stderr
    );
    // Not for a project to say.
    let project = Ohoci::new();
    project.write("work/ohoci.toml", &table);
    let outcome = project.run(["inspect", &from]);
    assert_ne!(outcome.code, Some(0));
    assert!(
        outcome.stderr.contains("skip-tls-verify"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn an_authority_for_all_registries_does_not_make_one_on_this_machine_speak_tls() {
    let authority = Authority::new();
    let registry = TrustingRegistry::start();
    sample().push(&registry.peer(), "a", "1");
    let from = format!("{}/a:1", registry.host());
    let file = authority.file().display().to_string();
    Ohoci::new()
        .run(["inspect", &from, "--ca-file", &file])
        .exits(0);
}

#[test]
fn public_images_are_read_where_a_credential_helper_is_missing_or_fails() {
    let held = sample();
    let registry = Answering::start(move |request| {
        if request.target.starts_with("/token") {
            return Some(answer(200, &[], r#"{"token":"anybody"}"#));
        }
        let told = request.header("authorization") == "Bearer anybody";
        let realm = format!(
            r#"Bearer realm="http://{}/token",service="r""#,
            request.header("host")
        );
        Some(match told {
            _ if request.target.contains("/private/") => {
                answer(401, &[("www-authenticate", &realm)], "")
            }
            true => image(&held, request),
            false => answer(401, &[("www-authenticate", &realm)], ""),
        })
    });
    for (name, program) in [("absent.exe", None), ("crash", Some("#!/bin/sh\nexit 7\n"))] {
        let ohoci = Ohoci::new();
        let helper = format!(r#"{{"credsStore":"{name}"}}"#);
        ohoci.write("home/.docker/config.json", helper);
        let bin = ohoci.work().join("bin");
        fs_err::create_dir(&bin).unwrap();
        if let Some(program) = program {
            let file = ohoci.write(format!("work/bin/docker-credential-{name}"), program);
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs_err::set_permissions(file, mode).unwrap();
        }
        let path = std::env::join_paths([bin.as_path(), "/usr/bin".as_ref(), "/bin".as_ref()]);
        let mut command = ohoci.command();
        command.env("PATH", path.unwrap());
        let public = format!("{}/public/a:1", registry.host());
        let outcome =
            crate::support::command::Outcome::of(command.args(["inspect", &public])).exits(0);
        assert!(outcome.stderr.contains(name), "{}", outcome.stderr);
        let private = format!("{}/private/a:1", registry.host());
        let mut command = ohoci.command();
        command.env("PATH", ohoci.work().join("bin"));
        let outcome =
            crate::support::command::Outcome::of(command.args(["inspect", &private])).exits(1);
        assert!(outcome.stderr.contains(name), "{}", outcome.stderr);
    }
}

#[test]
fn a_proxys_fault_is_told_as_the_proxys_and_a_setting_that_is_none_is_an_error() {
    let ohoci = Ohoci::new();
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let refusing = Answering::start(|_| Some(answer(407, &[], "")));
    for (variable, value, says) in [
        (
            "HTTPS_PROXY",
            format!("http://{closed}"),
            closed.to_string(),
        ),
        ("ALL_PROXY", format!("http://{closed}"), closed.to_string()),
        (
            "HTTPS_PROXY",
            "not a url".to_owned(),
            "HTTPS_PROXY".to_owned(),
        ),
        (
            "HTTPS_PROXY",
            "socks5://127.0.0.1:1".to_owned(),
            "HTTPS_PROXY".to_owned(),
        ),
        (
            "HTTPS_PROXY",
            format!("http://{}", refusing.host()),
            refusing.host(),
        ),
    ] {
        let mut command = ohoci.command();
        command
            .env(variable, &value)
            .args(["inspect", "registry.invalid/a:1"]);
        let outcome = crate::support::command::Outcome::of(&mut command).exits(1);
        assert!(
            outcome.stderr.contains(&says) && outcome.stderr.to_lowercase().contains("proxy"),
            "{variable}={value}: {}",
            outcome.stderr
        );
        assert!(
            !outcome.stderr.contains("that the registry is running"),
            "{}",
            outcome.stderr
        );
    }
}

#[test]
fn where_large_requests_are_refused_smaller_ones_follow_and_a_size_may_be_set() {
    let content: Vec<u8> = (0..3_000_000_u32).flat_map(|n| [(n % 251) as u8]).collect();
    let big = bare(
        Family::Oci,
        vec![Layer::pack(
            &[("big", Node::File(content))],
            Compression::None,
        )],
    )
    .build();
    let run = |limit: usize, configured: Option<usize>| {
        let registry = TrustingRegistry::meddled(move |asked, _| {
            let upload = asked.target.contains("/uploads/");
            let sends = *asked.method == Method::PUT || *asked.method == Method::PATCH;
            (upload && sends && asked.body.len() > limit).then(|| answer(413, &[], "too large"))
        });
        let ohoci = Ohoci::new();
        big.write_layout(&ohoci.work().join("layout"), "1");
        if let Some(size) = configured {
            let table = format!("[registry.\"{}\"]\nchunk-size = {size}\n", registry.host());
            ohoci.write("config/ohoci/config.toml", table);
        }
        let to = format!("{}/a:1", registry.host());
        let outcome = ohoci.run(["copy", "oci:layout:1", &to]);
        let there = registry.peer().blob("a", &big.layers[0].digest).is_some();
        let refused = registry.take_requests();
        (outcome, there, refused)
    };
    let (outcome, there, _) = run(1 << 20, None);
    outcome.exits(0);
    assert!(there);
    let (outcome, there, asked) = run(100_000, Some(100_000));
    outcome.exits(0);
    assert!(there);
    let patches = asked.iter().filter(|(method, _)| method == "PATCH").count();
    assert!(patches >= 30, "{patches}");
    let (outcome, _, _) = run(100_000, None);
    let outcome = outcome.exits(1);
    assert!(outcome.stderr.contains("chunk-size"), "{}", outcome.stderr);
}

#[test]
fn files_that_were_written_on_windows_are_read() {
    let registry = TrustingRegistry::start();
    let host = registry.host();
    sample().push(&registry.peer(), "a", "1");
    let ohoci = Ohoci::new();
    let windows = |text: &str| format!("\u{feff}{}", text.replace('\n', "\r\n"));
    ohoci.write(
        "config/ohoci/config.toml",
        windows("[registry.\"*\"]\nconcurrency = 2\n"),
    );
    ohoci.write("home/.docker/config.json", windows("{\n\"auths\": {}\n}\n"));
    let list: Vec<u8> = windows(&format!("# bases\n{host}/a:1\n"))
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    ohoci.write("work/bases", list);
    let push = format!("{host}/out:{{name}}");
    ohoci
        .run(["batch", "--bases", "bases", "--env", "A=1", "--push", &push])
        .exits(0);
}
