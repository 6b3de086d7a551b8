//! Other people's clients pull what was never pushed, and find out why they cannot.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use ohoci_image::media_type::{Compression, Family};
use rustix::process::Signal;

use super::{Scene, start};
use crate::support::clients::{run, run_in_container, skopeo};
use crate::support::images::Index;
use crate::support::peer::sha256;

/// Status and body of a GET whose path goes over the wire as it is.
pub(super) fn raw(address: SocketAddr, path: &str) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let head = std::str::from_utf8(&answer[..end]).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer[end + 4..].to_vec())
}

#[test]
fn skopeo_pulls_an_image_that_runs() {
    let scene = Scene::new();
    Index::busybox(Family::Oci, Compression::Gzip).push(&scene.bench.peer, "base", "1");
    let gateway = start(
        &scene.bench.ohoci,
        &scene.rule("deps = [\"@/deps:1\"]"),
        &[],
    );
    let source = format!("docker://{}/openhands/base:1", gateway.address);
    let done = run_in_container(&source, &["tool", "works"]);
    assert_eq!(
        (done.stdout.as_str(), done.code),
        ("tool works\n", Some(0)),
        "{}",
        done.stderr
    );
    let raw = skopeo(&["inspect", "--raw", "--tls-verify=false", &source]);
    let by_digest = format!(
        "docker://{}/openhands/base@{}",
        gateway.address,
        sha256(raw.as_bytes())
    );
    let again = skopeo(&["inspect", "--raw", "--tls-verify=false", &by_digest]);
    assert_eq!(again, raw);
    gateway.terminate(Signal::TERM);
}

#[test]
fn a_person_sees_in_the_clients_output_why_there_is_no_image() {
    let scene = Scene::new();
    scene.bench.push_base("base", Family::Oci);
    let rules = scene.rule("deps = [\"@/deps:1\"]\nmost-bytes = 10");
    let gateway = start(&scene.bench.ohoci, &rules, &[]);
    let source = format!("docker://{}/openhands/base:1", gateway.address);
    let arguments = ["inspect", "--raw", "--tls-verify=false", &source];
    let done = run("skopeo", &arguments);
    assert_ne!(done.code, Some(0));
    assert!(
        done.stderr.contains("at most 10 are allowed here"),
        "{}",
        done.stderr
    );
    gateway.signal(Signal::TERM);
    gateway.end().exits(0);
}

#[test]
fn podman_pulls_into_its_storage() {
    let scene = Scene::new();
    scene.bench.push_base("base", Family::Docker);
    let gateway = start(
        &scene.bench.ohoci,
        &scene.rule("deps = [\"@/deps:1\"]"),
        &[],
    );
    let work = tempfile::tempdir().unwrap();
    let path = |name: &str| work.path().join(name).to_str().unwrap().to_owned();
    let image = format!("{}/openhands/base:1", gateway.address);
    let (root, runroot) = (path("root"), path("runroot"));
    let podman = |more: &[&str]| {
        let storage = [
            "--root",
            &root,
            "--runroot",
            &runroot,
            "--storage-driver",
            "vfs",
        ];
        let done = run("podman", &[&storage[..], more].concat());
        assert_eq!(done.code, Some(0), "{more:?}:\n{}", done.stderr);
        done.stdout
    };
    podman(&["pull", "--quiet", "--tls-verify=false", &image]);
    let digest = podman(&["image", "inspect", "--format", "{{.Digest}}", &image]);
    let (_, manifest) = super::peer(&gateway).manifest("openhands/base", "1");
    assert_eq!(digest.trim_end(), sha256(&manifest));
    let entrypoint = podman(&[
        "image",
        "inspect",
        "--format",
        "{{.Config.Entrypoint}}",
        &image,
    ]);
    assert_eq!(entrypoint, "[tool]\n");
    gateway.terminate(Signal::TERM);
}
