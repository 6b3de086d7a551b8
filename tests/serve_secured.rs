//! `ohoci registry serve` with certificates and passwords, and its warnings without them.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use ohoci_image::media_type::{Compression, Family};
use reqwest::Method;
use rustix::process::Signal;

use crate::support::certificates::Authority;
use crate::support::clients::{run, skopeo};
use crate::support::command::{Ohoci, Outcome};
use crate::support::debian_registry::{HTPASSWD, PASSWORD, USER};
use crate::support::images::busybox;
use crate::support::peer::{Access, Peer, sha256};
use crate::support::serving::Serving;

const SERVE: [&str; 2] = ["--listen", "127.0.0.1:0"];

/// A file that only its owner may read; it takes the place of what is there at once.
fn secret(ohoci: &Ohoci, name: &str, content: &str) -> String {
    let beside = ohoci.write(format!("work/{name}.new"), content);
    private(&beside);
    let path = beside.with_extension("");
    fs_err::rename(beside, &path).unwrap();
    path.display().to_string()
}

fn private(path: &Path) {
    fs_err::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

/// A certificate and its key.
fn tls(authority: &Authority) -> (String, String) {
    let tls = authority.server(false);
    private(&tls.key);
    let shown = |path: &Path| path.display().to_string();
    (shown(&tls.certificate), shown(&tls.key))
}

fn status(serving: &Serving, scheme: &str, access: &Access, authority: Option<&Authority>) -> u16 {
    let url = format!("{scheme}://{}", serving.address);
    let peer = Peer::new(&url, access.clone(), authority, None);
    let answer = peer.send(Method::GET, "/v2/", "", Vec::new());
    answer.map_or(0, |answer| answer.status.as_u16())
}

/// Asks until the answer has this status.
#[track_caller]
fn becomes(wanted: u16, ask: impl Fn() -> u16) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while ask() != wanted {
        assert!(Instant::now() < deadline, "it never answers {wanted}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn login_skopeo_and_ohoci_use_it_with_a_certificate_and_a_password() {
    let ohoci = Ohoci::new();
    let authority = Authority::new();
    let (certificate, key) = tls(&authority);
    let passwords = secret(&ohoci, "passwords.htpasswd", HTPASSWD);
    let arguments = [
        "--tls-cert",
        &certificate,
        "--tls-key",
        &key,
        "--htpasswd",
        &passwords,
    ];
    let serving = Serving::start(&ohoci, &[&SERVE[..], &arguments].concat());
    let host = serving.address.to_string();
    let ca = authority.file().display().to_string();

    assert_eq!(status(&serving, "http", &Access::Anonymous, None), 0);
    assert_eq!(
        status(&serving, "https", &Access::Anonymous, Some(&authority)),
        401
    );
    assert_eq!(
        status(&serving, "https", &Access::Password, Some(&authority)),
        200
    );

    let log_in = |password: &str| {
        let mut command = ohoci.command();
        command.args([
            "login",
            "--username",
            USER,
            "--password-stdin",
            &host,
            "--ca-file",
            &ca,
        ]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        writeln!(stdin, "{password}").unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        Outcome {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    };
    let refused = log_in("wrong").exits(1);
    assert!(
        refused
            .stderr
            .contains("check the user name and the password"),
        "{}",
        refused.stderr
    );
    log_in(PASSWORD).exits(0);

    let image = busybox(Family::Oci, Compression::Gzip).build();
    let url = format!("https://{host}");
    image.push(
        &Peer::new(&url, Access::Password, Some(&authority), None),
        "a",
        "1",
    );
    ohoci
        .run([
            "copy",
            "--ca-file",
            &ca,
            &format!("{host}/a:1"),
            &format!("{host}/b:1"),
        ])
        .exits(0);
    let credentials = format!("{USER}:{PASSWORD}");
    let certificates = authority.directory().to_str().unwrap();
    let copied = format!("docker://{host}/b:1");
    let raw = skopeo(&[
        "inspect",
        "--raw",
        "--creds",
        &credentials,
        "--cert-dir",
        certificates,
        &copied,
    ]);
    assert_eq!(sha256(raw.as_bytes()), image.digest);
    let done = run(
        "skopeo",
        &[
            "inspect",
            "--creds",
            "tester:wrong",
            "--cert-dir",
            certificates,
            &copied,
        ],
    );
    assert_ne!(done.code, Some(0), "{}", done.stdout);
    // Nothing of all this was worth a word, and no password is in one.
    serving.terminate(Signal::TERM);
}

#[test]
fn changed_passwords_count_at_once_and_a_file_that_is_wrong_changes_nothing() {
    let ohoci = Ohoci::new();
    let other = HTPASSWD.replace(USER, "somebody");
    let passwords = secret(&ohoci, "passwords.htpasswd", HTPASSWD);
    let mut serving = Serving::start(&ohoci, &[&SERVE[..], &["--htpasswd", &passwords]].concat());
    let ask = || status(&serving, "http", &Access::Password, None);
    assert_eq!(ask(), 200);
    secret(&ohoci, "passwords.htpasswd", &other);
    becomes(401, ask);
    secret(&ohoci, "passwords.htpasswd", HTPASSWD);
    becomes(200, ask);
    secret(&ohoci, "passwords.htpasswd", "tester:$apr1$hunter2$\n");
    assert_eq!(
        serving.line_on_stderr(),
        format!(
            "warning: {passwords}, line 1: the password of \"tester\" is hashed by MD5; only bcrypt is taken; \
             what was read before stays in use"
        )
    );
    assert_eq!(status(&serving, "http", &Access::Password, None), 200);
    serving.terminate(Signal::TERM);
}

#[test]
fn a_changed_certificate_is_shown_to_the_next_client() {
    let ohoci = Ohoci::new();
    let (first, second) = (Authority::new(), Authority::new());
    let (old, new) = (tls(&first), tls(&second));
    let read = |path: &str| fs_err::read_to_string(path).unwrap();
    let certificate = secret(&ohoci, "server.cert", &read(&old.0));
    let key = secret(&ohoci, "server.key", &read(&old.1));
    let arguments = ["--tls-cert", &certificate, "--tls-key", &key];
    let serving = Serving::start(&ohoci, &[&SERVE[..], &arguments].concat());
    let ask =
        |authority: &Authority| status(&serving, "https", &Access::Anonymous, Some(authority));
    assert_eq!((ask(&first), ask(&second)), (200, 0));
    // For a moment they do not belong together, and the old ones stay.
    secret(&ohoci, "server.cert", &read(&new.0));
    assert_eq!(ask(&first), 200);
    secret(&ohoci, "server.key", &read(&new.1));
    becomes(200, || ask(&second));
    assert_eq!(ask(&first), 0);
}

/// What it says when it starts with these arguments.
fn said(ohoci: &Ohoci, arguments: &[&str]) -> String {
    let serving = Serving::start(ohoci, arguments);
    let port = serving.address.port().to_string();
    serving.signal(Signal::TERM);
    serving.end().exits(0).stderr.replace(&port, "PORT")
}

#[test]
fn it_warns_of_strangers_plain_text_and_files_that_all_may_read() {
    let ohoci = Ohoci::new();
    let authority = Authority::new();
    let (certificate, key) = tls(&authority);
    let passwords = secret(&ohoci, "passwords.htpasswd", HTPASSWD);
    let tls = ["--tls-cert", &certificate, "--tls-key", &key];
    let htpasswd = ["--htpasswd", &passwords];
    let open = ["--listen", "0.0.0.0:0"];
    let stranger = "warning: whoever reaches 0.0.0.0:PORT may read and write everything: there is no --htpasswd\n";
    let plain = "warning: images for 0.0.0.0:PORT are sent as plain text, and may be changed on their way: \
                 there are no --tls-cert and --tls-key\n";
    let spoken = "warning: passwords for 0.0.0.0:PORT are sent as plain text: there are no --tls-cert and --tls-key\n";
    assert_eq!(said(&ohoci, &SERVE), "");
    assert_eq!(said(&ohoci, &[&SERVE[..], &htpasswd].concat()), "");
    assert_eq!(said(&ohoci, &open), [stranger, plain].concat());
    assert_eq!(said(&ohoci, &[&open[..], &tls].concat()), stranger);
    assert_eq!(said(&ohoci, &[&open[..], &htpasswd].concat()), spoken);
    assert_eq!(said(&ohoci, &[&open[..], &tls, &htpasswd].concat()), "");
    for file in [&key, &passwords] {
        fs_err::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
    }
    let readable = |file: &str| {
        format!("warning: every user of this machine may read {file}: chmod o= {file}\n")
    };
    assert_eq!(
        said(&ohoci, &[&SERVE[..], &tls, &htpasswd].concat()),
        readable(&key) + &readable(&passwords)
    );
}

#[test]
fn files_that_cannot_be_used_are_told_before_anything_is_served() {
    let ohoci = Ohoci::new();
    let (authority, other) = (Authority::new(), Authority::new());
    let (certificate, key) = tls(&authority);
    let (_, stranger) = tls(&other);
    let md5 = secret(&ohoci, "md5.htpasswd", "tester:$apr1$hunter2$\n");
    for (arguments, code, word) in [
        (vec!["--tls-cert", &certificate], 2, "--tls-key"),
        (
            vec!["--tls-cert", &certificate, "--tls-key", &stranger],
            1,
            "cannot be used together",
        ),
        (
            vec!["--tls-cert", &certificate, "--tls-key", &certificate],
            1,
            "no private key",
        ),
        (
            vec!["--tls-cert", &key, "--tls-key", &key],
            1,
            "no certificate",
        ),
        (vec!["--tls-cert", "absent", "--tls-key", &key], 1, "absent"),
        (vec!["--htpasswd", "absent"], 1, "absent"),
        (
            vec!["--htpasswd", &md5],
            1,
            "line 1: the password of \"tester\" is hashed by MD5",
        ),
        (vec!["--htpasswd", &md5], 1, "hint: `htpasswd -B "),
    ] {
        let outcome = ohoci
            .run([&["registry", "serve"], &SERVE[..], &arguments].concat())
            .exits(code);
        assert_eq!(outcome.stdout, "");
        assert!(
            outcome.stderr.contains(word),
            "{arguments:?}: {}",
            outcome.stderr
        );
        assert!(!outcome.stderr.contains("hunter2"), "{}", outcome.stderr);
    }
}
