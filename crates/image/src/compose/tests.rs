//! What composing promises.

mod families;
mod properties;
mod refusals;

use super::*;
use crate::annotation;
use crate::label::{self, Intent, Source};
use crate::media_type::*;
use serde_json::{Map, Value, json};

const BASE_NAME: &str = "registry.example/base:1";

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("{other}"),
    }
}

/// A config of two layers with things in it that ohoci does not know.
fn base_config() -> Value {
    json!({
        "architecture": "amd64",
        "config": {
            "Hostname": "", "Env": ["PATH=/usr/bin:/bin", "LANG=C.UTF-8"], "Cmd": ["bash"],
            "Healthcheck": {"Test": ["NONE"], "Interval": 30_000_000_000_u64},
            "Labels": null,
        },
        "created": "2024-05-01T10:00:00.5Z",
        "docker_version": "20.10.23",
        "history": [
            {"created": "2024-05-01T09:00:00Z", "created_by": "ADD file"},
            {"created": "2024-05-01T09:00:00Z", "created_by": "CMD", "empty_layer": true},
            {"created": "2024-05-01T10:00:00.5Z", "created_by": "RUN x"},
        ],
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [digest("d0").to_string(), digest("d1").to_string()]},
        "x-number": 1.50,
    })
}

fn base_manifest(family: Family, config: &Document) -> Value {
    let layer = family.layer(Compression::Gzip);
    json!({
        "schemaVersion": 2,
        "mediaType": family.manifest(),
        "config": {
            "mediaType": family.config(), "size": config.bytes().len(),
            "digest": config.digest().to_string(), "data": "e30=", "x-config": 1,
        },
        "layers": [
            {"mediaType": layer, "size": 10, "digest": digest("b0").to_string(), "x-layer": [1.0]},
            {"digest": digest("b1").to_string(), "mediaType": layer, "size": 11},
        ],
        "x-manifest": {"kept": true},
    })
}

fn image(manifest: &Value, config: Value) -> BaseImage {
    BaseImage {
        manifest: Manifest::parse(manifest.to_string(), None).unwrap(),
        config: Document::from_object(object(config)),
        name: Some(BASE_NAME.to_owned()),
        digest_of_name: Some(digest("index")),
    }
}

fn composition(base: BaseImage) -> Composition {
    Composition {
        base: Base::Image(Box::new(base)),
        additions: Vec::new(),
        patch: ConfigPatch::default(),
        annotations: BTreeMap::new(),
        position: Position::Top,
        family: None,
        created: None,
        record_intent: false,
    }
}

fn on(family: Family) -> Composition {
    on_config(family, base_config())
}

fn on_config(family: Family, config: Value) -> Composition {
    let document = Document::from_object(object(config.clone()));
    composition(image(&base_manifest(family, &document), config))
}

fn edited(family: Family, edit: impl FnOnce(&mut Value)) -> Composition {
    let document = Document::from_object(object(base_config()));
    let mut manifest = base_manifest(family, &document);
    edit(&mut manifest);
    composition(image(&manifest, base_config()))
}

fn layer(media_type: &str, name: &str) -> Layer {
    Layer {
        descriptor: Descriptor::new(media_type, digest(name), 100),
        diff_id: digest(&format!("diff {name}")),
        created_by: None,
    }
}

fn deps(layers: Vec<Layer>) -> Addition {
    Addition {
        layers,
        role: Role::Deps,
        patch: None,
        name: Some("registry.example/deps:1".to_owned()),
        digest: Some(digest("deps")),
        path: None,
        platform: Some(Platform::new("linux", "amd64")),
        created: None,
    }
}

fn local(layers: Vec<Layer>) -> Addition {
    Addition {
        role: Role::Local,
        name: Some("site.tar".to_owned()),
        digest: None,
        platform: None,
        ..deps(layers)
    }
}

fn with(mut composition: Composition, additions: Vec<Addition>) -> Composition {
    composition.additions = additions;
    composition
}

fn composed(input: &Composition) -> Composed {
    let composed = compose(input).unwrap();
    check_consistency(&composed);
    composed
}

