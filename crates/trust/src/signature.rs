//! A signature as it was found beside an image, and what it is worth.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ohoci_image::Digest;
use serde_json::Value;

use crate::bundle::{Bundle, Material};
use crate::certificate::{CertificateIdentity, Certified, Signed};
use crate::dsse::{self, Envelope};
use crate::public_key::PublicKey;
use crate::simple_signing::{self, Payload};
use crate::statement::{self, Statement};
use crate::tag_certificate;
use crate::worthless::Worthless;

/// A signature, in either of cosign's forms.
#[derive(Clone, Debug)]
pub struct Signature {
    place: String,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Simple {
        payload: Bytes,
        signature: Vec<u8>,
        /// A bundle of the same with its certificate, where it has one.
        keyless: Option<Bytes>,
    },
    Bundle(Bundle),
}

/// In which form a signature was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Under a tag made of the image's digest.
    Tag,
    /// A Sigstore bundle that refers to the image.
    Bundle,
}

/// What a signer says of an image, once the signature was verified.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// Who: the key's file, or whom the certificate names.
    pub by: String,
    /// In which form.
    pub form: Form,
    /// What kind of thing is said; [`statement::SIGNED`] for a signature alone.
    pub predicate_type: String,
    /// What is said.
    pub predicate: Value,
    /// What the image was called when it was signed, where that was said.
    pub name: Option<String>,
}

