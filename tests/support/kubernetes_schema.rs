//! What Kubernetes' API takes, as the schema in `fixtures/kubernetes` has it.

use std::path::Path;
use std::sync::OnceLock;

use serde_json::{Value, json};

fn definitions() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    let schema = SCHEMA.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let file = root.join("fixtures/kubernetes/workloads.schema.json");
        serde_json::from_str(&fs_err::read_to_string(file).unwrap()).unwrap()
    });
    &schema["definitions"]
}

/// What of a manifest the API does not take.
pub(crate) fn faults(manifest: &Value) -> Vec<String> {
    let definitions = definitions();
    let is_meant = |schema: &Value| {
        ["apiVersion", "kind"].iter().all(|key| {
            let known = &schema["properties"][key]["const"];
            known.is_string() && *known == manifest[key]
        })
    };
    let mut all = definitions.as_object().unwrap().iter();
    let Some((name, _)) = all.find(|(_, schema)| is_meant(schema)) else {
        return vec![format!(
            "{} of {} is not among the kinds of fixtures/kubernetes",
            manifest["kind"], manifest["apiVersion"]
        )];
    };
    let schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$ref": format!("#/definitions/{name}"),
        "definitions": definitions,
    });
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors = validator.iter_errors(manifest);
    errors
        .map(|error| format!("{name} {}: {error}", error.instance_path()))
        .collect()
}

/// Fails the test if the API does not take one of the manifests.
#[track_caller]
pub(crate) fn takes(manifests: &[Value]) {
    let faults: Vec<String> = manifests.iter().flat_map(faults).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}