/// What holds for every result, read by an implementation that is not ours.
fn check_consistency(composed: &Composed) {
    let manifest =
        oci_spec::image::ImageManifest::from_reader(composed.manifest.bytes().as_ref()).unwrap();
    let config =
        oci_spec::image::ImageConfiguration::from_reader(composed.config.bytes().as_ref()).unwrap();
    assert_eq!(
        manifest.config().digest().to_string(),
        composed.config.digest().to_string()
    );
    assert_eq!(
        manifest.config().size(),
        composed.config.bytes().len() as u64
    );
    assert_eq!(manifest.layers().len(), config.rootfs().diff_ids().len());
    assert_eq!(composed.layers.len(), manifest.layers().len());
    for ((theirs, diff_id), ours) in manifest
        .layers()
        .iter()
        .zip(config.rootfs().diff_ids())
        .zip(&composed.layers)
    {
        assert_eq!(
            theirs.digest().to_string(),
            ours.descriptor.digest.to_string()
        );
        assert_eq!(theirs.size(), ours.descriptor.size);
        assert_eq!(theirs.media_type().to_string(), ours.descriptor.media_type);
        assert_eq!(diff_id, &ours.diff_id.to_string());
    }
    let family = composed.manifest.family();
    let named = manifest.media_type().as_ref().unwrap().to_string();
    assert_eq!(named, family.manifest());
    assert_eq!(manifest.config().media_type().to_string(), family.config());
    for layer in &composed.layers {
        assert_eq!(
            convert::layer_type(&layer.descriptor.media_type, family),
            Ok(layer.descriptor.media_type.as_str()),
            "a family is never mixed"
        );
    }
}

fn manifest_json(composed: &Composed) -> Value {
    Value::Object(composed.manifest.document().object().clone())
}

fn config_json(composed: &Composed) -> Value {
    Value::Object(composed.config.object().clone())
}

fn roles(composed: &Composed) -> Vec<(Role, Option<usize>)> {
    let layers = composed.layers.iter();
    layers.map(|layer| (layer.role, layer.addition)).collect()
}

#[test]
fn layers_diff_ids_and_history_grow_together() {
    let input = with(
        on(Family::Oci),
        vec![
            deps(vec![layer(OCI_LAYER_GZIP, "one"), layer(OCI_LAYER, "two")]),
            local(vec![layer(OCI_LAYER_GZIP, "three")]),
        ],
    );
    let top = composed(&input);
    let (base, deps, local) = (
        (Role::Base, None),
        (Role::Deps, Some(0)),
        (Role::Local, Some(1)),
    );
    assert_eq!(roles(&top), [base, base, deps, deps, local]);
    let config = config_json(&top);
    let created = "2024-05-01T10:00:00.5Z";
    assert_eq!(config["created"], created);
    let history = config["history"].as_array().unwrap();
    assert_eq!(history.len(), 6);
    let added_by = format!(
        "ohoci compose: deps registry.example/deps:1@{}",
        digest("deps")
    );
    let entry = |by: &str| json!({"created": created, "created_by": by, "comment": "ohoci"});
    assert_eq!(
        history[3..],
        [
            entry(&added_by),
            entry(&added_by),
            entry("ohoci compose: layer site.tar")
        ]
    );
    let bottom = composed(&Composition {
        position: Position::Bottom,
        ..input
    });
    assert_eq!(roles(&bottom), [deps, deps, local, base, base]);
    let config = config_json(&bottom);
    assert_eq!(config["history"][0], entry(&added_by));
    assert_eq!(config["history"][3]["created_by"], "ADD file");
    assert_eq!(
        config["rootfs"]["diff_ids"][0],
        digest("diff one").to_string()
    );
    assert_eq!(config["rootfs"]["diff_ids"][4], digest("d1").to_string());
}

#[test]
fn a_patch_gives_one_empty_history_entry_at_the_end() {
    let mut input = with(
        on(Family::Oci),
        vec![deps(vec![layer(OCI_LAYER_GZIP, "one")])],
    );
    input.position = Position::Bottom;
    input.patch.user = Some("1000".to_owned());
    input
        .patch
        .env
        .push(("PATH".to_owned(), "/openhands/bin:${PATH}".to_owned()));
    let config = config_json(&composed(&input));
    assert_eq!(
        config["history"].as_array().unwrap().last().unwrap(),
        &json!({
            "created": "2024-05-01T10:00:00.5Z",
            "created_by": "ohoci compose: patch config.Env.PATH, config.User",
            "comment": "ohoci",
            "empty_layer": true,
        })
    );
    assert_eq!(
        config["config"]["Env"][0],
        "PATH=/openhands/bin:/usr/bin:/bin"
    );
    // What is already so is no change and gives no entry.
    let mut same = on(Family::Oci);
    same.patch
        .env
        .push(("LANG".to_owned(), "C.UTF-8".to_owned()));
    let result = composed(&same);
    assert_eq!(config_json(&result)["history"], base_config()["history"]);
    assert_eq!(result.changes, []);
}

#[test]
fn nothing_to_do_changes_no_config_byte() {
    let result = composed(&on(Family::Oci));
    assert_eq!(result.config.bytes(), &base_config().to_string());
    assert!(result.warnings.is_empty());
    assert_eq!(result.platform, Platform::new("linux", "amd64"));
}

