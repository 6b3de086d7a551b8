//! What is composed, against image-spec's own JSON schemas.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jsonschema::{Retrieve, Uri, Validator};

use super::*;
use crate::oci::index::{self, Entry, NewIndex};

/// Where Debian's package of image-spec puts them.
const DEFAULT_DIRECTORY: &str = "/usr/share/gocode/src/github.com/opencontainers/image-spec/schema";

/// A directory with image-spec's `schema/*.json`, instead of the default one.
const VARIABLE: &str = "OHOCI_IMAGE_SPEC_SCHEMAS";

struct Schemas(PathBuf);

impl Schemas {
    fn find() -> Self {
        Self(std::env::var_os(VARIABLE).map_or_else(|| DEFAULT_DIRECTORY.into(), PathBuf::from))
    }

    fn read(&self, name: &str) -> Value {
        let text = fs_err::read(self.0.join(name)).unwrap_or_else(|error| {
            panic!("install golang-github-opencontainers-image-spec-dev or set {VARIABLE}: {error}")
        });
        serde_json::from_slice(&text).unwrap()
    }

    fn validator(&self, name: &str) -> Validator {
        jsonschema::options()
            .with_retriever(Self(self.0.clone()))
            .build(&self.read(name))
            .unwrap()
    }
}

impl Retrieve for Schemas {
    /// The schemas refer to each other by file name, below differing identifiers.
    fn retrieve(
        &self,
        uri: &Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        let name = uri.path().as_str().rsplit('/').next().unwrap_or_default();
        Ok(serde_json::from_slice(&fs_err::read(self.0.join(name))?)?)
    }
}

fn assert_valid(validator: &Validator, document: &Document) {
    let value = Value::Object(document.object().clone());
    let errors: Vec<String> = validator
        .iter_errors(&value)
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:?}\n{value:#}");
}

fn many() -> Vec<Composition> {
    let mut list = Vec::new();
    for family in [Family::Oci, Family::Docker] {
        for position in [Position::Top, Position::Bottom] {
            for kind in [OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD] {
                let mut input = with(
                    on(family),
                    vec![
                        deps(vec![layer(kind, "one")]),
                        local(vec![layer(kind, "two")]),
                    ],
                );
                input.position = position;
                input.record_intent = true;
                input.patch = serde_json::from_value(json!({
                    "env": {"A": "1"}, "entrypoint": ["/e"], "user": "u", "working_dir": "/w",
                    "labels": {"l": "v"}, "exposed_ports": ["80"], "volumes": ["/v"],
                    "stop_signal": "SIGINT",
                }))
                .unwrap();
                list.push(input);
            }
        }
    }
    list.push(Composition {
        base: Base::Scratch("linux/arm/v6".parse().unwrap()),
        ..with(on(Family::Oci), vec![local(vec![layer(OCI_LAYER, "one")])])
    });
    list
}

#[test]
#[ignore = "needs Debian's golang-github-opencontainers-image-spec-dev"]
fn what_is_composed_is_valid_by_image_spec() {
    let schemas = Schemas::find();
    let manifest = schemas.validator("image-manifest-schema.json");
    let config = schemas.validator("config-schema.json");
    let index_schema = schemas.validator("image-index-schema.json");
    for input in many() {
        let composed = composed(&input);
        assert_valid(&manifest, composed.manifest.document());
        assert_valid(&config, &composed.config);
        let built = index::build(&NewIndex {
            base: None,
            base_name: Some(BASE_NAME),
            base_digest: Some(&digest("index")),
            entries: &[Entry {
                base_at: None,
                manifest: composed.manifest.descriptor(),
                platform: composed.platform.clone(),
            }],
            annotations: &BTreeMap::new(),
            family: composed.manifest.family(),
        })
        .unwrap();
        assert_valid(&index_schema, built.document());
    }
    let broken = Document::parse("{\"schemaVersion\":2}").unwrap();
    let broken = Value::Object(broken.object().clone());
    for validator in [&manifest, &config, &index_schema] {
        assert!(
            !validator.is_valid(&broken),
            "the schemas are not looked at"
        );
    }
}
