//! Subresource integrity: how npm writes hashes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use ohoci_image::Digest;

/// The digest in `sha512-…`, of which there may be several with blanks between them. `None` when
/// none of them is SHA-512 or SHA-256.
pub(super) fn digest(text: &str) -> Option<Digest> {
    let of = |name: &str| {
        text.split_ascii_whitespace().find_map(|one| {
            let value = one.strip_prefix(name)?.strip_prefix('-')?;
            // Options may stand behind a question mark.
            let value = value.split('?').next().unwrap_or(value);
            let bytes = STANDARD.decode(value).ok()?;
            format!("{name}:{}", hex::encode(bytes)).parse().ok()
        })
    };
    of("sha512").or_else(|| of("sha256"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_hash_counts() {
        // The hashes of nothing.
        let sha512 = "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7\
                      kxvUdBeoGlODJ6+SfaPg==";
        let sha256 = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        let both = format!("sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk= {sha256} {sha512}?x");
        assert!(
            digest(&both)
                .unwrap()
                .to_string()
                .starts_with("sha512:cf83e1357eefb8bd")
        );
        assert_eq!(digest(sha256), Some(Digest::of(b"")));
        for bad in [
            "sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
            "",
            "sha512-",
            "sha512-AAAA",
        ] {
            assert_eq!(digest(bad), None, "{bad}");
        }
    }
}
