//! What comes from strangers: documents that two readers take for two things, content that grows
//! without end, files that are none, servers that dawdle and repeat what they were told.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use ohoci_image::Digest;
use ohoci_image::media_type::{Compression, Family};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};

use crate::support::command::{Ohoci, Outcome};
use crate::support::images::{Layer, Node, bare};

const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";

fn blob(layout: &Path, content: &[u8]) -> Value {
    let digest = Digest::of(content);
    fs_err::create_dir_all(layout.join("blobs/sha256")).unwrap();
    fs_err::write(layout.join("blobs/sha256").join(digest.hex()), content).unwrap();
    json!({"mediaType": CONFIG_TYPE, "digest": digest.to_string(), "size": content.len()})
}

/// A layout of an image whose config, manifest and index are these texts, with `CONFIG` and
/// `MANIFEST` in them in the place of the descriptors.
fn layout(ohoci: &Ohoci, config: &str, manifest: &str, index: &str) {
    let at = ohoci.work().join("layout");
    let config = blob(&at, config.as_bytes());
    let manifest = manifest.replace("CONFIG", &config.to_string());
    let mut manifest = blob(&at, manifest.as_bytes());
    manifest["mediaType"] = "application/vnd.oci.image.manifest.v1+json".into();
    manifest["annotations"] = json!({"org.opencontainers.image.ref.name": "1"});
    let index = index.replace("MANIFEST", &manifest.to_string());
    fs_err::write(at.join("index.json"), index).unwrap();
    fs_err::write(at.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

const CONFIG: &str = r#"{"architecture":"amd64","os":"linux","config":{"User":"65534","Labels":{"a":"1","A":"2"}},"rootfs":{"type":"layers","diff_ids":[]}}"#;
const MANIFEST: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":CONFIG,"layers":[]}"#;
const INDEX: &str = r#"{"schemaVersion":2,"manifests":[MANIFEST]}"#;

#[test]
fn an_image_that_engines_read_in_another_way_is_refused() {
    let ohoci = Ohoci::new();
    layout(&ohoci, CONFIG, MANIFEST, INDEX);
    let outcome = ohoci.run(["inspect", "oci:layout:1"]).exits(0);
    assert!(outcome.stdout.contains("65534"), "{}", outcome.stdout);
    let user = r#""User":"65534""#;
    let configs = [
        (
            r#""User":"65534","user":"0""#,
            r#"both "User" and "user" in `config`"#,
        ),
        (
            r#""user":"0""#,
            r#""user" in `config` where "User" is meant"#,
        ),
        (r#""uſer":"0","User":"1""#, r#""uſer" in `config`"#),
        (
            r#""User":"1","User":"0""#,
            r#"the key "User" twice in `config`"#,
        ),
    ];
    let configs = configs.map(|(with, words)| {
        (
            CONFIG.replace(user, with),
            MANIFEST,
            INDEX.to_owned(),
            words,
        )
    });
    let top = CONFIG.replace(r#""rootfs""#, r#""CONFIG":{"User":"0"},"rootfs""#);
    let layers = MANIFEST.replace(r#""layers""#, r#""Layers":[],"layers""#);
    let index = INDEX.replace(r#""manifests""#, r#""Manifests":[],"manifests""#);
    let others = [
        (
            top,
            MANIFEST,
            INDEX.to_owned(),
            r#"both "config" and "CONFIG" at its top level"#,
        ),
        (
            CONFIG.to_owned(),
            layers.as_str(),
            INDEX.to_owned(),
            r#""Layers" at its top level"#,
        ),
        (
            CONFIG.to_owned(),
            MANIFEST,
            index,
            r#""Manifests" at its top level"#,
        ),
    ];
    for (config, manifest, index, words) in configs.into_iter().chain(others) {
        layout(&ohoci, &config, manifest, &index);
        for command in [
            vec!["inspect", "oci:layout:1"],
            vec![
                "compose",
                "--base",
                "oci:layout:1",
                "--env",
                "A=b",
                "--push",
                "oci:out:1",
            ],
        ] {
            let said = ohoci.run(&command).exits(1).stderr;
            assert!(said.contains(words), "{words}: {said}");
        }
    }
}

#[test]
fn a_docker_archive_and_a_layouts_version_are_read_as_strictly() {
    let ohoci = Ohoci::new();
    let archive = ohoci.work().join("image.tar");
    let write = |list: &str| {
        let mut tar = tar::Builder::new(fs_err::File::create(&archive).unwrap());
        for (name, content) in [("manifest.json", list), ("c.json", CONFIG)] {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, content.as_bytes())
                .unwrap();
        }
        tar.finish().unwrap();
    };
    write(r#"[{"Config":"c.json","RepoTags":["a:1"],"Layers":[]}]"#);
    ohoci.run(["inspect", "docker-archive:image.tar"]).exits(0);
    write(r#"[{"Config":"c.json","config":"d.json","RepoTags":["a:1"],"Layers":[]}]"#);
    let said = ohoci
        .run(["inspect", "docker-archive:image.tar"])
        .exits(1)
        .stderr;
    assert!(
        said.contains(r#"manifest.json: it has both "Config" and "config" in `[0]`"#),
        "{said}"
    );
    layout(&ohoci, CONFIG, MANIFEST, INDEX);
    let version = r#"{"imageLayoutVersion":"1.0.0","ImageLayoutVersion":"2"}"#;
    fs_err::write(ohoci.work().join("layout/oci-layout"), version).unwrap();
    let said = ohoci.run(["inspect", "oci:layout:1"]).exits(1).stderr;
    assert!(said.contains("the oci-layout file: it has both"), "{said}");
}

fn bomb() -> Layer {
    Layer::pack(
        &[("zeros", Node::File(vec![0; 1 << 20]))],
        Compression::Gzip,
    )
}

#[test]
fn what_unpacks_to_too_much_ends_with_the_limit_and_how_to_raise_it() {
    let ohoci = Ohoci::new();
    fs_err::write(ohoci.work().join("bomb.tar.gz"), bomb().bytes).unwrap();
    // Each is within the limit, and both together are not.
    let second = Layer::pack(&[("more", Node::File(vec![1; 1 << 20]))], Compression::Zstd);
    bare(Family::Oci, vec![bomb(), second])
        .build()
        .write_layout(&ohoci.work().join("image"), "1");
    let layer: &[&str] = &[
        "compose",
        "--base",
        "scratch",
        "--layer",
        "bomb.tar.gz",
        "--push",
        "oci:out:1",
    ];
    let listing: &[&str] = &["check", "--no-cache", "oci:image:1"];
    let run = |limit: &str, value: &str, command: &[&str]| {
        Outcome::of(ohoci.command().env(limit, value).args(command))
    };
    for (limit, value, command) in [
        ("OHOCI_MAX_UNPACKED_BYTES", "1000000", layer),
        ("OHOCI_MAX_ENTRIES", "0", layer),
        ("OHOCI_MAX_UNPACKED_BYTES", "2000000", listing),
        ("OHOCI_MAX_ENTRIES", "1", listing),
        ("OHOCI_MAX_NAME_BYTES", "8", listing),
    ] {
        let said = run(limit, value, command).exits(1).stderr;
        assert!(
            said.contains(limit) && said.contains("[limits]"),
            "{command:?}: {said}"
        );
        assert!(said.contains(value), "{said}");
    }
    ohoci.write("config/ohoci/config.toml", "[limits]\nunpacked-bytes = 5\n");
    let said = ohoci.run(layer).exits(1).stderr;
    assert!(said.contains("more than the 5 bytes"), "{said}");
    run("OHOCI_MAX_UNPACKED_BYTES", "2000000", layer).exits(0);
    let said = run("OHOCI_MAX_ENTRIES", "many", layer).exits(2).stderr;
    assert!(said.contains("$OHOCI_MAX_ENTRIES is no number"), "{said}");
}

#[test]
fn a_compressed_archive_is_no_way_around_the_limit() {
    let ohoci = Ohoci::new();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&vec![0; 4 << 20]).unwrap();
    fs_err::write(ohoci.work().join("a.tar"), encoder.finish().unwrap()).unwrap();
    for place in ["oci-archive:a.tar", "docker-archive:a.tar"] {
        let mut command = ohoci.command();
        command
            .env("OHOCI_MAX_UNPACKED_BYTES", "1048576")
            .args(["inspect", place]);
        let said = Outcome::of(&mut command).exits(1).stderr;
        assert!(said.contains("more than the 1048576 bytes"), "{said}");
    }
}

#[test]
fn pipes_devices_and_what_the_kernel_makes_up_are_refused_at_once() {
    let ohoci = Ohoci::new();
    let pipe = ohoci.work().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    assert!(fs_err::metadata(&pipe).unwrap().file_type().is_fifo());
    for (path, words) in [
        ("pipe", "is a pipe"),
        ("/dev/zero", "is a device"),
        ("/proc/self/status", "made up by the kernel"),
    ] {
        for command in [
            vec!["inspect".to_owned(), format!("oci-archive:{path}")],
            vec!["inspect".to_owned(), format!("docker-archive:{path}")],
            [
                "compose",
                "--base",
                "scratch",
                "--layer",
                path,
                "--push",
                "oci:out:1",
            ]
            .map(str::to_owned)
            .to_vec(),
            [
                "swebench",
                "report",
                "--predictions_path",
                path,
                "--run_id",
                "x",
            ]
            .map(str::to_owned)
            .to_vec(),
        ] {
            let outcome = ohoci.run(&command);
            let (code, said) = (outcome.code, outcome.stderr);
            if command[0] == "swebench" && !said.contains(words) {
                // Its arguments are another test's matter; that it ends is this one's.
                assert_ne!(code, Some(0));
                continue;
            }
            assert_eq!(code, Some(1), "{command:?}: {said}");
            assert!(said.contains(words), "{command:?}: {said}");
        }
    }
    layout(&ohoci, CONFIG, MANIFEST, INDEX);
    for name in ["index.json", "oci-layout"] {
        layout(&ohoci, CONFIG, MANIFEST, INDEX);
        let at = ohoci.work().join("layout").join(name);
        fs_err::remove_file(&at).unwrap();
        mknodat(CWD, &at, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let said = ohoci.run(["inspect", "oci:layout:1"]).exits(1).stderr;
        assert!(said.contains("is a pipe"), "{name}: {said}");
        fs_err::remove_file(&at).unwrap();
    }
}

#[test]
fn a_file_that_is_no_archive_is_not_quoted() {
    let ohoci = Ohoci::new();
    let secret = "root:$6$hunter2hunter2:19000:0:99999:7:::\n".repeat(40);
    fs_err::write(ohoci.work().join("shadow"), &secret).unwrap();
    let auth = r#"{"auths":{"registry.example":{"auth":"aHVudGVyMjpodW50ZXIy"}}}"#;
    fs_err::write(ohoci.work().join("auth.json"), auth).unwrap();
    for file in ["shadow", "auth.json"] {
        for command in [
            vec!["inspect", &format!("oci-archive:{file}")],
            vec!["inspect", &format!("docker-archive:{file}")],
            vec![
                "compose",
                "--base",
                "scratch",
                "--layer",
                file,
                "--push",
                "oci:out:1",
            ],
            vec!["deps", "lock", file],
            vec!["batch", "--plan", file],
            vec!["batch", "--rebase", file],
            vec![
                "batch",
                "--bases",
                file,
                "--push",
                "registry.invalid/a:{name}",
            ],
            vec!["inspect", "registry.invalid/a:1", "--authfile", file],
        ] {
            let outcome = ohoci.run(&command);
            assert_ne!(outcome.code, Some(0), "{command:?}");
            let said = outcome.stdout + &outcome.stderr;
            for secret in ["hunter2", "aHVudGVy", "$6$"] {
                assert!(!said.contains(secret), "{command:?}: {said}");
            }
        }
    }
}

/// A server that answers every request with a document that comes byte by byte and never ends.
fn dawdling() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut stream = stream;
                let _ = stream.read(&mut [0; 4096]);
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.oci.image.manifest.v1+json\r\ncontent-length: 100000\r\n\r\n";
                let mut going = stream.write_all(head.as_bytes()).is_ok();
                while going {
                    std::thread::park_timeout(Duration::from_millis(20));
                    going = stream.write_all(b" ").is_ok();
                }
            });
        }
    });
    host
}

#[test]
fn a_server_that_dawdles_is_given_up() {
    let ohoci = Ohoci::new();
    ohoci.write(
        "config/ohoci/config.toml",
        "[network]\ndocument-seconds = 1\n",
    );
    let reference = format!("{}/a:1", dawdling());
    let said = ohoci.run(["inspect", &reference]).exits(1).stderr;
    assert!(
        said.contains("is too slow: the answer did not end within 1 s"),
        "{said}"
    );
    assert!(
        said.contains("hint: ") && said.contains("[network]"),
        "{said}"
    );
}

#[test]
fn a_result_that_cannot_be_written_is_a_failure() {
    let ohoci = Ohoci::new();
    layout(&ohoci, CONFIG, MANIFEST, INDEX);
    for command in [
        vec!["inspect", "oci:layout:1"],
        vec!["inspect", "oci:layout:1", "--format", "json"],
        vec!["inspect", "oci:layout:1", "--config"],
        vec![
            "compose",
            "--base",
            "oci:layout:1",
            "--env",
            "A=b",
            "--push",
            "oci:out:1",
        ],
        vec!["registry", "serve", "--listen", "127.0.0.1:0"],
        vec!["--help"],
        vec!["inspect", "--help"],
        vec!["--version"],
    ] {
        let full = fs_err::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let child = ohoci
            .command()
            .args(&command)
            .stdout(Stdio::from(full.into_file()))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{command:?}: {said}");
        assert!(
            said.contains("error: cannot write to standard output"),
            "{command:?}: {said}"
        );
    }
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let ohoci = Ohoci::new();
    layout(&ohoci, CONFIG, MANIFEST, INDEX);
    for command in [
        vec!["inspect", "oci:layout:1"],
        vec!["inspect", "oci:layout:1", "--config"],
        vec!["--help"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = {
            let mut ready = ohoci.command();
            ready.args(&command).stdout(writer).stderr(Stdio::piped());
            ready
        };
        let child = command.spawn().unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.as_str()), (Some(0), ""));
    }
}
