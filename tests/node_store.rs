//! `ohoci store`: layers are unpacked once on a machine, whoever runs what, and images need not exist.

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use ohoci_compose::compose::{compose, in_memory};
use ohoci_compose::job::Job;
use ohoci_compose::resolver::Resolver;
use ohoci_compose::{Observer, Unwatched};
use ohoci_image::media_type::{Compression, Family};
use ohoci_registry::{Client, Settings};
use ohoci_store::cache::Cache;
use serde_json::Value;

use crate::support::command::Ohoci;
use crate::support::images::{Layer, Node, Recipe, busybox};

fn file(text: &str) -> Node {
    Node::File(text.as_bytes().to_vec())
}

fn tool(text: &str) -> Layer {
    let nodes = [("tools", Node::Directory), ("tools/greeting", file(text))];
    Layer::pack(&nodes, Compression::Gzip)
}

/// A machine with the images `base` and `deps` in layouts.
fn machine() -> Ohoci {
    let ohoci = Ohoci::new();
    let write = |recipe: Recipe, name: &str| {
        recipe
            .build()
            .write_layout(&ohoci.work().join(name), "latest");
    };
    let base = busybox(Family::Oci, Compression::Gzip).layer(Layer::pack(
        &[
            ("bin/sleep", Node::Link("busybox")),
            ("bin/touch", Node::Link("busybox")),
            ("etc/base", file("base\n")),
        ],
        Compression::Zstd,
    ));
    write(base, "base");
    // A layer of the base's is one of the deps', too.
    let deps = busybox(Family::Oci, Compression::Gzip).layer(tool("hello\n"));
    write(deps, "deps");
    ohoci
}

fn usage(ohoci: &Ohoci) -> Value {
    ohoci
        .run(["store", "usage", "--format", "json"])
        .exits(0)
        .json()
}

fn blobs(ohoci: &Ohoci, image: &str) -> PathBuf {
    ohoci.work().join(image).join("blobs/sha256")
}

/// Takes the layers of an image away, and leaves its documents.
fn without_layers(ohoci: &Ohoci, image: &str) {
    for entry in fs_err::read_dir(blobs(ohoci, image)).unwrap() {
        let path = entry.unwrap().path();
        if !fs_err::read(&path).unwrap().starts_with(b"{") {
            fs_err::remove_file(path).unwrap();
        }
    }
}

#[test]
fn what_was_unpacked_is_not_read_again_and_what_a_run_writes_is_gone() {
    let ohoci = machine();
    let script = "cat /etc/base; touch /new; ls /new /etc/base";
    let first = ohoci.run(["run", "oci:base", "sh", "-c", script]).exits(0);
    assert_eq!(first.stdout, "base\n/etc/base\n/new\n");
    assert_eq!(usage(&ohoci)["layers"], 2);
    without_layers(&ohoci, "base");
    let again = ohoci.run(["run", "oci:base", "ls", "/"]).exits(0);
    assert!(!again.stdout.contains("new"), "{}", again.stdout);

    // Without the store there is nothing to run from.
    ohoci.run(["store", "prune", "--all"]).exits(0);
    assert_eq!(usage(&ohoci)["bytes"], 0);
    let gone = ohoci.run(["run", "oci:base", "ls", "/"]).exits(125);
    assert!(gone.stderr.contains("sha256"), "{}", gone.stderr);
}

#[test]
fn what_is_unpacked_is_looked_at_without_being_read_again() {
    let ohoci = machine();
    let odd = Layer::pack(
        &[
            ("bin/.wh.touch", file("")),
            ("bin/closed", Node::Program(b"#!/bin/none\n".to_vec())),
            ("lib/x/.wh..wh..opq", file("")),
            ("opt/link", Node::Link("../bin/closed")),
        ],
        Compression::Gzip,
    );
    busybox(Family::Oci, Compression::Gzip)
        .layer(odd)
        .build()
        .write_layout(&ohoci.work().join("odd"), "latest");
    for image in ["base", "odd"] {
        let reference = format!("oci:{image}");
        let report = |more: &[&str]| {
            let words = ["check", &reference, "--format", "json"];
            let outcome = ohoci.run([&words[..], more].concat());
            assert!(!outcome.stdout.is_empty(), "{}", outcome.stderr);
            outcome.json()
        };
        let read = report(&["--cache-dir", "other"]);
        ohoci.run(["run", &reference, "ls"]).exits(0);
        without_layers(&ohoci, image);
        assert_eq!(report(&[]), read, "{image}");
    }
}

