//! Media types are never mixed, and the base is named where each family has room for it.

use super::*;

#[test]
fn media_types_are_never_mixed() {
    use Family::{Docker, Oci};
    let zstd_docker = "application/vnd.docker.image.rootfs.diff.tar.zstd";
    for (base, added, want) in [
        (Docker, OCI_LAYER_GZIP, Docker),
        (Docker, OCI_LAYER, Docker),
        (Docker, DOCKER_LAYER_GZIP, Docker),
        (Docker, OCI_LAYER_ZSTD, Oci),
        (Docker, zstd_docker, Oci),
        (Oci, DOCKER_LAYER_GZIP, Oci),
        (Oci, DOCKER_LAYER, Oci),
        (Oci, zstd_docker, Oci),
        (Oci, OCI_LAYER_ZSTD, Oci),
    ] {
        let input = with(on(base), vec![deps(vec![layer(added, "one")])]);
        assert_eq!(input.family(), want);
        let result = composed(&input);
        assert_eq!(result.manifest.family(), want, "{base:?} {added}");
        let digests: Vec<_> = result
            .layers
            .iter()
            .map(|layer| &layer.descriptor.digest)
            .collect();
        assert_eq!(digests, [&digest("b0"), &digest("b1"), &digest("one")]);
    }
    let mut annotated = on(Docker);
    annotated.annotations.insert("k".to_owned(), "v".to_owned());
    let result = composed(&annotated);
    assert_eq!(result.manifest.family(), Oci);
    assert_eq!(manifest_json(&result)["annotations"]["k"], "v");
    // A base that mixes is put right.
    let mixed = edited(Docker, |manifest| {
        manifest["layers"][0]["mediaType"] = json!(OCI_LAYER_GZIP);
    });
    assert_eq!(composed(&mixed).manifest.family(), Docker);
    let zstd_base = edited(Docker, |manifest| {
        manifest["layers"][0]["mediaType"] = json!(zstd_docker);
    });
    assert_eq!(composed(&zstd_base).manifest.family(), Oci);
}

#[test]
fn annotated_layers_keep_their_annotations_and_lose_their_urls() {
    let mut toc = layer(OCI_LAYER_GZIP, "one");
    toc.descriptor.urls.push("https://elsewhere".to_owned());
    toc.descriptor
        .annotations
        .insert("b".to_owned(), "2".to_owned());
    toc.descriptor
        .annotations
        .insert("a".to_owned(), "1".to_owned());
    let result = composed(&with(on(Family::Docker), vec![deps(vec![toc])]));
    assert_eq!(result.manifest.family(), Family::Oci);
    let added = &manifest_json(&result)["layers"][2];
    assert_eq!(added["annotations"].to_string(), r#"{"a":"1","b":"2"}"#);
    assert!(added.get("urls").is_none());
}

#[test]
fn a_family_that_was_asked_for_is_given_or_refused() {
    let mut forced = on(Family::Docker);
    forced.family = Some(Family::Oci);
    assert_eq!(composed(&forced).manifest.family(), Family::Oci);
    let mut forced = edited(Family::Oci, |manifest| {
        manifest["annotations"] = json!({"lost": "yes"});
    });
    forced.family = Some(Family::Docker);
    let result = composed(&forced);
    assert_eq!(result.manifest.family(), Family::Docker);
    assert!(manifest_json(&result).get("annotations").is_none());
    assert_eq!(result.warnings.len(), 1);
    let impossible = with(forced, vec![deps(vec![layer(OCI_LAYER_ZSTD, "one")])]);
    assert!(matches!(
        compose(&impossible),
        Err(ComposeError::NotInDocker("zstd layers"))
    ));
}

#[test]
fn the_base_is_named_where_the_family_has_room_for_it() {
    let docker = composed(&on(Family::Docker));
    assert!(manifest_json(&docker).get("annotations").is_none());
    let labels = &config_json(&docker)["config"]["Labels"];
    assert_eq!(labels[annotation::BASE_NAME], BASE_NAME);
    assert_eq!(labels[annotation::BASE_DIGEST], digest("index").to_string());
    let oci = composed(&on(Family::Oci));
    assert_eq!(
        manifest_json(&oci)["annotations"][annotation::BASE_NAME],
        BASE_NAME
    );
    assert_eq!(config_json(&oci)["config"]["Labels"], Value::Null);

    // A base without a name that others can use: what it says of its own base is not ours to repeat.
    let mut nameless = edited(Family::Oci, |manifest| {
        manifest["annotations"] = json!({annotation::BASE_NAME: "registry.example/older:1"});
    });
    let Base::Image(base) = &mut nameless.base else {
        panic!()
    };
    base.name = None;
    base.digest_of_name = None;
    let own = base.manifest.digest().to_string();
    let annotations = manifest_json(&composed(&nameless))["annotations"].clone();
    assert_eq!(annotations, json!({annotation::BASE_DIGEST: own}));

    // The same in labels, which an OCI image may have got from a Docker one.
    let mut config = base_config();
    config["config"]["Labels"] = json!({annotation::BASE_NAME: "registry.example/older:1"});
    let result = composed(&on_config(Family::Oci, config));
    assert_eq!(
        config_json(&result)["config"]["Labels"],
        json!({annotation::BASE_NAME: BASE_NAME})
    );
}
