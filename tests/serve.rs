//! `ohoci registry serve`: says where it listens, keeps OCI layouts, ends well.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use ohoci_image::media_type::{Compression, Family};
use rustix::process::Signal;

use crate::support::clients::{run_in_container, skopeo};
use crate::support::command::Ohoci;
use crate::support::images::{Index, busybox};
use crate::support::peer::{Access, Peer, sha256};
use crate::support::serving::Serving;

fn peer(serving: &Serving) -> Peer {
    let url = format!("http://{}", serving.address);
    Peer::new(&url, Access::Anonymous, None, None)
}

#[test]
fn it_prints_its_address_and_ends_well_by_either_signal() {
    for (signal, address) in [(Signal::TERM, "127.0.0.1:0"), (Signal::INT, "localhost:0")] {
        let serving = Serving::start(&Ohoci::new(), &["--listen", address]);
        assert_ne!(serving.address.port(), 0);
        serving.terminate(signal);
    }
}

#[test]
fn a_repository_is_an_oci_layout_that_others_read_and_lasts() {
    let ohoci = Ohoci::new();
    let arguments = ["--listen", "127.0.0.1:0", "--dir", "images"];
    let serving = Serving::start(&ohoci, &arguments);
    let image = busybox(Family::Oci, Compression::Gzip).build();
    image.push(&peer(&serving), "team/image", "1");
    let index = Index::busybox(Family::Oci, Compression::Gzip);
    index.push(&peer(&serving), "team/index", "1");
    serving.terminate(Signal::TERM);

    let layout = |name: &str| {
        let path = ohoci.work().join("images").join(name);
        format!("oci:{}:1", path.display())
    };
    let raw = skopeo(&["inspect", "--raw", &layout("team/image")]);
    assert_eq!(raw.as_bytes(), image.manifest);
    let raw = skopeo(&["inspect", "--raw", &layout("team/index")]);
    assert_eq!(raw.as_bytes(), index.manifest);

    let serving = Serving::start(&ohoci, &arguments);
    assert_eq!(peer(&serving).manifest("team/image", "1").1, image.manifest);
    let source = format!("docker://{}/team/image:1", serving.address);
    assert_eq!(
        run_in_container(&source, &["ls", "/etc"]).stdout,
        "passwd\n"
    );
    ohoci
        .run([
            "copy",
            &format!("{}/team/index:1", serving.address),
            &format!("{}/other:1", serving.address),
        ])
        .exits(0);
    serving.terminate(Signal::TERM);
    assert!(ohoci.work().join("images/other/oci-layout").is_file());
}

#[test]
fn skopeo_and_ohoci_push_to_it_and_pull_from_it() {
    let ohoci = Ohoci::new();
    let serving = Serving::start(&ohoci, &["--listen", "127.0.0.1:0"]);
    let host = serving.address;
    for (name, family) in [("oci", Family::Oci), ("docker", Family::Docker)] {
        let image = busybox(family, Compression::Gzip).build();
        image.push(&peer(&serving), &format!("{name}/pushed"), "1");
        let from = format!("docker://{host}/{name}/pushed:1");
        let to = format!("docker://{host}/{name}/by-skopeo:1");
        skopeo(&[
            "copy",
            "--quiet",
            "--src-tls-verify=false",
            "--dest-tls-verify=false",
            &from,
            &to,
        ]);
        let copied = format!("{host}/{name}/by-ohoci:1");
        let outcome = ohoci
            .run(["copy", &format!("{host}/{name}/by-skopeo:1"), &copied])
            .exits(0);
        assert!(outcome.stdout.ends_with(&format!("@{}\n", image.digest)));
        let raw = skopeo(&[
            "inspect",
            "--raw",
            "--tls-verify=false",
            &format!("docker://{copied}"),
        ]);
        assert_eq!(sha256(raw.as_bytes()), image.digest);
    }
    serving.terminate(Signal::TERM);
}

/// The directories of registries below a temporary directory.
fn storages(temporary: &Path) -> Vec<PathBuf> {
    fs_err::read_dir(temporary)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect()
}

#[test]
fn without_a_directory_nothing_is_left_behind() {
    let ohoci = Ohoci::new();
    let temporary = ohoci.work().join("tmp");
    fs_err::create_dir(&temporary).unwrap();
    let mut child = ohoci.command();
    child.env("TMPDIR", &temporary);
    child.args(["registry", "serve", "--listen", "127.0.0.1:0"]);
    let serving = Serving::spawn(&mut child);
    let image = busybox(Family::Oci, Compression::Gzip).build();
    image.push(&peer(&serving), "a", "1");
    assert_eq!(storages(&temporary).len(), 1);
    serving.terminate(Signal::TERM);
    assert!(
        storages(&temporary).is_empty(),
        "{:?}",
        storages(&temporary)
    );
}

#[test]
fn a_port_that_is_taken_is_told_with_a_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ohoci = Ohoci::new();
    let outcome = ohoci
        .run(["registry", "serve", "--listen", &address])
        .exits(1);
    assert_eq!(outcome.stdout, "");
    assert_eq!(
        outcome.stderr,
        format!(
            "error: cannot serve a registry\n  cannot listen on {address}: Address already in use (os error 98)\n\
             hint: --listen 127.0.0.1:0 takes a free port\n"
        )
    );
}

#[test]
fn a_directory_that_cannot_be_used_is_told_without_a_word_about_ports() {
    let ohoci = Ohoci::new();
    let arguments = ["--listen", "127.0.0.1:0", "--dir", "images"];
    let serving = Serving::start(&ohoci, &arguments);
    let second = ohoci
        .run([&["registry", "serve"], &arguments[..]].concat())
        .exits(1);
    assert_eq!(
        second.stderr,
        "error: cannot serve a registry\n  cannot keep a registry in images: another server is using it\n\
         hint: end the other server, or choose another directory with --dir\n"
    );
    serving.terminate(Signal::TERM);

    ohoci.write("work/file", "");
    let outcome = ohoci
        .run([
            "registry",
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--dir",
            "file",
        ])
        .exits(1);
    assert_eq!(outcome.stdout, "");
    assert!(
        outcome.stderr.contains("cannot keep a registry in file: "),
        "{}",
        outcome.stderr
    );
    assert!(!outcome.stderr.contains("--listen"), "{}", outcome.stderr);
}

#[test]
fn a_second_signal_ends_it_although_a_client_is_still_sending() {
    let ohoci = Ohoci::new();
    let serving = Serving::start(&ohoci, &["--listen", "127.0.0.1:0"]);
    let mut client = TcpStream::connect(serving.address).unwrap();
    client
        .write_all(b"POST /v2/a/blobs/uploads/?digest=sha256:0000000000000000000000000000000000000000000000000000000000000000 HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\nsome")
        .unwrap();
    // One request that is answered says that the server has seen the connection before it.
    assert_eq!(
        peer(&serving)
            .send(reqwest::Method::GET, "/v2/", "", vec![])
            .unwrap()
            .status,
        200
    );
    serving.signal(Signal::INT);
    while TcpStream::connect(serving.address).is_ok() {
        std::thread::yield_now();
    }
    serving.signal(Signal::INT);
    serving.end().exits(130);
}
