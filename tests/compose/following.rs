//! What `--layer` adds stands where the base's symlinks lead, and hides nothing that the base has.

use std::io::Read as _;

use ohoci_image::media_type::{Compression, Family};

use crate::support::command::Outcome;
use crate::support::images::{Layer, Node, bare};
use crate::support::ohoci_registry::OhociRegistry;
use crate::support::workbench::Workbench;

fn file(text: &str) -> Node {
    Node::File(text.as_bytes().to_vec())
}

/// A bench with `base:1`, everything of which is below `/usr`, in the registry and in a layout.
fn workbench() -> (OhociRegistry, Workbench) {
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    let nodes = [
        ("usr/bin/sh", file("shell")),
        ("usr/lib/libc.so.6", file("library")),
        ("bin", Node::Link("usr/bin")),
        ("lib", Node::Link("/usr/lib")),
        ("opt", Node::Link("var/opt")),
        ("var/opt", Node::Directory),
        ("dangling", Node::Link("var/gone")),
    ];
    let layer = Layer::pack(&nodes, Compression::Gzip);
    let image = bare(Family::Oci, vec![layer]).build();
    image.push(&bench.peer, "base", "1");
    bench.run(&["copy", "@/base:1", "oci:base:1"]).exits(0);
    (registry, bench)
}

fn compose(bench: &Workbench, base: &str, layer: &str, more: &[&str]) -> Outcome {
    let start = ["--base", base, "--layer", layer, "--push", "@/out:1"];
    bench.compose(&[&start[..], more].concat())
}

/// The paths in the uppermost layer of `out:1`, with what files say.
fn top(bench: &Workbench) -> Vec<String> {
    let pulled = bench.pull("out", "1");
    let layers = pulled.manifest["layers"].as_array().unwrap();
    let digest = layers.last().unwrap()["digest"].as_str().unwrap();
    let blob = bench.peer.blob("out", digest).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(blob.as_slice()));
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        format!("{path} {text}").trim_end().to_owned()
    });
    entries.collect()
}

#[test]
fn directories_go_where_links_of_a_base_on_this_machine_lead() {
    let (_registry, bench) = workbench();
    for path in ["bin/tool", "lib/sub/data", "opt/x", "dangling/y", "srv/z"] {
        bench.ohoci.write(format!("work/files/{path}"), path);
    }
    let said = compose(&bench, "oci:base:1", "files", &[]).exits(0).stderr;
    assert!(
        said.contains("layer files: what it has in /bin is put into /usr/bin"),
        "{said}"
    );
    let found = top(&bench);
    assert_eq!(
        found,
        [
            "usr/bin/tool bin/tool",
            "var/gone/",
            "var/gone/y dangling/y",
            "usr/lib/sub/",
            "usr/lib/sub/data lib/sub/data",
            "var/opt/x opt/x",
            "srv/",
            "srv/z srv/z",
        ]
    );
    // The same again is the same.
    let digest = bench.pull("out", "1").digest;
    compose(&bench, "oci:base:1", "files", &["--compression-level", "6"]).exits(0);
    assert_eq!(bench.pull("out", "1").digest, digest);
}

#[test]
fn tars_do_too_whether_or_not_they_have_the_directory() {
    let (_registry, bench) = workbench();
    for (name, compression) in [
        ("a.tar", Compression::None),
        ("a.tar.gz", Compression::Gzip),
    ] {
        let nodes = [("bin/tool", file("tool")), ("srv/x", file("x"))];
        let layer = Layer::pack(&nodes, compression);
        bench.ohoci.write(format!("work/{name}"), layer.bytes);
        compose(&bench, "oci:base:1", name, &[]).exits(0);
        assert_eq!(top(&bench), ["usr/bin/tool tool", "srv/x x"], "{name}");
    }
}

#[test]
fn of_a_base_in_a_registry_links_are_followed_where_it_is_read() {
    let (_registry, bench) = workbench();
    bench.ohoci.write("work/files/bin/tool", "tool");
    // Nothing is known of it: that is said.
    let said = compose(&bench, "@/base:1", "files", &[]).exits(0).stderr;
    assert!(
        said.contains("if that is a symlink in the base") && said.contains("--fit auto"),
        "{said}"
    );
    assert_eq!(top(&bench), ["bin/", "bin/tool tool"]);
    compose(&bench, "@/base:1", "files", &["--fit", "tmp"]).exits(0);
    let pulled = bench.pull("out", "1");
    assert_eq!(pulled.manifest["layers"].as_array().unwrap().len(), 3);
    let digest = pulled.manifest["layers"][1]["digest"].as_str().unwrap();
    let blob = bench.peer.blob("out", digest).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(blob.as_slice()));
    let mut entries = archive.entries().unwrap();
    let only = entries.next().unwrap().unwrap();
    assert_eq!(only.path().unwrap().display().to_string(), "usr/bin/tool");
    // Now it is known, and the same command must not come to another image than before.
    let said = compose(&bench, "@/base:1", "files", &[]).exits(1).stderr;
    assert!(
        said.contains("which is a symlink to usr/bin") && said.contains("hint: --fit auto"),
        "{said}"
    );
}

#[test]
fn what_would_land_on_another_file_of_the_layer_is_refused() {
    let (_registry, bench) = workbench();
    bench.ohoci.write("work/files/bin/tool", "one");
    bench.ohoci.write("work/files/usr/bin/tool", "other");
    let said = compose(&bench, "oci:base:1", "files", &[]).exits(1).stderr;
    assert!(
        said.contains("/usr/bin/tool") && said.contains("hint: "),
        "{said}"
    );
}

#[test]
fn a_level_changes_bytes_and_nothing_else() {
    let (_registry, bench) = workbench();
    bench
        .ohoci
        .write("work/files/srv/x", "text ".repeat(20_000));
    let layer = |more: &[&str]| {
        compose(&bench, "oci:base:1", "files", more).exits(0);
        let pulled = bench.pull("out", "1");
        let layers = pulled.manifest["layers"].as_array().unwrap();
        let size = layers.last().unwrap()["size"].as_u64().unwrap();
        let ids = pulled.config["rootfs"]["diff_ids"].clone();
        (size, ids)
    };
    let (usual, ids) = layer(&[]);
    let (large, same) = layer(&["--compression-level", "0"]);
    assert!(large > usual && ids == same);
    let zstd = ["--compression", "zstd", "--compression-level"];
    let (_, same) = layer(&[&zstd[..], &["19"]].concat());
    assert_eq!(ids, same);
    for wrong in [
        &["--compression-level", "10"][..],
        &[zstd[0], zstd[1], zstd[2], "20"],
    ] {
        let said = compose(&bench, "oci:base:1", "files", wrong)
            .exits(2)
            .stderr;
        assert!(said.contains("levels"), "{said}");
    }
}
