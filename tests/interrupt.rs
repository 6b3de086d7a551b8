//! Ctrl-C and SIGTERM end a transfer at once, and nothing that is half there has a name.

use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ohoci_image::media_type::{Compression, Family};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::answering::{Answering, answer, image, stalled};
use crate::support::command::{Ohoci, Outcome};
use crate::support::debian_registry::DebianRegistry;
use crate::support::images::{Image, Layer, Node, bare};
use crate::support::peer::Access;

/// Far more than ending takes, far less than any of ohoci's own time limits.
const AT_ONCE: Duration = Duration::from_secs(20);

/// An image with one layer of a few megabytes, which no compression makes small.
fn sample() -> Image {
    let mut state = 1_u64;
    let content = (0..4 << 20).map(|_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    });
    let node = Node::File(content.collect());
    bare(
        Family::Oci,
        vec![Layer::pack(&[("large", node)], Compression::None)],
    )
    .build()
}

/// A registry that has the image, and stops in the middle of its layer.
fn stalling_source() -> Answering {
    let held = sample();
    Answering::start(move |request| {
        let layer = &held.layers[0];
        Some(if request.target.ends_with(&layer.digest) {
            stalled(&layer.bytes[..1 << 20], layer.bytes.len())
        } else {
            image(&held, request)
        })
    })
}

fn start(ohoci: &Ohoci, arguments: &[&str]) -> Child {
    ohoci
        .command()
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Sends the signal, and fails the test unless the process ends at once, saying so.
fn interrupt(mut child: Child, signal: Signal) {
    kill_process(Pid::from_child(&child), signal).unwrap();
    let deadline = Instant::now() + AT_ONCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("still running after {AT_ONCE:?}");
        }
        thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    let outcome = Outcome {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    let outcome = outcome.exits(130);
    assert_eq!(outcome.stdout, "");
    assert_eq!(
        outcome.stderr,
        "interrupted; no tag was moved to anything incomplete\n"
    );
}

#[test]
fn a_copy_between_registries_leaves_no_tag() {
    for signal in [Signal::INT, Signal::TERM] {
        let from = stalling_source();
        let to = DebianRegistry::open();
        let ohoci = Ohoci::new();
        let target = format!("{}/a:1", to.host());
        let child = start(&ohoci, &["copy", &format!("{}/a:1", from.host()), &target]);
        from.wait_for(&format!("GET /v2/a/blobs/{}", sample().layers[0].digest));
        interrupt(child, signal);
        let answer = to
            .peer(Access::Anonymous)
            .send(reqwest::Method::GET, "/v2/a/manifests/1", "", vec![])
            .unwrap();
        assert_eq!(answer.status, 404);
    }
}

#[test]
fn an_upload_that_the_registry_does_not_take_leaves_no_tag() {
    for signal in [Signal::INT, Signal::TERM] {
        let to = Answering::start(|request| match request.method.as_str() {
            "HEAD" | "GET" => Some(answer(404, &[], "")),
            "POST" => Some(answer(202, &[("location", "/upload")], "")),
            _ => None,
        });
        let ohoci = Ohoci::new();
        ohoci.write("work/tree/large", sample().layers[0].bytes.clone());
        let target = format!("{}/a:1", to.host());
        let arguments = [
            "compose", "--base", "scratch", "--layer", "tree", "--push", &target,
        ];
        let child = start(&ohoci, &arguments);
        to.wait_for("PUT /upload");
        interrupt(child, signal);
        let requests = to.requests();
        assert!(
            !requests.iter().any(|line| line.contains("/manifests/")),
            "{requests:?}"
        );
    }
}

#[test]
fn local_targets_have_nothing_half_written() {
    for (target, expected) in [
        (
            "oci:to/layout:1",
            &[
                "layout",
                "layout/blobs",
                "layout/blobs/sha256",
                "layout/index.json",
                "layout/oci-layout",
            ][..],
        ),
        ("oci-archive:to/archive.tar:1", &[]),
        ("docker-archive:to/docker.tar:a:1", &[]),
    ] {
        for signal in [Signal::INT, Signal::TERM] {
            let from = stalling_source();
            let ohoci = Ohoci::new();
            let place = ohoci.work().join("to");
            fs_err::create_dir(&place).unwrap();
            let child = start(&ohoci, &["copy", &format!("{}/a:1", from.host()), target]);
            from.wait_for(&format!("GET /v2/a/blobs/{}", sample().layers[0].digest));
            // The config may be there as a blob that nothing names yet; a layer may not.
            interrupt(child, signal);
            let config = crate::support::peer::sha256(&sample().config);
            let config = format!(
                "layout/blobs/sha256/{}",
                config.trim_start_matches("sha256:")
            );
            let mut left = files_below(&place, "");
            left.retain(|path| *path != config);
            left.sort();
            if !left.is_empty() {
                assert_eq!(left, expected, "{target}");
                let index = fs_err::read_to_string(place.join("layout/index.json")).unwrap();
                assert!(!index.contains("sha256:"), "{index}");
            }
        }
    }
}

fn files_below(directory: &std::path::Path, prefix: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() {
            found.extend(files_below(&entry.path(), &format!("{name}/")));
        }
        found.push(name);
    }
    found
}

#[test]
fn an_archive_that_was_there_stays_as_it_was() {
    let from = stalling_source();
    let ohoci = Ohoci::new();
    let old = ohoci.write("work/to/archive.tar", "what was there");
    let child = start(
        &ohoci,
        &[
            "copy",
            &format!("{}/a:1", from.host()),
            "oci-archive:to/archive.tar:1",
        ],
    );
    from.wait_for(&format!("GET /v2/a/blobs/{}", sample().layers[0].digest));
    interrupt(child, Signal::INT);
    assert_eq!(fs_err::read(old).unwrap(), b"what was there");
}
