//! Retyping between the two media type families; digests of layers do not change by it.

use serde_json::{Map, Value};

use super::media_type::{Family, LayerKind, is_image_config, layer_kind};

/// Why something has no place in a family.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// zstd in a Docker manifest.
    #[error("Docker manifests have no type for a zstd layer")]
    ZstdInDocker,
    /// Foreign, encrypted or unknown.
    #[error("a layer of type {0:?} cannot be moved to another manifest format")]
    Layer(String),
}

/// The family's type for a layer that now has `media_type`.
///
/// # Errors
/// When the family has none, or the layer is not an ordinary one.
pub fn layer_type(media_type: &str, family: Family) -> Result<&'static str, ConvertError> {
    match layer_kind(media_type) {
        LayerKind::Ordinary(compression) => {
            family.layer(compression).ok_or(ConvertError::ZstdInDocker)
        }
        _ => Err(ConvertError::Layer(media_type.to_owned())),
    }
}

/// Retypes one layer descriptor in place; every other field stays.
///
/// # Errors
/// As [`layer_type`].
pub fn retype_layer(
    descriptor: &mut Map<String, Value>,
    family: Family,
) -> Result<(), ConvertError> {
    let now = descriptor
        .get("mediaType")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let wanted = layer_type(now, family)?;
    if now != wanted {
        descriptor.insert("mediaType".to_owned(), wanted.into());
    }
    Ok(())
}

/// Retypes an image manifest in place: its own type, its config and its layers. Nothing else in it
/// changes, except that annotations, which Docker's format lacks, are dropped on the way there.
///
/// A config that is no image config keeps its type.
///
/// # Errors
/// When a layer has no type in the family; the manifest is then half retyped and must be dropped.
pub fn retype_manifest(
    manifest: &mut Map<String, Value>,
    family: Family,
) -> Result<(), ConvertError> {
    set_media_type(manifest, family.manifest());
    if let Some(Value::Object(config)) = manifest.get_mut("config")
        && config
            .get("mediaType")
            .and_then(Value::as_str)
            .is_some_and(is_image_config)
    {
        config.insert("mediaType".to_owned(), family.config().into());
    }
    if let Some(Value::Array(layers)) = manifest.get_mut("layers") {
        for layer in layers.iter_mut().filter_map(Value::as_object_mut) {
            retype_layer(layer, family)?;
        }
    }
    if family == Family::Docker {
        manifest.shift_remove("annotations");
    }
    Ok(())
}

/// Sets `mediaType`, behind `schemaVersion` where it was missing.
pub(super) fn set_media_type(document: &mut Map<String, Value>, media_type: &str) {
    if let Some(slot) = document.get_mut("mediaType") {
        *slot = media_type.into();
        return;
    }
    let at = document
        .keys()
        .position(|key| key == "schemaVersion")
        .map_or(0, |at| at + 1);
    document.shift_insert(at, "mediaType".to_owned(), media_type.into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::media_type::*;
    use serde_json::json;

    /// The matrix of containers/image `copy/manifest_test.go` and `manifest/docker_schema2.go`,
    /// for the types that ohoci handles.
    #[test]
    fn the_table_of_layer_types() {
        let zstd_docker = "application/vnd.docker.image.rootfs.diff.tar.zstd";
        for (from, docker, oci) in [
            (DOCKER_LAYER, Some(DOCKER_LAYER), OCI_LAYER),
            (DOCKER_LAYER_GZIP, Some(DOCKER_LAYER_GZIP), OCI_LAYER_GZIP),
            (OCI_LAYER, Some(DOCKER_LAYER), OCI_LAYER),
            (OCI_LAYER_GZIP, Some(DOCKER_LAYER_GZIP), OCI_LAYER_GZIP),
            (OCI_LAYER_ZSTD, None, OCI_LAYER_ZSTD),
            (zstd_docker, None, OCI_LAYER_ZSTD),
        ] {
            assert_eq!(layer_type(from, Family::Docker).ok(), docker, "{from}");
            assert_eq!(layer_type(from, Family::Oci), Ok(oci), "{from}");
        }
        for refused in [
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
            "text/plain",
            "",
        ] {
            for family in [Family::Oci, Family::Docker] {
                assert!(layer_type(refused, family).is_err(), "{refused}");
            }
        }
    }

    #[test]
    fn a_manifest_changes_types_and_nothing_else() {
        let docker = json!({
            "schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "x": 1.0,
            "config": {"mediaType": DOCKER_CONFIG, "size": 1, "digest": "d"},
            "layers": [{"x-layer": [], "mediaType": DOCKER_LAYER_GZIP, "size": 2}],
        });
        let mut object = docker.as_object().unwrap().clone();
        retype_manifest(&mut object, Family::Oci).unwrap();
        let text = Value::Object(object.clone()).to_string();
        assert_eq!(
            text,
            docker
                .to_string()
                .replace(DOCKER_MANIFEST, OCI_MANIFEST)
                .replace(DOCKER_CONFIG, OCI_CONFIG)
                .replace(DOCKER_LAYER_GZIP, OCI_LAYER_GZIP)
        );
        object.insert("annotations".to_owned(), json!({"a": "b"}));
        retype_manifest(&mut object, Family::Docker).unwrap();
        assert_eq!(Value::Object(object).to_string(), docker.to_string());
    }

    #[test]
    fn a_missing_type_is_put_behind_the_version() {
        let mut object = json!({"schemaVersion": 2, "layers": []});
        set_media_type(object.as_object_mut().unwrap(), "t");
        assert_eq!(
            object.to_string(),
            r#"{"schemaVersion":2,"mediaType":"t","layers":[]}"#
        );
    }
}
