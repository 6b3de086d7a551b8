//! OpenPGP keys that an archive may be signed with, and whether one of them did.

use std::io::{BufReader, Cursor};

use pgp::armor::{BlockType, Dearmor};
use pgp::composed::{Deserializable, SignedPublicKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Packet, PacketParser, Signature, SignatureType};
use pgp::types::{Duration, KeyDetails, KeyId, PublicParams, Timestamp, VerifyingKey};

use super::clearsign::{self, ClearSignError};

/// Most signatures that are looked at.
const MAX_SIGNATURES: usize = 32;
/// How far a signature may be dated ahead of this machine's clock, in seconds.
const CLOCK_SKEW: i64 = 3600;

/// A set of keys.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    keys: Vec<SignedPublicKey>,
}

/// A text that one of the keys has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The text.
    pub text: String,
    /// The key, by its fingerprint in hexadecimal digits.
    pub key: String,
}

/// Why a keyring cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are no OpenPGP keys in it: {0}")]
pub struct KeyringError(String);

/// Why a text does not count as signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// It is not clear-signed.
    #[error(transparent)]
    Framework(#[from] ClearSignError),
    /// What should be signatures is none.
    #[error("its signature cannot be read: {0}")]
    Damaged(String),
    /// There are signatures, but none that counts.
    #[error("{}", reasons(.0))]
    Untrusted(Vec<Rejection>),
}

/// A signature that does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The key, as the signature names it.
    pub key: String,
    /// Why it does not count.
    pub why: &'static str,
}

fn reasons(rejections: &[Rejection]) -> String {
    if rejections.is_empty() {
        return "there is no signature in it".to_owned();
    }
    let reasons: Vec<String> = rejections
        .iter()
        .map(|rejection| format!("the signature by key {} {}", rejection.key, rejection.why))
        .collect();
    reasons.join("; ")
}

impl Keyring {
    /// Reads a keyring, armored or not. Keys of kinds that are not known are passed over.
    ///
    /// # Errors
    /// When there is no usable key in it.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, KeyringError> {
        let fail = |error: pgp::errors::Error| KeyringError(error.to_string());
        let mut keys = Vec::new();
        let mut last_error = None;
        let mut take = |found: pgp::errors::Result<SignedPublicKey>| match found {
            Ok(key) => keys.push(key),
            Err(error) => last_error = Some(error.to_string()),
        };
        if bytes.trim_ascii_start().starts_with(b"-----BEGIN") {
            let (found, _) = SignedPublicKey::from_armor_many(bytes).map_err(fail)?;
            found.for_each(&mut take);
        } else {
            let found = SignedPublicKey::from_bytes_many(bytes).map_err(fail)?;
            found.for_each(&mut take);
        }
        if keys.is_empty() {
            let why = last_error.unwrap_or_else(|| "it is empty".to_owned());
            return Err(KeyringError(why));
        }
        Ok(Self { keys })
    }

    /// Adds the keys of another keyring.
    pub(crate) fn extend(&mut self, other: Self) {
        self.keys.extend(other.keys);
    }

    /// Whether there are none.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The text of a clear-signed file, if one of the keys has signed it. `now` is in seconds since
    /// 1970; keys and signatures that have expired by then do not count.
    ///
    /// # Errors
    /// See [`SignatureError`].
    pub(crate) fn verify(&self, file: &str, now: i64) -> Result<Signed, SignatureError> {
        let parts = clearsign::split(file)?;
        let signed = parts.signed_bytes();
        let mut rejections = Vec::new();
        for signature in read_signatures(parts.signature)? {
            match self.signer(&signature, &signed, now) {
                Ok(key) => {
                    return Ok(Signed {
                        text: parts.text,
                        key,
                    });
                }
                Err(why) => rejections.push(Rejection {
                    key: name_of_signer(&signature),
                    why,
                }),
            }
        }
        Err(SignatureError::Untrusted(rejections))
    }

    fn signer(&self, signature: &Signature, text: &[u8], now: i64) -> Result<String, &'static str> {
        check_signature(signature, now)?;
        let mut why = "is by a key that is not in the keyring";
        for key in &self.keys {
            let primary = Candidate::primary(key);
            let subkeys = key.public_subkeys.iter().map(|subkey| Candidate {
                key: &subkey.key,
                revoked: !key.details.revocation_signatures.is_empty()
                    || subkey
                        .signatures
                        .iter()
                        .any(|own| own.typ() == Some(SignatureType::SubkeyRevocation)),
                bindings: subkey
                    .signatures
                    .iter()
                    .filter(|own| own.typ() == Some(SignatureType::SubkeyBinding))
                    .collect(),
                is_subkey: true,
                is_bound: subkey.verify_bindings(&key.primary_key).is_ok(),
            });
            for reason in [primary.check(signature, text, now)]
                .into_iter()
                .chain(subkeys.map(|subkey| subkey.check(signature, text, now)))
                .flatten()
            {
                match reason {
                    Ok(fingerprint) => return Ok(fingerprint),
                    Err(reason) => why = reason,
                }
            }
        }
        Err(why)
    }
}

/// A key or subkey that may have made a signature.
struct Candidate<'a, K> {
    key: &'a K,
    revoked: bool,
    /// What its owner says about it.
    bindings: Vec<&'a Signature>,
    is_subkey: bool,
    is_bound: bool,
}

