//! Descriptors: typed, read-only views (image-spec `descriptor.md`).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::digest::Digest;
use super::platform::Platform;

/// Points at content: its type, size and digest.
///
/// This is a view for reading. A descriptor that goes out again keeps the JSON it came as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Media type of the content.
    pub media_type: String,
    /// Digest of the content.
    pub digest: Digest,
    /// Size of the content in bytes.
    pub size: u64,
    /// Where else the content can be had; only foreign layers use it.
    pub urls: Vec<String>,
    /// Annotations, in key order.
    pub annotations: BTreeMap<String, String>,
    /// Platform of the image it points at, in an index.
    pub platform: Option<Platform>,
    /// Type of the artifact it points at, if it is one.
    pub artifact_type: Option<String>,
}

/// What is wrong with a descriptor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid descriptor: {0}")]
pub struct DescriptorError(String);

impl Descriptor {
    /// A descriptor with nothing but the three required fields.
    #[must_use]
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.into(),
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            platform: None,
            artifact_type: None,
        }
    }

    /// Describes `content`.
    #[must_use]
    pub fn of(media_type: impl Into<String>, content: &[u8]) -> Self {
        Self::new(media_type, Digest::of(content), content.len() as u64)
    }

    /// Reads one out of a manifest.
    ///
    /// # Errors
    /// A missing or wrongly typed required field, a negative size, or a digest that cannot be
    /// verified.
    pub fn from_json(value: &Value) -> Result<Self, DescriptorError> {
        let object = value
            .as_object()
            .ok_or_else(|| DescriptorError("it is not a JSON object".to_owned()))?;
        let text = |key: &str| {
            object
                .get(key)
                .and_then(Value::as_str)
                .ok_or_else(|| DescriptorError(format!("`{key}` is missing or not a string")))
        };
        let digest = text("digest")?
            .parse()
            .map_err(|error| DescriptorError(format!("{error}")))?;
        let size = object.get("size").and_then(Value::as_u64).ok_or_else(|| {
            DescriptorError("`size` is missing, negative or not an integer".to_owned())
        })?;
        Ok(Self {
            media_type: text("mediaType")?.to_owned(),
            digest,
            size,
            urls: object
                .get("urls")
                .and_then(Value::as_array)
                .map(|list| {
                    list.iter()
                        .filter_map(Value::as_str)
                        .map(str::to_owned)
                        .collect()
                })
                .unwrap_or_default(),
            annotations: string_map(object.get("annotations")),
            platform: object.get("platform").and_then(Platform::from_json),
            artifact_type: object
                .get("artifactType")
                .and_then(Value::as_str)
                .map(str::to_owned),
        })
    }

    /// The three required fields as JSON, in the order that image-spec lists them.
    #[must_use]
    pub fn to_json(&self) -> Map<String, Value> {
        let mut object = Map::new();
        object.insert("mediaType".to_owned(), self.media_type.clone().into());
        object.insert("digest".to_owned(), self.digest.to_string().into());
        object.insert("size".to_owned(), self.size.into());
        object
    }
}

/// The string values of a JSON object; anything else in it is left out.
#[must_use]
pub fn string_map(value: Option<&Value>) -> BTreeMap<String, String> {
    value
        .and_then(Value::as_object)
        .map(|object| {
            object
                .iter()
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect()
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn required_fields_are_required() {
        let good = json!({"mediaType": "a/b", "size": 3, "digest": Digest::of(b"abc").to_string()});
        let descriptor = Descriptor::from_json(&good).unwrap();
        assert_eq!(descriptor, Descriptor::of("a/b", b"abc"));
        for (key, bad) in [
            ("mediaType", json!(7)),
            ("size", json!(-1)),
            ("size", json!(1.5)),
            ("size", json!("3")),
            ("digest", json!("md5:00")),
        ] {
            let mut value = good.clone();
            value[key] = bad;
            assert!(Descriptor::from_json(&value).is_err(), "{value}");
            value.as_object_mut().unwrap().remove(key);
            assert!(Descriptor::from_json(&value).is_err(), "{value}");
        }
        assert!(Descriptor::from_json(&json!([])).is_err());
    }
}