impl Signature {
    /// A payload, and the annotations that its signature is in.
    ///
    /// # Errors
    /// When the signature is no base64, or what is said of its certificate cannot be read.
    pub fn simple(
        place: impl Into<String>,
        payload: Bytes,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Self, Worthless> {
        let text = annotations.get(simple_signing::SIGNATURE);
        let signature = STANDARD
            .decode(text.map(String::as_str).unwrap_or_default())
            .map_err(|_| Worthless::Unreadable("its signature is no base64".to_owned()))?;
        let keyless = tag_certificate::bundle(annotations, &payload, &signature)
            .map_err(Worthless::Unreadable)?;
        Ok(Self {
            place: place.into(),
            content: Content::Simple {
                payload,
                signature,
                keyless,
            },
        })
    }

    /// A bundle.
    ///
    /// # Errors
    /// When it is none that can be read.
    pub fn bundle(place: impl Into<String>, bytes: &[u8]) -> Result<Self, Worthless> {
        Ok(Self {
            place: place.into(),
            content: Content::Bundle(Bundle::parse(bytes).map_err(Worthless::Unreadable)?),
        })
    }

    /// What it is called in messages.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// In which form it was found.
    #[must_use]
    pub fn form(&self) -> Form {
        match self.content {
            Content::Simple { .. } => Form::Tag,
            Content::Bundle(_) => Form::Bundle,
        }
    }

    /// What it says it is, before anything was verified: the type of its statement.
    #[must_use]
    pub fn kind(&self) -> String {
        match &self.content {
            Content::Simple { .. } => statement::SIGNED.to_owned(),
            Content::Bundle(bundle) => Statement::parse(&bundle.envelope.payload)
                .map_or_else(|_| "unknown".to_owned(), |read| read.predicate_type),
        }
    }

    /// What a key says with it of an image; `file` is where the key is from.
    ///
    /// # Errors
    /// Why it says nothing.
    pub fn claim(&self, file: &str, key: &PublicKey, image: &Digest) -> Result<Claim, Worthless> {
        match &self.content {
            Content::Simple {
                payload,
                signature,
                keyless,
            } => {
                if !key.verifies(payload, signature) {
                    return Err(match keyless {
                        Some(_) => Worthless::Keyless,
                        None => Worthless::DoesNotFit,
                    });
                }
                about_payload(file.to_owned(), payload, image)
            }
            Content::Bundle(bundle) => {
                let hint = match &bundle.material {
                    Material::Key { hint } => hint.as_deref().filter(|hint| !hint.is_empty()),
                    Material::Certificate(_) => return Err(Worthless::Keyless),
                };
                let Envelope {
                    payload_type,
                    payload,
                    signatures,
                } = &bundle.envelope;
                let signed = dsse::to_sign(payload_type, payload);
                // A hint is only a hint: other signers write others.
                if !signatures.iter().all(|one| key.verifies(&signed, one)) {
                    return Err(match hint {
                        Some(hint) if hint == key.hint() => Worthless::Changed,
                        Some(_) => Worthless::OtherKey,
                        None => Worthless::DoesNotFit,
                    });
                }
                about_statement(file.to_owned(), &bundle.envelope, image)
            }
        }
    }

    /// What the holder of a certificate says of an image.
    ///
    /// # Errors
    /// Why it says nothing.
    pub(crate) fn claim_by(
        &self,
        identity: &CertificateIdentity,
        image: &Digest,
    ) -> Result<Claim, Worthless> {
        let name = |by: Certified| format!("{} (by {})", by.identity, by.issuer);
        match &self.content {
            Content::Simple {
                payload, keyless, ..
            } => {
                let keyless = keyless.as_deref().ok_or(Worthless::ByKey)?;
                let by = identity.verify(keyless, &Signed::Bytes(payload))?;
                about_payload(name(by), payload, image)
            }
            Content::Bundle(bundle) => {
                let Material::Certificate(bytes) = &bundle.material else {
                    return Err(Worthless::ByKey);
                };
                let by = identity.verify(bytes, &Signed::Statement(image))?;
                about_statement(name(by), &bundle.envelope, image)
            }
        }
    }
}

/// What a payload says, whose signature was verified.
fn about_payload(by: String, payload: &[u8], image: &Digest) -> Result<Claim, Worthless> {
    let payload = Payload::parse(payload).map_err(Worthless::Unreadable)?;
    if payload.digest != *image {
        return Err(Worthless::OtherImage);
    }
    Ok(Claim {
        by,
        form: Form::Tag,
        predicate_type: statement::SIGNED.to_owned(),
        predicate: Value::Null,
        name: Some(payload.reference),
    })
}

/// What a statement says, whose signature was verified.
fn about_statement(by: String, envelope: &Envelope, image: &Digest) -> Result<Claim, Worthless> {
    if envelope.payload_type != dsse::IN_TOTO {
        let why = format!(
            "it signs {:?}, which is no statement",
            envelope.payload_type
        );
        return Err(Worthless::Unreadable(why));
    }
    let read = Statement::parse(&envelope.payload).map_err(Worthless::Unreadable)?;
    let subject = read.subjects.iter().find(|subject| subject.is(image));
    let subject = subject.ok_or(Worthless::OtherImage)?;
    Ok(Claim {
        by,
        form: Form::Bundle,
        predicate_type: read.predicate_type,
        name: subject.name.clone().filter(|name| !name.is_empty()),
        predicate: read.predicate,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PrivateKey;
    use crate::statement::Subject;
    use serde_json::json;

    fn key(seed: u8) -> PrivateKey {
        PrivateKey::from_random(&[seed; 32]).unwrap()
    }

    fn signed(key: &PrivateKey, image: &Digest) -> Bundle {
        let statement = Statement {
            subjects: vec![Subject::image(None, image)],
            predicate_type: statement::SIGNED.to_owned(),
            predicate: json!({}),
        };
        let payload = statement.to_bytes();
        let signature = key.sign(&dsse::to_sign(dsse::IN_TOTO, &payload)).unwrap();
        let envelope = Envelope {
            payload_type: dsse::IN_TOTO.to_owned(),
            payload,
            signatures: vec![signature],
        };
        Bundle::by_key(key.public(), envelope)
    }

    #[test]
    fn each_change_of_a_bundle_has_its_own_word() {
        let image = Digest::of(b"image");
        let key_of = key(1);
        let good = signed(&key_of, &image);
        let claim = |bundle: &Bundle, key: &PrivateKey, image: &Digest| {
            Signature::bundle("x", &bundle.to_bytes())?.claim("key", key.public(), image)
        };
        assert_eq!(claim(&good, &key_of, &image).unwrap().form, Form::Bundle);
        assert_eq!(
            claim(&good, &key_of, &Digest::of(b"other")),
            Err(Worthless::OtherImage)
        );
        assert_eq!(claim(&good, &key(2), &image), Err(Worthless::OtherKey));
        let mut changed = good.clone();
        changed.envelope.payload = Bytes::from(
            String::from_utf8(changed.envelope.payload.to_vec())
                .unwrap()
                .replace("cosign/sign", "cosign/sigm"),
        );
        assert_eq!(claim(&changed, &key_of, &image), Err(Worthless::Changed));
        let mut changed = good.clone();
        changed.envelope.signatures[0][9] ^= 1;
        assert_eq!(claim(&changed, &key_of, &image), Err(Worthless::Changed));
        let mut other_type = good.clone();
        other_type.envelope.payload_type = "text/plain".to_owned();
        assert_eq!(claim(&other_type, &key_of, &image), Err(Worthless::Changed));
        let cut = good.to_bytes();
        let cut = Signature::bundle("x", &cut[..cut.len() - 1]);
        assert!(matches!(cut, Err(Worthless::Unreadable(_))));
    }

    fn annotated(text: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(simple_signing::SIGNATURE.to_owned(), text.to_owned())])
    }

    #[test]
    fn each_change_of_a_payload_has_its_own_word() {
        let image = Digest::of(b"image");
        let key = key(1);
        let payload = Payload {
            reference: "registry.example/a".to_owned(),
            digest: image.clone(),
        }
        .to_bytes();
        let text = STANDARD.encode(key.sign(&payload).unwrap());
        let claim = |payload: &Bytes, text: &str, image: &Digest| {
            Signature::simple("x", payload.clone(), &annotated(text))?.claim(
                "key",
                key.public(),
                image,
            )
        };
        let good = claim(&payload, &text, &image).unwrap();
        assert_eq!(good.name.as_deref(), Some("registry.example/a"));
        assert_eq!(
            claim(&payload, &text, &Digest::of(b"")),
            Err(Worthless::OtherImage)
        );
        assert_eq!(
            claim(&Bytes::from_static(b"{}"), &text, &image),
            Err(Worthless::DoesNotFit)
        );
        assert!(matches!(
            claim(&payload, "!", &image),
            Err(Worthless::Unreadable(_))
        ));
    }
}
