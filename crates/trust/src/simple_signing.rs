//! cosign's older form of signatures: containers' "simple signing" payload in the layer of an image
//! under the tag `sha256-HEX.sig`, and the signature in an annotation of that layer (cosign's
//! `specs/SIGNATURE_SPEC.md`).

use bytes::Bytes;
use ohoci_image::Digest;
use ohoci_image::json::{self, Shape};
use serde_json::{Value, json};

/// The media type of payloads.
pub const MEDIA_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation of a payload's descriptor that holds the signature, in base64.
pub const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// Most of a payload that is read, in bytes.
pub const MAX_PAYLOAD: u64 = 1 << 20;

const TYPE: &str = "cosign container image signature";

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The image's name as the signer knew it; cosign writes the repository.
    pub reference: String,
    /// The image.
    pub digest: Digest,
}

impl Payload {
    /// The payload as JSON, byte for byte as cosign writes it.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        json!({
            "critical": {
                "identity": {"docker-reference": self.reference},
                "image": {"docker-manifest-digest": self.digest.to_string()},
                "type": TYPE,
            },
            "optional": null,
        })
        .to_string()
        .into()
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let value = json::parse(bytes, &Shape::Any)
            .map_err(|error| format!("its payload cannot be read: {error}"))?;
        let critical = value
            .get("critical")
            .ok_or("its payload has no \"critical\"")?;
        let text = |outer: &str, inner: &str| {
            let value = critical.get(outer).and_then(|outer| outer.get(inner));
            value
                .and_then(Value::as_str)
                .ok_or_else(|| format!("its payload has no {inner:?}"))
        };
        let kind = critical.get("type").and_then(Value::as_str);
        if ![Some(TYPE), Some("atomic container signature")].contains(&kind) {
            return Err(format!("its payload is of type {kind:?}"));
        }
        Ok(Self {
            reference: text("identity", "docker-reference")?.to_owned(),
            digest: text("image", "docker-manifest-digest")?
                .parse()
                .map_err(|error| format!("its payload: {error}"))?,
        })
    }
}

/// The tag under which signatures of an image are.
#[must_use]
pub fn tag(image: &Digest) -> String {
    format!("{}-{}.sig", image.algorithm().name(), image.hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_is_cosigns() {
        let payload = Payload {
            reference: "registry.example/a".to_owned(),
            digest: Digest::of(b""),
        };
        // Source: cosign's `specs/SIGNATURE_SPEC.md`, with this image.
        let wanted = "{\"critical\":{\"identity\":{\"docker-reference\":\"registry.example/a\"},\
            \"image\":{\"docker-manifest-digest\":\"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934\
            ca495991b7852b855\"},\"type\":\"cosign container image signature\"},\"optional\":null}";
        assert_eq!(payload.to_bytes(), wanted);
        assert_eq!(Payload::parse(&payload.to_bytes()).unwrap(), payload);
    }

    #[test]
    fn a_payload_that_two_readers_could_take_for_different_ones_is_refused() {
        let digest = Digest::of(b"");
        let text = format!(
            r#"{{"critical":{{"identity":{{"docker-reference":"a"}},"type":"{TYPE}",
            "image":{{"docker-manifest-digest":"{digest}","docker-manifest-digest":"{digest}"}}}}}}"#
        );
        assert!(
            Payload::parse(text.as_bytes())
                .unwrap_err()
                .contains("twice")
        );
    }
}
