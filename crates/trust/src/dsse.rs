//! DSSE (dead simple signing envelope, version 1): a payload, its type, and signatures over both.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

/// The type of in-toto's statements.
pub(crate) const IN_TOTO: &str = "application/vnd.in-toto+json";

/// An envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// What the payload is.
    pub payload_type: String,
    /// What is signed.
    pub payload: Bytes,
    /// The signatures; verifiers of bundles take exactly one.
    pub signatures: Vec<Vec<u8>>,
}

/// What is signed of a payload: DSSE's pre-authentication encoding.
#[must_use]
pub(crate) fn to_sign(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    )
    .into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

impl Envelope {
    /// The envelope as JSON.
    #[must_use]
    pub(crate) fn to_json(&self) -> Value {
        let signatures = self.signatures.iter();
        json!({
            "payload": STANDARD.encode(&self.payload),
            "payloadType": self.payload_type,
            "signatures": signatures
                .map(|signature| json!({"sig": STANDARD.encode(signature)}))
                .collect::<Vec<_>>(),
        })
    }

    /// Reads an envelope.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn from_json(value: &Value) -> Result<Self, String> {
        let text = |value: &Value, key: &str| {
            let found = value.get(key).and_then(Value::as_str);
            found
                .map(str::to_owned)
                .ok_or_else(|| format!("its envelope has no {key:?}"))
        };
        let decoded = |value: &Value, key: &str| {
            STANDARD
                .decode(text(value, key)?)
                .map_err(|_| format!("{key:?} of its envelope is no base64"))
        };
        let signatures = value.get("signatures").and_then(Value::as_array);
        let signatures: Vec<Vec<u8>> = signatures
            .ok_or("its envelope has no \"signatures\"")?
            .iter()
            .map(|signature| decoded(signature, "sig"))
            .collect::<Result<_, _>>()?;
        if signatures.len() != 1 {
            return Err(format!("its envelope has {} signatures", signatures.len()));
        }
        Ok(Self {
            payload_type: text(value, "payloadType")?,
            payload: decoded(value, "payload")?.into(),
            signatures,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_what_the_protocol_says() {
        // Source: DSSE's `protocol.md`, "Test Vectors".
        assert_eq!(
            to_sign("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn an_envelope_is_read_as_it_was_written_and_needs_one_signature() {
        let mut envelope = Envelope {
            payload_type: IN_TOTO.to_owned(),
            payload: Bytes::from_static(b"{}"),
            signatures: vec![vec![1, 2]],
        };
        assert_eq!(Envelope::from_json(&envelope.to_json()).unwrap(), envelope);
        envelope.signatures.clear();
        assert!(Envelope::from_json(&envelope.to_json()).is_err());
        assert!(Envelope::from_json(&json!({"payload": 1})).is_err());
    }
}