#[test]
fn an_image_that_is_pushed_nowhere_runs_from_the_layers_of_its_base_and_its_deps() {
    let ohoci = machine();
    let composed = ["run", "--base", "oci:base", "--deps", "oci:deps"];
    let words = ["--", "cat", "/etc/base", "/tools/greeting"];
    let said = ohoci.run([&composed[..], &words].concat()).exits(0);
    assert_eq!(said.stdout, "base\nhello\n");
    // What compose would say, and nothing else.
    for line in said.stderr.lines() {
        let known = ["carries no config patch", "is added again"];
        assert!(known.iter().any(|known| line.contains(known)), "{line}");
    }
    assert_eq!(usage(&ohoci)["layers"], 3);
    ohoci.write("work/own/more", "own\n");
    let words = ["--layer", "own:/own", "cat", "/own/more"];
    let said = ohoci.run([&composed[..], &words].concat()).exits(0);
    assert_eq!(said.stdout, "own\n");
    // The base's and the deps' are shared with the image before.
    assert_eq!(usage(&ohoci)["layers"], 4);

    for (words, complaint) in [
        (
            vec!["run", "--deps", "oci:deps", "oci:base", "ls"],
            "--base",
        ),
        (vec!["run", "--layer", "own", "oci:base", "ls"], "no"),
        (
            vec!["run", "--base", "oci:base", "ls"],
            "nothing to put on it",
        ),
    ] {
        let refused = ohoci.run(words);
        assert_ne!(refused.code, Some(0));
        assert!(refused.stderr.contains(complaint), "{}", refused.stderr);
    }
}

#[test]
fn its_digest_is_the_one_that_compose_pushes() {
    let ohoci = machine();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let at = |name: &str| format!("oci:{}:latest", ohoci.work().join(name).display());
    let job = Job {
        deps: vec![at("deps").parse().unwrap()],
        push: vec![at("pushed").parse().unwrap()],
        ..Job::on(at("base").parse().unwrap(), ohoci.work())
    };
    let observer: Arc<dyn Observer> = Arc::new(Unwatched);
    let client = Client::new(Settings::default()).unwrap();
    let resolver = Resolver::new(client, Arc::new(Cache::disabled()));
    runtime.block_on(async {
        let image = in_memory(&job, &resolver, &observer).await.unwrap();
        let report = compose(&job, &resolver, &observer).await.unwrap();
        assert_eq!(image.digest, report.digest);
        assert_eq!(image.layers.len(), 4);
    });
}

#[test]
fn names_variables_and_hosts_are_taken_as_docker_takes_them() {
    let ohoci = machine();
    ohoci.write("work/variables", "# more\nONE=1\n\nTWO='2'\nTHREE=3\n");
    let script = "echo $ONE $TWO $THREE $HOSTNAME; cat /etc/hosts /proc/sys/kernel/hostname";
    let flags = [
        "run",
        "--env-file",
        "variables",
        "-e",
        "THREE=4",
        "--hostname",
        "box.example",
    ];
    let more = [
        "--add-host",
        "db.example:192.0.2.1",
        "--add-host",
        "six:[2001:db8::1]",
    ];
    let command = ["oci:base", "sh", "-c", script];
    let said = ohoci.run([&flags[..], &more, &command].concat()).exits(0);
    assert_eq!(
        said.stdout,
        "1 '2' 4 box.example\n127.0.0.1\tlocalhost box.example\n::1\tlocalhost box.example\n\
         192.0.2.1\tdb.example\n2001:db8::1\tsix\nbox.example\n"
    );
    for wrong in [
        ["--hostname", "a b"],
        ["--add-host", "a"],
        ["--env-file", "none"],
    ] {
        let refused = ohoci.run([&["run"], &wrong[..], &["oci:base", "true"]].concat());
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    }
}

/// A program that runs in `base` until it is told to end, and has begun.
fn running(ohoci: &Ohoci) -> Child {
    let mut child = ohoci
        .command()
        .args(["run", "oci:base", "sh", "-c", "echo begun; cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 6];
    let output = child.stdout.as_mut().unwrap();
    std::io::Read::read_exact(output, &mut first).unwrap();
    child
}

#[test]
fn what_a_run_uses_stays_and_the_limit_is_kept_without_being_asked() {
    let ohoci = machine();
    let mut child = running(&ohoci);
    let pruned = ohoci.run(["store", "prune", "--all"]).exits(0);
    assert!(pruned.stdout.starts_with("0 layers removed"));
    assert!(pruned.stderr.contains("something uses them"));
    assert_eq!(usage(&ohoci)["bytesInUse"], usage(&ohoci)["bytes"]);
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());

    ohoci.write("config/ohoci/config.toml", "[store]\nmost-bytes = 1\n");
    let words = ["run", "--base", "oci:base", "--deps", "oci:deps", "ls"];
    ohoci.run(words).exits(0);
    // Those that were in use went with nobody, and nothing was in use before they came.
    assert_eq!(usage(&ohoci)["layers"], 3);
    let deps = [
        "run", "--base", "scratch", "--layer", "image:/x", "--deps", "oci:deps", "x",
    ];
    ohoci.write("work/image", "x");
    ohoci.run(deps).exits(127);
    assert_eq!(usage(&ohoci)["layers"], 3);
    let listed = ohoci.run(["store", "list"]).exits(0);
    assert_eq!(listed.stdout.lines().count(), 3);
}

#[test]
fn a_store_elsewhere_is_found_and_one_that_cannot_be_is_named() {
    let ohoci = machine();
    let at = ohoci.work().join("elsewhere");
    let run = |at: &std::path::Path| {
        let mut command = ohoci.command();
        command
            .env("OHOCI_STORE_DIR", at)
            .args(["run", "oci:base", "true"]);
        command.output().unwrap()
    };
    run(&at);
    assert!(at.is_dir());
    assert_eq!(usage(&ohoci)["layers"], 0);
    let in_the_way = ohoci.write("work/file", "");
    let refused = run(&in_the_way);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("store of unpacked layers"), "{said}");
    assert!(said.contains("OHOCI_STORE_DIR"), "{said}");
}

