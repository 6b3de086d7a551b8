//! Manifests and indexes: the exact bytes plus the view that ohoci reads.

use bytes::Bytes;
use serde_json::Value;

use super::descriptor::{Descriptor, DescriptorError};
use super::digest::Digest;
use super::document::{Document, DocumentError};
use super::media_type::{self, Family};
use super::shape;

/// Largest manifest that is read or written, in bytes: what registries enforce (distribution-spec,
/// "Pushing manifests").
pub const MAX_SIZE: u64 = 4 << 20;

/// A manifest or an index.
#[derive(Clone, Debug)]
pub struct Manifest {
    document: Document,
    media_type: String,
    digest: Digest,
    content: Content,
}

/// What a manifest lists.
#[derive(Clone, Debug)]
pub enum Content {
    /// One image (or artifact).
    Image {
        /// The config blob.
        config: Box<Descriptor>,
        /// The layers, lowest first.
        layers: Vec<Descriptor>,
    },
    /// Several manifests.
    Index {
        /// The entries, in order.
        manifests: Vec<Descriptor>,
    },
}

/// Why bytes are no manifest that ohoci can use.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Larger than [`MAX_SIZE`].
    #[error("the manifest has {0} bytes; the largest that registries take is {MAX_SIZE}")]
    TooLarge(u64),
    /// Not a JSON object.
    #[error("the manifest cannot be read: {0}")]
    Document(#[from] DocumentError),
    /// Docker's schema 1, which lists neither sizes nor a config.
    #[error("the manifest is Docker schema 1, which has no config and no layer sizes")]
    Schema1,
    /// A type that is neither an image manifest nor an index.
    #[error("the manifest's media type {0:?} is neither an image manifest nor an index")]
    UnknownType(String),
    /// The type inside and the type that the registry announced differ.
    #[error("the manifest says that it is {inside:?}, but was served as {served:?}")]
    TypeMismatch {
        /// `mediaType` in the document.
        inside: String,
        /// `Content-Type` of the answer.
        served: String,
    },
    /// A descriptor in it is broken.
    #[error("{place} of the manifest: {source}")]
    Descriptor {
        /// Which descriptor.
        place: String,
        /// What is wrong with it.
        source: DescriptorError,
    },
    /// It has the lists of both an image and an index, so two readers could see two things
    /// (CVE-2021-41190).
    #[error("the manifest is {media_type:?}, but has {field:?}, which belongs to another type")]
    Ambiguous {
        /// The type that it claims.
        media_type: String,
        /// The field that does not belong there.
        field: &'static str,
    },
    /// A required list is missing.
    #[error("the manifest has no {0:?} list")]
    MissingList(&'static str),
}

impl Manifest {
    /// Parses a manifest or index.
    ///
    /// `served_as` is the media type it was announced with, if it was; it decides only where the
    /// document has no `mediaType`, which image-spec permits.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn parse(bytes: impl Into<Bytes>, served_as: Option<&str>) -> Result<Self, ManifestError> {
        let bytes = bytes.into();
        if bytes.len() as u64 > MAX_SIZE {
            return Err(ManifestError::TooLarge(bytes.len() as u64));
        }
        let document = Document::parse(bytes, &shape::MANIFEST)?;
        let object = document.object();
        let inside = object.get("mediaType").and_then(Value::as_str);
        let served = served_as.map(media_type::essence);
        let schema1 = |text: &str| media_type::DOCKER_SCHEMA1.contains(&text);
        if object.get("schemaVersion").and_then(Value::as_u64) == Some(1)
            || inside.is_some_and(schema1)
            || served.as_deref().is_some_and(schema1)
        {
            return Err(ManifestError::Schema1);
        }
        let known = |text: &str| media_type::is_manifest(text) || media_type::is_index(text);
        let media_type = match (inside, served.as_deref()) {
            (Some(inside), Some(served)) if known(served) && inside != served => {
                return Err(ManifestError::TypeMismatch {
                    inside: inside.to_owned(),
                    served: served.to_owned(),
                });
            }
            (Some(inside), _) => inside.to_owned(),
            (None, Some(served)) if known(served) => served.to_owned(),
            // No type anywhere: an OCI document may leave it out, and its lists tell which it is.
            (None, _) if object.contains_key("manifests") => media_type::OCI_INDEX.to_owned(),
            (None, _) => media_type::OCI_MANIFEST.to_owned(),
        };
        let alien: &[&str] = if media_type::is_index(&media_type) {
            &["config", "layers", "fsLayers"]
        } else {
            &["manifests", "fsLayers"]
        };
        if let Some(field) = alien.iter().find(|field| object.contains_key(**field)) {
            return Err(ManifestError::Ambiguous { media_type, field });
        }
        let content = if media_type::is_index(&media_type) {
            Content::Index {
                manifests: descriptors(object.get("manifests"), "manifests")?,
            }
        } else if media_type::is_manifest(&media_type) {
            let config = object.get("config").unwrap_or(&Value::Null);
            Content::Image {
                config: Descriptor::from_json(config)
                    .map(Box::new)
                    .map_err(|source| ManifestError::Descriptor {
                        place: "`config`".to_owned(),
                        source,
                    })?,
                layers: descriptors(object.get("layers"), "layers")?,
            }
        } else {
            return Err(ManifestError::UnknownType(media_type));
        };
        Ok(Self {
            digest: document.digest(),
            document,
            media_type,
            content,
        })
    }

    /// The document.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The exact bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        self.document.bytes()
    }

    /// The media type, without parameters.
    #[must_use]
    pub fn media_type(&self) -> &str {
        &self.media_type
    }

    /// SHA-256 of the bytes.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What it lists.
    #[must_use]
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Which family it belongs to.
    #[must_use]
    pub fn family(&self) -> Family {
        if self.media_type == media_type::DOCKER_MANIFEST
            || self.media_type == media_type::DOCKER_INDEX
        {
            Family::Docker
        } else {
            Family::Oci
        }
    }

    /// What kind of artifact it says that it is.
    #[must_use]
    pub fn artifact_type(&self) -> Option<&str> {
        self.document.object().get("artifactType")?.as_str()
    }

    /// The manifest that it is about, if it names one.
    #[must_use]
    pub fn subject(&self) -> Option<Descriptor> {
        Descriptor::from_json(self.document.object().get("subject")?).ok()
    }

    /// A descriptor that points at it.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(
            self.media_type.clone(),
            self.digest.clone(),
            self.bytes().len() as u64,
        )
    }
}

