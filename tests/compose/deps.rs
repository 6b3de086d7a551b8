//! `--deps` and `--deps-path`.

use std::time::Duration;

use ohoci_image::media_type::{Compression, Family};
use serde_json::{Value, json};
use testbed::Relay;

use crate::support::clients::run_in_container;
use crate::support::debian_registry::DebianRegistry;
use crate::support::images::{Layer, Node, busybox};
use crate::support::ohoci_registry::OhociRegistry;
use crate::support::peer::Access;
use crate::support::requests::{self, Words};
use crate::support::workbench::Workbench;

#[test]
fn several_deps_add_up_in_order_and_flags_come_last() {
    let registry = DebianRegistry::open();
    let bench = Workbench::new(&registry.host(), registry.peer(Access::Anonymous));
    let base = bench.push_base("base", Family::Oci);
    for (name, patch) in [
        (
            "one",
            r#"{"env":{"PATH":"/one:${PATH}","WHO":"one","ONE":"1"},"entrypoint":["one"],"labels":{"l":"one"}}"#,
        ),
        (
            "two",
            r#"{"env":{"PATH":"/two:${PATH}","WHO":"two"},"entrypoint":["two"],"labels":{"l":"two","two":"2"},"unset_env":["ONE"]}"#,
        ),
    ] {
        bench.ohoci.write(format!("work/{name}/file"), name);
        bench.composed(&[
            "--base",
            "scratch",
            "--layer",
            &format!("{name}:/{name}"),
            "--label",
            &format!("ohoci.patch={patch}"),
            "--push",
            &format!("@/{name}:1"),
        ]);
    }
    bench.ohoci.write("work/own/file", "own");
    let report = bench.composed(&[
        "--base",
        "@/base:1",
        "--deps",
        "@/one:1",
        "--deps",
        "@/two:1",
        "--layer",
        "own:/own",
        "--env",
        "PATH=/own:${PATH}",
        "--label",
        "l=own",
        "--push",
        "@/app:1",
    ]);
    let made = bench.pull("app", "1");
    let layer = |name: &str| bench.pull(name, "1").layers()[0].to_owned();
    assert_eq!(
        made.layers()[..3],
        [base.layers[0].digest.clone(), layer("one"), layer("two")]
    );
    let origins: Vec<&Value> = report["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| &layer["origin"])
        .collect();
    assert_eq!(origins, ["base", "deps", "deps", "local"]);
    let path = made.env()[0];
    assert!(
        path.starts_with("PATH=/own:/two:/one:/usr/local/sbin:"),
        "{path}"
    );
    assert_eq!(made.env()[1..], ["WHO=two"]);
    assert_eq!(made.runtime()["Entrypoint"], json!(["two"]));
    let labels = &made.runtime()["Labels"];
    assert_eq!([&labels["l"], &labels["two"]], [&json!("own"), &json!("2")]);
    let names: Vec<&Value> = report["deps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|deps| &deps["name"])
        .collect();
    assert_eq!(
        names,
        [
            &json!(format!("{}/one:1", bench.host)),
            &json!(format!("{}/two:1", bench.host))
        ]
    );
}

#[test]
fn the_same_deps_layer_serves_every_base() {
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    bench.push_deps("@/deps:1");
    let deps = bench.pull("deps", "1");
    for name in ["a", "b", "c"] {
        busybox(Family::Oci, Compression::Gzip)
            .many_layers(1, Compression::Gzip)
            .set("Labels", json!({"base": name}))
            .build()
            .push(&bench.peer, name, "1");
        let base = format!("@/{name}:1");
        let target = format!("@/app:{name}");
        bench.composed(&["--base", &base, "--deps", "@/deps:1", "--push", &target]);
        assert_eq!(
            bench.pull("app", name).layers().last(),
            deps.layers().last()
        );
    }
}

#[test]
fn deps_without_a_patch_only_add_their_layers_and_say_so() {
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    bench.push_base("base", Family::Oci);
    bench.push_layers("deps", 2);
    let outcome = bench
        .compose(&[
            "--base", "@/base:1", "--deps", "@/deps:1", "--push", "@/app:1",
        ])
        .exits(0);
    assert!(
        outcome.stderr.contains("carries no config patch"),
        "{}",
        outcome.stderr
    );
    let made = bench.pull("app", "1");
    assert_eq!(made.layers().len(), 3);
    assert_eq!(made.runtime()["Cmd"], json!(["sh"]));
}

#[test]
fn a_patch_that_cannot_be_read_is_refused_by_name() {
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    bench.push_base("base", Family::Oci);
    for patch in ["{", "[]", r#"{"envs":{}}"#] {
        busybox(Family::Oci, Compression::Gzip)
            .set("Labels", json!({"ohoci.patch": patch}))
            .build()
            .push(&bench.peer, "deps", "1");
        let outcome = bench
            .compose(&[
                "--base", "@/base:1", "--deps", "@/deps:1", "--push", "@/app:1",
            ])
            .exits(1);
        assert!(
            outcome.stderr.contains("/deps:1") && outcome.stderr.contains("ohoci.patch"),
            "{}",
            outcome.stderr
        );
    }
}

/// An image built by other means: files of the path in two layers, one overwritten, one deleted,
/// and much beside it.
fn foreign(bench: &Workbench) {
    let file = |text: &str| Node::File(text.as_bytes().to_vec());
    let program = b"#!/bin/sh\necho tool \"$@\"\n".to_vec();
    let first = Layer::pack(
        &[
            ("openhands", Node::Directory),
            ("openhands/bin", Node::Directory),
            ("openhands/bin/tool", Node::Program(program)),
            ("openhands/version", file("1")),
            ("openhands/gone", file("not any more")),
            ("var", Node::Directory),
            ("var/beside", file("not wanted")),
        ],
        Compression::Gzip,
    );
    let second = Layer::pack(
        &[
            ("openhands", Node::Directory),
            ("openhands/version", file("2")),
            ("openhands/.wh.gone", file("")),
        ],
        Compression::Zstd,
    );
    busybox(Family::Oci, Compression::Gzip)
        .layer(first)
        .layer(second)
        .build()
        .push(&bench.peer, "foreign", "1");
}

#[test]
fn a_path_of_a_foreign_image_becomes_one_layer_and_is_taken_once() {
    let registry = DebianRegistry::open();
    let relay = Relay::start(registry.address(), Duration::ZERO).unwrap();
    let bench = Workbench::new(
        &relay.address().to_string(),
        registry.peer(Access::Anonymous),
    );
    let base = bench.push_base("base", Family::Docker);
    foreign(&bench);
    let compose = |target: &str| {
        requests::take(&relay);
        let report = bench.composed(&[
            "--base",
            "@/base:1",
            "--deps",
            "@/foreign:1",
            "--deps-path",
            "/openhands",
            "--env",
            "PATH=/openhands/bin:${PATH}",
            "--push",
            target,
        ]);
        (report, requests::take(&relay))
    };
    let (first, sent) = compose("@/app:1");
    let layers_read = |sent: &[(String, String)]| {
        Words::default()
            .of(sent)
            .iter()
            .filter(|line| line.starts_with("GET foreign/blobs/"))
            .count()
    };
    assert_eq!(layers_read(&sent), 4, "config and three layers: {sent:?}");
    let made = bench.pull("app", "1");
    assert_eq!(made.layers().len(), 2);
    assert_eq!(made.layers()[0], base.layers[0].digest);
    assert_eq!(first["layers"][1]["origin"], json!("deps"));
    assert_eq!(first["layers"][1]["arrival"], json!("uploaded"));

    let source = format!("docker://{}/app:1", registry.host());
    let done = run_in_container(
        &source,
        &[
            "sh",
            "-c",
            "tool; cat /openhands/version; ls /openhands; ls /",
        ],
    );
    assert_eq!(
        done.stdout, "tool\n2bin\nversion\nbin\ndev\netc\nopenhands\nproc\ntmp\n",
        "{}",
        done.stderr
    );

    let (second, sent) = compose("@/other:1");
    assert_eq!(layers_read(&sent), 0, "{sent:?}");
    assert_eq!(second["digest"], first["digest"]);
}

#[test]
fn a_path_that_is_not_there_is_named() {
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    bench.push_base("base", Family::Oci);
    foreign(&bench);
    let outcome = bench
        .compose(&[
            "--base",
            "@/base:1",
            "--deps",
            "@/foreign:1",
            "--deps-path",
            "/opt/none",
            "--push",
            "@/app:1",
        ])
        .exits(1);
    assert!(
        outcome.stderr.contains("opt/none") && outcome.stderr.contains("/foreign:1"),
        "{}",
        outcome.stderr
    );
}
