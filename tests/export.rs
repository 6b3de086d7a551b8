//! `ohoci export`: an image's files as one tar, as a container sees them, to a file or a pipe.

use std::io::Read as _;

use ohoci_image::media_type::{Compression, Family};

use crate::support::command::Ohoci;
use crate::support::images::{Layer, Node, bare};

#[test]
fn the_tar_has_what_a_container_sees() {
    let ohoci = Ohoci::new();
    let file = |text: &str| Node::File(text.as_bytes().to_vec());
    let layers = vec![
        Layer::pack(
            &[
                ("a", file("old")),
                ("gone", file("x")),
                ("link", Node::Link("a")),
            ],
            Compression::Gzip,
        ),
        Layer::pack(
            &[("a", file("new")), (".wh.gone", file(""))],
            Compression::Zstd,
        ),
    ];
    bare(Family::Oci, layers)
        .build()
        .write_layout(&ohoci.work().join("image"), "1");
    ohoci.run(["export", "oci:image:1", "files.tar"]).exits(0);
    let tar = fs_err::read(ohoci.work().join("files.tar")).unwrap();
    let mut found = Vec::new();
    for entry in tar::Archive::new(tar.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        found.push((entry.path().unwrap().display().to_string(), text));
    }
    found.sort();
    assert_eq!(
        found,
        [
            ("a".to_owned(), "new".to_owned()),
            ("link".to_owned(), String::new())
        ]
    );
    let output = ohoci
        .command()
        .args(["export", "oci:image:1", "-"])
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(output.stdout, tar);
}

#[test]
fn what_cannot_be_written_or_read_is_said() {
    let ohoci = Ohoci::new();
    bare(Family::Oci, vec![])
        .build()
        .write_layout(&ohoci.work().join("image"), "1");
    let outcome = ohoci
        .run(["export", "oci:image:1", "no/such/file"])
        .exits(1);
    assert!(
        outcome.stderr.contains("cannot write no/such/file"),
        "{}",
        outcome.stderr
    );
    ohoci.run(["export", "oci:missing:1", "a.tar"]).exits(1);
    assert!(!ohoci.work().join("a.tar").exists());
}