#[test]
fn history_that_is_absent_or_wrong_is_left_alone() {
    for (history, warnings) in [
        (Value::Null, 0),
        (json!([]), 0),
        (json!([{"created_by": "only one"}]), 1),
        (json!("nonsense"), 1),
    ] {
        let mut config = base_config();
        config["history"] = history.clone();
        let mut input = with(
            on_config(Family::Oci, config),
            vec![deps(vec![layer(OCI_LAYER_GZIP, "one")])],
        );
        input.patch.user = Some("root".to_owned());
        let result = compose(&input).unwrap();
        assert_eq!(config_json(&result)["history"], history);
        assert_eq!(result.warnings.len(), warnings, "{history}");
    }
    let mut config = base_config();
    config.as_object_mut().unwrap().shift_remove("history");
    let result = composed(&with(
        on_config(Family::Oci, config),
        vec![deps(vec![layer(OCI_LAYER_GZIP, "one")])],
    ));
    assert!(config_json(&result).get("history").is_none());
}

#[test]
fn what_ohoci_does_not_know_is_kept_in_its_place() {
    let result = composed(&with(
        edited(Family::Oci, |manifest| {
            manifest["annotations"] = json!({"z": "1", "a": "2"});
            manifest["subject"] = json!({"mediaType": "x", "size": 1, "digest": "y"});
            manifest["artifactType"] = json!("");
        }),
        vec![deps(vec![layer(OCI_LAYER_GZIP, "one")])],
    ));
    let manifest = manifest_json(&result);
    assert_eq!(
        manifest["layers"][0].to_string(),
        format!(
            r#"{{"mediaType":"{OCI_LAYER_GZIP}","size":10,"digest":"{}","x-layer":[1.0]}}"#,
            digest("b0")
        )
    );
    assert_eq!(manifest["x-manifest"], json!({"kept": true}));
    assert_eq!(manifest["config"]["x-config"], 1);
    assert!(
        manifest["config"].get("data").is_none(),
        "it holds the old config"
    );
    assert_eq!(
        manifest["annotations"].to_string(),
        format!(
            r#"{{"z":"1","a":"2","{}":"{BASE_NAME}","{}":"{}"}}"#,
            annotation::BASE_NAME,
            annotation::BASE_DIGEST,
            digest("index")
        )
    );
    let keys: Vec<_> = object(manifest).keys().cloned().collect();
    assert_eq!(
        keys,
        [
            "schemaVersion",
            "mediaType",
            "config",
            "layers",
            "x-manifest",
            "annotations"
        ]
    );
    let config = config_json(&result);
    let keys = |value: &Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(&config), keys(&base_config()));
    assert_eq!(config["x-number"].to_string(), "1.5");
    assert_eq!(
        config["config"]["Healthcheck"],
        base_config()["config"]["Healthcheck"]
    );
}

#[test]
fn patches_apply_in_order_and_the_users_last() {
    let patch = |user: &str, value: &str| ConfigPatch {
        user: Some(user.to_owned()),
        env: vec![("PATH".to_owned(), value.to_owned())],
        ..ConfigPatch::default()
    };
    let mut first = deps(vec![layer(OCI_LAYER_GZIP, "one")]);
    first.patch = Some(patch("first", "/a:${PATH}"));
    let mut second = deps(vec![layer(OCI_LAYER_GZIP, "two")]);
    second.patch = Some(patch("second", "/b:${PATH}"));
    let mut input = with(on(Family::Oci), vec![first, second]);
    input.patch = patch("user", "/c:${PATH}");
    let result = composed(&input);
    let config = &config_json(&result)["config"];
    assert_eq!(config["User"], "user");
    assert_eq!(config["Env"][0], "PATH=/c:/b:/a:/usr/bin:/bin");
    let changes: Vec<_> = result.changes.iter().map(|c| c.path.as_str()).collect();
    assert_eq!(changes, ["config.Env.PATH", "config.User"]);
    assert_eq!(result.changes[0].before, Some("/usr/bin:/bin".into()));
}

#[test]
fn keep_cmd_holds_for_the_entrypoint_of_deps_too() {
    let mut addition = deps(vec![layer(OCI_LAYER_GZIP, "one")]);
    addition.patch = Some(ConfigPatch {
        entrypoint: Some(vec!["/openhands/bin/init".to_owned()]),
        ..ConfigPatch::default()
    });
    let mut input = with(on(Family::Oci), vec![addition]);
    assert_eq!(
        config_json(&composed(&input))["config"].get("Cmd"),
        None,
        "as a Dockerfile's ENTRYPOINT does"
    );
    input.patch.keep_cmd = true;
    let config = config_json(&composed(&input));
    assert_eq!(config["config"]["Cmd"], json!(["bash"]));
}

