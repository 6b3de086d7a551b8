//! What cannot be composed is refused in plain words, and nothing is written.

use ohoci_image::media_type::{Compression, Family};
use serde_json::{Value, json};

use crate::support::command::Ohoci;
use crate::support::images::{Image, Recipe, bare, busybox};
use crate::support::ohoci_registry::OhociRegistry;
use crate::support::workbench::Workbench;

fn one_layer() -> Recipe {
    bare(Family::Oci, vec![]).many_layers(1, Compression::Gzip)
}

/// The layers of the image's manifest, with this one's fields replaced.
fn with_layer(image: &Image, fields: &Value) -> Value {
    let manifest: Value = serde_json::from_slice(&image.manifest).unwrap();
    let mut layers = manifest["layers"].clone();
    for (key, value) in fields.as_object().unwrap() {
        layers[0][key] = value.clone();
    }
    layers
}

/// Composes on the image as base and as deps; both have to be refused with these words.
fn refused(image: &Image, words: &[&str]) {
    let ohoci = Ohoci::new();
    image.write_layout(&ohoci.work().join("odd"), "1");
    busybox(Family::Oci, Compression::Gzip)
        .build()
        .write_layout(&ohoci.work().join("base"), "1");
    for sources in [
        &["--base", "oci:odd:1"][..],
        &["--base", "oci:base:1", "--deps", "oci:odd:1"],
    ] {
        let arguments = [
            &["compose"],
            sources,
            &["--env", "A=1", "--push", "oci:out:1"],
        ]
        .concat();
        let outcome = ohoci.run(arguments).exits(1);
        let text = &outcome.stderr;
        assert!(text.starts_with("error: "), "{text}");
        for word in words {
            assert!(
                text.contains(word),
                "{sources:?}: {word:?} is not in {text}"
            );
        }
        assert!(!ohoci.work().join("out").exists(), "{text}");
    }
}

#[test]
fn encrypted_layers() {
    let kind = "application/vnd.oci.image.layer.v1.tar+gzip+encrypted";
    let layers = with_layer(&one_layer().build(), &json!({"mediaType": kind}));
    let image = one_layer().set_manifest("layers", layers).build();
    refused(&image, &["encrypted layer", kind]);
}

#[test]
fn layers_of_an_unknown_type() {
    let layers = with_layer(&one_layer().build(), &json!({"mediaType": "text/plain"}));
    let image = one_layer().set_manifest("layers", layers).build();
    refused(&image, &["unknown type", "text/plain"]);
}

#[test]
fn artifacts() {
    let config = json!({
        "mediaType": "application/vnd.oci.empty.v1+json",
        "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        "size": 2,
    });
    let image = one_layer()
        .set_manifest("config", config)
        .set_manifest("artifactType", json!("application/vnd.example.thing"))
        .build();
    refused(&image, &["artifact"]);
}

#[test]
fn another_number_of_layers_than_of_diff_ids() {
    let layers = with_layer(&one_layer().build(), &json!({}));
    let twice = json!([layers[0], layers[0]]);
    let image = one_layer().set_manifest("layers", twice).build();
    refused(&image, &["2 layers", "1 diff IDs"]);
}

#[test]
fn manifests_of_schema_1() {
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    bench.push_base("base", Family::Oci);
    let schema_1 = json!({
        "schemaVersion": 1, "name": "old", "tag": "1", "architecture": "amd64",
        "fsLayers": [{"blobSum": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}],
        "history": [{"v1Compatibility": "{}"}],
    });
    // A server that has nothing but this, as old registries do.
    let server = server_of(schema_1.to_string());
    let old = format!("{server}/old:1");
    for sources in [
        &["--base", &old][..],
        &["--base", "@/base:1", "--deps", &old],
    ] {
        let outcome = bench
            .compose(&[sources, &["--push", "@/app:1"]].concat())
            .exits(1);
        assert!(
            outcome.stderr.contains("schema 1") && outcome.stderr.contains("/old:1"),
            "{}",
            outcome.stderr
        );
    }
}

/// A server that answers everything with one schema 1 manifest; it ends with the test program.
fn server_of(manifest: String) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        crate::support::peer::block_on(async move {
            let answer = move || async move {
                let kind = "application/vnd.docker.distribution.manifest.v1+prettyjws";
                ([("Content-Type", kind)], manifest)
            };
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, axum::Router::new().fallback(answer))
                .await
                .unwrap();
        });
    });
    address.to_string()
}

#[test]
fn more_layers_than_runtimes_mount() {
    let ohoci = Ohoci::new();
    one_layer()
        .many_layers(126, Compression::Gzip)
        .build()
        .write_layout(&ohoci.work().join("base"), "1");
    ohoci.write("work/one/file", "1");
    let outcome = ohoci
        .run([
            "compose",
            "--base",
            "oci:base:1",
            "--layer",
            "one",
            "--push",
            "oci:out:1",
        ])
        .exits(1);
    assert!(outcome.stderr.contains("128 layers"), "{}", outcome.stderr);
}

#[test]
fn layers_for_another_platform() {
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    bare(Family::Oci, vec![])
        .many_layers(1, Compression::Gzip)
        .platform("arm64", None)
        .build()
        .push(&bench.peer, "base", "1");
    one_layer().build().push(&bench.peer, "deps", "1");
    let outcome = bench
        .compose(&[
            "--base", "@/base:1", "--deps", "@/deps:1", "--push", "@/app:1",
        ])
        .exits(1);
    assert!(
        outcome.stderr.contains("linux/amd64") && outcome.stderr.contains("linux/arm64"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_config_that_is_not_the_one_named() {
    let ohoci = Ohoci::new();
    let image = one_layer().build();
    let layout = ohoci.work().join("base");
    image.write_layout(&layout, "1");
    let manifest: Value = serde_json::from_slice(&image.manifest).unwrap();
    let digest = manifest["config"]["digest"].as_str().unwrap().to_owned();
    let file = layout
        .join("blobs/sha256")
        .join(digest.trim_start_matches("sha256:"));
    let mut config = fs_err::read(&file).unwrap();
    // Of the same length.
    let at = config.iter().position(|byte| *byte == b'l').unwrap();
    config[at] = b'L';
    fs_err::write(&file, config).unwrap();
    let outcome = ohoci
        .run([
            "compose",
            "--base",
            "oci:base:1",
            "--env",
            "A=1",
            "--push",
            "oci:out:1",
        ])
        .exits(1);
    assert!(outcome.stderr.contains(&digest), "{}", outcome.stderr);
}
