//! How registries are reached: authorities and client certificates, proxies, mirrors, pacing.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ohoci_image::media_type::{Compression, Family};

use crate::support::answering::{Answering, answer, image};
use crate::support::certificates::Authority;
use crate::support::command::Ohoci;
use crate::support::debian_registry::DebianRegistry;
use crate::support::images::{Image, Index, Layer, Node, bare};
use crate::support::peer::{Access, sha256};

fn sample() -> Image {
    let layer = Layer::pack(
        &[("file", Node::File(b"content".to_vec()))],
        Compression::Gzip,
    );
    bare(Family::Oci, vec![layer]).build()
}

fn configure(ohoci: &Ohoci, host: &str, table: &str) {
    ohoci.write(
        "config/ohoci/config.toml",
        format!("[registry.\"{host}\"]\n{table}\n"),
    );
}

/// Reads `a:1` of a registry to its last byte, and pushes it back as `b:1`.
#[track_caller]
fn read_and_write(ohoci: &Ohoci, host: &str, flags: &[&str]) {
    let (from, to) = (format!("{host}/a:1"), format!("{host}/b:1"));
    ohoci
        .run([&["copy", &from, "oci:out:1"], flags].concat())
        .exits(0);
    ohoci
        .run([&["copy", "oci:out:1", &to], flags].concat())
        .exits(0);
    fs_err::remove_dir_all(ohoci.work().join("out")).unwrap();
}

#[test]
fn an_authority_is_trusted_by_flag_configuration_and_certificate_directory() {
    let authority = Authority::new();
    let registry = DebianRegistry::with_tls(&authority, false);
    let host = registry.host();
    sample().push(&registry.tls_peer(&authority, false), "a", "1");
    let pem = fs_err::read(authority.file()).unwrap();

    let by_flag = Ohoci::new();
    let file = authority.file().display().to_string();
    read_and_write(&by_flag, &host, &["--ca-file", &file]);
    by_flag.run(["inspect", &format!("{host}/a:1")]).exits(1);

    let by_configuration = Ohoci::new();
    by_configuration.write("config/ohoci/own.pem", &pem);
    configure(&by_configuration, &host, "ca = [\"own.pem\"]");
    read_and_write(&by_configuration, &host, &[]);

    let by_directory = Ohoci::new();
    by_directory.write(format!("config/containers/certs.d/{host}/ca.crt"), &pem);
    read_and_write(&by_directory, &host, &[]);
}

#[test]
fn a_client_shows_its_certificate() {
    let authority = Authority::new();
    let registry = DebianRegistry::with_tls(&authority, true);
    let host = registry.host();
    sample().push(&registry.tls_peer(&authority, true), "a", "1");
    let client = authority.client();
    let read = |path: &Path| fs_err::read(path).unwrap();

    let by_configuration = Ohoci::new();
    let table = format!(
        "ca = [{:?}]\nclient-certificate = {:?}\nclient-key = {:?}",
        authority.file(),
        client.certificate,
        client.key
    );
    configure(&by_configuration, &host, &table);
    read_and_write(&by_configuration, &host, &[]);

    let by_directory = Ohoci::new();
    let place = |name: &str| format!("config/containers/certs.d/{host}/{name}");
    by_directory.write(place("ca.crt"), read(&authority.file()));
    by_directory.write(place("client.cert"), read(&client.certificate));
    by_directory.write(place("client.key"), read(&client.key));
    read_and_write(&by_directory, &host, &[]);

    fs_err::remove_file(by_directory.write(place("client.key"), "")).unwrap();
    let outcome = by_directory
        .run(["inspect", &format!("{host}/a:1")])
        .exits(1);
    assert!(
        outcome.stderr.starts_with(&format!(
            "warning: {host} is used without its certificates: "
        )),
        "{}",
        outcome.stderr
    );
    assert!(outcome.stderr.contains("client.key"), "{}", outcome.stderr);
}

