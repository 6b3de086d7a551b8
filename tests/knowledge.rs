//! What ohoci remembers of a registry is never taken for more than it is: no tag is left that
//! names what is not there, on registries that take manifests unchecked, too.

use axum::http::Method;
use ohoci_image::media_type::{Compression, Family};
use serde_json::{Value, json};

use crate::support::answering::answer;
use crate::support::images::{Image, bare};
use crate::support::requests::{Words, count};
use crate::support::trusting_registry::TrustingRegistry;
use crate::support::workbench::Workbench;

fn workbench(registry: &TrustingRegistry) -> Workbench {
    Workbench::new(&registry.host(), registry.peer())
}

fn image() -> Image {
    bare(Family::Oci, vec![])
        .many_layers(2, Compression::Gzip)
        .build()
}

/// Everything that the tag names is there.
#[track_caller]
fn whole(bench: &Workbench, repository: &str, tag: &str) {
    let pulled = bench.pull(repository, tag);
    for layer in pulled.layers() {
        let there = bench.peer.blob(repository, layer).is_some();
        assert!(there, "{repository}:{tag} lacks {layer}");
    }
}

#[test]
fn a_registry_that_was_emptied_gets_everything_again() {
    let registry = TrustingRegistry::start();
    let bench = workbench(&registry);
    let base = image();
    let layout = bench.ohoci.work().join("layout");
    base.write_layout(&layout, "1");
    let from = format!("oci:{}:1", layout.display());
    for round in 0..2 {
        registry.empty();
        bench.run(&["copy", &from, "@/base:1"]).exits(0);
        whole(&bench, "base", "1");
        bench.composed(&["--base", "@/base:1", "--env", "A=1", "--push", "@/out:1"]);
        whole(&bench, "out", "1");
        // Another image, of which memory says that every layer is there.
        registry.empty();
        base.push(&bench.peer, "base", "1");
        let env = format!("B={round}");
        bench.composed(&["--base", "@/base:1", "--env", &env, "--push", "@/out:1"]);
        whole(&bench, "out", "1");
    }
}

#[test]
fn a_base_that_is_read_from_the_cache_proves_nothing_of_its_repository() {
    let registry = TrustingRegistry::start();
    let bench = workbench(&registry);
    let base = image();
    base.push(&bench.peer, "app", "base");
    let pinned = format!("@/app@{}", base.digest);
    bench.composed(&["--base", &pinned, "--env", "A=1", "--push", "@/app:1"]);
    registry.empty();
    // The layers are in the same repository as ever, and nowhere else: there is nothing to push.
    let outcome = bench.compose(&["--base", &pinned, "--env", "B=1", "--push", "@/app:2"]);
    assert_ne!(outcome.code, Some(0), "{}", outcome.stderr);
    let tag = bench
        .peer
        .send(Method::HEAD, "/v2/app/manifests/2", "", Vec::new())
        .unwrap();
    assert_eq!(tag.status, 404);
}

#[test]
fn one_blob_that_is_gone_is_found_out_where_its_proof_is_the_only_one() {
    let registry = TrustingRegistry::start();
    let bench = workbench(&registry);
    let base = image();
    base.push(&bench.peer, "base", "1");
    bench.composed(&["--base", "@/base:1", "--env", "A=1", "--push", "@/out:1"]);
    // Garbage is collected from the top: upper layers are those that fewest images have.
    registry.lose("out", &base.layers[1].digest);
    bench.composed(&["--base", "@/base:1", "--env", "B=1", "--push", "@/out:1"]);
    whole(&bench, "out", "1");
}

#[test]
fn memory_is_tested_once_in_a_run_beside_the_upload_of_the_config() {
    let registry = TrustingRegistry::start();
    let bench = workbench(&registry);
    let base = image();
    base.push(&bench.peer, "base", "1");
    let pinned = format!("@/base@{}", base.digest);
    bench.composed(&["--base", &pinned, "--env", "A=1", "--push", "@/out:1"]);
    registry.take_requests();
    bench.composed(&["--base", &pinned, "--env", "B=1", "--push", "@/out:2"]);
    let asked = registry.take_requests();
    let words = Words::default().name(&base.layers[1].digest, "upper");
    assert_eq!(
        words.sorted(&asked),
        [
            "HEAD out/blobs/<upper>",
            "POST out/blobs/uploads/",
            "PUT out/blobs/uploads/*",
            "PUT out/manifests/2",
        ]
    );
    assert_eq!(words.of(&asked)[3], "PUT out/manifests/2");
}

