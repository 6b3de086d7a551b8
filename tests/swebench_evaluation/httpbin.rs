//! Tests that ask httpbin.org find a server of an image there, which runs in a sandbox of its own.

use std::path::Path;
use std::process::Command;

use ohoci_image::media_type::{Compression, Family};
use serde_json::{Value, json};

use super::scene::{Scene, programs};
use crate::support::images::busybox;

/// Stands in for httpbin: says on which socket it was asked, what, and whether it can get out.
const SERVER: &str = r#"
use strict; use IO::Socket::UNIX; use IO::Socket::INET;
$SIG{PIPE} = "IGNORE";
my $certified = -s "/run/httpbin/certificate.pem" && -s "/run/httpbin/key.pem" ? 1 : 0;
sub serve {
  my ($name) = @_;
  my $server = IO::Socket::UNIX->new(Local => "/run/httpbin/$name.sock", Listen => 5) or die "$name: $!";
  while (my $client = $server->accept) {
    my $line = <$client>;
    exit 3 if $line =~ /^die/;
    my $out = IO::Socket::INET->new(PeerAddr => "10.255.255.1:80", Timeout => 1) ? "out" : "in";
    print $client "$name $certified $out $line" if defined $line;
    close $client;
  }
}
if (fork == 0) { serve("https"); exit 0 }
serve("http");
"#;

/// What asks a server, and what the tests expect of it.
const ASK: &str =
    "ask() { exec 3<>/dev/tcp/$1/$2; echo $3 >&3; read -r said <&3; exec 3<&-; echo \"$said\"; }";
const ASKING: &str = "[ \"$(ask httpbin.org 80 you)\" = 'http 1 in you' ] || exit 9; \
    [ \"$(ask www.httpbin.org 443 me)\" = 'https 1 in me' ] || exit 8; \
    [ \"$(ask www.google.co.uk 80 them)\" = 'http 1 in them' ] || exit 7; ! [ -e /run/httpbin ] || exit 6; \
    mapfile -t lines < requests/cacert.pem; [ \"${lines[0]} ${lines[1]}\" = 'others -----BEGIN CERTIFICATE-----' ] || exit 5; \
    bash run_tests.sh";

/// A scene with an image of such a server, `oci:servers:NAME`.
fn scene(servers: &[(&str, &str)]) -> Scene {
    let scene = Scene::with(&[("requests/cacert.pem", "others")]);
    let said = Command::new("perl")
        .args(["-e", "print grep m{/perl-base$}, @INC"])
        .output()
        .unwrap();
    let library = String::from_utf8(said.stdout).unwrap();
    let layer = programs(&["perl"], &[Path::new(&library)]);
    for (name, script) in servers {
        busybox(Family::Oci, Compression::None)
            .layer(layer.clone())
            .set("Entrypoint", json!(["/bin/perl", "-e", script]))
            .set("Cmd", Value::Null)
            .build()
            .write_layout(&scene.ohoci.work().join("servers"), name);
    }
    scene
}

fn row(scene: &Scene, repo: &str, test: &str) -> Value {
    let mut row = scene.row_testing(&format!("{ASK}; {test}"));
    row["repo"] = json!(repo);
    row
}

fn outcome(scene: &Scene, flags: &[&str]) -> Value {
    let flags = [flags, &["--format", "json"]].concat();
    let run = scene.run("gold", &flags);
    let outcomes: Value = serde_json::from_str(&run.stdout)
        .unwrap_or_else(|_| panic!("{}{}", run.stdout, run.stderr));
    outcomes[0].clone()
}

#[test]
fn tests_that_ask_httpbin_find_the_server_of_an_image() {
    let changed = SERVER.replace("$out $line", "$out another $line");
    let scene = scene(&[("1", SERVER), ("2", &changed)]);
    scene.dataset(&[row(&scene, "psf/requests", ASKING)]);
    let first = ["--httpbin", "oci:servers:1"];
    let found = outcome(&scene, &first);
    let output = scene.file("gold", "test_output.txt");
    assert_eq!(found["status"], "resolved", "{output}");
    let log = scene.file("gold", "run_instance.log");
    let said = "httpbin.org is answered by oci:servers:1 (sha256:";
    assert!(log.contains(said), "{log}");
    // The outcome is one for this server alone.
    let again = scene.run("gold", &first).exits(0);
    assert!(again.stdout.contains("(from an earlier run)"));
    let found = outcome(&scene, &["--httpbin", "oci:servers:2"]);
    assert_eq!(found["status"], "unresolved");
    // Without one there is no such host, and a script that ends at that says nothing of the patch.
    assert_eq!(outcome(&scene, &[])["status"], "infra");
    // So it is for others, who have no such server.
    scene.dataset(&[row(&scene, "pallets/flask", ASKING)]);
    assert_eq!(outcome(&scene, &first)["status"], "infra");
}

#[test]
fn a_server_that_does_not_run_is_no_verdict() {
    let broken = "print STDERR \"it is broken\\n\"; exit 3";
    let scene = scene(&[("broken", broken), ("mortal", SERVER)]);
    scene.dataset(&[row(&scene, "psf/requests", ASKING)]);
    let found = outcome(&scene, &["--httpbin", "oci:servers:broken"]);
    assert_eq!(found["status"], "infra", "{found}");
    let why = found["why"].as_str().unwrap();
    assert_eq!(why, "httpbin has ended with exit code 3: it is broken");
    let test = "ask httpbin.org 80 die; bash run_tests.sh";
    scene.dataset(&[row(&scene, "psf/requests", test)]);
    let found = outcome(&scene, &["--httpbin", "oci:servers:mortal"]);
    assert_eq!(found["status"], "infra", "{found}");
}

#[test]
fn an_image_that_is_not_there_is_told_before_anything_runs() {
    let scene = Scene::new();
    scene.dataset(&[scene.row()]);
    let run = scene.run("gold", &["--httpbin", "oci:servers:none"]);
    let run = run.exits(1);
    let hint = "ohoci deps build layers/httpbin.toml";
    assert!(run.stderr.contains(hint), "{}", run.stderr);
    let run = scene.run("gold", &["--httpbin", "oci:servers:1", "--network"]);
    let why = "two servers of one name";
    assert!(run.exits(2).stderr.contains(why));
    assert!(!scene.has_file("gold", "test_output.txt"));
}