/// A proxy that leads every connection to one server, whatever host it asks for.
struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&asked);
        // It ends together with the test program.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let log = Arc::clone(&log);
                thread::spawn(move || serve(client, server, &log));
            }
        });
        Self { address, asked }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The first line of every connection since the last call.
    fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn serve(mut client: TcpStream, server: SocketAddr, log: &Mutex<Vec<String>>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let line = String::from_utf8_lossy(&head).lines().next()?.to_owned();
    let tunnel = line.starts_with("CONNECT ");
    log.lock().unwrap().push(line);
    let mut server = TcpStream::connect(server).ok()?;
    if tunnel {
        client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").ok()?;
    } else {
        // Every server has to understand requests as they are sent to proxies (RFC 9112, 3.2.2).
        server.write_all(&head).ok()?;
    }
    let (mut from_client, mut to_server) = (client.try_clone().ok()?, server.try_clone().ok()?);
    let up = thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(std::net::Shutdown::Write);
    });
    let _ = std::io::copy(&mut server, &mut client);
    let _ = client.shutdown(std::net::Shutdown::Write);
    up.join().ok()
}

/// Runs `inspect` on `registry.example/a:1` with these variables, and says whether that worked.
fn inspect_with(ohoci: &Ohoci, flags: &[&str], variables: &[(&str, &str)]) -> bool {
    let mut command = ohoci.command();
    command
        .args(["inspect", "--no-cache", "registry.example/a:1"])
        .args(flags);
    for (name, value) in variables {
        command.env(name, value);
    }
    command.output().unwrap().status.success()
}

#[test]
fn plain_http_goes_through_the_proxy_unless_it_is_told_not_to() {
    let registry = DebianRegistry::open();
    sample().push(&registry.peer(Access::Anonymous), "a", "1");
    let proxy = Proxy::start(registry.address());
    let url = proxy.url();
    let ohoci = Ohoci::new();
    let plain = ["--plain-http", "registry.example"];
    for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        assert!(
            inspect_with(&ohoci, &plain, &[(variable, &url)]),
            "{variable}"
        );
        let asked = proxy.take_asked();
        assert!(
            asked[0].starts_with("GET http://registry.example/v2/a/manifests/1 "),
            "{variable}: {asked:?}"
        );
    }
    let excepted = [
        ("HTTP_PROXY", url.as_str()),
        ("NO_PROXY", "other.example,.example"),
    ];
    assert!(!inspect_with(&ohoci, &plain, &excepted));
    assert_eq!(proxy.take_asked(), [""; 0]);

    // What is on this machine is never asked of a proxy.
    let output = ohoci
        .command()
        .args(["inspect", "--no-cache", &format!("{}/a:1", registry.host())])
        .env("HTTP_PROXY", &url)
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(proxy.take_asked(), [""; 0]);
}

#[test]
fn https_goes_through_a_tunnel_of_the_proxy() {
    let authority = Authority::new();
    let registry = DebianRegistry::with_tls(&authority, false);
    sample().push(&registry.tls_peer(&authority, false), "a", "1");
    let proxy = Proxy::start(registry.address());
    let ohoci = Ohoci::new();
    let file = authority.file().display().to_string();
    let url = proxy.url();
    assert!(inspect_with(
        &ohoci,
        &["--ca-file", &file],
        &[("HTTPS_PROXY", &url)]
    ));
    let asked = proxy.take_asked();
    assert!(
        !asked.is_empty()
            && asked
                .iter()
                .all(|line| line.starts_with("CONNECT registry.example:443 ")),
        "{asked:?}"
    );
    let strange = Authority::new();
    let file = strange.file().display().to_string();
    assert!(!inspect_with(
        &ohoci,
        &["--ca-file", &file],
        &[("HTTPS_PROXY", &url)]
    ));
}

/// A registry that counts what it is asked.
fn origin(held: Image) -> Answering {
    Answering::start(move |request| Some(image(&held, request)))
}

#[test]
fn a_mirror_is_asked_first_and_the_registry_not_at_all() {
    let mirror = DebianRegistry::open();
    sample().push(&mirror.peer(Access::Anonymous), "proxy/a", "1");
    let origin = origin(sample());
    let ohoci = Ohoci::new();
    configure(
        &ohoci,
        &origin.host(),
        &format!("mirrors = [\"{}/proxy\"]", mirror.host()),
    );
    ohoci
        .run(["copy", &format!("{}/a:1", origin.host()), "oci:out:1"])
        .exits(0);
    assert_eq!(origin.requests(), [""; 0]);
}

