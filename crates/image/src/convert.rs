//! Retyping between the two media type families; digests of layers do not change by it.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::descriptor::Descriptor;
use super::digest::Digest;
use super::document::Document;
use super::manifest::{Content, Manifest};
use super::media_type::{
    DOCKER_FOREIGN_LAYER, DOCKER_FOREIGN_LAYER_GZIP, Family, LayerKind, OCI_FOREIGN_LAYER,
    OCI_FOREIGN_LAYER_GZIP, is_image_config, layer_kind,
};

/// Why something has no place in a family.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// zstd in a Docker manifest.
    #[error("Docker manifests have no type for a zstd layer")]
    ZstdInDocker,
    /// Foreign, encrypted or unknown.
    #[error("a layer of type {0:?} cannot be moved to another manifest format")]
    Layer(String),
    /// The retyped document is no manifest.
    #[error("the converted manifest is invalid: {0}")]
    Result(String),
}

/// The family's type for a layer that now has `media_type`.
///
/// # Errors
/// When the family has none, or the layer is not an ordinary one.
pub(crate) fn layer_type(media_type: &str, family: Family) -> Result<&'static str, ConvertError> {
    match layer_kind(media_type) {
        LayerKind::Ordinary(compression) => {
            family.layer(compression).ok_or(ConvertError::ZstdInDocker)
        }
        LayerKind::Foreign => match (media_type, family) {
            (OCI_FOREIGN_LAYER | DOCKER_FOREIGN_LAYER, Family::Oci) => Ok(OCI_FOREIGN_LAYER),
            (OCI_FOREIGN_LAYER | DOCKER_FOREIGN_LAYER, Family::Docker) => Ok(DOCKER_FOREIGN_LAYER),
            (OCI_FOREIGN_LAYER_GZIP | DOCKER_FOREIGN_LAYER_GZIP, Family::Oci) => {
                Ok(OCI_FOREIGN_LAYER_GZIP)
            }
            (OCI_FOREIGN_LAYER_GZIP | DOCKER_FOREIGN_LAYER_GZIP, Family::Docker) => {
                Ok(DOCKER_FOREIGN_LAYER_GZIP)
            }
            _ => Err(ConvertError::Layer(media_type.to_owned())),
        },
        _ => Err(ConvertError::Layer(media_type.to_owned())),
    }
}

