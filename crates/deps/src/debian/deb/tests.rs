//! Packages that can be used, and many that cannot.

use flate2::write::GzEncoder;
use std::io::Write as _;
use testbed::debian::Deb as Package;
use testbed::debian::deb::{Compressor, PLAIN, XZ, ar};

use super::*;
use ohoci_image::Digest;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd_frame(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

fn sound() -> Package {
    Package::new("demo", "1:2-3", "amd64")
        .field("Maintainer", "nobody <nobody@mirror.example>")
        .control_file("postinst", "#!/bin/sh\nexit 1\n")
        .control_file("md5sums", "")
        .control_file("conffiles", "/etc/demo.conf\nremove-on-upgrade /etc/old\n")
        .directory("./usr/")
        .directory("./usr/bin/")
        .file("./usr/bin/demo", b"program")
        .member("./usr/bin/twin", b'1', "./usr/bin/demo")
        .symlink("./usr/bin/link", "/etc/alternatives/demo")
        .file("./etc/demo.conf", b"x=1")
        .file("./usr/share/doc/demo/copyright", b"free")
}

fn parse_bytes(bytes: &[u8]) -> Result<Deb, String> {
    let directory = tempfile::tempdir().unwrap();
    parse(bytes, directory.path())
}

fn complaint(package: &Package) -> String {
    parse_bytes(&package.build()).unwrap_err()
}

#[test]
fn files_scripts_and_licences_are_read_in_every_compression() {
    let compressors: [Compressor; 4] = [PLAIN, XZ, (".gz", gzip), (".zst", zstd_frame)];
    for compressor in compressors {
        let deb = parse_bytes(&sound().build_with(compressor)).unwrap();
        assert_eq!((deb.name.as_str(), deb.version.as_str()), ("demo", "1:2-3"));
        let files: Vec<&str> = deb.control_files.keys().map(String::as_str).collect();
        assert_eq!(files, ["conffiles", "md5sums", "postinst"]);
        assert!(deb.control.starts_with("Package: demo\n"));
        let conffiles: Vec<String> = deb.conffiles.iter().map(ToString::to_string).collect();
        assert_eq!(conffiles, ["/etc/demo.conf", "/etc/old"]);
        let paths: Vec<String> = deb.tree.iter().map(|(path, _)| path.to_string()).collect();
        assert_eq!(
            paths,
            [
                "/etc/demo.conf",
                "/usr",
                "/usr/bin",
                "/usr/bin/demo",
                "/usr/bin/link",
                "/usr/bin/twin",
                "/usr/share/doc/demo/copyright",
            ]
        );
        let licences: Vec<&[u8]> = deb.licences.values().map(AsRef::as_ref).collect();
        assert_eq!(licences, [b"free"]);
        let program = deb
            .tree
            .get(&LayerPath::parse(b"usr/bin/demo").unwrap())
            .unwrap();
        let Kind::File(content) = &program.kind else {
            panic!("{program:?}");
        };
        assert_eq!(
            std::io::read_to_string(content.open().unwrap()).unwrap(),
            "program"
        );
    }
}

#[test]
fn a_package_must_be_the_one_that_was_locked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("demo.deb");
    let bytes = sound().build();
    fs_err::write(&path, &bytes).unwrap();
    let file = LockedFile {
        path: "pool/demo.deb".to_owned(),
        size: bytes.len() as u64,
        digest: Digest::of(&bytes),
    };
    let expected = Expected {
        name: "demo",
        version: "1:2-3",
        architecture: "amd64",
        file: &file,
    };
    let why = |expected: Expected<'_>| {
        read(&path, expected, directory.path())
            .unwrap_err()
            .to_string()
    };
    read(&path, expected, directory.path()).unwrap();
    for other in [
        Expected {
            name: "other",
            ..expected
        },
        Expected {
            version: "2-3",
            ..expected
        },
        Expected {
            architecture: "arm64",
            ..expected
        },
    ] {
        assert!(why(other).contains("it is demo 1:2-3 for amd64"));
    }
    let shorter = LockedFile {
        size: file.size - 1,
        ..file.clone()
    };
    assert!(
        why(Expected {
            file: &shorter,
            ..expected
        })
        .contains("another size")
    );
    let longer = LockedFile {
        size: file.size + 1,
        ..file.clone()
    };
    assert!(
        why(Expected {
            file: &longer,
            ..expected
        })
        .contains("another size")
    );
    let wrong = LockedFile {
        digest: Digest::of(b""),
        ..file.clone()
    };
    assert!(
        why(Expected {
            file: &wrong,
            ..expected
        })
        .contains("package demo 1:2-3 cannot be used: its file hashes to")
    );
}

