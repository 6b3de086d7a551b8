//! `ohoci registry serve` with few descriptors and many clients.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use ohoci_image::media_type::{Compression, Family};
use rustix::process::Signal;

use crate::support::command::Ohoci;
use crate::support::images::busybox;
use crate::support::peer::{Access, Peer};
use crate::support::serving::Serving;

#[test]
fn a_thousand_idle_connections_and_few_descriptors_leave_room_for_a_client() {
    // This process holds the other ends.
    ohoci_server::raise_descriptor_limit();
    let ohoci = Ohoci::new();
    let mut command = ohoci.command_after("ulimit -n 128");
    command.args(["registry", "serve", "--listen", "127.0.0.1:0"]);
    let serving = Serving::spawn(&mut command);
    let mut idle: Vec<TcpStream> = (0..1_000)
        .map(|n| {
            let mut stream = TcpStream::connect(serving.address).unwrap();
            if n % 3 == 0 {
                // Who was closed already notices it here.
                let _ = stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: ");
            }
            stream
        })
        .collect();
    let url = format!("http://{}", serving.address);
    let peer = Peer::new(&url, Access::Anonymous, None, None);
    let image = busybox(Family::Oci, Compression::Gzip).build();
    image.push(&peer, "a", "1");
    let reference = |name: &str| format!("{}/{name}:1", serving.address);
    let outcome = ohoci
        .run(["copy", &reference("a"), &reference("b")])
        .exits(0);
    assert!(outcome.stdout.contains(&image.digest), "{}", outcome.stdout);
    // The first of them had to go.
    let mut rest = Vec::new();
    let _ = idle.swap_remove(0).read_to_end(&mut rest);
    assert_eq!(rest, b"");
    drop(idle);
    serving.terminate(Signal::TERM);
}

#[test]
fn too_few_descriptors_are_told_before_anything_is_served() {
    let ohoci = Ohoci::new();
    let mut command = ohoci.command_after("ulimit -n 70");
    command.args(["registry", "serve", "--listen", "127.0.0.1:0"]);
    let outcome = crate::support::command::Outcome::of(&mut command).exits(1);
    assert_eq!(outcome.stdout, "");
    assert_eq!(
        outcome.stderr,
        "error: cannot serve a registry\n  the process may have only 70 files open; a registry needs 80 at least\n\
         hint: ulimit -n 1024\n"
    );
}

#[test]
fn a_wish_for_more_connections_than_fit_is_told() {
    let ohoci = Ohoci::new();
    let mut command = ohoci.command_after("ulimit -n 128");
    let serve = ["registry", "serve", "--listen", "127.0.0.1:0"];
    command.args(serve).args(["--max-connections", "1000"]);
    let serving = Serving::spawn(&mut command);
    serving.signal(Signal::TERM);
    let outcome = serving.end().exits(0);
    assert_eq!(
        outcome.stderr,
        "warning: only 24 connections are served at once: the process may have no more files open\n"
    );
}
