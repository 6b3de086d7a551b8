//! Public keys as cosign has them: ECDSA on P-256, Ed25519 and RSA, in PEM (RFC 5280's
//! `SubjectPublicKeyInfo`).

use std::fmt;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ohoci_image::Digest;
use p256::ecdsa::signature::Verifier as _;
use p256::pkcs8::spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};
use p256::pkcs8::{DecodePublicKey as _, EncodePublicKey as _};

use crate::pem;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ELLIPTIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// Why a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No key in PEM.
    #[error("it is no key in PEM")]
    NotPem,
    /// PEM, but of something else.
    #[error("it is a {0:?}, not a {1}")]
    Label(String, &'static str),
    /// A key of a kind that images are not signed with.
    #[error("its algorithm is not known here: keys are ECDSA on P-256, Ed25519 or RSA")]
    Algorithm,
    /// The key itself is damaged.
    #[error("the key in it is damaged")]
    Damaged,
    /// An encrypted key without a passphrase.
    #[error("it is encrypted, and there is no passphrase")]
    NoPassphrase,
    /// The passphrase does not fit, or the file was changed.
    #[error("the passphrase is wrong, or the file was changed")]
    Passphrase,
    /// The encryption is not cosign's.
    #[error("it is not encrypted as cosign encrypts keys: {0}")]
    Encryption(String),
}

/// A key that signatures are verified with.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    key: Key,
    der: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq)]
enum Key {
    Ecdsa(p256::ecdsa::VerifyingKey),
    Ed25519(ed25519_dalek::VerifyingKey),
    /// `RSAPublicKey` of RFC 8017.
    Rsa(Vec<u8>),
}

impl PublicKey {
    /// Reads a key in PEM.
    ///
    /// # Errors
    /// When it is none, or of a kind that cosign does not sign with.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let block = pem::first(text).ok_or(KeyError::NotPem)?;
        if block.label != "PUBLIC KEY" {
            return Err(KeyError::Label(block.label, "PUBLIC KEY"));
        }
        Self::from_der(&block.bytes)
    }

    /// Reads a `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    /// When it is none, or of a kind that cosign does not sign with.
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let info = SubjectPublicKeyInfoRef::try_from(der).map_err(|_| KeyError::Damaged)?;
        let key = match info.algorithm.oid {
            ELLIPTIC => Key::Ecdsa(
                p256::ecdsa::VerifyingKey::from_public_key_der(der)
                    .map_err(|_| KeyError::Algorithm)?,
            ),
            ED25519 => Key::Ed25519(
                ed25519_dalek::VerifyingKey::from_public_key_der(der)
                    .map_err(|_| KeyError::Damaged)?,
            ),
            RSA => Key::Rsa(
                info.subject_public_key
                    .as_bytes()
                    .ok_or(KeyError::Damaged)?
                    .to_vec(),
            ),
            _ => return Err(KeyError::Algorithm),
        };
        Ok(Self {
            key,
            der: der.to_vec(),
        })
    }

    pub(crate) fn ecdsa(key: p256::ecdsa::VerifyingKey) -> Result<Self, KeyError> {
        let der = p256::PublicKey::from(&key)
            .to_public_key_der()
            .map_err(|_| KeyError::Damaged)?;
        Ok(Self {
            key: Key::Ecdsa(key),
            der: der.into_vec(),
        })
    }

    pub(crate) fn ed25519(key: ed25519_dalek::VerifyingKey) -> Result<Self, KeyError> {
        let der = key.to_public_key_der().map_err(|_| KeyError::Damaged)?;
        Ok(Self {
            key: Key::Ed25519(key),
            der: der.into_vec(),
        })
    }

    /// The key in PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::write("PUBLIC KEY", &self.der).to_string()
    }

    /// The key's `SubjectPublicKeyInfo`.
    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of the key's `SubjectPublicKeyInfo`: what a person tells it by.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&self.der)
    }

    /// What bundles name the key by: its fingerprint in base64, as cosign has it.
    #[must_use]
    pub fn hint(&self) -> String {
        STANDARD.encode(hex::decode(self.fingerprint().hex()).unwrap_or_default())
    }

    /// The algorithm, in words.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        match self.key {
            Key::Ecdsa(_) => "ECDSA P-256",
            Key::Ed25519(_) => "Ed25519",
            Key::Rsa(_) => "RSA",
        }
    }

    /// Whether a program that is given only a digest can sign for this key.
    #[must_use]
    pub fn signs_digests(&self) -> bool {
        !matches!(self.key, Key::Ed25519(_))
    }

    /// Whether `signature` is this key's, over `message`: ECDSA in DER over SHA-256, Ed25519, or RSA
    /// with PKCS #1 v1.5 over SHA-256.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.key {
            Key::Ecdsa(key) => p256::ecdsa::DerSignature::try_from(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Key::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
            Key::Rsa(key) => UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key)
                .verify(message, signature)
                .is_ok(),
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm(), self.fingerprint())
    }
}
