//! `ohoci copy --compression`: other blobs with the same content, and configs and files as they were.

use ohoci_image::media_type::{Compression, Family, OCI_LAYER_ZSTD};
use serde_json::{Value, json};

use super::{document, layers, sample};
use crate::support::clients::skopeo;
use crate::support::command::Ohoci;
use crate::support::images::{Index, Layer, Node, bare};
use crate::support::ohoci_registry::OhociRegistry;
use crate::support::peer::sha256;

fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn layers_get_another_compression_and_the_config_stays() {
    let (ohoci, registry) = (Ohoci::new(), OhociRegistry::start());
    let host = registry.host();
    let image = sample(Family::Docker, Compression::Gzip);
    image.push(&registry.peer(), "from", "1");
    let (from, to) = (format!("{host}/from:1"), format!("{host}/to:1"));
    let zstd = ["copy", "--compression", "zstd", &from, &to];
    let outcome = ohoci.run(zstd).exits(0);
    assert_eq!(outcome.stderr, "");
    assert_eq!(document(&ohoci, "--config", &to), image.config);
    let manifest = document(&ohoci, "--manifest", &to);
    assert_eq!(outcome.stdout, format!("{host}/to@{}\n", sha256(&manifest)));
    // Docker's manifests have no type for zstd, so that this is an OCI manifest now.
    let manifest = parsed(&manifest);
    assert_eq!(
        manifest["mediaType"],
        "application/vnd.oci.image.manifest.v1+json"
    );
    for layer in manifest["layers"].as_array().unwrap() {
        assert_eq!(layer["mediaType"], OCI_LAYER_ZSTD);
    }
    // An independent reader takes it, and finds that the content fits the diff IDs.
    let copied = format!("oci:{}/skopeo:1", ohoci.work().display());
    let docker = format!("docker://{to}");
    skopeo(&["copy", "--src-tls-verify=false", &docker, &copied]);
    let run = ["run", "--user", "0", &to, "cat", "/etc/greeting"];
    assert_eq!(ohoci.run(run).exits(0).stdout, "hello");

    // The same again makes the same, and back to gzip, only the bytes differ.
    let again = format!("{host}/again:1");
    ohoci
        .run(["copy", "--compression", "zstd", &from, &again])
        .exits(0);
    let made = |reference: &str| document(&ohoci, "--manifest", reference);
    assert_eq!(made(&to), made(&again));
    let back = format!("{host}/back:1");
    let outcome = ohoci
        .run(["copy", "--compression=gzip", &to, &back, "--format=json"])
        .exits(0);
    assert_eq!(outcome.json()["status"], "pushed");
    assert_eq!(document(&ohoci, "--config", &back), image.config);
    assert_ne!(layers(&made(&back)), layers(&made(&to)));
}

#[test]
fn what_is_compressed_so_already_stays_unless_a_level_is_given() {
    let (ohoci, registry) = (Ohoci::new(), OhociRegistry::start());
    let host = registry.host();
    let image = sample(Family::Docker, Compression::Gzip);
    image.push(&registry.peer(), "from", "1");
    let (from, to) = (format!("{host}/from:1"), format!("{host}/to:1"));
    ohoci
        .run(["copy", "--compression=gzip", &from, &to])
        .exits(0);
    assert_eq!(document(&ohoci, "--manifest", &to), image.manifest);
    let level = ["copy", "--compression=gzip", "--compression-level=1"];
    ohoci.run(level.into_iter().chain([&*from, &*to])).exits(0);
    let manifest = document(&ohoci, "--manifest", &to);
    assert_ne!(manifest, image.manifest);
    // Docker's manifest stays one where it can.
    for layer in parsed(&manifest)["layers"].as_array().unwrap() {
        let gzip = Family::Docker.layer(Compression::Gzip).unwrap();
        assert_eq!(layer["mediaType"], gzip);
    }
}

