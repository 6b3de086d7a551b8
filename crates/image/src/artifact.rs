//! Artifacts: manifests of files that are no image (image-spec `manifest.md`, "Guidelines for
//! Artifact Usage").

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::descriptor::Descriptor;
use super::document::Document;
use super::manifest::{Manifest, ManifestError};
use super::media_type;

/// Content of the config of artifacts that need none.
const EMPTY: &[u8] = b"{}";

/// The config that artifacts have instead of one (image-spec `manifest.md`, "Guidance for an Empty
/// Descriptor").
#[must_use]
pub fn empty_config() -> (Descriptor, Bytes) {
    (
        Descriptor::of(media_type::OCI_EMPTY, EMPTY),
        Bytes::from_static(EMPTY),
    )
}

/// The manifest of an artifact of a kind. It depends on nothing else: no clock.
///
/// # Errors
/// When annotations make it too large.
pub fn manifest(
    kind: &str,
    layers: &[Descriptor],
    annotations: &BTreeMap<String, String>,
) -> Result<Manifest, ManifestError> {
    let layers = layers.iter().map(|layer| Value::Object(layer.to_json()));
    let mut object = beginning(kind, layers.collect());
    if !annotations.is_empty() {
        object.insert("annotations".to_owned(), json!(annotations));
    }
    Manifest::parse(Document::from_object(object).bytes().clone(), None)
}

/// The manifest of an artifact of one file, of the same kind as the file, about `subject`. It depends
/// on nothing else: no clock.
///
/// # Errors
/// When annotations make it too large.
pub fn about(
    subject: &Descriptor,
    kind: &str,
    file: &Descriptor,
    annotations: &BTreeMap<String, String>,
) -> Result<Manifest, ManifestError> {
    let mut object = beginning(kind, vec![Value::Object(file.to_json())]);
    object.insert("subject".to_owned(), Value::Object(subject.to_json()));
    object.insert("annotations".to_owned(), json!(annotations));
    Manifest::parse(Document::from_object(object).bytes().clone(), None)
}

/// What manifests of artifacts begin with.
pub(super) fn beginning(kind: &str, layers: Vec<Value>) -> Map<String, Value> {
    let mut config = empty_config().0.to_json();
    // So that readers need not ask for two bytes.
    config.insert("data".to_owned(), "e30=".into());
    let mut object = Map::new();
    object.insert("schemaVersion".to_owned(), 2.into());
    object.insert("mediaType".to_owned(), media_type::OCI_MANIFEST.into());
    object.insert("artifactType".to_owned(), kind.into());
    object.insert("config".to_owned(), Value::Object(config));
    object.insert("layers".to_owned(), Value::Array(layers));
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_make_the_same_artifact() {
        let layer = Descriptor::of(media_type::OCI_LAYER_GZIP, b"layer");
        let annotations = BTreeMap::from([("b".to_owned(), "2".to_owned())]);
        let make = || manifest("application/x", std::slice::from_ref(&layer), &annotations);
        let made = make().unwrap();
        assert_eq!(made.artifact_type(), Some("application/x"));
        assert_eq!(made.digest(), make().unwrap().digest());
        let none = manifest("application/x", &[], &BTreeMap::new()).unwrap();
        assert_eq!(none.document().object().get("annotations"), None);
    }
}
