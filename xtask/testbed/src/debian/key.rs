//! OpenPGP keys that sign releases.

use pgp::composed::{
    ArmorOptions, CleartextSignedMessage, KeyType, SecretKeyParamsBuilder, SignedPublicKey,
    SignedSecretKey, SubkeyParamsBuilder,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{SignatureConfig, SignatureType, Subpacket, SubpacketData};
use pgp::ser::Serialize as _;
use pgp::types::{Duration, KeyDetails as _, Password, SigningKey, Tag, Timestamp};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

/// A key with a subkey, both of which can sign.
#[derive(Debug)]
pub struct Key {
    secret: SignedSecretKey,
}

/// How a signature is made.
#[derive(Clone, Copy, Debug)]
pub struct SignatureSettings {
    /// When it is said to be made, in seconds since 1970.
    pub at: u32,
    /// How many seconds it counts; 0 is for ever.
    pub lasts: u32,
    /// Whether the subkey makes it.
    pub by_subkey: bool,
}

impl SignatureSettings {
    /// As archives do, at that time.
    #[must_use]
    pub fn at(at: u32) -> Self {
        Self {
            at,
            lasts: 0,
            by_subkey: false,
        }
    }
}

impl Key {
    /// The key of that number, made at a time in seconds since 1970. Equal numbers give equal keys.
    ///
    /// # Panics
    /// When the library refuses.
    #[must_use]
    pub fn new(number: u64, created: u32) -> Self {
        let created = Timestamp::from_secs(created);
        let mut subkey = SubkeyParamsBuilder::default();
        subkey
            .key_type(KeyType::Ed25519Legacy)
            .can_sign(true)
            .created_at(created);
        let mut parameters = SecretKeyParamsBuilder::default();
        parameters
            .key_type(KeyType::Ed25519Legacy)
            .can_certify(true)
            .can_sign(true)
            .created_at(created)
            .primary_user_id("archive key".to_owned())
            .subkey(subkey.build().unwrap());
        let secret = parameters
            .build()
            .unwrap()
            .generate(StdRng::seed_from_u64(number))
            .unwrap();
        Self { secret }
    }

    /// The public key, not armored.
    ///
    /// # Panics
    /// When the library refuses.
    #[must_use]
    pub fn public(&self) -> Vec<u8> {
        SignedPublicKey::from(self.secret.clone())
            .to_bytes()
            .unwrap()
    }

    /// The public key, armored.
    ///
    /// # Panics
    /// When the library refuses.
    #[must_use]
    pub fn armored(&self) -> String {
        SignedPublicKey::from(self.secret.clone())
            .to_armored_string(ArmorOptions::default())
            .unwrap()
    }

    /// The public key, whose owner says that it lasts only so many seconds.
    ///
    /// # Panics
    /// When the library refuses.
    #[must_use]
    pub fn public_that_lasts(&self, seconds: u32) -> Vec<u8> {
        let primary = &self.secret.primary_key;
        let mut public = SignedPublicKey::from(self.secret.clone());
        let user = public.details.users.first_mut().unwrap();
        let mut config = SignatureConfig::v4(
            SignatureType::CertPositive,
            primary.algorithm(),
            HashAlgorithm::Sha256,
        );
        config.hashed_subpackets = packets([
            SubpacketData::SignatureCreationTime(Timestamp::from_secs(
                primary.created_at().as_secs() + 1,
            )),
            SubpacketData::IssuerFingerprint(primary.fingerprint()),
            SubpacketData::KeyExpirationTime(Duration::from_secs(seconds)),
        ]);
        let certification = config
            .sign_certification(
                primary,
                &public.primary_key,
                &Password::empty(),
                Tag::UserId,
                &user.id,
            )
            .unwrap();
        user.signatures.push(certification);
        public.to_bytes().unwrap()
    }

    /// The public key, with its owner's word that it is no longer to be trusted.
    ///
    /// # Panics
    /// When the library refuses.
    #[must_use]
    pub fn public_revoked(&self) -> Vec<u8> {
        let primary = &self.secret.primary_key;
        let mut public = SignedPublicKey::from(self.secret.clone());
        let mut config = SignatureConfig::v4(
            SignatureType::KeyRevocation,
            primary.algorithm(),
            HashAlgorithm::Sha256,
        );
        config.hashed_subpackets = packets([
            SubpacketData::SignatureCreationTime(primary.created_at()),
            SubpacketData::IssuerFingerprint(primary.fingerprint()),
        ]);
        let revocation = config
            .sign_key(primary, &Password::empty(), &public.primary_key)
            .unwrap();
        public.details.revocation_signatures.push(revocation);
        public.to_bytes().unwrap()
    }

    /// The text, clear-signed.
    ///
    /// # Panics
    /// When the library refuses.
    #[must_use]
    pub fn sign(&self, text: &str, settings: SignatureSettings) -> String {
        let message = match self.secret.secret_subkeys.first() {
            Some(subkey) if settings.by_subkey => clear_sign(text, &subkey.key, settings),
            _ => clear_sign(text, &self.secret.primary_key, settings),
        };
        message.to_armored_string(ArmorOptions::default()).unwrap()
    }
}

fn clear_sign(
    text: &str,
    key: &impl SigningKey,
    settings: SignatureSettings,
) -> CleartextSignedMessage {
    let mut config =
        SignatureConfig::v4(SignatureType::Text, key.algorithm(), HashAlgorithm::Sha256);
    config.hashed_subpackets = packets([
        SubpacketData::SignatureCreationTime(Timestamp::from_secs(settings.at)),
        SubpacketData::IssuerFingerprint(key.fingerprint()),
        SubpacketData::SignatureExpirationTime(Duration::from_secs(settings.lasts)),
    ]);
    CleartextSignedMessage::new(
        // The last line's end is no part of what is signed.
        text.strip_suffix('\n').unwrap_or(text),
        config,
        key,
        &Password::empty(),
    )
    .unwrap()
}

fn packets(data: impl IntoIterator<Item = SubpacketData>) -> Vec<Subpacket> {
    data.into_iter()
        .map(|data| Subpacket::regular(data).unwrap())
        .collect()
}
