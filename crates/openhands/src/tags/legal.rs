//! What becomes of a tag that no registry would take.

use super::hash::sha256_prefix;
use ohoci_image::reference::is_tag;

const MAX_LENGTH: usize = 128;
const HASH_LENGTH: usize = 12;

/// The tag itself when it is legal; otherwise one that tells as much and stays distinct.
///
/// Legal is `[A-Za-z0-9_][A-Za-z0-9._-]{0,127}` (distribution-spec, "Pulling manifests"). In
/// anything else each illegal character becomes a dash (at the start, also `.` and `-` become
/// `_`), what is too long is cut at its end, and a dash and the first twelve hexadecimal digits of
/// the SHA-256 of the original follow, so that two originals do not land on one tag.
#[must_use]
pub fn legal(tag: &str) -> String {
    if is_tag(tag) {
        return tag.to_owned();
    }
    let mut text: String = tag
        .chars()
        .enumerate()
        .map(|(at, c)| match c {
            c if c.is_ascii_alphanumeric() || c == '_' => c,
            _ if at == 0 => '_',
            '.' | '-' => c,
            _ => '-',
        })
        .take(MAX_LENGTH - 1 - HASH_LENGTH)
        .collect();
    if !text.is_empty() {
        text.push('-');
    }
    text.push_str(&sha256_prefix(tag, HASH_LENGTH));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn legal_tags_stay_and_others_keep_what_can_be_kept() {
        let longest = "a".repeat(128);
        for tag in ["latest", "_x", "1.2.3-python", longest.as_str()] {
            assert_eq!(legal(tag), tag);
        }
        assert_eq!(legal("1.0+build@x"), "1.0-build-x-1480f3954acf");
        assert_eq!(legal(".hidden"), "_hidden-1692419006a8");
        assert_eq!(legal(""), "e3b0c44298fc");
        let long = legal(&"a".repeat(129));
        assert_eq!(long.len(), 128);
        assert!(long.starts_with(&"a".repeat(115)));
    }

    #[test]
    fn tags_that_differ_in_what_is_replaced_or_cut_stay_distinct() {
        assert_ne!(legal("a+b"), legal("a@b"));
        let long = "a".repeat(200);
        assert_ne!(legal(&format!("{long}1")), legal(&format!("{long}2")));
    }

    proptest! {
        #[test]
        fn whatever_goes_in_comes_out_legal(tag in any::<String>()) {
            prop_assert!(is_tag(&legal(&tag)));
        }
    }
}
