//! `compose --fit` and `ohoci check`: what bases lack, found in the headers of their layers.

use std::collections::BTreeMap;

use ohoci_image::media_type::{Compression, Family};
use serde_json::{Value, json};

use crate::support::images::{Layer, Node, bare};
use crate::support::ohoci_registry::OhociRegistry;
use crate::support::workbench::Workbench;

const ALL: [&str; 6] = ["sh", "bash", "env", "users", "tmp", "certificates"];

struct Scene {
    _registry: OhociRegistry,
    bench: Workbench,
}

impl Scene {
    fn new() -> Self {
        let registry = OhociRegistry::start();
        let bench = Workbench::new(&registry.host(), registry.peer());
        for file in [
            "tools/bin/dash",
            "tools/bin/bash",
            "tools/bin/env",
            "etc/ssl/certs/ca-certificates.crt",
        ] {
            bench.ohoci.write(format!("work/deps-files/{file}"), "x");
        }
        bench.push_deps("@/deps:1");
        Self {
            _registry: registry,
            bench,
        }
    }

    /// Pushes `base:TAG` of these layers.
    fn base(&self, tag: &str, layers: &[&[(&str, Node)]]) {
        let layers = layers
            .iter()
            .map(|nodes| Layer::pack(nodes, Compression::Gzip))
            .collect();
        let image = bare(Family::Oci, layers).build();
        image.push(&self.bench.peer, "base", tag);
    }

    #[track_caller]
    fn compose(&self, tag: &str, more: &[&str]) -> Value {
        let base = format!("@/base:{tag}");
        let push = format!("@/out:{tag}");
        let start = ["--base", &base, "--deps", "@/deps:1", "--push", &push];
        self.bench.composed(&[&start[..], more].concat())
    }

    /// What is in the topmost layer of `out:TAG`, with the targets of links.
    fn top(&self, tag: &str) -> BTreeMap<String, String> {
        let pulled = self.bench.pull("out", tag);
        let layers = pulled.layers();
        let blob = self.bench.peer.blob("out", layers.last().unwrap()).unwrap();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(blob.as_slice()));
        let mut found = BTreeMap::new();
        for entry in archive.entries().unwrap() {
            let entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let target = entry.link_name().unwrap();
            let target = target.map_or_else(String::new, |target| target.display().to_string());
            found.insert(path.trim_end_matches('/').to_owned(), target);
        }
        found
    }
}

fn file() -> Node {
    Node::File(b"x".to_vec())
}

/// Machine code that needs no loader.
fn program() -> Node {
    let mut bytes = vec![0; 64];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    bytes[18] = 62;
    Node::Program(bytes)
}

fn link(target: &'static str) -> Node {
    Node::Link(target)
}

#[test]
fn an_empty_base_gets_everything_and_a_full_one_nothing() {
    let scene = Scene::new();
    let report = scene.bench.composed(&[
        "--base",
        "scratch",
        "--deps",
        "@/deps:1",
        "--push",
        "@/out:scratch",
        "--fit",
        "auto",
    ]);
    assert_eq!(report["fitted"][0]["added"], json!(ALL));
    let top = scene.top("scratch");
    assert_eq!(top["bin/sh"], "/openhands/tools/bin/dash");
    assert_eq!(top["usr/bin/env"], "/openhands/tools/bin/env");

    scene.base(
        "full",
        &[&[
            ("bin", link("usr/bin")),
            ("usr/bin/sh", link("dash")),
            ("usr/bin/bash", file()),
            ("usr/bin/env", file()),
            ("etc/passwd", file()),
            ("etc/ssl/certs/ca-certificates.crt", file()),
            ("tmp", Node::Directory),
        ]],
    );
    let report = scene.compose("full", &["--fit", "auto"]);
    assert_eq!(report["fitted"][0]["added"], json!([]));
    let plain = scene.compose("full", &[]);
    assert_eq!(plain["digest"], report["digest"]);
    assert_eq!(plain["fitted"], Value::Null);
}

#[test]
fn links_land_where_a_merged_usr_leads() {
    let scene = Scene::new();
    scene.base(
        "merged",
        &[
            &[
                ("bin", link("usr/bin")),
                ("usr/bin/sh", file()),
                ("usr/bin/env", file()),
            ],
            &[("usr/bin/.wh.env", file())],
        ],
    );
    let report = scene.compose("merged", &["--fit", "sh,bash,env"]);
    assert_eq!(report["fitted"][0]["added"], json!(["bash", "env"]));
    let top = scene.top("merged");
    // Entries of `usr` or `bin` would override the base's mode and owner, or its link.
    assert_eq!(
        top.keys().collect::<Vec<_>>(),
        ["usr/bin/bash", "usr/bin/env"]
    );
}

