//! Where the result goes: several tags and places at once, and sources of every kind.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use ohoci_image::media_type::{Compression, Family};
use serde_json::{Value, json};

use crate::support::clients::skopeo;
use crate::support::command::Ohoci;
use crate::support::debian_registry::DebianRegistry;
use crate::support::images::Index;
use crate::support::ohoci_registry::OhociRegistry;
use crate::support::peer::{Access, Peer, sha256};
use crate::support::workbench::{Workbench, pull};

#[test]
fn one_run_pushes_the_same_image_under_several_tags_and_to_several_places() {
    let debian = DebianRegistry::open();
    let own = OhociRegistry::start();
    let bench = Workbench::new(&debian.host(), debian.peer(Access::Anonymous));
    bench.push_base("base", Family::Docker);
    bench.push_deps("@/deps:1");
    let other = format!("{}/elsewhere/app:1", own.host());
    let report = bench.composed(&[
        "--base",
        "@/base:1",
        "--deps",
        "@/deps:1",
        "--push",
        "@/app:1",
        "--push",
        "@/app:2",
        "--push",
        "@/second/app",
        "--push",
        &other,
        "--push",
        "oci:layout:1",
        "--push",
        "oci-archive:app.tar:1",
    ]);
    let digest = report["digest"].as_str().unwrap();
    assert_eq!(
        report["reference"],
        json!(format!("{}/app@{digest}", bench.host))
    );
    for (repository, tag) in [("app", "1"), ("app", "2"), ("second/app", "latest")] {
        assert_eq!(bench.pull(repository, tag).digest, digest);
    }
    assert_eq!(pull(&own.peer(), "elsewhere/app", "1").digest, digest);
    let work = bench.ohoci.work();
    for place in [
        format!("oci:{}:1", work.join("layout").display()),
        format!("oci-archive:{}:1", work.join("app.tar").display()),
    ] {
        let raw = skopeo(&["inspect", "--raw", &place]);
        assert_eq!(sha256(raw.as_bytes()), digest, "{place}");
    }
    let statuses: Vec<(usize, &Value)> = report["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|target| {
            (
                target["references"].as_array().unwrap().len(),
                &target["status"],
            )
        })
        .collect();
    let pushed = json!("pushed");
    assert_eq!(
        statuses,
        [
            (2, &pushed),
            (1, &pushed),
            (1, &pushed),
            (1, &pushed),
            (1, &pushed)
        ]
    );
    let ways = |target: usize| -> Vec<&str> {
        report["targets"][target]["layers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|layer| layer["arrival"].as_str().unwrap())
            .collect()
    };
    assert_eq!(ways(0), ["mounted", "mounted"]);
    assert_eq!(ways(2), ["copied", "copied"]);
}

#[test]
fn sources_of_every_kind_give_the_same_layers() {
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    let base = bench.push_base("base", Family::Oci);
    bench.push_deps("@/deps:1");
    let deps = bench.pull("deps", "1").layers()[0].to_owned();
    for name in ["base", "deps"] {
        for (kind, suffix) in [("oci", ""), ("oci-archive", ".tar")] {
            let from = format!("@/{name}:1");
            let to = format!("{kind}:{name}-{kind}{suffix}:1");
            bench.run(&["copy", &from, &to]).exits(0);
        }
    }
    for (base_reference, deps_reference) in [
        ("oci:base-oci:1", "@/deps:1"),
        ("@/base:1", "oci:deps-oci:1"),
        ("oci-archive:base-oci-archive.tar:1", "oci:deps-oci"),
        ("oci:base-oci", "oci-archive:deps-oci-archive.tar"),
    ] {
        bench.composed(&[
            "--base",
            base_reference,
            "--deps",
            deps_reference,
            "--push",
            "@/app:1",
        ]);
        let made = bench.pull("app", "1");
        assert_eq!(
            made.layers(),
            [base.layers[0].digest.as_str(), deps.as_str()]
        );
        assert_eq!(made.runtime()["Entrypoint"], json!(["tool"]));
        let named = &made.manifest["annotations"]["org.opencontainers.image.base.name"];
        assert_eq!(
            named.is_string(),
            base_reference.starts_with('@'),
            "{named}"
        );
    }
}

#[test]
fn docker_archives_are_bases_and_targets() {
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    bench.push_base("base", Family::Docker);
    bench.push_deps("@/deps:1");
    bench
        .run(&["copy", "@/base:1", "docker-archive:base.tar:example/base:1"])
        .exits(0);
    bench.composed(&[
        "--base",
        "docker-archive:base.tar",
        "--deps",
        "@/deps:1",
        "--push",
        "docker-archive:app.tar:example/app:1",
    ]);
    let archive = bench.ohoci.work().join("app.tar");
    let config = skopeo(&[
        "inspect",
        "--config",
        &format!("docker-archive:{}", archive.display()),
    ]);
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["config"]["Entrypoint"], json!(["tool"]));
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 2);
}

#[test]
fn an_index_does_not_fit_into_a_docker_archive() {
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    Index::busybox(Family::Docker, Compression::Gzip).push(&bench.peer, "base", "1");
    let outcome = bench
        .compose(&[
            "--base",
            "@/base:1",
            "--all-platforms",
            "--env",
            "A=1",
            "--push",
            "docker-archive:app.tar:example/app:1",
        ])
        .exits(1);
    assert!(
        outcome.stderr.contains("one platform") && outcome.stderr.contains("--platform"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn places_that_cannot_be_pushed_to_are_refused_before_anything_is_read() {
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    let digest = format!("@/app@{}", sha256(b""));
    for (target, says) in [("scratch", "scratch"), (digest.as_str(), "push to a tag")] {
        let outcome = bench
            .compose(&["--base", "@/base:1", "--push", target])
            .exits(1);
        assert!(outcome.stderr.contains(says), "{}", outcome.stderr);
    }
    bench.compose(&["--base", "@/base:1"]).exits(2);
    bench.compose(&["--push", "@/app:1"]).exits(2);
    assert_eq!(registry.take_requests(), []);
}

/// Ends a process that serves until it is told to stop.
struct Served(std::process::Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_registry_started_from_the_command_line_is_base_and_target() {
    let ohoci = Ohoci::new();
    let mut child = Served(
        ohoci
            .command()
            .args([
                "registry",
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--dir",
                "registry",
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut host = String::new();
    BufReader::new(child.0.stdout.as_mut().unwrap())
        .read_line(&mut host)
        .unwrap();
    let peer = Peer::new(
        &format!("http://{}", host.trim()),
        Access::Anonymous,
        None,
        None,
    );
    let bench = Workbench::new(host.trim(), peer);
    bench.push_base("base", Family::Oci);
    bench.push_deps("@/deps:1");
    let report = bench.composed(&[
        "--base", "@/base:1", "--deps", "@/deps:1", "--push", "@/app:1",
    ]);
    // A repository is a layout, so that its images are there without the registry, too.
    let layout = ohoci.work().join("registry/app");
    let raw = skopeo(&["inspect", "--raw", &format!("oci:{}:1", layout.display())]);
    assert_eq!(json!(sha256(raw.as_bytes())), report["digest"]);
}
