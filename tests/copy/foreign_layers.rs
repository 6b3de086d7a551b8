//! Layers that may not be distributed stay where they are when an image is copied.

use ohoci_image::media_type::{Compression, Family};
use serde_json::{Value, json};

use super::document;
use crate::support::command::Ohoci;
use crate::support::images::{Image, Layer, Node, busybox};
use crate::support::peer::sha256;

/// An image with a layer that lies elsewhere for legal reasons (image-spec `layer.md`,
/// "Non-Distributable Layers").
fn image_with_foreign_layer() -> Image {
    let foreign = Layer::pack(
        &[("windows", Node::File(b"not ours".to_vec()))],
        Compression::Gzip,
    );
    let mut image = busybox(Family::Oci, Compression::Gzip)
        .layer(foreign)
        .build();
    let left_out = image.layers.pop().unwrap();
    let mut manifest: Value = serde_json::from_slice(&image.manifest).unwrap();
    let layer = &mut manifest["layers"][1];
    assert_eq!(layer["digest"], json!(left_out.digest));
    layer["mediaType"] = json!("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip");
    layer["urls"] = json!(["https://registry.example/foreign"]);
    image.manifest = manifest.to_string().into_bytes();
    image.digest = sha256(&image.manifest);
    image
}

#[test]
fn foreign_layers_stay_where_they_are() {
    let ohoci = Ohoci::new();
    let image = image_with_foreign_layer();
    image.write_layout(&ohoci.work().join("source"), "1");
    for target in ["oci:layout:1", "oci-archive:archive.tar:1"] {
        let report = ohoci
            .run(["copy", "--format", "json", "oci:source:1", target])
            .exits(0)
            .json();
        assert_eq!(report["digest"], json!(image.digest), "{target}");
        assert_eq!(report["blobs"].as_array().unwrap().len(), 2, "{target}");
        assert_eq!(document(&ohoci, "--manifest", target), image.manifest);
    }
    let outcome = ohoci
        .run(["copy", "oci:source:1", "docker-archive:image.tar:a:1"])
        .exits(1);
    assert!(
        outcome.stderr.contains("nondistributable"),
        "{}",
        outcome.stderr
    );
    assert!(!ohoci.work().join("image.tar").exists());
}