#[test]
fn the_headers_of_a_layer_are_read_once() {
    let scene = Scene::new();
    let shared: &[(&str, Node)] = &[("bin/sh", file())];
    scene.base("one", &[shared, &[("one", file())]]);
    scene.base("two", &[shared, &[("two", file())]]);
    let down = |report: &Value| report["bytesDown"].as_u64().unwrap();
    let first = scene.compose("one", &["--fit", "auto"]);
    let again = scene.compose("one", &["--fit", "auto"]);
    assert_eq!(first["digest"], again["digest"]);
    let blobs = |report: &Value| report["requests"]["GET"].as_u64().unwrap_or(0);
    // Its documents and one layer; the shared one was read for the first.
    let second = scene.compose("two", &["--fit", "auto"]);
    assert_eq!(blobs(&second), 3, "{second}");
    assert!(down(&again) < down(&first));
}

#[test]
fn a_rebased_image_gets_what_its_new_base_lacks() {
    let scene = Scene::new();
    scene.base("1", &[&[("bin/sh", file())]]);
    scene.compose("1", &["--fit", "sh,bash"]);
    assert_eq!(scene.top("1").len(), 1);
    let verified = scene.bench.run(&["verify", "@/out:1"]);
    verified.exits(0);
    scene.base("1", &[&[("bin/bash", file())]]);
    scene.bench.run(&["rebase", "@/out:1"]).exits(0);
    let top = scene.top("1");
    assert_eq!(top.keys().collect::<Vec<_>>(), ["bin/sh"]);
    assert_eq!(scene.bench.pull("out", "1").layers().len(), 3);
}

#[test]
fn what_a_fit_needs_is_said() {
    let scene = Scene::new();
    scene.base("1", &[&[("bin/sh", file())]]);
    let compose = |more: &[&str]| {
        let start = ["--base", "@/base:1", "--push", "@/out:1"];
        let outcome = scene.bench.compose(&[&start[..], more].concat());
        outcome.exits(2).stderr
    };
    assert!(compose(&["--fit", "auto"]).contains("there is none"));
    assert!(compose(&["--deps", "@/deps:1", "--fit", "shell"]).contains("none of auto"));
}

#[test]
fn a_check_tells_what_is_lacking_from_what_is_wrong() {
    let scene = Scene::new();
    scene.base(
        "alpine",
        &[&[
            ("bin/sh", program()),
            ("lib/ld-musl-x86_64.so.1", file()),
            ("tmp", Node::Directory),
        ]],
    );
    let outcome = scene
        .bench
        .run(&["check", "@/base:alpine", "--deps", "@/deps:1"])
        .exits(0);
    for expected in [
        "C library      musl",
        "lacks  bash",
        "fine   shell",
        "--fit auto",
    ] {
        assert!(outcome.stdout.contains(expected), "{}", outcome.stdout);
    }
    scene.base("taken", &[&[("openhands/file", file())]]);
    let outcome = scene
        .bench
        .run(&["check", "@/base:taken", "--format", "json"]);
    let report = outcome.exits(4).json();
    assert_eq!(report["works"], false);
    // An image that has a deps image in it already is fine, and what it promises is looked at; the
    // deps image of these tests puts no tools on PATH.
    scene.compose("alpine", &["--fit", "auto"]);
    let composed = scene.bench.run(&["check", "@/out:alpine"]).exits(0);
    let lacks = composed
        .stdout
        .lines()
        .filter(|line| line.contains("lacks"));
    let lacks: Vec<&str> = lacks.collect();
    assert_eq!(lacks.len(), 1, "{}", composed.stdout);
    assert!(lacks[0].contains("PATH"), "{}", composed.stdout);
}

#[test]
fn the_base_that_has_nothing_can_be_looked_over() {
    let scene = Scene::new();
    let found = scene.bench.run(&["check", "scratch", "--deps", "@/deps:1"]);
    let found = found.exits(0).stdout;
    assert!(
        found.contains("no /bin/sh") && found.contains("C library      none"),
        "{found}"
    );
}
