//! What is to be signed of an image, and the documents that a signature becomes: two steps, so that
//! the signature may come from elsewhere.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ohoci_image::manifest::ManifestError;
use ohoci_image::{Descriptor, Digest, Document, Manifest, artifact, media_type};
use serde_json::{Value, json};

use crate::bundle::{self, Bundle};
use crate::dsse::{self, Envelope};
use crate::public_key::PublicKey;
use crate::simple_signing::{self, Payload};
use crate::statement::{SIGNED, Statement, Subject};

/// A statement that waits for its signature.
#[derive(Clone, Debug)]
pub struct Unsigned {
    payload: Bytes,
    predicate_type: String,
}

/// A manifest about an image, and what it lists.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The manifest.
    pub manifest: Manifest,
    /// Its blobs, the config among them.
    pub blobs: Vec<(Descriptor, Bytes)>,
}

impl Unsigned {
    /// A statement about an image.
    #[must_use]
    pub fn new(statement: &Statement) -> Self {
        Self {
            payload: statement.to_bytes(),
            predicate_type: statement.predicate_type.clone(),
        }
    }

    /// What `cosign sign` says of an image; `repository` is its name.
    #[must_use]
    pub fn image(repository: Option<&str>, image: &Digest) -> Self {
        Self::new(&Statement {
            subjects: vec![Subject::image(repository.map(str::to_owned), image)],
            predicate_type: SIGNED.to_owned(),
            predicate: json!({}),
        })
    }

    /// What kind of thing it says.
    #[must_use]
    pub fn predicate_type(&self) -> &str {
        &self.predicate_type
    }

    /// The bytes to sign.
    #[must_use]
    pub fn to_sign(&self) -> Vec<u8> {
        dsse::to_sign(dsse::IN_TOTO, &self.payload)
    }

    /// The bundle with its signature, as a referrer of the image. It depends on nothing else.
    ///
    /// # Errors
    /// When the manifest would be too large.
    pub fn signed(
        self,
        key: &PublicKey,
        signature: Vec<u8>,
        subject: &Descriptor,
    ) -> Result<Signed, ManifestError> {
        let annotations = BTreeMap::from([
            (bundle::CONTENT.to_owned(), bundle::ENVELOPE.to_owned()),
            (bundle::PREDICATE_TYPE.to_owned(), self.predicate_type),
        ]);
        let envelope = Envelope {
            payload_type: dsse::IN_TOTO.to_owned(),
            payload: self.payload,
            signatures: vec![signature],
        };
        let content = Bundle::by_key(key, envelope).to_bytes();
        let layer = Descriptor::of(bundle::MEDIA_TYPE, &content);
        let manifest = artifact::about(subject, bundle::MEDIA_TYPE, &layer, &annotations)?;
        Ok(Signed {
            manifest,
            blobs: vec![(layer, content), artifact::empty_config()],
        })
    }

    /// The statement without a signature, as a referrer of the image.
    ///
    /// # Errors
    /// When the manifest would be too large.
    pub fn unsigned(self, subject: &Descriptor) -> Result<Signed, ManifestError> {
        let annotations =
            BTreeMap::from([("in-toto.io/predicate-type".to_owned(), self.predicate_type)]);
        let layer = Descriptor::of(STATEMENT, &self.payload);
        let manifest = artifact::about(subject, STATEMENT, &layer, &annotations)?;
        Ok(Signed {
            manifest,
            blobs: vec![(layer, self.payload), artifact::empty_config()],
        })
    }
}

/// The media type of a statement that is not signed, as BuildKit has it.
pub(crate) const STATEMENT: &str = "application/vnd.in-toto+json";

/// A payload of cosign's older form, and its signature.
#[derive(Clone, Debug)]
pub struct Tagged {
    payload: Payload,
    signature: Vec<u8>,
}

impl Tagged {
    /// The signature of a payload's bytes.
    #[must_use]
    pub fn new(payload: Payload, signature: Vec<u8>) -> Self {
        Self { payload, signature }
    }

    /// The manifest under the image's tag, with the signatures that are there already; `None` where
    /// this one is among them.
    ///
    /// # Errors
    /// When the manifest would be too large.
    pub fn manifest(&self, old: Option<&Manifest>) -> Result<Option<Signed>, ManifestError> {
        let content = self.payload.to_bytes();
        let text = STANDARD.encode(&self.signature);
        let described = Descriptor::of(simple_signing::MEDIA_TYPE, &content);
        let mut layer = described.to_json();
        layer.insert(
            "annotations".to_owned(),
            json!({simple_signing::SIGNATURE: text}),
        );
        // As they are: what other signers say beside their signatures is theirs.
        let old = old.and_then(|old| old.document().object().get("layers")?.as_array());
        let mut layers = old.cloned().unwrap_or_default();
        let is_this = |known: &Value| {
            let signature = known
                .get("annotations")
                .and_then(|annotations| annotations.get(simple_signing::SIGNATURE)?.as_str());
            known.get("digest") == layer.get("digest") && signature == Some(text.as_str())
        };
        if layers.iter().any(is_this) {
            return Ok(None);
        }
        layers.push(Value::Object(layer));
        let diff_ids: Vec<&Value> = layers.iter().filter_map(|one| one.get("digest")).collect();
        let config = json!({
            "architecture": "",
            "os": "",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        })
        .to_string();
        let config = Bytes::from(config);
        let described_config = Descriptor::of(media_type::OCI_CONFIG, &config);
        let object = json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_MANIFEST,
            "config": described_config.to_json(),
            "layers": layers,
        });
        let Value::Object(object) = object else {
            return Ok(None);
        };
        let manifest = Manifest::parse(Document::from_object(object).bytes().clone(), None)?;
        Ok(Some(Signed {
            manifest,
            blobs: vec![(described, content), (described_config, config)],
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PrivateKey, Signature};

    #[test]
    fn a_signature_stands_beside_those_of_others_as_they_are() {
        let image = Digest::of(b"image");
        let sign = |seed: u8| {
            let key = PrivateKey::from_random(&[seed; 32]).unwrap();
            let payload = Payload {
                reference: "registry.example/a".to_owned(),
                digest: image.clone(),
            };
            let signature = key.sign(&payload.to_bytes()).unwrap();
            (key, Tagged::new(payload, signature))
        };
        let ((first_key, first), (second_key, second)) = (sign(1), sign(2));
        let one = first.manifest(None).unwrap().unwrap();
        assert!(first.manifest(Some(&one.manifest)).unwrap().is_none());
        let both = second.manifest(Some(&one.manifest)).unwrap().unwrap();
        let ohoci_image::Content::Image { layers, .. } = both.manifest.content() else {
            panic!("an index");
        };
        let content = first.payload.to_bytes();
        for (layer, key) in layers.iter().zip([first_key, second_key]) {
            let signature = Signature::simple("x", content.clone(), &layer.annotations).unwrap();
            signature.claim("key", key.public(), &image).unwrap();
        }
        assert_eq!(layers.len(), 2);
    }
}
