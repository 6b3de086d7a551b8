//! `ohoci registry serve`: says where it listens, keeps OCI layouts, ends well.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};

use ohoci::oci::media_type::{Compression, Family};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::clients::{run_in_container, skopeo};
use crate::support::command::{Ohoci, Outcome};
use crate::support::images::{Index, busybox};
use crate::support::peer::{Access, Peer, sha256};

/// A running `ohoci registry serve`.
struct Serving {
    child: Child,
    stdout: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Serving {
    /// Starts it and reads the address that it prints.
    fn start(ohoci: &Ohoci, arguments: &[&str]) -> Self {
        let mut child = ohoci
            .command()
            .args(["registry", "serve"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.trim_end().parse();
        Self {
            address: address.unwrap_or_else(|error| panic!("{error}: {line:?}")),
            child,
            stdout,
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end; what it printed after the address is in the outcome.
    fn end(mut self) -> Outcome {
        let mut outcome = Outcome {
            code: None,
            stdout: String::new(),
            stderr: String::new(),
        };
        self.stdout.read_to_string(&mut outcome.stdout).unwrap();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut outcome.stderr).unwrap();
        outcome.code = self.child.wait().unwrap().code();
        outcome
    }

    /// Asks it to end, which it must do well.
    fn terminate(self, signal: Signal) {
        self.signal(signal);
        let outcome = self.end().exits(0);
        assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""));
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Already gone is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn peer(serving: &Serving) -> Peer {
    let url = format!("http://{}", serving.address);
    Peer::new(&url, Access::Anonymous, None, None)
}

#[test]
fn it_prints_its_address_and_ends_well_by_either_signal() {
    for signal in [Signal::TERM, Signal::INT] {
        let serving = Serving::start(&Ohoci::new(), &["--listen", "127.0.0.1:0"]);
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
    let mut child = child
        .args(["registry", "serve", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let serving = Serving {
        address: line.trim_end().parse().unwrap(),
        child,
        stdout,
    };
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
