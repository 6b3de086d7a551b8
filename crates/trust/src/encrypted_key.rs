//! Private keys encrypted as cosign encrypts them (`pkg/cosign/keys.go` and securesystemslib's
//! `encrypted` package): a JSON document with scrypt's parameters and the secretbox, in PEM.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_secretbox::aead::{Aead as _, KeyInit as _};
use crypto_secretbox::{Key, Nonce, XSalsa20Poly1305};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::passphrase::Passphrase;
use crate::public_key::KeyError;

/// What cosign calls the block since version 2.
pub(crate) const LABEL: &str = "ENCRYPTED SIGSTORE PRIVATE KEY";
/// What it called the block before.
pub(crate) const OLD_LABEL: &str = "ENCRYPTED COSIGN PRIVATE KEY";

/// scrypt's cost that cosign writes; it takes 64 MiB.
const COST: u32 = 1 << 16;
/// scrypt's largest cost that is read: 256 MiB.
const MAX_COST: u32 = 1 << 18;
const BLOCK_SIZE: u32 = 8;

#[derive(Deserialize, Serialize)]
struct Sealed {
    kdf: Derivation,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Deserialize, Serialize)]
struct Derivation {
    name: String,
    params: Parameters,
    salt: String,
}

#[derive(Deserialize, Serialize)]
struct Parameters {
    #[serde(rename = "N")]
    cost: u32,
    r: u32,
    p: u32,
}

#[derive(Deserialize, Serialize)]
struct Cipher {
    name: String,
    nonce: String,
}

/// Encrypts.
pub(crate) fn seal(
    der: &[u8],
    passphrase: &Passphrase,
    salt: &[u8; 32],
    nonce: &[u8; 24],
) -> Result<Vec<u8>, KeyError> {
    let failed = |why: &str| KeyError::Encryption(why.to_owned());
    let key = derive(passphrase, salt, COST)?;
    let cipher = XSalsa20Poly1305::new(Key::from_slice(key.as_slice()));
    let ciphertext = cipher
        .encrypt(Nonce::from_slice(nonce), der)
        .map_err(|_| failed("the cipher failed"))?;
    let sealed = Sealed {
        kdf: Derivation {
            name: "scrypt".to_owned(),
            params: Parameters {
                cost: COST,
                r: BLOCK_SIZE,
                p: 1,
            },
            salt: STANDARD.encode(salt),
        },
        cipher: Cipher {
            name: "nacl/secretbox".to_owned(),
            nonce: STANDARD.encode(nonce),
        },
        ciphertext: STANDARD.encode(ciphertext),
    };
    serde_json::to_vec(&sealed).map_err(|error| failed(&error.to_string()))
}

/// Decrypts.
pub(crate) fn open(bytes: &[u8], passphrase: &Passphrase) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let foreign = |why: &str| KeyError::Encryption(why.to_owned());
    let sealed: Sealed =
        serde_json::from_slice(bytes).map_err(|error| foreign(&error.to_string()))?;
    if sealed.kdf.name != "scrypt" || sealed.cipher.name != "nacl/secretbox" {
        return Err(foreign(
            "it names another cipher than scrypt and nacl/secretbox",
        ));
    }
    let Parameters { cost, r, p } = sealed.kdf.params;
    if !cost.is_power_of_two() || cost > MAX_COST || r != BLOCK_SIZE || p != 1 {
        return Err(foreign(
            "its parameters of scrypt are none that cosign writes",
        ));
    }
    let decoded = |text: &str| STANDARD.decode(text).map_err(|_| foreign("no base64"));
    let salt = decoded(&sealed.kdf.salt)?;
    let nonce = decoded(&sealed.cipher.nonce)?;
    let ciphertext = decoded(&sealed.ciphertext)?;
    let nonce: [u8; 24] = nonce
        .try_into()
        .map_err(|_| foreign("its nonce has not 24 bytes"))?;
    let key = derive(passphrase, &salt, cost)?;
    let cipher = XSalsa20Poly1305::new(Key::from_slice(key.as_slice()));
    cipher
        .decrypt(Nonce::from_slice(&nonce), ciphertext.as_slice())
        .map(Zeroizing::new)
        .map_err(|_| KeyError::Passphrase)
}

fn derive(
    passphrase: &Passphrase,
    salt: &[u8],
    cost: u32,
) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let failed = || KeyError::Encryption("its parameters of scrypt are not possible".to_owned());
    let log = u8::try_from(cost.ilog2()).map_err(|_| failed())?;
    let parameters = scrypt::Params::new(log, BLOCK_SIZE, 1, 32).map_err(|_| failed())?;
    let mut key = Zeroizing::new([0; 32]);
    scrypt::scrypt(passphrase.bytes(), salt, &parameters, key.as_mut_slice())
        .map_err(|_| failed())?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_cannot_ask_for_more_memory_than_cosigns_do() {
        let sealed = |cost: u64, r: u32| {
            format!(
                r#"{{"kdf":{{"name":"scrypt","params":{{"N":{cost},"r":{r},"p":1}},"salt":""}},
                "cipher":{{"name":"nacl/secretbox","nonce":""}},"ciphertext":""}}"#
            )
        };
        for (cost, r) in [(1 << 19, 8), (0, 8), (3, 8), (1 << 15, 9), (1 << 40, 8)] {
            let refused = open(sealed(cost, r).as_bytes(), &Passphrase::new("")).unwrap_err();
            assert!(matches!(refused, KeyError::Encryption(_)), "{cost} {r}");
        }
    }
}