#[test]
fn one_lie_makes_all_that_was_remembered_of_the_registry_void() {
    let registry = TrustingRegistry::start();
    let bench = workbench(&registry);
    let base = image();
    base.push(&bench.peer, "base", "1");
    for repository in ["one", "two"] {
        let push = format!("@/{repository}:1");
        bench.composed(&["--base", "@/base:1", "--env", "A=1", "--push", &push]);
    }
    registry.lose("one", &base.layers[1].digest);
    bench.composed(&["--base", "@/base:1", "--env", "B=1", "--push", "@/one:1"]);
    registry.take_requests();
    bench.composed(&["--base", "@/base:1", "--env", "B=1", "--push", "@/two:1"]);
    let asked = registry.take_requests();
    let mounts = asked.iter().filter(|(_, target)| target.contains("mount="));
    assert_eq!(mounts.count(), 2, "{asked:?}");
}

#[test]
fn a_mount_that_does_not_name_the_blob_is_looked_at() {
    let registry = TrustingRegistry::meddled(|asked, _| {
        let mount = asked.method == Method::POST && asked.target.contains("mount=");
        mount.then(|| answer(201, &[], ""))
    });
    let bench = workbench(&registry);
    image().push(&bench.peer, "base", "1");
    let report = bench.composed(&["--base", "@/base:1", "--env", "A=1", "--push", "@/out:1"]);
    whole(&bench, "out", "1");
    assert_eq!(report["layers"][0]["arrival"], json!("copied"));
}

#[test]
fn mounts_that_are_acknowledged_and_lost_are_made_up_for_where_the_manifest_shows_it() {
    let registry = TrustingRegistry::meddled(|asked, held| {
        if let Some((_, digest)) = asked.target.split_once("?mount=") {
            let digest = digest.replace("%3A", ":");
            let digest = digest.split('&').next().unwrap();
            return Some(answer(201, &[("docker-content-digest", digest)], ""));
        }
        if asked.method != Method::PUT || !asked.target.starts_with("/v2/out/manifests/") {
            return None;
        }
        let manifest: Value = serde_json::from_slice(asked.body).unwrap();
        let layers = manifest["layers"].as_array().unwrap();
        let has = |layer: &Value| held.has("out", layer["digest"].as_str().unwrap());
        (!layers.iter().all(has)).then(|| {
            let body = r#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"unknown"}]}"#;
            answer(404, &[], body)
        })
    });
    let bench = workbench(&registry);
    image().push(&bench.peer, "base", "1");
    let report = bench.composed(&["--base", "@/base:1", "--env", "A=1", "--push", "@/out:1"]);
    whole(&bench, "out", "1");
    assert_eq!(report["layers"][0]["arrival"], json!("copied"));
}

#[test]
fn a_manifest_that_is_stored_and_answered_500_is_a_success() {
    let registry = TrustingRegistry::meddled(|asked, held| {
        let put = asked.method == Method::PUT && asked.target == "/v2/out/manifests/1";
        put.then(|| {
            let mut headers = axum::http::HeaderMap::new();
            let kind = "application/vnd.oci.image.manifest.v1+json";
            headers.insert("content-type", kind.parse().unwrap());
            held.answer(asked, &headers);
            answer(501, &[], "not today")
        })
    });
    let bench = workbench(&registry);
    image().push(&bench.peer, "base", "1");
    bench.composed(&["--base", "@/base:1", "--env", "A=1", "--push", "@/out:1"]);
    whole(&bench, "out", "1");
}

#[test]
fn a_length_that_is_not_the_blobs_is_not_the_blob_and_none_is_believed() {
    for (length, uploads) in [("0", 0), ("7", 1)] {
        let registry = TrustingRegistry::meddled(move |asked, _| {
            let head = asked.method == Method::HEAD && asked.target.contains("/out/blobs/");
            head.then(|| answer(200, &[("content-length", length)], ""))
        });
        let bench = workbench(&registry);
        let base = bare(Family::Oci, vec![])
            .many_layers(1, Compression::Gzip)
            .build();
        let layout = bench.ohoci.work().join("layout");
        base.write_layout(&layout, "1");
        let from = format!("oci:{}:1", layout.display());
        for layer in &base.layers {
            bench.peer.put_blob("out", &layer.bytes);
        }
        registry.take_requests();
        bench
            .run(&[
                "compose", "--base", &from, "--env", "A=1", "--push", "@/out:1",
            ])
            .exits(0);
        let asked = registry.take_requests();
        // The config is always uploaded.
        assert_eq!(count(&asked, "POST"), 1 + uploads, "{length}: {asked:?}");
        whole(&bench, "out", "1");
    }
}
