//! Every digest that was given out is answered again: with the bytes that `ohoci compose` pushes, by a
//! process that knows nothing yet, and after an end by force.

use ohoci_image::media_type::{Compression, Family};
use rustix::process::Signal;
use serde_json::Value;

use super::{Scene, metric, peer, start};
use crate::support::command::Ohoci;
use crate::support::images::{Index, busybox};
use crate::support::peer::{Peer, sha256};

/// The digests of a manifest or index, and of everything below it that it lists.
fn everything(peer: &Peer, repository: &str, root: &str) -> Vec<(bool, String)> {
    let mut found = vec![(true, root.to_owned())];
    let (_, bytes) = peer.manifest(repository, root);
    assert_eq!(sha256(&bytes), root);
    let document: Value = serde_json::from_slice(&bytes).unwrap();
    let digest = |entry: &Value| entry["digest"].as_str().unwrap().to_owned();
    for entry in document["manifests"].as_array().into_iter().flatten() {
        found.extend(everything(peer, repository, &digest(entry)));
    }
    let layers = document["layers"].as_array().into_iter().flatten();
    let config = document.get("config").into_iter();
    found.extend(config.chain(layers).map(|entry| (false, digest(entry))));
    found
}

fn read(peer: &Peer, repository: &str, (is_manifest, digest): &(bool, String)) -> Vec<u8> {
    match is_manifest {
        true => peer.manifest(repository, digest).1,
        false => peer.blob(repository, digest).unwrap(),
    }
}

#[test]
fn an_image_has_the_digest_that_compose_would_push() {
    let scene = Scene::new();
    busybox(Family::Docker, Compression::Gzip)
        .build()
        .push(&scene.bench.peer, "docker", "1");
    busybox(Family::Oci, Compression::Gzip)
        .build()
        .push(&scene.bench.peer, "oci", "1");
    Index::busybox(Family::Oci, Compression::Gzip).push(&scene.bench.peer, "index", "1");
    let rules = scene
        .rule("deps = [\"@/deps:1\"]\nfit = \"account,tmp\"\nuser = \"1234\"\nenv = { A = \"b\" }");
    let gateway = start(&scene.bench.ohoci, &rules, &[]);
    for base in ["docker", "oci", "index"] {
        let report = scene.bench.composed(&[
            "--base",
            &format!("@/{base}:1"),
            "--deps",
            "@/deps:1",
            "--fit",
            "account,tmp",
            "--user",
            "1234",
            "--env",
            "A=b",
            "--all-platforms",
            "--push",
            &format!("@/out/{base}:1"),
        ]);
        let digest = report["digest"].as_str().unwrap();
        let composed = peer(&gateway);
        let name = format!("openhands/{base}");
        let (media_type, bytes) = composed.manifest(&name, "1");
        assert_eq!(sha256(&bytes), digest, "{base}");
        assert_eq!(
            media_type,
            scene.bench.peer.manifest(&format!("out/{base}"), "1").0
        );
        let pushed = everything(&scene.bench.peer, &format!("out/{base}"), digest);
        assert_eq!(everything(&composed, &name, digest), pushed);
        for one in &pushed {
            assert_eq!(sha256(&read(&composed, &name, one)), one.1);
        }
    }
    gateway.terminate(Signal::TERM);
}

#[test]
fn replicas_that_share_nothing_answer_for_each_other() {
    let scene = Scene::new();
    scene.bench.push_base("a/base", Family::Oci);
    Index::busybox(Family::Oci, Compression::Gzip).push(&scene.bench.peer, "a/base", "2");
    let rules = scene.rule("deps = [\"@/deps:1\"]\nfit = \"account,tmp\"\nuser = \"1234\"");
    let (one, other) = (Ohoci::new(), Ohoci::new());
    let first = start(&one, &rules, &["--no-cache"]);
    let (_, bytes) = peer(&first).manifest("openhands/a/base", "2");
    let all = everything(&peer(&first), "openhands/a/base", &sha256(&bytes));
    first.terminate(Signal::TERM);
    assert!(all.len() > 5, "{all:?}");
    // Each alone, by a process that was asked for nothing else.
    for one in &all {
        let replica = start(&other, &rules, &["--no-cache"]);
        assert_eq!(
            sha256(&read(&peer(&replica), "openhands/a/base", one)),
            one.1
        );
        replica.terminate(Signal::TERM);
    }
}

#[test]
fn a_name_that_says_its_base_needs_no_search() {
    let scene = Scene::new();
    let base = scene.bench.push_base("base", Family::Oci);
    let host = scene.registry.host();
    let rules = format!(
        "[[rule]]\nname = \"at/{{repository}}/{{digest}}\"\nbase = \"{host}/{{repository}}\"\n\
         bases = [\"{host}/*\"]\ndeps = [\"{host}/deps:1\"]\n"
    );
    let name = format!("at/base/{}", base.digest.strip_prefix("sha256:").unwrap());
    let (one, other) = (Ohoci::new(), Ohoci::new());
    let first = start(&one, &rules, &["--no-cache"]);
    let digest = sha256(&peer(&first).manifest(&name, "latest").1);
    first.terminate(Signal::TERM);
    scene.registry.take_requests();
    let second = start(&other, &rules, &["--no-cache"]);
    assert_eq!(sha256(&peer(&second).manifest(&name, &digest).1), digest);
    assert_eq!(metric(&peer(&second), "ohoci_digest_searches_total"), 0);
    let asked = scene.registry.take_requests();
    assert!(
        asked.iter().all(|(_, path)| !path.contains("tags/list")),
        "{asked:?}"
    );
    second.terminate(Signal::TERM);
}

#[test]
fn what_was_given_out_is_answered_after_an_end_by_force_and_without_the_registry() {
    let scene = Scene::new();
    scene.bench.push_base("base", Family::Oci);
    let rules = scene.rule("deps = [\"@/deps:1\"]\nfresh-seconds = 0");
    let ohoci = Ohoci::new();
    let gateway = start(&ohoci, &rules, &[]);
    let digest = sha256(&peer(&gateway).manifest("openhands/base", "1").1);
    let documents: Vec<_> = everything(&peer(&gateway), "openhands/base", &digest);
    gateway.signal(Signal::KILL);
    drop(gateway.end());
    let Scene { registry, .. } = scene;
    drop(registry);

    let mut gateway = start(&ohoci, &rules, &[]);
    let composed = peer(&gateway);
    for document in documents.iter().take(2) {
        assert_eq!(
            sha256(&read(&composed, "openhands/base", document)),
            document.1
        );
    }
    assert_eq!(sha256(&composed.manifest("openhands/base", "1").1), digest);
    let said = gateway.line_on_stderr();
    assert!(
        said.contains("composed before") && said.contains(&digest),
        "{said}"
    );
    assert_eq!(metric(&composed, "ohoci_outdated_answers_total"), 1);
    gateway.signal(Signal::TERM);
    gateway.end().exits(0);
}