#[test]
fn an_index_lists_what_was_made() {
    let (ohoci, registry) = (Ohoci::new(), OhociRegistry::start());
    let host = registry.host();
    Index::busybox(Family::Oci, Compression::Gzip).push(&registry.peer(), "from", "1");
    let (from, to) = (format!("{host}/from:1"), format!("{host}/to:1"));
    ohoci
        .run(["copy", "--compression=zstd", &from, &to])
        .exits(0);
    let index = parsed(&document(&ohoci, "--manifest", &to));
    let entries = index["manifests"].as_array().unwrap();
    let before = parsed(&document(&ohoci, "--manifest", &from));
    assert_eq!(entries.len(), before["manifests"].as_array().unwrap().len());
    for (entry, before) in entries.iter().zip(before["manifests"].as_array().unwrap()) {
        assert_ne!(entry["digest"], before["digest"]);
        assert_eq!(entry["platform"], before["platform"]);
        let named = format!("{host}/to@{}", entry["digest"].as_str().unwrap());
        let image = parsed(&document(&ohoci, "--manifest", &named));
        assert_eq!(image["layers"][0]["mediaType"], OCI_LAYER_ZSTD);
    }
}

#[test]
fn annotations_about_the_old_bytes_go_and_others_stay() {
    let ohoci = Ohoci::new();
    let nodes = [("file", Node::File(b"content".to_vec()))];
    let mut image = bare(Family::Oci, vec![Layer::pack(&nodes, Compression::Gzip)]).build();
    let mut manifest = parsed(&image.manifest);
    manifest["layers"][0]["annotations"] = json!({
        "containerd.io/snapshot/stargz/toc.digest": "sha256:0",
        "org.opencontainers.image.title": "one",
    });
    image.manifest = serde_json::to_vec(&manifest).unwrap();
    image.write_layout(&ohoci.work().join("from"), "1");
    ohoci
        .run(["copy", "--compression=zstd", "oci:from:1", "oci:to:1"])
        .exits(0);
    let made = parsed(&document(&ohoci, "--manifest", "oci:to:1"));
    assert_eq!(
        made["layers"][0]["annotations"],
        json!({"org.opencontainers.image.title": "one"})
    );
}

#[test]
fn what_cannot_be_is_refused() {
    let ohoci = Ohoci::new();
    let image = sample(Family::Oci, Compression::Gzip);
    image.write_layout(&ohoci.work().join("from"), "1");
    for (flags, code, said) in [
        (
            &["--compression=zstd", "--referrers"][..],
            1,
            "which nothing is about",
        ),
        (&["--compression=zstd", "--no-upload"][..], 2, "--no-upload"),
        (&["--compression-level=1"][..], 2, "--compression"),
        (
            &["--compression=zstd", "--compression-level=20"][..],
            2,
            "zstd has levels 1 to 19",
        ),
    ] {
        let arguments = ["copy", "oci:from:1", "oci:to:1"];
        let outcome = ohoci
            .run(arguments.iter().chain(flags).copied())
            .exits(code);
        assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    }
    // A layer that is not what its config says is never given another name.
    let other = sample(Family::Oci, Compression::None);
    let mut config = parsed(&image.config);
    config["rootfs"]["diff_ids"][0] = json!(sha256(b"something else"));
    let config = serde_json::to_vec(&config).unwrap();
    let mut broken = other;
    broken.config = config;
    let mut manifest = parsed(&broken.manifest);
    manifest["config"]["digest"] = json!(sha256(&broken.config));
    manifest["config"]["size"] = json!(broken.config.len());
    broken.manifest = serde_json::to_vec(&manifest).unwrap();
    broken.write_layout(&ohoci.work().join("broken"), "1");
    let outcome = ohoci
        .run(["copy", "--compression=zstd", "oci:broken:1", "oci:to:1"])
        .exits(1);
    assert!(outcome.stderr.contains("layer 1"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("diff ID"), "{}", outcome.stderr);
}
