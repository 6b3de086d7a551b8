//! What is not composed, and how that is said.

use super::*;
use crate::image_config::ImageConfigError;

#[test]
fn refusals_of_bases() {
    let refused = |edit: fn(&mut Value)| compose(&edited(Family::Oci, edit)).unwrap_err();
    assert!(matches!(
        refused(|m| m["config"]["mediaType"] = json!("application/vnd.oci.empty.v1+json")),
        ComposeError::Artifact(_)
    ));
    let layer_type = |kind: &str| {
        let kind = kind.to_owned();
        compose(&edited(Family::Oci, move |m| {
            m["layers"][1]["mediaType"] = json!(kind);
        }))
        .unwrap_err()
    };
    let error = layer_type("application/vnd.oci.image.layer.v1.tar+gzip+encrypted");
    assert!(matches!(error, ComposeError::EncryptedLayer { .. }));
    let text = error.to_string();
    assert!(text.contains("the base") && text.contains(&digest("b1").to_string()));
    assert!(matches!(
        layer_type("text/plain"),
        ComposeError::UnknownLayer { .. }
    ));
    assert!(matches!(
        refused(|m| m["layers"] = json!([])),
        ComposeError::LayerCount {
            layers: 0,
            diff_ids: 2
        }
    ));
    assert!(matches!(
        refused(|m| m["config"]["digest"] = json!(digest("other").to_string())),
        ComposeError::WrongConfig { .. }
    ));
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []});
    assert!(matches!(
        compose(&composition(image(&index, base_config()))),
        Err(ComposeError::BaseIsIndex)
    ));
    let mut config = base_config();
    config["os"] = json!("");
    assert!(matches!(
        compose(&on_config(Family::Oci, config)),
        Err(ComposeError::Config(ImageConfigError::NoPlatform))
    ));
}

#[test]
fn refusals_of_additions() {
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    let error = compose(&with(
        on(Family::Oci),
        vec![deps(vec![layer(foreign, "one")])],
    ))
    .unwrap_err();
    assert!(
        error.to_string().contains("deps registry.example/deps:1"),
        "{error}"
    );
    let mut other = deps(vec![layer(OCI_LAYER_GZIP, "one")]);
    other.platform = Some("linux/amd64/v3".parse().unwrap());
    let error = compose(&with(on(Family::Oci), vec![other])).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("is for linux/amd64/v3, but the base is for linux/amd64"),
        "{error}"
    );
    let many = |count: usize| {
        let layers = (0..count)
            .map(|at| layer(OCI_LAYER_GZIP, &at.to_string()))
            .collect();
        compose(&with(on(Family::Oci), vec![deps(layers)]))
    };
    assert!(many(125).is_ok());
    assert!(matches!(many(499), Err(ComposeError::TooManyLayers(501))));
    let mut broken = deps(Vec::new());
    broken.patch = Some(ConfigPatch {
        env: vec![("A".to_owned(), "${".to_owned())],
        ..ConfigPatch::default()
    });
    let error = compose(&with(on(Family::Oci), vec![broken])).unwrap_err();
    assert!(
        matches!(&error, ComposeError::Patch { whose, .. } if whose.starts_with("deps ")),
        "{error}"
    );
}

#[test]
fn results_too_large_for_registries_are_refused() {
    let mut input = on(Family::Oci);
    input
        .annotations
        .insert("big".to_owned(), "x".repeat(4 << 20));
    assert!(matches!(
        compose(&input),
        Err(ComposeError::ManifestTooLarge(size)) if size > 4 << 20
    ));
    let mut input = on(Family::Oci);
    input
        .patch
        .labels
        .insert("big".to_owned(), Some("x".repeat(4 << 20)));
    assert!(matches!(
        compose(&input),
        Err(ComposeError::ConfigTooLarge(_))
    ));
}

#[test]
fn labels_of_the_wrong_type_are_an_error_not_a_panic() {
    let mut config = base_config();
    config["config"]["Labels"] = json!(["x"]);
    let error = compose(&on_config(Family::Docker, config)).unwrap_err();
    assert!(error.to_string().contains("config.Labels"), "{error}");
}