fn descriptors(list: Option<&Value>, name: &'static str) -> Result<Vec<Descriptor>, ManifestError> {
    let list = match list {
        Some(Value::Array(list)) => list.as_slice(),
        // Tools written in Go write an empty list as null.
        Some(Value::Null) => &[],
        _ => return Err(ManifestError::MissingList(name)),
    };
    list.iter()
        .enumerate()
        .map(|(at, value)| {
            Descriptor::from_json(value).map_err(|source| ManifestError::Descriptor {
                place: format!("`{name}[{at}]`"),
                source,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media_type::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn descriptor(media_type: &str) -> Value {
        json!({"mediaType": media_type, "size": 1, "digest": Digest::of(b"x").to_string()})
    }

    fn image(family: Family) -> Value {
        json!({
            "schemaVersion": 2,
            "mediaType": family.manifest(),
            "config": descriptor(family.config()),
            "layers": [descriptor(family.layer(Compression::Gzip).unwrap())],
        })
    }

    fn index(family: Family) -> Value {
        json!({
            "schemaVersion": 2,
            "mediaType": family.index(),
            "manifests": [descriptor(family.manifest())],
        })
    }

    fn parse(value: &Value, served_as: Option<&str>) -> Result<Manifest, ManifestError> {
        Manifest::parse(value.to_string(), served_as)
    }

    fn without(mut value: Value, key: &str) -> Value {
        value.as_object_mut().unwrap().shift_remove(key);
        value
    }

    fn edited(edit: impl FnOnce(&mut Value)) -> Result<Manifest, ManifestError> {
        let mut value = image(Family::Oci);
        edit(&mut value);
        parse(&value, None)
    }

    #[test]
    fn both_families_and_both_kinds_are_read_and_kept_as_bytes() {
        for family in [Family::Oci, Family::Docker] {
            for (value, media_type) in [
                (image(family), family.manifest()),
                (index(family), family.index()),
            ] {
                let manifest = parse(&value, None).unwrap();
                assert_eq!(manifest.media_type(), media_type);
                assert_eq!(manifest.family(), family);
                assert_eq!(manifest.bytes(), &value.to_string());
                assert_eq!(manifest.digest(), &Digest::of(value.to_string().as_bytes()));
                let descriptor = manifest.descriptor();
                assert_eq!(descriptor.size, value.to_string().len() as u64);
            }
        }
    }

    #[test]
    fn without_a_type_inside_the_announced_one_decides() {
        let untyped = without(image(Family::Docker), "mediaType");
        let served = |served_as| parse(&untyped, served_as).map(|m| m.media_type().to_owned());
        assert_eq!(served(Some(DOCKER_MANIFEST)).unwrap(), DOCKER_MANIFEST);
        assert_eq!(
            served(Some(
                "Application/VND.oci.image.manifest.v1+json; charset=utf-8"
            ))
            .unwrap(),
            OCI_MANIFEST
        );
        assert_eq!(served(Some("application/json")).unwrap(), OCI_MANIFEST);
        assert_eq!(served(None).unwrap(), OCI_MANIFEST);
        let untyped = without(index(Family::Oci), "mediaType");
        assert_eq!(parse(&untyped, None).unwrap().media_type(), OCI_INDEX);
    }

    #[test]
    fn a_type_inside_that_differs_from_the_announced_one_is_refused() {
        for (value, served_as) in [
            (image(Family::Oci), DOCKER_MANIFEST),
            (image(Family::Oci), OCI_INDEX),
            (index(Family::Docker), OCI_INDEX),
        ] {
            assert!(matches!(
                parse(&value, Some(served_as)),
                Err(ManifestError::TypeMismatch { .. })
            ));
        }
        // Some servers announce nothing useful.
        for vague in ["text/plain", "application/octet-stream", ""] {
            assert!(parse(&image(Family::Oci), Some(vague)).is_ok());
        }
    }

    #[test]
    fn schema_1_is_named_as_such() {
        let v1 =
            json!({"schemaVersion": 1, "name": "a", "tag": "b", "fsLayers": [], "history": []});
        for (value, served_as) in [
            (v1.clone(), None),
            (v1, Some(DOCKER_SCHEMA1[1])),
            (json!({"mediaType": DOCKER_SCHEMA1[0]}), None),
            (json!({}), Some(DOCKER_SCHEMA1[0])),
        ] {
            let error = parse(&value, served_as).unwrap_err();
            assert!(matches!(error, ManifestError::Schema1), "{error}");
        }
    }

    #[test]
    fn documents_that_two_readers_could_read_differently_are_refused() {
        let mut both = image(Family::Oci);
        both["manifests"] = json!([]);
        for value in [both.clone(), without(both, "mediaType")] {
            assert!(matches!(
                parse(&value, Some(OCI_MANIFEST)),
                Err(ManifestError::Ambiguous {
                    field: "manifests",
                    ..
                })
            ));
        }
        let mut both = index(Family::Docker);
        both["layers"] = json!([]);
        assert!(matches!(
            parse(&both, None),
            Err(ManifestError::Ambiguous { .. })
        ));
    }

    #[test]
    fn other_types_are_refused() {
        let mut value = image(Family::Oci);
        value["mediaType"] = json!("application/vnd.oci.artifact.manifest.v1+json");
        assert!(matches!(
            parse(&value, None),
            Err(ManifestError::UnknownType(_))
        ));
    }

    #[test]
    fn lists_may_be_null_but_not_missing() {
        let count = |manifest: &Manifest| match manifest.content() {
            Content::Image { layers, .. } => layers.len(),
            Content::Index { manifests } => manifests.len(),
        };
        assert_eq!(
            count(&edited(|value| value["layers"] = Value::Null).unwrap()),
            0
        );
        let mut empty = index(Family::Oci);
        empty["manifests"] = Value::Null;
        assert_eq!(count(&parse(&empty, None).unwrap()), 0);
        for (value, key) in [
            (image(Family::Oci), "layers"),
            (index(Family::Oci), "manifests"),
        ] {
            assert!(matches!(
                parse(&without(value, key), None),
                Err(ManifestError::MissingList(list)) if list == key
            ));
        }
        assert!(edited(|value| value["layers"] = json!({})).is_err());
        assert!(parse(&without(image(Family::Oci), "config"), None).is_err());
    }

    /// The failures that image-spec's `schema/manifest_test.go`, `imageindex_test.go` and
    /// `descriptor_test.go` expect and that matter for reading safely.
    #[test]
    fn broken_descriptors_are_named() {
        let hex = "0".repeat(64);
        for (key, bad) in [
            ("size", json!("1")),
            ("size", json!(-1)),
            ("size", json!(1.0)),
            ("size", json!(1e30)),
            (
                "size",
                serde_json::from_str("18446744073709551616").unwrap(),
            ),
            ("size", Value::Null),
            ("digest", Value::Null),
            ("digest", json!(hex)),
            ("digest", json!("sha256:")),
            ("digest", json!(format!("SHA256:{hex}"))),
            ("digest", json!(format!("sha256:{}", "A".repeat(64)))),
            ("digest", json!(format!("sha256:{hex}0"))),
            ("digest", json!(format!("sha256:{}/../..", "0".repeat(58)))),
            ("mediaType", Value::Null),
            ("mediaType", json!(1)),
        ] {
            let error = edited(|value| value["layers"][0][key] = bad.clone()).unwrap_err();
            assert!(
                error.to_string().contains("`layers[0]`"),
                "{key} {bad}: {error}"
            );
            let error = edited(|value| value["config"][key] = bad.clone()).unwrap_err();
            assert!(error.to_string().contains("`config`"), "{error}");
            let mut list = index(Family::Docker);
            list["manifests"][0][key] = bad;
            let error = parse(&list, None).unwrap_err();
            assert!(error.to_string().contains("`manifests[0]`"), "{error}");
        }
        for bad in [json!(null), json!([]), json!("x"), json!(1)] {
            assert!(edited(|value| value["layers"][0] = bad).is_err());
        }
    }

    #[test]
    fn size_is_bounded() {
        let padded = |length: usize| {
            let text = image(Family::Oci).to_string();
            format!("{text}{}", " ".repeat(length - text.len()))
        };
        let limit = usize::try_from(MAX_SIZE).unwrap();
        assert!(Manifest::parse(padded(limit), None).is_ok());
        assert!(matches!(
            Manifest::parse(padded(limit + 1), None),
            Err(ManifestError::TooLarge(_))
        ));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Manifest::parse(bytes, None);
        }

        #[test]
        fn any_shape_is_read_without_panic(
            version in 0..3u8, size in any::<i64>(), text in "[a-z:0-9]{0,20}", list in any::<bool>(),
        ) {
            let entry = json!({"mediaType": text, "size": size, "digest": text});
            let entries = if list { json!([entry]) } else { entry.clone() };
            for key in ["layers", "manifests", "config"] {
                let value = json!({"schemaVersion": version, "config": entry, key: entries});
                let _ = parse(&value, Some(&text));
            }
        }
    }
}
