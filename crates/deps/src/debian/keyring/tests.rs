//! Signatures that count, and the many that do not.

use testbed::debian::Key;
use testbed::debian::key::SignatureSettings;

use super::*;

const NOW: u32 = 1_800_000_000;
const TEXT: &str = "Suite: x\n- dashed\n\nlast\n";

fn verify(keyring: &[u8], file: &str) -> Result<Signed, String> {
    let keyring = Keyring::parse(keyring).unwrap();
    keyring
        .verify(file, i64::from(NOW))
        .map_err(|error| error.to_string())
}

fn key() -> Key {
    Key::new(1, NOW - 1000)
}

#[test]
fn a_text_signed_by_a_key_or_its_subkey_counts() {
    let key = key();
    for by_subkey in [false, true] {
        let settings = SignatureSettings {
            by_subkey,
            ..SignatureSettings::at(NOW)
        };
        let signed = verify(&key.public(), &key.sign(TEXT, settings)).unwrap();
        assert_eq!(signed.text, "Suite: x\n- dashed\n\nlast\n");
        assert_eq!(signed.key.len(), 40);
    }
    let file = key.sign(TEXT, SignatureSettings::at(NOW));
    assert!(verify(key.armored().as_bytes(), &file).is_ok());
    assert!(verify(&key.public(), &file.replace('\n', "\r\n")).is_ok());
}

#[test]
fn one_key_of_many_is_enough() {
    let other = Key::new(2, NOW - 1000);
    let ring = [other.public(), key().public()].concat();
    assert_eq!(Keyring::parse(&ring).unwrap().keys.len(), 2);
    assert!(verify(&ring, &key().sign(TEXT, SignatureSettings::at(NOW))).is_ok());
}

#[test]
fn signatures_that_do_not_count_are_told_apart() {
    let key = key();
    let good = key.sign(TEXT, SignatureSettings::at(NOW));
    let settings = SignatureSettings::at(NOW);
    for (ring, file, words) in [
        (
            Key::new(2, NOW - 1000).public(),
            good.clone(),
            "not in the keyring",
        ),
        (
            key.public(),
            good.replace("Suite: x", "Suite: y"),
            "is wrong",
        ),
        (key.public_revoked(), good.clone(), "has been revoked"),
        (
            key.public_that_lasts(999),
            good.clone(),
            "a key that has expired",
        ),
        (
            key.public(),
            key.sign(TEXT, SignatureSettings::at(NOW + 7200)),
            "in the future",
        ),
        (
            key.public(),
            key.sign(
                TEXT,
                SignatureSettings {
                    at: NOW - 10,
                    lasts: 10,
                    ..settings
                },
            ),
            "has expired",
        ),
        (key.public(), TEXT.to_owned(), "no clear-signed text"),
        (
            key.public(),
            good.replace("\n\n", "\n\n!"),
            "cannot be read",
        ),
    ] {
        let error = verify(&ring, &file).unwrap_err();
        assert!(error.contains(words), "{words}: {error}");
    }
    let lasting = key.public_that_lasts(1001);
    assert!(verify(&lasting, &good).is_ok());
}

#[test]
fn what_is_no_keyring() {
    for bad in [
        b"".as_slice(),
        b"hello",
        b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n",
    ] {
        assert!(Keyring::parse(bad).is_err());
    }
    let cut = key().public();
    assert!(Keyring::parse(&cut[..20]).is_err());
}

/// The first day of 2026, when GnuPG signed the texts in `fixtures/debian`.
const SIGNED: i64 = 1_767_225_600;

#[test]
fn what_gnupg_signs_is_read_as_it_means_it() {
    let keyring = include_bytes!("../../../../../fixtures/debian/gnupg/keyring.gpg");
    let keyring = Keyring::parse(keyring).unwrap();
    let verify = |file: &str, now: i64| keyring.verify(file, now);
    let strong = include_str!("../../../../../fixtures/debian/gnupg/strong.asc");
    let signed = verify(strong, SIGNED).unwrap();
    assert_eq!(
        signed.text,
        "- a line with a dash\nlines end with spaces\nor a tab\n\n-----BEGIN nothing-----\nlast\n"
    );
    let both = include_str!("../../../../../fixtures/debian/gnupg/both.asc");
    assert_eq!(verify(both, SIGNED).unwrap().key, signed.key);
    let short = include_str!("../../../../../fixtures/debian/gnupg/short-lived.asc");
    assert!(verify(short, SIGNED + 29 * 86_400).is_ok());
    let weak = include_str!("../../../../../fixtures/debian/gnupg/weak.asc");
    let sha1 = include_str!("../../../../../fixtures/debian/gnupg/sha1.asc");
    for (file, now, words) in [
        (short, SIGNED + 30 * 86_400, "by a key that has expired"),
        (weak, SIGNED, "by a key that is too weak"),
        (sha1, SIGNED, "hash function that is not trusted"),
        (strong, SIGNED - 86_400, "in the future"),
    ] {
        let error = verify(file, now).unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
}
