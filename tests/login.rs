//! `ohoci login` and `ohoci logout`: checked with the registry, kept where others look, never shown.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ohoci_image::media_type::Family;
use serde_json::{Value, json};

use crate::support::command::{Ohoci, Outcome};
use crate::support::debian_registry::{DebianRegistry, PASSWORD, USER};
use crate::support::images::bare;
use crate::support::peer::Access;
use crate::support::token_server::{Behaviour, TokenServer};

/// Runs a command that reads a password from stdin.
fn with_stdin(command: &mut Command, input: &str) -> Outcome {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that refuses before it reads is found out by its exit code.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn log_in(ohoci: &Ohoci, host: &str, password: &str, more: &[&str]) -> Outcome {
    let mut command = ohoci.command();
    command.args(["login", "--username", USER, "--password-stdin", host]);
    with_stdin(command.args(more), &format!("{password}\n"))
}

/// Neither the password, nor what it looks like in a header or a file, nor any token.
#[track_caller]
fn check_no_secrets(outcome: &Outcome) {
    let encoded = STANDARD.encode(format!("{USER}:{PASSWORD}"));
    for text in [&outcome.stdout, &outcome.stderr] {
        for secret in [PASSWORD, &encoded, "eyJ", "Bearer ey", "Basic "] {
            assert!(!text.contains(secret), "{secret:?} in {text}");
        }
    }
}

fn mode(path: &Path) -> u32 {
    fs_err::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn docker_config(ohoci: &Ohoci) -> std::path::PathBuf {
    ohoci.work().join("../home/.docker/config.json")
}

/// A registry with passwords and one with tokens, both holding `a:1`.
fn registries() -> (TokenServer, [DebianRegistry; 2]) {
    let server = TokenServer::start(Behaviour {
        anonymous: &[],
        ..Behaviour::default()
    });
    let with_password = DebianRegistry::with_password();
    let with_tokens = DebianRegistry::with_tokens(&server);
    let image = bare(Family::Oci, vec![]).build();
    image.push(&with_password.peer(Access::Password), "a", "1");
    let token = Access::Token(server.token_for(&["a"]));
    image.push(&with_tokens.peer(token), "a", "1");
    (server, [with_password, with_tokens])
}

#[test]
fn credentials_are_kept_where_skopeo_finds_them_and_removed_again() {
    let (_server, registries) = registries();
    let ohoci = Ohoci::new();
    for registry in &registries {
        let host = registry.host();
        let reference = format!("{host}/a:1");
        ohoci.run(["inspect", &reference]).exits(1);

        let outcome = log_in(&ohoci, &host, PASSWORD, &["-v"]).exits(0);
        assert_eq!(outcome.stdout, "");
        check_no_secrets(&outcome);
        let kept = docker_config(&ohoci);
        assert!(
            outcome
                .stderr
                .contains(&format!("logged in to {host}; kept in ")),
            "{}",
            outcome.stderr
        );
        assert_eq!(mode(&kept), 0o600);

        check_no_secrets(&ohoci.run(["inspect", "-v", &reference]).exits(0));
        let skopeo = Command::new("skopeo")
            .env("REGISTRY_AUTH_FILE", &kept)
            .args(["inspect", "--raw", "--tls-verify=false"])
            .arg(format!("docker://{reference}"))
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&skopeo.stderr);
        assert!(skopeo.status.success(), "{stderr}");

        let outcome = ohoci.run(["logout", &host]).exits(0);
        assert!(
            outcome
                .stderr
                .contains(&format!("removed the credentials of {host} from ")),
            "{}",
            outcome.stderr
        );
        ohoci.run(["inspect", &reference]).exits(1);
        let outcome = ohoci.run(["logout", &host]).exits(0);
        assert_eq!(outcome.stderr, format!("not logged in to {host}\n"));
    }
}

#[test]
fn a_wrong_password_is_told_and_not_kept() {
    let (_server, registries) = registries();
    let ohoci = Ohoci::new();
    for registry in &registries {
        let host = registry.host();
        for more in [&[][..], &["-v"], &["--authfile", "auth.json"]] {
            let outcome = log_in(&ohoci, &host, "wrong password", more).exits(1);
            assert_eq!(outcome.stdout, "");
            assert!(
                outcome
                    .stderr
                    .contains(&format!("error: cannot log in to {host}\n"))
                    || outcome.stderr.contains("error: cannot get a token from "),
                "{}",
                outcome.stderr
            );
            assert!(
                outcome
                    .stderr
                    .ends_with("\nhint: check the user name and the password; nothing was kept\n"),
                "{}",
                outcome.stderr
            );
            assert!(
                !outcome.stderr.contains("wrong password"),
                "{}",
                outcome.stderr
            );
        }
    }
    assert!(!docker_config(&ohoci).exists());
    assert!(!ohoci.work().join("auth.json").exists());
}

#[test]
fn an_authfile_is_the_only_place_that_is_written_and_read() {
    let (_server, [registry, _]) = registries();
    let ohoci = Ohoci::new();
    let host = registry.host();
    let reference = format!("{host}/a:1");
    let authfile = ["--authfile", "auth.json"];
    log_in(&ohoci, &host, PASSWORD, &authfile).exits(0);
    let file = ohoci.work().join("auth.json");
    assert_eq!(mode(&file), 0o600);
    let kept: Value = serde_json::from_slice(&fs_err::read(&file).unwrap()).unwrap();
    let encoded = STANDARD.encode(format!("{USER}:{PASSWORD}"));
    assert_eq!(kept, json!({"auths": {&host: {"auth": encoded}}}));
    assert!(!docker_config(&ohoci).exists());

    ohoci.run(["inspect", &reference]).exits(1);
    ohoci
        .run(["inspect", "--authfile", "auth.json", &reference])
        .exits(0);
    let by_variable = ohoci
        .command()
        .env("REGISTRY_AUTH_FILE", &file)
        .args(["inspect", &reference])
        .output()
        .unwrap();
    assert!(by_variable.status.success());

    ohoci
        .run(["logout", "--authfile", "auth.json", &host])
        .exits(0);
    ohoci
        .run(["inspect", "--authfile", "auth.json", &reference])
        .exits(1);
}

#[test]
fn what_else_stands_in_the_file_stays() {
    let (_server, [registry, _]) = registries();
    let ohoci = Ohoci::new();
    let before = json!({
        "auths": {"registry.example": {"auth": "YTpi", "email": "x"}},
        "HttpHeaders": {"X-Meta": "1"},
        "credHelpers": {"other.example": "none"},
    });
    let file = ohoci.write("home/.docker/config.json", before.to_string());
    log_in(&ohoci, &registry.host(), PASSWORD, &[]).exits(0);
    let mut kept: Value = serde_json::from_slice(&fs_err::read(&file).unwrap()).unwrap();
    assert!(kept["auths"][&registry.host()]["auth"].is_string());
    ohoci.run(["logout", &registry.host()]).exits(0);
    kept = serde_json::from_slice(&fs_err::read(&file).unwrap()).unwrap();
    assert_eq!(kept, before);
}

#[test]
fn without_a_terminal_the_password_must_come_from_stdin() {
    let ohoci = Ohoci::new();
    let outcome = ohoci.run(["login", "registry.example"]).exits(2);
    assert!(
        outcome.stderr.contains("hint: --username NAME"),
        "{}",
        outcome.stderr
    );
    let outcome = ohoci
        .run(["login", "-u", USER, "registry.example"])
        .exits(2);
    assert!(
        outcome.stderr.contains("hint: --password-stdin"),
        "{}",
        outcome.stderr
    );
    let mut command = ohoci.command();
    let outcome = with_stdin(
        command.args(["login", "--password-stdin", "registry.example"]),
        PASSWORD,
    );
    let outcome = outcome.exits(2);
    assert!(
        outcome.stderr.contains("--password-stdin needs --username"),
        "{}",
        outcome.stderr
    );
    let outcome = log_in(&ohoci, "registry.example", "", &[]).exits(2);
    assert!(
        outcome.stderr.contains("the password is empty"),
        "{}",
        outcome.stderr
    );
}

/// Runs ohoci at a terminal of its own, at which `keys` are typed, and shows all that the terminal
/// shows, with the exit code behind it; then whether the terminal still shows what is typed.
fn at_a_terminal(ohoci: &Ohoci, arguments: &str, keys: &[(&str, &str)]) -> String {
    let plain = ohoci.command();
    let mut command = Command::new("script");
    command.env_clear().current_dir(ohoci.work());
    for (name, value) in plain.get_envs() {
        command.env(name, value.unwrap());
    }
    let program = plain.get_program().to_str().unwrap();
    let mut child = command
        .env("SHELL", "/bin/sh")
        .args(["--quiet", "--flush", "--return", "--command"])
        .arg(format!(
            "trap : INT; {program} {arguments}; echo code $?; stty -a"
        ))
        .arg("/dev/null")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut typed = child.stdin.take().unwrap();
    let mut shown = child.stdout.take().unwrap();
    let mut screen = String::new();
    for (prompt, answer) in keys {
        while !screen.contains(prompt) {
            let mut byte = [0];
            std::io::Read::read_exact(&mut shown, &mut byte)
                .unwrap_or_else(|error| panic!("{error} before {prompt:?}: {screen}"));
            screen.push(char::from(byte[0]));
        }
        typed.write_all(answer.as_bytes()).unwrap();
    }
    std::io::Read::read_to_string(&mut shown, &mut screen).unwrap();
    child.wait().unwrap();
    screen
}

#[test]
fn at_a_terminal_the_password_is_asked_for_and_not_shown() {
    let (_server, [registry, _]) = registries();
    let ohoci = Ohoci::new();
    let host = registry.host();
    let screen = at_a_terminal(
        &ohoci,
        &format!("login {host}"),
        &[
            ("Username: ", &format!("{USER}\n")),
            ("Password: ", &format!("{PASSWORD}\n")),
        ],
    );
    assert!(screen.contains("code 0"), "{screen}");
    assert!(screen.contains("logged in to"), "{screen}");
    assert!(!screen.contains(PASSWORD), "{screen}");
    ohoci.run(["inspect", &format!("{host}/a:1")]).exits(0);
}

#[test]
fn ctrl_c_at_the_password_prompt_ends_it_and_leaves_the_terminal_as_it_was() {
    let ohoci = Ohoci::new();
    for keys in [
        &[("Username: ", "\u{3}")][..],
        &[("Username: ", "me\n"), ("Password: ", "\u{3}")],
    ] {
        let screen = at_a_terminal(&ohoci, "login registry.example", keys);
        assert!(screen.contains("code 130"), "{screen}");
        assert!(screen.contains(" echo "), "{screen}");
    }
}
