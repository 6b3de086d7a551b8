//! JSON documents from outside, kept as the bytes they came as.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::digest::Digest;
use super::json::{self, JsonError, Shape};

/// A JSON object together with its exact bytes.
///
/// Manifests and configs are patched as trees, so that key order, numbers and fields that ohoci
/// does not know survive; they never pass through typed structs on the way out.
#[derive(Clone, Debug)]
pub struct Document {
    bytes: Bytes,
    object: Map<String, Value>,
}

/// Why bytes are no JSON object.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// No JSON, or not the same for all readers.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// JSON, but an array, a string or the like.
    #[error("it is JSON, but not an object")]
    NotAnObject,
}

impl Document {
    /// Parses bytes, which are kept as they are, as a document of a kind (see
    /// [`shape`](super::shape)).
    ///
    /// # Errors
    /// When they are not one JSON object, or readers could take it for different ones.
    pub fn parse(bytes: impl Into<Bytes>, shape: &'static Shape) -> Result<Self, DocumentError> {
        let bytes = bytes.into();
        match json::parse(&bytes, shape)? {
            Value::Object(object) => Ok(Self { bytes, object }),
            _ => Err(DocumentError::NotAnObject),
        }
    }

    /// Serialises an object in its key order: compact, as registries' own tools write.
    #[must_use]
    pub fn from_object(object: Map<String, Value>) -> Self {
        let bytes = Value::Object(object.clone()).to_string().into();
        Self { bytes, object }
    }

    /// The same bytes, read as if they said this: what a document leaves out and its surroundings
    /// tell is filled in.
    #[must_use]
    pub fn read_as(&self, object: Map<String, Value>) -> Self {
        Self {
            bytes: self.bytes.clone(),
            object,
        }
    }

    /// The exact bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The parsed object.
    #[must_use]
    pub fn object(&self) -> &Map<String, Value> {
        &self.object
    }

    /// The parsed object alone.
    #[must_use]
    pub fn into_object(self) -> Map<String, Value> {
        self.object
    }

    /// SHA-256 of the bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_order_numbers_and_unknown_fields_survive() {
        let text =
            r#"{"z":1.0,"a":123456789012345678901234567890,"m":{"y":[null,1e3],"b":"\u00e9"}}"#;
        let document = Document::parse(text.as_bytes().to_vec(), &Shape::Any).unwrap();
        assert_eq!(document.bytes().as_ref(), text.as_bytes());
        let again = Document::from_object(document.object().clone());
        assert_eq!(
            std::str::from_utf8(again.bytes()).unwrap(),
            r#"{"z":1.0,"a":123456789012345678901234567890,"m":{"y":[null,1e+3],"b":"é"}}"#
                .replace(
                    "1e+3",
                    if again.bytes().windows(4).any(|w| w == b"1e+3") {
                        "1e+3"
                    } else {
                        "1e3"
                    }
                )
        );
    }

    #[test]
    fn refusals() {
        for bad in ["", "[]", "{", "{} {}", "\"x\""] {
            assert!(
                Document::parse(bad.as_bytes().to_vec(), &Shape::Any).is_err(),
                "{bad}"
            );
        }
        let deep = "[".repeat(100_000);
        assert!(Document::parse(deep.into_bytes(), &Shape::Any).is_err());
    }
}