#[test]
fn created_is_asked_for_or_the_newest_but_never_now() {
    let created = |input: &Composition| config_json(&composed(input))["created"].clone();
    let mut addition = deps(vec![layer(OCI_LAYER_GZIP, "one")]);
    for (theirs, want) in [
        (Some("2024-05-01T10:00:00Z"), "2024-05-01T10:00:00.5Z"),
        (
            Some("2024-05-01T14:00:00+02:00"),
            "2024-05-01T14:00:00+02:00",
        ),
        (Some("yesterday"), "2024-05-01T10:00:00.5Z"),
        (None, "2024-05-01T10:00:00.5Z"),
    ] {
        addition.created = theirs.map(str::to_owned);
        let input = with(on(Family::Oci), vec![addition.clone()]);
        assert_eq!(created(&input), want);
        let fixed = Composition {
            created: Some("1980-01-01T00:00:00Z".to_owned()),
            ..input
        };
        assert_eq!(created(&fixed), "1980-01-01T00:00:00Z");
    }
    let mut wrong = on(Family::Oci);
    wrong.created = Some("1980".to_owned());
    assert!(matches!(compose(&wrong), Err(ComposeError::Created(_))));
}

#[test]
fn scratch_with_layers_and_without() {
    let scratch = Composition {
        base: Base::Scratch("linux/arm64".parse().unwrap()),
        ..on(Family::Docker)
    };
    let empty = composed(&scratch);
    assert_eq!(
        empty.config.bytes().as_ref(),
        br#"{"created":"1970-01-01T00:00:00Z","architecture":"arm64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"history":[]}"#
    );
    assert_eq!(
        std::str::from_utf8(empty.manifest.bytes()).unwrap(),
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{{"mediaType":"{OCI_CONFIG}","digest":"{}","size":{}}},"layers":[]}}"#,
            empty.config.digest(),
            empty.config.bytes().len()
        )
    );
    let mut full = with(scratch, vec![local(vec![layer(OCI_LAYER_ZSTD, "one")])]);
    full.patch
        .env
        .push(("PATH".to_owned(), "/x:${PATH}".to_owned()));
    let config = config_json(&composed(&full));
    assert_eq!(
        config["history"],
        json!([
            {"created": "1970-01-01T00:00:00Z", "created_by": "ohoci compose: layer site.tar", "comment": "ohoci"},
            {"created": "1970-01-01T00:00:00Z", "created_by": "ohoci compose: patch config.Env.PATH", "comment": "ohoci", "empty_layer": true},
        ])
    );
    assert_eq!(
        config["config"]["Env"][0],
        format!("PATH=/x:{}", crate::env::DEFAULT_PATH)
    );
}

#[test]
fn the_intent_is_recorded_and_a_stale_one_removed() {
    let mut input = with(
        on(Family::Oci),
        vec![
            deps(vec![layer(OCI_LAYER_GZIP, "one")]),
            local(vec![layer(OCI_LAYER_GZIP, "two")]),
        ],
    );
    input.record_intent = true;
    input.position = Position::Bottom;
    input.patch.user = Some("root".to_owned());
    let result = composed(&input);
    assert_eq!(
        label::intent(result.config.object()).unwrap(),
        Some(Intent {
            version: 1,
            base: Some(Source {
                name: Some(BASE_NAME.to_owned()),
                digest: Some(digest("index")),
                path: None,
            }),
            deps: vec![Source {
                name: Some("registry.example/deps:1".to_owned()),
                digest: Some(digest("deps")),
                path: None,
            }],
            local: vec![Source {
                name: Some("site.tar".to_owned()),
                digest: None,
                path: None,
            }],
            patch: input.patch,
            annotations: BTreeMap::new(),
            position: Position::Bottom,
            created: None,
            layers: vec![(Role::Deps, 1), (Role::Local, 1), (Role::Base, 2)],
        })
    );
    let again = composed(&on_config(
        Family::Oci,
        config_json(&with_two_layers(&result)),
    ));
    assert_eq!(label::intent(again.config.object()).unwrap(), None);
}

/// The same image without the added layers' diff IDs, so that it fits the test base's manifest.
fn with_two_layers(composed: &Composed) -> Composed {
    let mut object = composed.config.object().clone();
    object.insert("rootfs".to_owned(), base_config()["rootfs"].clone());
    Composed {
        config: Document::from_object(object),
        ..composed.clone()
    }
}

#[test]
fn a_layer_that_is_already_there_is_told() {
    let result = composed(&with(
        on(Family::Oci),
        vec![deps(vec![layer(OCI_LAYER_GZIP, "b1")])],
    ));
    assert_eq!(result.warnings.len(), 1);
    assert_eq!(result.layers.len(), 3);
}
