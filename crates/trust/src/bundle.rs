//! Sigstore's bundle, version 0.3: an envelope, and what verifies it, in one JSON document
//! (`sigstore_bundle.proto` of protobuf-specs). With a key, as `cosign sign --key` writes it.

use bytes::Bytes;
use ohoci_image::json::{self, Shape};
use serde_json::{Value, json};

use crate::dsse::Envelope;
use crate::public_key::PublicKey;

/// The media type of bundles, and the artifact type of their manifests.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// What the media types of all bundles begin with.
pub const MEDIA_TYPE_PREFIX: &str = "application/vnd.dev.sigstore.bundle";
/// Annotation of a bundle's manifest: what is in the bundle.
pub(crate) const CONTENT: &str = "dev.sigstore.bundle.content";
/// Annotation of a bundle's manifest: what its statement says.
pub(crate) const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";
/// The value of [`CONTENT`] for an envelope.
pub(crate) const ENVELOPE: &str = "dsse-envelope";

/// A bundle.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    /// What verifies it.
    pub material: Material,
    /// What is signed, and the signature.
    pub envelope: Envelope,
}

/// What verifies a bundle.
#[derive(Clone, Debug, PartialEq)]
pub enum Material {
    /// A key, by what names it.
    Key {
        /// The key's fingerprint in base64, where its maker followed cosign.
        hint: Option<String>,
    },
    /// A certificate, as of a login: keyless signing. The bundle as it was read, with the certificate, the
    /// log's entry and timestamps in it.
    Certificate(Bytes),
}

impl Bundle {
    /// What a key signed.
    #[must_use]
    pub(crate) fn by_key(key: &PublicKey, envelope: Envelope) -> Self {
        Self {
            material: Material::Key {
                hint: Some(key.hint()),
            },
            envelope,
        }
    }

    /// The bundle as JSON. Certificates are not written.
    #[must_use]
    pub(crate) fn to_bytes(&self) -> Bytes {
        let hint = match &self.material {
            Material::Key { hint } => hint.clone().unwrap_or_default(),
            Material::Certificate(_) => String::new(),
        };
        json!({
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {"publicKey": {"hint": hint}},
            "dsseEnvelope": self.envelope.to_json(),
        })
        .to_string()
        .into()
    }

    /// Reads a bundle.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let value =
            json::parse(bytes, &Shape::Any).map_err(|error| format!("it is no bundle: {error}"))?;
        let kind = value.get("mediaType").and_then(Value::as_str);
        let known = [
            MEDIA_TYPE,
            "application/vnd.dev.sigstore.bundle+json;version=0.3",
        ];
        if !kind.is_some_and(|kind| known.contains(&kind)) {
            return Err(format!("it is no bundle of version 0.3, but {kind:?}"));
        }
        let material = value
            .get("verificationMaterial")
            .ok_or("it says nothing of what verifies it")?;
        let material = match material.get("publicKey") {
            Some(key) => Material::Key {
                hint: key.get("hint").and_then(Value::as_str).map(str::to_owned),
            },
            None if material.get("certificate").is_some()
                || material.get("x509CertificateChain").is_some() =>
            {
                Material::Certificate(Bytes::copy_from_slice(bytes))
            }
            None => return Err("it names neither a key nor a certificate".to_owned()),
        };
        let envelope = value
            .get("dsseEnvelope")
            .ok_or("it has no envelope: the signature is over something else than a statement")?;
        Ok(Self {
            material,
            envelope: Envelope::from_json(envelope)?,
        })
    }
}