#[test]
fn hostile_files_are_refused_by_name() {
    for (package, words) in [
        (
            sound().file("./../etc/passwd", b""),
            "leads out of the layer",
        ),
        (sound().file("/etc/passwd", b""), "/etc/passwd (at byte"),
        (sound().file("./usr/bin/demo", b"again"), "is there twice"),
        (
            sound().symlink("./lib", "/etc").file("./lib/x", b""),
            "is below /lib, which is a symlink",
        ),
        (sound().file("./usr", b""), "tar member /usr"),
        (
            sound().member("./usr/bin/hard", b'1', "./etc/shadow"),
            "no file before it",
        ),
        (
            sound().member("./usr/bin/hard", b'1', "../etc/shadow"),
            "leads out",
        ),
        (sound().member("./dev/sda", b'4', ""), "it is a device"),
        (sound().member("./dev/null", b'3', ""), "it is a device"),
        (sound().member("./run/pipe", b'6', ""), "it is a named pipe"),
        (sound().file("./etc/.wh.passwd", b""), "would remove"),
        (sound().file("./etc/.wh..wh.opq", b""), "is reserved"),
        (sound().member("./x", b'V', ""), "not supported"),
        (sound().control_file("sub/x", ""), "control.tar.xz: "),
        (
            sound().control_file("control", "Package: x"),
            "control is there twice",
        ),
        (
            sound().control_file("conffiles", "/x"),
            "conffiles is there twice",
        ),
        (
            Package::new("x", "1", "all").control_file("conffiles", "../x"),
            "conffiles: ",
        ),
        (
            Package::new("x", "1\n\nPackage: y", "all"),
            "not one stanza",
        ),
        (Package::new("x", "1\nx", "all"), "control: line 3"),
    ] {
        let why = complaint(&package);
        assert!(why.contains(words), "{words}: {why}");
    }
}

#[test]
fn archives_that_are_put_together_wrongly_are_refused() {
    let package = sound();
    let (control, data) = (package.control_tar(), package.data_tar());
    let format: (&str, &[u8]) = ("debian-binary", b"2.0\n");
    let empty = vec![0; 1024];
    for (members, words) in [
        (
            vec![("control.tar", control.as_slice()), format],
            "as no package does",
        ),
        (
            vec![("debian-binary", b"3.0\n".as_slice())],
            "version \"3.0\" of the format",
        ),
        (vec![format], "it ends before its files"),
        (
            vec![format, ("data.tar", &data), ("control.tar", &control)],
            "stands where control.tar should",
        ),
        (
            vec![format, ("control.tar", &control)],
            "it ends before its files",
        ),
        (vec![format, ("control.tar.lz", &control)], "not known"),
        (
            vec![format, ("control.tar.xz", &control)],
            "control.tar.xz: ",
        ),
        (vec![format, ("control.tar", &empty)], "no control file"),
        (
            vec![
                format,
                ("control.tar", &control),
                ("data.tar", &data[..data.len() - 10_000]),
            ],
            "data.tar: ",
        ),
        (
            vec![
                format,
                ("control.tar", &control),
                ("data.tar", &data),
                ("more", b""),
            ],
            "stands behind its files",
        ),
    ] {
        let why = parse_bytes(&ar(&members)).unwrap_err();
        assert!(why.contains(words), "{words}: {why}");
    }
    let harmless = ar(&[
        format,
        ("_signature", b"x"),
        ("control.tar", &control),
        ("data.tar", &data),
        ("_more", b""),
    ]);
    parse_bytes(&harmless).unwrap();
    let cut = package.build();
    for length in [100, cut.len() / 2, cut.len() - 20] {
        assert!(parse_bytes(&cut[..length]).is_err(), "{length}");
    }
}

#[test]
fn a_bomb_is_not_decompressed_to_its_end() {
    let zeros = vec![0; usize::try_from(growth::FREE_GROWTH).unwrap() + (8 << 20)];
    let bomb = Package::new("bomb", "1", "all").file("./zeros", &zeros);
    let why = parse_bytes(&bomb.build_with((".zst", zstd_frame))).unwrap_err();
    assert!(why.contains("much larger"), "{why}");
}
