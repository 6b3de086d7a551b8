//! Private keys: what signs. Signatures depend on key and message alone, so that the same image signed
//! twice has the same signature.

use std::fmt;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use p256::ecdsa::signature::Signer as _;
use p256::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, PrivateKeyInfo};
use zeroize::Zeroizing;

use crate::encrypted_key;
use crate::passphrase::Passphrase;
use crate::pem;
use crate::public_key::{KeyError, PublicKey};

/// A key that signs. It is never shown, and wiped when it is dropped.
pub struct PrivateKey {
    key: Key,
    der: Zeroizing<Vec<u8>>,
    public: PublicKey,
}

enum Key {
    Ecdsa(p256::ecdsa::SigningKey),
    Ed25519(ed25519_dalek::SigningKey),
    Rsa(RsaKeyPair),
}

impl PrivateKey {
    /// The P-256 key of 32 random bytes; `None` for the few that are no key of that curve.
    #[must_use]
    pub fn from_random(random: &[u8; 32]) -> Option<Self> {
        let key = p256::SecretKey::from_slice(random).ok()?;
        let der = key.to_pkcs8_der().ok()?;
        Self::from_der(der.as_bytes()).ok()
    }

    /// Reads a key in PEM: cosign's encrypted ones, and PKCS #8 that is not encrypted.
    ///
    /// # Errors
    /// When it is none, of a kind that cosign does not sign with, or the passphrase does not fit.
    pub fn parse(text: &str, passphrase: Option<&Passphrase>) -> Result<Self, KeyError> {
        let block = pem::first(text).ok_or(KeyError::NotPem)?;
        match block.label.as_str() {
            "PRIVATE KEY" => Self::from_der(&block.bytes),
            encrypted_key::LABEL | encrypted_key::OLD_LABEL => {
                let passphrase = passphrase.ok_or(KeyError::NoPassphrase)?;
                Self::from_der(&encrypted_key::open(&block.bytes, passphrase)?)
            }
            _ => Err(KeyError::Label(block.label, "private key")),
        }
    }

    /// Whether a PEM text holds an encrypted key, for which there has to be a passphrase.
    #[must_use]
    pub fn is_encrypted(text: &str) -> bool {
        pem::first(text).is_some_and(|block| {
            [encrypted_key::LABEL, encrypted_key::OLD_LABEL].contains(&block.label.as_str())
        })
    }

    /// Reads PKCS #8 (RFC 5208).
    fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let info = PrivateKeyInfo::try_from(der).map_err(|_| KeyError::Damaged)?;
        let oid = info.algorithm.oid.to_string();
        let (key, public) = match oid.as_str() {
            "1.2.840.10045.2.1" => {
                let key = p256::ecdsa::SigningKey::from_pkcs8_der(der)
                    .map_err(|_| KeyError::Algorithm)?;
                let public = PublicKey::ecdsa(*key.verifying_key())?;
                (Key::Ecdsa(key), public)
            }
            "1.3.101.112" => {
                let key = ed25519_dalek::SigningKey::from_pkcs8_der(der)
                    .map_err(|_| KeyError::Damaged)?;
                let public = PublicKey::ed25519(key.verifying_key())?;
                (Key::Ed25519(key), public)
            }
            "1.2.840.113549.1.1.1" => {
                let key = RsaKeyPair::from_pkcs8(der).map_err(|_| KeyError::Damaged)?;
                let public = key.public_key().as_der().map_err(|_| KeyError::Damaged)?;
                let public = PublicKey::from_der(public.as_ref())?;
                (Key::Rsa(key), public)
            }
            _ => return Err(KeyError::Algorithm),
        };
        Ok(Self {
            key,
            der: Zeroizing::new(der.to_vec()),
            public,
        })
    }

    /// The key in PEM, encrypted as cosign does it. `salt` and `nonce` have to be random.
    ///
    /// # Errors
    /// Only when the cipher fails, which it does not for keys.
    pub fn to_encrypted_pem(
        &self,
        passphrase: &Passphrase,
        salt: &[u8; 32],
        nonce: &[u8; 24],
    ) -> Result<Zeroizing<String>, KeyError> {
        let sealed = encrypted_key::seal(&self.der, passphrase, salt, nonce)?;
        Ok(pem::write(encrypted_key::LABEL, &sealed))
    }

    /// What verifies its signatures.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs, in the form that [`PublicKey::verifies`] takes.
    ///
    /// # Errors
    /// When an RSA key cannot sign.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.key {
            Key::Ecdsa(key) => {
                let signature: p256::ecdsa::DerSignature = key.sign(message);
                Ok(signature.as_bytes().to_vec())
            }
            Key::Ed25519(key) => Ok(key.sign(message).to_bytes().to_vec()),
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                // PKCS #1 v1.5 needs no random numbers for what it writes.
                let random = aws_lc_rs::rand::SystemRandom::new();
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map_err(|_| KeyError::Damaged)?;
                Ok(signature)
            }
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "private key of {:?}", self.public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_depends_on_key_and_message_alone() {
        let key = PrivateKey::from_random(&[7; 32]).unwrap();
        let signature = key.sign(b"message").unwrap();
        assert_eq!(signature, key.sign(b"message").unwrap());
        assert!(key.public().verifies(b"message", &signature));
        assert!(!key.public().verifies(b"messagE", &signature));
        let mut changed = signature;
        *changed.last_mut().unwrap() ^= 1;
        assert!(!key.public().verifies(b"message", &changed));
        let other = PrivateKey::from_random(&[8; 32]).unwrap();
        assert!(
            !other
                .public()
                .verifies(b"message", &key.sign(b"message").unwrap())
        );
        assert_eq!(
            PublicKey::parse(&key.public().to_pem()).unwrap(),
            *key.public()
        );
    }

    #[test]
    fn keys_are_read_again_with_their_passphrase_alone_and_never_shown() {
        let key = PrivateKey::from_random(&[7; 32]).unwrap();
        let right = Passphrase::new("right");
        let text = key.to_encrypted_pem(&right, &[1; 32], &[2; 24]).unwrap();
        assert!(PrivateKey::is_encrypted(&text));
        let read = PrivateKey::parse(&text, Some(&right)).unwrap();
        assert_eq!(read.public(), key.public());
        let wrong = Passphrase::new("wrong");
        let refused = |passphrase| PrivateKey::parse(&text, passphrase).unwrap_err();
        assert_eq!(refused(Some(&wrong)), KeyError::Passphrase);
        assert_eq!(refused(None), KeyError::NoPassphrase);
        assert!(!format!("{key:?} {right:?}").contains("right"));
    }

    #[test]
    fn a_key_of_another_curve_is_refused_by_its_algorithm() {
        // Source: `openssl ecparam -name secp384r1 -genkey | openssl ec -pubout`.
        let text = "-----BEGIN PUBLIC KEY-----\n\
            MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEdxiFAZvCFjXfHADeUcap8g0EEiZwrb2e\n\
            5L8Np3em+iFCJD90CQ7kSs91sanvbCgmgRpZ1zVEx+84cC3uIrLLQpQOETwtSZX/\n\
            RWDndk0rFLANED/Kac/s2k9olyiILoLq\n\
            -----END PUBLIC KEY-----\n";
        assert_eq!(PublicKey::parse(text).unwrap_err(), KeyError::Algorithm);
        assert_eq!(PublicKey::parse("x").unwrap_err(), KeyError::NotPem);
    }
}