/// Retypes one layer descriptor in place; every other field stays.
///
/// # Errors
/// As [`layer_type`].
pub(crate) fn retype_layer(
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
pub(crate) fn retype_manifest(
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

/// Retypes manifests and the indexes that list them. `manifests` is in an order in which each
/// stands behind all that it lists; so is the result. What is of the family already stays byte for
/// byte, unless something that it lists has changed.
///
/// # Errors
/// When a layer has no type in the family, or a result is no manifest any more.
pub fn retype_all(manifests: &[Manifest], family: Family) -> Result<Vec<Manifest>, ConvertError> {
    rewrite_all(manifests, |manifest, object| {
        if manifest.family() == family {
            return Ok(());
        }
        match manifest.content() {
            Content::Image { .. } => retype_manifest(object, family),
            Content::Index { .. } => {
                set_media_type(object, family.index());
                Ok(())
            }
        }
    })
}

/// Rewrites manifests with `rewrite`, and lets the indexes that list them follow.
fn rewrite_all(
    manifests: &[Manifest],
    rewrite: impl Fn(&Manifest, &mut Map<String, Value>) -> Result<(), ConvertError>,
) -> Result<Vec<Manifest>, ConvertError> {
    let mut renamed: HashMap<&Digest, Descriptor> = HashMap::new();
    let mut converted = Vec::new();
    for manifest in manifests {
        let mut object = manifest.document().object().clone();
        rewrite(manifest, &mut object)?;
        if let Content::Index { .. } = manifest.content() {
            rename_children(&mut object, &renamed);
        }
        let new = if object == *manifest.document().object() {
            manifest.clone()
        } else {
            Manifest::parse(Document::from_object(object).bytes().clone(), None)
                .map_err(|error| ConvertError::Result(error.to_string()))?
        };
        renamed.insert(manifest.digest(), new.descriptor());
        converted.push(new);
    }
    Ok(converted)
}

fn rename_children(index: &mut Map<String, Value>, renamed: &HashMap<&Digest, Descriptor>) {
    let Some(Value::Array(entries)) = index.get_mut("manifests") else {
        return;
    };
    for entry in entries.iter_mut().filter_map(Value::as_object_mut) {
        if let Some(new) = named_digest(entry).and_then(|digest| renamed.get(&digest)) {
            put_descriptor(entry, new);
        }
    }
}

/// The digest in a descriptor.
fn named_digest(descriptor: &Map<String, Value>) -> Option<Digest> {
    descriptor.get("digest")?.as_str()?.parse().ok()
}

/// Puts another document or blob in a descriptor's place; fields about neither stay.
fn put_descriptor(slot: &mut Map<String, Value>, new: &Descriptor) {
    for (key, value) in new.to_json() {
        slot.insert(key, value);
    }
    slot.shift_remove("data");
}

/// Annotations about how a layer is compressed, which say nothing of other bytes: eStargz of containerd's
/// stargz snapshotter (`estargz.TOCJSONDigestAnnotation`, `StoreUncompressedSizeAnnotation`) and
/// zstd:chunked of containers/storage.
const ABOUT_COMPRESSION: [&str; 3] = [
    "containerd.io/snapshot/stargz/",
    "io.containers.estargz.",
    "io.github.containers.zstd-chunked.",
];

/// Puts other blobs in the places of layers, wherever images list them; the new descriptors give type,
/// digest and size, and other fields stay unless they are about the old bytes. Where a Docker manifest has
/// no type for one, it and all others become OCI manifests. Order as in [`retype_all`].
///
/// # Errors
/// As [`retype_all`].
pub fn replace_layers(
    manifests: &[Manifest],
    replaced: &HashMap<Digest, Descriptor>,
) -> Result<Vec<Manifest>, ConvertError> {
    let is_oci_only = |layer: &Descriptor| layer_type(&layer.media_type, Family::Docker).is_err();
    let oci;
    let manifests = if replaced.values().any(is_oci_only) {
        oci = retype_all(manifests, Family::Oci)?;
        &oci
    } else {
        manifests
    };
    rewrite_all(manifests, |manifest, object| {
        let Some(Value::Array(layers)) = object.get_mut("layers") else {
            return Ok(());
        };
        for layer in layers.iter_mut().filter_map(Value::as_object_mut) {
            let Some(new) = named_digest(layer).and_then(|digest| replaced.get(&digest)) else {
                continue;
            };
            put_descriptor(layer, new);
            retype_layer(layer, manifest.family())?;
            if let Some(Value::Object(annotations)) = layer.get_mut("annotations") {
                annotations
                    .retain(|key, _| !ABOUT_COMPRESSION.iter().any(|about| key.starts_with(about)));
            }
        }
        Ok(())
    })
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
    use crate::media_type::*;
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
            (
                OCI_FOREIGN_LAYER,
                Some(DOCKER_FOREIGN_LAYER),
                OCI_FOREIGN_LAYER,
            ),
            (
                DOCKER_FOREIGN_LAYER_GZIP,
                Some(DOCKER_FOREIGN_LAYER_GZIP),
                OCI_FOREIGN_LAYER_GZIP,
            ),
        ] {
            assert_eq!(layer_type(from, Family::Docker).ok(), docker, "{from}");
            assert_eq!(layer_type(from, Family::Oci), Ok(oci), "{from}");
        }
        for refused in [
            "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
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

    #[test]
    fn an_index_follows_what_it_lists() {
        let image = Manifest::parse(
            json!({
                "schemaVersion": 2,
                "mediaType": DOCKER_MANIFEST,
                "config": {"mediaType": DOCKER_CONFIG, "size": 2, "digest": Digest::of(b"{}").to_string()},
                "layers": [],
            })
            .to_string(),
            None,
        )
        .unwrap();
        let mut entry = image.descriptor().to_json();
        entry.insert(
            "platform".to_owned(),
            json!({"os": "linux", "architecture": "amd64"}),
        );
        let index = Manifest::parse(
            json!({"schemaVersion": 2, "mediaType": DOCKER_INDEX, "manifests": [entry]})
                .to_string(),
            None,
        )
        .unwrap();
        let manifests = [image, index];
        let converted = retype_all(&manifests, Family::Oci).unwrap();
        let [image, index] = converted.as_slice() else {
            panic!("{converted:?}");
        };
        assert_eq!(image.media_type(), OCI_MANIFEST);
        assert_eq!(index.media_type(), OCI_INDEX);
        let Content::Index { manifests: listed } = index.content() else {
            panic!("{index:?}");
        };
        assert_eq!(listed[0].digest, *image.digest());
        assert_eq!(listed[0].media_type, OCI_MANIFEST);
        assert_eq!(
            listed[0].platform.as_ref().unwrap().to_string(),
            "linux/amd64"
        );
        let same = retype_all(&manifests, Family::Docker).unwrap();
        assert_eq!(same[1].bytes(), manifests[1].bytes());
    }
}