#[test]
fn what_is_written_to_a_sandbox_with_a_name_stays_until_it_is_reset() {
    let ohoci = machine();
    let run =
        |image: &str, script: &str| ohoci.run(["run", "--keep", "mine", image, "sh", "-c", script]);
    run("oci:base", "echo 1 > /tmp/new; echo 2 > /etc/base").exits(0);
    let said = run("oci:base", "cat /tmp/new /etc/base").exits(0);
    assert_eq!(said.stdout, "1\n2\n");
    // Also over layers that were unpacked anew.
    ohoci.run(["store", "prune", "--all"]).exits(0);
    let said = run("oci:base", "cat /tmp/new /etc/base").exits(0);
    assert_eq!(said.stdout, "1\n2\n");
    let refused = run("oci:deps", "true").exits(125);
    assert!(
        refused.stderr.contains("of another image"),
        "{}",
        refused.stderr
    );
    let listed = ohoci.run(["reset", "--list"]).exits(0);
    assert!(listed.stdout.starts_with("mine  sha256:"));
    ohoci.run(["reset", "mine"]).exits(0);
    let said = run("oci:base", "ls /tmp; cat /etc/base").exits(0);
    assert_eq!(said.stdout, "base\n");
    ohoci.run(["reset", "--remove", "mine"]).exits(0);
    let gone = ohoci.run(["reset", "mine"]);
    assert!(gone.stderr.contains("there is no sandbox of that name"));
    assert_ne!(gone.code, Some(0));
}

#[test]
fn damage_is_found_by_content_and_repaired() {
    let ohoci = machine();
    ohoci.run(["run", "oci:base", "ls"]).exits(0);
    ohoci.run(["store", "verify"]).exits(0);
    let listed = ohoci
        .run(["store", "list", "--format", "json"])
        .exits(0)
        .json();
    let store = PathBuf::from(usage(&ohoci)["directory"].as_str().unwrap());
    for layer in listed.as_array().unwrap() {
        let digest = layer["digest"].as_str().unwrap().replace(':', "-");
        let file = store.join("layers").join(digest).join("files/etc/base");
        if file.exists() {
            fs_err::write(file, "bose\n").unwrap();
        }
    }
    let found = ohoci.run(["store", "verify"]).exits(1);
    assert!(found.stderr.contains("etc/base has other content"));
    assert!(found.stdout.contains("1 damaged, 0 removed"));
    let repaired = ohoci.run(["store", "verify", "--repair"]).exits(0);
    assert!(repaired.stdout.contains("1 damaged, 1 removed"));
    let said = ohoci.run(["run", "oci:base", "cat", "/etc/base"]).exits(0);
    assert_eq!(said.stdout, "base\n");
}

#[test]
fn whoever_is_killed_while_unpacking_leaves_nothing_that_counts() {
    let ohoci = machine();
    for wait in [0, 5, 10, 20, 30, 40] {
        let mut child = ohoci
            .command()
            .args(["run", "oci:base", "ls"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        child.kill().unwrap();
        child.wait().unwrap();
        ohoci.run(["store", "verify"]).exits(0);
    }
    let said = ohoci.run(["run", "oci:base", "cat", "/etc/base"]).exits(0);
    assert_eq!(said.stdout, "base\n");
    ohoci.run(["store", "prune", "--all"]).exits(0);
    let store = PathBuf::from(usage(&ohoci)["directory"].as_str().unwrap());
    for name in ["layers", "unfinished", "locks"] {
        let left = fs_err::read_dir(store.join(name)).unwrap().count();
        assert_eq!(left, 0, "{name}");
    }
}

#[test]
fn several_run_and_prune_at_the_same_time() {
    let ohoci = machine();
    std::thread::scope(|scope| {
        let runs = (0..3).map(|_| {
            scope.spawn(|| {
                for _ in 0..5 {
                    let said = ohoci.run(["run", "oci:base", "cat", "/etc/base"]).exits(0);
                    assert_eq!(said.stdout, "base\n");
                }
            })
        });
        let runs: Vec<_> = runs.collect();
        for _ in 0..10 {
            ohoci.run(["store", "prune", "--all"]).exits(0);
        }
        for run in runs {
            run.join().unwrap();
        }
    });
}
