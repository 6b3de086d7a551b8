//! in-toto's statement, version 1: which contents something is said about, and what.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use ohoci_image::Digest;

const TYPE: &str = "https://in-toto.io/Statement/v1";
const OLD_TYPE: &str = "https://in-toto.io/Statement/v0.1";

/// What cosign says of an image that it signs.
pub const SIGNED: &str = "https://sigstore.dev/cosign/sign/v1";
/// SLSA's provenance, version 1.
pub const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
/// SPDX's bill of materials.
pub const SPDX: &str = "https://spdx.dev/Document";
/// CycloneDX's bill of materials.
pub const CYCLONEDX: &str = "https://cyclonedx.org/bom";

/// A statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// What it is about.
    pub subjects: Vec<Subject>,
    /// What kind of thing is said.
    pub predicate_type: String,
    /// What is said.
    pub predicate: Value,
}

/// What a statement is about.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Subject {
    /// Its name; a registry's repository for images that ohoci signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its digests: the algorithm, and hexadecimal digits.
    pub digest: BTreeMap<String, String>,
}

impl Subject {
    /// The image with a digest.
    #[must_use]
    pub fn image(name: Option<String>, digest: &Digest) -> Self {
        let pair = (
            digest.algorithm().name().to_owned(),
            digest.hex().to_owned(),
        );
        Self {
            name,
            digest: BTreeMap::from([pair]),
        }
    }

    /// Whether it is the content with that digest.
    #[must_use]
    pub fn is(&self, digest: &Digest) -> bool {
        self.digest
            .get(digest.algorithm().name())
            .is_some_and(|hex| hex == digest.hex())
    }
}

#[derive(Deserialize)]
struct Read {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    #[serde(default)]
    predicate: Value,
}

impl Statement {
    /// The statement as JSON. The same statement gives the same bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        json!({
            "_type": TYPE,
            "subject": self.subjects,
            "predicateType": self.predicate_type,
            "predicate": self.predicate,
        })
        .to_string()
        .into()
    }

    /// Reads a statement.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let read: Read = serde_json::from_slice(bytes)
            .map_err(|error| format!("its statement cannot be read: {error}"))?;
        if ![TYPE, OLD_TYPE].contains(&read.kind.as_str()) {
            return Err(format!("its statement is of type {:?}", read.kind));
        }
        Ok(Self {
            subjects: read.subject,
            predicate_type: read.predicate_type,
            predicate: read.predicate,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_read_as_it_was_written() {
        let digest = Digest::of(b"image");
        let statement = Statement {
            subjects: vec![Subject::image(
                Some("registry.example/a".to_owned()),
                &digest,
            )],
            predicate_type: SIGNED.to_owned(),
            predicate: json!({}),
        };
        let read = Statement::parse(&statement.to_bytes()).unwrap();
        assert_eq!(read, statement);
        assert!(read.subjects[0].is(&digest) && !read.subjects[0].is(&Digest::of(b"")));
        assert!(Statement::parse(b"{}").is_err());
        let other = br#"{"_type":"x","subject":[],"predicateType":"y"}"#;
        assert!(Statement::parse(other).unwrap_err().contains("\"x\""));
    }
}
