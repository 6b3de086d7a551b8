//! The manifest of a composed image.

use serde_json::{Map, Value};

use super::{Base, ComposeError, ComposedLayer, Composition, DOCKER_LAYERS, in_position};
use crate::annotation;
use crate::convert;
use crate::descriptor::Descriptor;
use crate::document::Document;
use crate::manifest::{Manifest, ManifestError};
use crate::media_type::{Family, LayerKind, layer_kind};
use crate::role::Role;

pub(super) fn build(
    input: &Composition,
    family: Family,
    config: &Descriptor,
    layers: &[ComposedLayer],
    warnings: &mut Vec<String>,
) -> Result<Manifest, ComposeError> {
    let mut object = match &input.base {
        Base::Image(base) => base.manifest.document().object().clone(),
        Base::Scratch(_) => Map::from_iter([("schemaVersion".to_owned(), 2.into())]),
    };
    convert::set_media_type(&mut object, family.manifest());
    // Both say something about the base that is not true of what is made from it.
    if let Some(Value::String(kind)) = object.shift_remove("artifactType")
        && !kind.is_empty()
    {
        warnings.push(format!(
            "the base's artifact type {kind:?} is dropped: the result is another image"
        ));
    }
    object.shift_remove("subject");
    write_config(&mut object, config);
    write_layers(input, family, layers, &mut object)?;
    warn_of_layers(layers, warnings);
    write_annotations(input, family, &mut object, warnings);
    let bytes = Document::from_object(object).bytes().clone();
    Manifest::parse(bytes, None).map_err(|error| match error {
        ManifestError::TooLarge(size) => ComposeError::ManifestTooLarge(size),
        other => ComposeError::Manifest(other),
    })
}

fn write_config(object: &mut Map<String, Value>, config: &Descriptor) {
    let slot = object.entry("config").or_insert(Value::Null);
    let Some(old) = slot.as_object_mut() else {
        *slot = Value::Object(config.to_json());
        return;
    };
    let changed = old.get("digest").and_then(Value::as_str) != Some(&config.digest.to_string());
    for (key, value) in config.to_json() {
        old.insert(key, value);
    }
    if changed {
        // The old content, inline and elsewhere.
        old.shift_remove("data");
        old.shift_remove("urls");
    }
}

fn write_layers(
    input: &Composition,
    family: Family,
    layers: &[ComposedLayer],
    object: &mut Map<String, Value>,
) -> Result<(), ComposeError> {
    let mut base = match object.get_mut("layers") {
        Some(Value::Array(list)) => std::mem::take(list),
        _ => Vec::new(),
    };
    for layer in base.iter_mut().filter_map(Value::as_object_mut) {
        convert::retype_layer(layer, family)?;
    }
    let added = layers
        .iter()
        .filter(|layer| layer.role != Role::Base)
        .map(|layer| {
            let mut json = layer.descriptor.to_json();
            if !layer.descriptor.annotations.is_empty() {
                let annotations = layer.descriptor.annotations.iter();
                json.insert(
                    "annotations".to_owned(),
                    annotations
                        .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
                        .collect(),
                );
            }
            Value::Object(json)
        })
        .collect();
    object.insert(
        "layers".to_owned(),
        in_position(input.position, base, added).into(),
    );
    Ok(())
}

fn warn_of_layers(layers: &[ComposedLayer], warnings: &mut Vec<String>) {
    if layers.is_empty() {
        warnings.push("the image has no layer; image-spec asks for at least one".to_owned());
    }
    if layers.len() > DOCKER_LAYERS {
        warnings.push(format!(
            "the image has {} layers; Docker's store takes at most {DOCKER_LAYERS}",
            layers.len()
        ));
    }
    let foreign =
        |layer: &&ComposedLayer| layer_kind(&layer.descriptor.media_type) == LayerKind::Foreign;
    for layer in layers.iter().filter(foreign) {
        warnings.push(match layer.descriptor.urls.first() {
            Some(url) => format!(
                "the base's layer {} must not be redistributed; it stays at {url}",
                layer.descriptor.digest
            ),
            None => format!(
                "the base's layer {} is marked as not to be redistributed, but says nowhere to \
                 find it; it is treated as any other",
                layer.descriptor.digest
            ),
        });
    }
    let is_base = |layer: &&ComposedLayer| layer.role == Role::Base;
    for layer in layers.iter().filter(|layer| !is_base(layer)) {
        if layers
            .iter()
            .filter(is_base)
            .any(|base| base.descriptor.digest == layer.descriptor.digest)
        {
            warnings.push(format!(
                "the base already holds the layer {}; it is added again",
                layer.descriptor.digest
            ));
        }
    }
}

fn write_annotations(
    input: &Composition,
    family: Family,
    object: &mut Map<String, Value>,
    warnings: &mut Vec<String>,
) {
    if family == Family::Docker {
        let from_oci = matches!(&input.base,
            Base::Image(base) if base.manifest.family() == Family::Oci);
        if from_oci && object.shift_remove("annotations").is_some() {
            warnings
                .push("the base's annotations are dropped: Docker manifests have none".to_owned());
        }
        return;
    }
    let slot = object.entry("annotations").or_insert(Value::Null);
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    if let Some(annotations) = slot.as_object_mut() {
        if let Base::Image(base) = &input.base {
            if let Some(name) = &base.name {
                annotations.insert(annotation::BASE_NAME.to_owned(), name.clone().into());
            } else {
                annotations.shift_remove(annotation::BASE_NAME);
            }
            let digest = base.named_digest().to_string();
            annotations.insert(annotation::BASE_DIGEST.to_owned(), digest.into());
        }
        for (key, value) in &input.annotations {
            annotations.insert(key.clone(), value.clone().into());
        }
        if annotations.is_empty() {
            object.shift_remove("annotations");
        }
    }
}