#[test]
fn a_mirror_that_is_down_is_passed_over() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let broken = Answering::start(|_| Some(answer(500, &[], "")));
    let empty = DebianRegistry::open();
    let origin = origin(sample());
    let ohoci = Ohoci::new();
    let mirrors = format!(
        "mirrors = [\"{closed}\", \"{}\", \"{}\"]",
        broken.host(),
        empty.host()
    );
    configure(&ohoci, &origin.host(), &mirrors);
    let outcome = ohoci
        .run(["copy", &format!("{}/a:1", origin.host()), "oci:out:1"])
        .exits(0);
    assert_eq!(outcome.stderr, "oci:out is new: the directory was made\n");
    assert!(!broken.requests().is_empty());
    ohoci.run(["inspect", "oci:out:1"]).exits(0);
}

/// A mirror that has the image, but gives other bytes of the same length for what `lies_about` says.
fn lying_mirror(held: Image, lies_about: fn(&str, &Image) -> bool) -> Answering {
    Answering::start(move |request| {
        let honest = image(&held, request);
        if !lies_about(&request.target, &held) {
            return Some(honest);
        }
        let length = if request.target.contains("/manifests/") {
            held.manifest.len()
        } else if request.target.ends_with(&held.layers[0].digest) {
            held.layers[0].bytes.len()
        } else {
            held.config.len()
        };
        let mut lie = answer(200, &[], vec![b' '; length]);
        *lie.headers_mut() = honest.headers().clone();
        Some(lie)
    })
}

#[test]
fn a_mirror_with_other_content_is_refused_and_the_registry_asked() {
    let held = sample();
    for lies_about in [
        |target: &str, _: &Image| target.contains("/manifests/"),
        |target: &str, held: &Image| target.ends_with(&sha256(&held.config)),
        |target: &str, held: &Image| target.ends_with(&held.layers[0].digest),
    ] {
        let mirror = lying_mirror(held.clone(), lies_about);
        let origin = origin(held.clone());
        let host = origin.host();
        let ohoci = Ohoci::new();
        configure(&ohoci, &host, &format!("mirrors = [\"{}\"]", mirror.host()));
        for reference in [format!("{host}/a:1"), format!("{host}/a@{}", held.digest)] {
            ohoci
                .run([
                    "copy",
                    "--no-cache",
                    &reference,
                    "docker-archive:out.tar:a:1",
                ])
                .exits(0);
            let printed = ohoci.run(["inspect", "--config", "docker-archive:out.tar"]);
            assert_eq!(printed.exits(0).stdout.into_bytes(), held.config);
            ohoci.run(["inspect", "--no-cache", &reference]).exits(0);
            let to = DebianRegistry::open();
            let copy = format!("{}/a:1", to.host());
            ohoci
                .run(["copy", "--no-cache", &reference, &copy])
                .exits(0);
            let layer = to.peer(Access::Anonymous).blob("a", &held.layers[0].digest);
            assert_eq!(layer.unwrap(), held.layers[0].bytes);
        }
        let lied = mirror.requests();
        let lied = lied.iter().any(|line| lies_about(line, &held));
        assert!(lied, "{:?}", mirror.requests());
    }
}

#[test]
fn nothing_is_pushed_to_a_mirror() {
    let mirror = Answering::start(|_| Some(answer(404, &[], "")));
    let registry = DebianRegistry::open();
    let ohoci = Ohoci::new();
    let host = registry.host();
    configure(&ohoci, &host, &format!("mirrors = [\"{}\"]", mirror.host()));
    let image = sample();
    image.write_layout(&ohoci.work().join("in"), "1");
    ohoci
        .run(["copy", "oci:in:1", &format!("{host}/a:1")])
        .exits(0);
    assert_eq!(
        registry.peer(Access::Anonymous).manifest("a", "1").1,
        image.manifest
    );
    assert_eq!(mirror.requests(), [""; 0]);
}

#[test]
fn requests_keep_the_pace_that_the_configuration_sets() {
    let images = (0..4)
        .map(|number| {
            bare(Family::Oci, vec![])
                .platform(&format!("a{number}"), None)
                .build()
        })
        .collect();
    let registry = DebianRegistry::open();
    Index::new(Family::Oci, images).push(&registry.peer(Access::Anonymous), "a", "1");
    let ohoci = Ohoci::new();
    let rate = 20.0;
    configure(
        &ohoci,
        &registry.host(),
        &format!("requests-per-second = {rate}"),
    );
    let started = Instant::now();
    ohoci
        .run(["inspect", &format!("{}/a:1", registry.host())])
        .exits(0);
    // An index, four manifests and four configs: nine requests with eight gaps between them.
    let gaps = Duration::from_secs_f64(8.0 / rate);
    assert!(started.elapsed() >= gaps, "{:?}", started.elapsed());
}
