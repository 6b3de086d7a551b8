//! Layers against the tools that everyone has: what they read, and what they would have written.

use std::io::Write;
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use ohoci_image::media_type::Compression;
use ohoci_layer::{LayerSource, PackOptions, PackedLayer, pack};

/// Runs a tool with `input` and returns what it prints.
fn run(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("this test needs `{program}` from the package of that name: {error}")
        });
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().unwrap()
    });
    assert!(
        output.status.success(),
        "{program} {arguments:?} failed: {}",
        output.status
    );
    output.stdout
}

/// A directory of everything that a layer can hold and an ordinary user can make.
fn source() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    let long = "long-name-".repeat(12);
    fs_err::create_dir_all(at("bin")).unwrap();
    fs_err::create_dir_all(at("empty")).unwrap();
    fs_err::create_dir_all(at(&long).join(&long).join(&long)).unwrap();
    let noise: Vec<u8> = (0..3_000_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 27) as u8)
        .collect();
    fs_err::write(at("bin/tool"), noise).unwrap();
    fs_err::set_permissions(at("bin/tool"), PermissionsExt::from_mode(0o4755)).unwrap();
    fs_err::hard_link(at("bin/tool"), at("bin/very-same-tool")).unwrap();
    fs_err::os::unix::fs::symlink("tool", at("bin/link")).unwrap();
    fs_err::os::unix::fs::symlink(format!("/{long}"), at("far")).unwrap();
    fs_err::write(at(&long).join(&long).join(&long).join("file"), b"deep").unwrap();
    fs_err::write(at("naïve"), b"").unwrap();
    root
}

fn packed(source: &Path, compression: Compression, out: &Path) -> PackedLayer {
    let source = LayerSource::parse(format!("{}:/opt", source.display())).unwrap();
    let options = PackOptions {
        compression,
        threads: NonZeroUsize::new(2).unwrap(),
        ..PackOptions::default()
    };
    pack(&source, &options, out).unwrap()
}

#[test]
fn gnu_tar_unpacks_what_was_packed() {
    let source = source();
    let out = tempfile::tempdir().unwrap();
    let formats = [
        (Compression::None, "cat"),
        (Compression::Gzip, "gzip"),
        (Compression::Zstd, "zstd"),
    ];
    for (compression, program) in formats {
        let layer = packed(source.path(), compression, out.path());
        let blob = fs_err::read(layer.file.path()).unwrap();
        let arguments: &[&str] = if program == "cat" { &[] } else { &["-dc"] };
        let tar = run(program, arguments, &blob);
        let unpacked = tempfile::tempdir().unwrap();
        let to = unpacked.path().to_str().unwrap();
        run("tar", &["-xpf", "-", "--no-same-owner", "-C", to], &tar);
        let left = source.path().to_str().unwrap();
        run(
            "diff",
            &["-r", "--no-dereference", left, &format!("{to}/opt")],
            b"",
        );
        let listing = run("tar", &["-tvf", "-", "--numeric-owner", "--utc"], &tar);
        let listing = String::from_utf8_lossy(&listing);
        let lines: Vec<_> = listing.lines().collect();
        assert_eq!(lines.len() as u64, layer.entries, "{listing}");
        for line in &lines {
            assert!(
                line.contains(" 0/0 ") && line.contains(" 1970-01-01 00:00 "),
                "{line}"
            );
        }
        assert!(listing.contains("-rwsr-xr-x"), "setuid is lost: {listing}");
        assert!(
            listing.contains("opt/bin/very-same-tool link to opt/bin/tool"),
            "{listing}"
        );
    }
}

#[test]
fn gnu_tar_would_have_written_the_same_bytes() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join("opt").join(name);
    fs_err::create_dir_all(at("lib")).unwrap();
    fs_err::write(at("lib/data"), b"0123456789".repeat(99)).unwrap();
    fs_err::os::unix::fs::symlink("lib/data", at("link")).unwrap();
    fs_err::hard_link(at("lib/data"), at("other")).unwrap();
    fs_err::write(at("x".repeat(90).as_str()), b"").unwrap();
    let out = tempfile::tempdir().unwrap();
    let layer = packed(&root.path().join("opt"), Compression::None, out.path());
    let directory = root.path().to_str().unwrap();
    let arguments = [
        "--format=ustar",
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--mtime=@0",
        "-b1",
        "-C",
        directory,
        "-cf",
        "-",
        "opt",
    ];
    let theirs = run("tar", &arguments, b"");
    let ours = fs_err::read(layer.file.path()).unwrap();
    let differs = ours.iter().zip(&theirs).position(|(a, b)| a != b);
    assert_eq!((differs, ours.len()), (None, theirs.len()));
}

#[test]
fn what_the_tools_wrote_is_taken_as_it_is() {
    let source = source();
    let out = tempfile::tempdir().unwrap();
    let directory = source.path().to_str().unwrap();
    for format in ["gnu", "pax", "ustar"] {
        let format = format!("--format={format}");
        let mut arguments = vec![format.as_str(), "-C", directory, "-cf", "-"];
        arguments.extend(if format.ends_with("ustar") {
            ["bin"]
        } else {
            ["."]
        });
        let tar = run("tar", &arguments, b"");
        for (program, compression) in [("gzip", Compression::Gzip), ("zstd", Compression::Zstd)] {
            let blob = run(program, &["-c"], &tar);
            let path = out.path().join("given");
            fs_err::write(&path, &blob).unwrap();
            let given = LayerSource::parse(&path).unwrap();
            let layer = pack(&given, &PackOptions::default(), out.path()).unwrap();
            assert_eq!(fs_err::read(layer.file.path()).unwrap(), blob);
            assert_eq!(layer.diff_id, ohoci_image::Digest::of(&tar));

            let moved = packed(&path, compression, out.path());
            let tar = run(program, &["-dc"], &fs_err::read(moved.file.path()).unwrap());
            let to = tempfile::tempdir().unwrap();
            let at = to.path().to_str().unwrap();
            run("tar", &["-xpf", "-", "--no-same-owner", "-C", at], &tar);
            run(
                "cmp",
                &[
                    &format!("{directory}/bin/tool"),
                    &format!("{at}/opt/bin/tool"),
                ],
                b"",
            );
        }
    }
}
