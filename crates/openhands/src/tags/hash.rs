//! The hashes that upstream's tags are made of; they tell names apart and protect nothing.

use ohoci_image::Digest;

/// MD5 of the parts behind each other, as one number.
pub(super) fn md5<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u128 {
    use md5::Digest as _;
    let mut state = md5::Md5::new();
    for part in parts {
        state.update(part);
    }
    u128::from_be_bytes(state.finalize().into())
}

/// The first `length` hexadecimal digits of the SHA-1 of a text.
pub(super) fn sha1_prefix(text: &str, length: usize) -> String {
    use sha1::Digest as _;
    let mut hex = hex::encode(sha1::Sha1::digest(text));
    hex.truncate(length);
    hex
}

/// The first `length` hexadecimal digits of the SHA-256 of a text.
pub(super) fn sha256_prefix(text: &str, length: usize) -> String {
    Digest::of(text.as_bytes())
        .hex()
        .chars()
        .take(length)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        // RFC 1321, appendix A.5; FIPS 180-4 examples for "abc".
        assert_eq!(
            format!("{:032x}", md5([&b"a"[..], b"bc"])),
            "900150983cd24fb0d6963f7d28e17f72"
        );
        assert_eq!(
            sha1_prefix("abc", 40),
            "a9993e364706816aba3e25717850c26c9cd0d89d"
        );
        assert_eq!(sha256_prefix("abc", 12), "ba7816bf8f01");
    }
}
