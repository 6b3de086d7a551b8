//! Disks that are full: said with the path, and nothing half written.

use std::path::Path;
use std::process::Command;

use ohoci_image::media_type::{Compression, Family};

use super::{document, sample};
use crate::support::command::{Ohoci, Outcome};
use crate::support::debian_registry::DebianRegistry;
use crate::support::peer::Access;

/// Runs ohoci where `directory` has room for so many bytes, and lists the files in it afterwards,
/// as lines behind what ohoci itself wrote to stdout.
fn with_little_room(ohoci: &Ohoci, directory: &Path, bytes: u64, arguments: &[&str]) -> Outcome {
    let plain = ohoci.command();
    let mut command = Command::new("bwrap");
    command.env_clear().current_dir(ohoci.work());
    for (name, value) in plain.get_envs() {
        command.env(name, value.unwrap());
    }
    let output = command
        .args([
            "--dev-bind",
            "/",
            "/",
            "--size",
            &bytes.to_string(),
            "--tmpfs",
        ])
        .arg(directory)
        .args([
            "--",
            "sh",
            "-c",
            r#""$@"; code=$?; find "$0" -type f; exit $code"#,
        ])
        .arg(directory)
        .arg(plain.get_program())
        .args(arguments)
        .output()
        .unwrap();
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn a_full_disk_is_said_so_with_the_path_and_leaves_nothing_half_written() {
    let ohoci = Ohoci::new();
    sample(Family::Oci, Compression::None).write_layout(&ohoci.work().join("source"), "1");
    let small = ohoci.work().join("small");
    fs_err::create_dir(&small).unwrap();
    for target in [
        "oci:small/layout:1",
        "oci-archive:small/archive.tar:1",
        "docker-archive:small/docker.tar:a:1",
    ] {
        let outcome =
            with_little_room(&ohoci, &small, 600_000, &["copy", "oci:source:1", target]).exits(1);
        let stderr = &outcome.stderr;
        assert!(stderr.starts_with("error: cannot "), "{target}: {stderr}");
        assert!(stderr.contains("small/"), "{target}: {stderr}");
        assert!(
            stderr.contains("No space left on device"),
            "{target}: {stderr}"
        );
        assert!(
            stderr.contains("hint: the disk is full"),
            "{target}: {stderr}"
        );
        // A layout that was begun is a whole layout that lists nothing.
        let begun = ["/layout/oci-layout", "/layout/index.json"];
        let strays: Vec<&str> = outcome
            .stdout
            .lines()
            .filter(|line| !begun.iter().any(|end| line.ends_with(end)))
            .filter(|line| !line.contains("/blobs/"))
            .collect();
        assert!(strays.is_empty(), "{target}: {strays:?}");
    }
}

#[test]
fn a_cache_that_is_full_holds_up_nothing() {
    let registry = DebianRegistry::open();
    let ohoci = Ohoci::new();
    let image = sample(Family::Oci, Compression::Gzip);
    image.push(&registry.peer(Access::Anonymous), "a", "1");
    let cache = ohoci.work().join("cache");
    fs_err::create_dir(&cache).unwrap();
    let outcome = with_little_room(
        &ohoci,
        &cache,
        1,
        &[
            "copy",
            "--cache-dir",
            cache.to_str().unwrap(),
            &format!("{}/a:1", registry.host()),
            "oci:layout:1",
        ],
    )
    .exits(0);
    assert!(outcome.stdout.starts_with("oci:layout:1\n"), "{outcome:?}");
    assert_eq!(
        document(&ohoci, "--manifest", "oci:layout:1"),
        image.manifest
    );
}
