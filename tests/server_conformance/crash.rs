//! A killed server: what it acknowledged is there after a restart, and nothing else is.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use ohoci_image::{Digest, media_type};
use ohoci_server::Server;
use serde_json::Value;

use crate::server_conformance::support::{Registry, files, image, options};

/// Names the storage to the process that [`serve_until_killed`] runs in.
const DIRECTORY: &str = "OHOCI_TEST_SERVER_DIRECTORY";

/// The server that gets killed; on its own it does nothing.
#[test]
fn serve_until_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let server = Server::bind(options(Path::new(&directory))).unwrap();
    println!("\nlistening {}", server.address());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let running = server.run_until(std::future::pending());
    runtime.block_on(running).unwrap();
}

fn start(directory: &Path) -> (Child, SocketAddr) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "server_conformance::crash::serve_until_killed",
            "--nocapture",
        ])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines
        .find_map(|line| line.unwrap().strip_prefix("listening ")?.parse().ok())
        .unwrap();
    (child, address)
}

/// One request on a connection of its own; the answer's status, or 0 when there was none.
fn send(address: SocketAddr, method: &str, target: &str, kind: &str, body: &[u8]) -> u16 {
    let exchange = || {
        let mut stream = TcpStream::connect(address)?;
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: registry.example\r\nConnection: close\r\n\
             Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = exchange().unwrap_or_default();
    let status = answer.split(' ').nth(1);
    status.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// How often the server is killed.
const KILLS: usize = 6;

/// Opens an upload and sends a part of it; where it is.
fn begin(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: registry.example\r\n\
                   Connection: close\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let line = answer
        .lines()
        .find_map(|line| line.strip_prefix("location: "));
    let location = line.unwrap().to_owned();
    let octets = "application/octet-stream";
    assert_eq!(send(address, "PATCH", &location, octets, b"a part"), 202);
    location
}

/// Pushes images until the server is gone; the tags that were acknowledged.
fn push_until_dead(address: SocketAddr, round: usize, worker: usize) -> Vec<String> {
    let octets = "application/octet-stream";
    let mut acknowledged = Vec::new();
    for n in 0.. {
        let layer = format!("{round} {worker} {n} ").repeat(20_000).into_bytes();
        for blob in [b"{}".as_slice(), &layer] {
            let target = format!("/v2/a/blobs/uploads/?digest={}", Digest::of(blob));
            if send(address, "POST", &target, octets, blob) == 0 {
                return acknowledged;
            }
        }
        let tag = format!("{round}-{worker}-{n}");
        let manifest = image(b"{}", &[&layer]).to_string();
        let target = format!("/v2/a/manifests/{tag}");
        match send(
            address,
            "PUT",
            &target,
            media_type::OCI_MANIFEST,
            manifest.as_bytes(),
        ) {
            201 => acknowledged.push(tag),
            0 => return acknowledged,
            status => panic!("{status} for {target}"),
        }
    }
    acknowledged
}

#[tokio::test]
async fn a_killed_server_has_kept_what_it_acknowledged_and_nothing_by_halves() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..KILLS {
        let (mut child, address) = start(directory.path());
        let uploads = fs_err::read_dir(directory.path().join(".uploads")).unwrap();
        assert_eq!(uploads.count(), 1, "uploads of the server before");
        let before = files(directory.path()).len();
        let upload = begin(address);
        let workers: Vec<_> = (0..4)
            .map(|worker| std::thread::spawn(move || push_until_dead(address, round, worker)))
            .collect();
        while files(directory.path()).len() < before + 30 {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let made = workers.into_iter().map(|worker| worker.join().unwrap());
        acknowledged.extend(made.flatten());
        assert!(upload.starts_with("/v2/a/blobs/uploads/"), "{upload}");
    }
    assert!(!acknowledged.is_empty());

    let registry = Registry::start_in(directory, |_| ());
    let path = registry.directory.path().to_owned();
    assert!(
        files(&path)
            .iter()
            .all(|file| file == ".uploads/lock" || !file.starts_with('.'))
    );
    let tags = registry.get("/v2/a/tags/list").await.is(200).json();
    let tags: Vec<String> = serde_json::from_value(tags["tags"].clone()).unwrap();
    for tag in &acknowledged {
        assert!(tags.contains(tag), "{tag}");
    }
    for tag in tags {
        let manifest = registry
            .get(&format!("/v2/a/manifests/{tag}"))
            .await
            .is(200);
        let manifest: Value = manifest.json();
        let digest = manifest["layers"][0]["digest"].as_str().unwrap();
        registry
            .head(&format!("/v2/a/blobs/{digest}"))
            .await
            .is(200);
    }
    for file in fs_err::read_dir(path.join("a/blobs/sha256")).unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        let digest: Digest = format!("sha256:{name}").parse().unwrap();
        assert!(
            digest.matches(&fs_err::read(file.path()).unwrap()),
            "{name}"
        );
    }
}