impl<'a> Candidate<'a, pgp::packet::PublicKey> {
    fn primary(key: &'a SignedPublicKey) -> Self {
        let certifications = key.details.users.iter().flat_map(|user| &user.signatures);
        let own = key.primary_key.legacy_key_id();
        Self {
            key: &key.primary_key,
            revoked: !key.details.revocation_signatures.is_empty(),
            bindings: certifications
                .chain(&key.details.direct_signatures)
                // Others may have certified the key as well.
                .filter(|signature| {
                    signature.issuer_key_id().contains(&&own)
                        || signature
                            .issuer_fingerprint()
                            .contains(&&key.primary_key.fingerprint())
                })
                .collect(),
            is_subkey: false,
            is_bound: true,
        }
    }
}

impl<K: VerifyingKey> Candidate<'_, K> {
    /// `None` when the signature does not claim to be by this key.
    fn check(
        &self,
        signature: &Signature,
        text: &[u8],
        now: i64,
    ) -> Option<Result<String, &'static str>> {
        let fingerprint = self.key.fingerprint();
        let claimed = signature.issuer_fingerprint().contains(&&fingerprint)
            || signature
                .issuer_key_id()
                .contains(&&self.key.legacy_key_id());
        if !claimed {
            return None;
        }
        Some(self.verify(signature, text, now).map(|()| {
            let digits = fingerprint.as_bytes().iter();
            digits.map(|byte| format!("{byte:02X}")).collect()
        }))
    }

    fn verify(&self, signature: &Signature, text: &[u8], now: i64) -> Result<(), &'static str> {
        // The latest word counts.
        let binding = self
            .bindings
            .iter()
            .max_by_key(|binding| binding.created().map(Timestamp::as_secs));
        if self.revoked {
            return Err("is by a key that has been revoked");
        }
        if !self.is_bound || (self.is_subkey && binding.is_none()) {
            return Err("is by a subkey that its key does not vouch for");
        }
        if let Some(binding) = binding {
            let expires = binding.key_expiration_time();
            if has_expired(Some(self.key.created_at()), expires, now) {
                return Err("is by a key that has expired");
            }
            let flags = binding.key_flags();
            if self.is_subkey && !flags.sign() {
                return Err("is by a key that is not for signing");
            }
        }
        if is_weak(self.key.public_params()) {
            return Err("is by a key that is too weak");
        }
        signature
            .verify(self.key, text)
            .map_err(|_| "is wrong: the text is not what was signed")
    }
}

fn check_signature(signature: &Signature, now: i64) -> Result<(), &'static str> {
    if !matches!(
        signature.typ(),
        Some(SignatureType::Text | SignatureType::Binary)
    ) {
        return Err("is not one over a text");
    }
    if !matches!(
        signature.hash_alg(),
        Some(HashAlgorithm::Sha256 | HashAlgorithm::Sha384 | HashAlgorithm::Sha512)
    ) {
        return Err("uses a hash function that is not trusted");
    }
    let Some(created) = signature.created() else {
        return Err("has no date");
    };
    if i64::from(created.as_secs()) > now.saturating_add(CLOCK_SKEW) {
        return Err("is dated in the future: is this machine's clock right?");
    }
    if has_expired(Some(created), signature.signature_expiration_time(), now) {
        return Err("has expired");
    }
    Ok(())
}

/// Whether the time that counts from `start` is over; none, and one of zero, never is.
fn has_expired(start: Option<Timestamp>, lasts: Option<Duration>, now: i64) -> bool {
    match (start, lasts.map(Duration::as_secs)) {
        (Some(start), Some(lasts)) if lasts != 0 => {
            i64::from(start.as_secs()) + i64::from(lasts) <= now
        }
        _ => false,
    }
}

/// apt has refused RSA keys below 2048 bits, and DSA, since 2.7.14.
fn is_weak(parameters: &PublicParams) -> bool {
    match parameters {
        PublicParams::RSA(rsa) => {
            use pgp::ser::Serialize as _;
            // The modulus and the exponent, each with two bytes that count its bits.
            rsa.write_len() < 2048 / 8
        }
        PublicParams::DSA(_) => true,
        _ => false,
    }
}

fn read_signatures(armored: &str) -> Result<Vec<Signature>, SignatureError> {
    let fail = |error: pgp::errors::Error| SignatureError::Damaged(error.to_string());
    let mut dearmor = Dearmor::new(Cursor::new(armored.as_bytes()));
    dearmor.read_header().map_err(fail)?;
    if dearmor.typ != Some(BlockType::Signature) {
        return Err(SignatureError::Damaged("it is something else".to_owned()));
    }
    let mut signatures = Vec::new();
    for packet in PacketParser::new(BufReader::new(dearmor)).take(MAX_SIGNATURES) {
        match packet.map_err(fail)? {
            Packet::Signature(signature) => signatures.push(signature),
            _ => {
                return Err(SignatureError::Damaged(
                    "it holds something else".to_owned(),
                ));
            }
        }
    }
    Ok(signatures)
}

fn name_of_signer(signature: &Signature) -> String {
    let named = signature.issuer_fingerprint();
    if let Some(fingerprint) = named.first() {
        let digits = fingerprint.as_bytes().iter();
        return digits.map(|byte| format!("{byte:02X}")).collect();
    }
    match signature.issuer_key_id().first() {
        Some(id) => key_id(id),
        None => "that it does not name".to_owned(),
    }
}

fn key_id(id: &KeyId) -> String {
    id.to_string().to_ascii_uppercase()
}

#[cfg(test)]
mod tests;
