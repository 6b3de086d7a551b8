//! JSON as people have it in files: with a byte order mark, with halves of characters, and with lines
//! in a `.json` or a list in a `.jsonl`.

use std::borrow::Cow;

use serde_json::Value;

/// What Windows' editors write in front of UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// What stands for half a character.
const REPLACEMENT: &str = r"\ufffd";

/// A document without its byte order mark.
///
/// # Errors
/// When it is not UTF-8 but UTF-16, in words.
pub(crate) fn unmarked(document: &[u8]) -> Result<&[u8], &'static str> {
    if document.starts_with(b"\xff\xfe") || document.starts_with(b"\xfe\xff") {
        return Err("it is written in UTF-16; save it as UTF-8");
    }
    Ok(document.strip_prefix(MARK).unwrap_or(document))
}

/// Parses JSON; the flag says that halves of characters were replaced, which Python writes where
/// bytes were no text, and which no file can hold.
///
/// # Errors
/// When it is no JSON.
pub(crate) fn parse(document: &[u8]) -> Result<(Value, bool), serde_json::Error> {
    match serde_json::from_slice(document) {
        Ok(value) => Ok((value, false)),
        Err(error) => match repaired(document) {
            Cow::Owned(repaired) => Ok((serde_json::from_slice(&repaired)?, true)),
            Cow::Borrowed(_) => Err(error),
        },
    }
}

/// A document whose lone surrogates are replaced.
fn repaired(document: &[u8]) -> Cow<'_, [u8]> {
    let mut out: Vec<u8> = Vec::new();
    let mut rest = document;
    let mut is_changed = false;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        let (before, escape) = rest.split_at(at);
        out.extend_from_slice(before);
        let (taken, with) = match (unit(escape), unit(escape.get(6..).unwrap_or_default())) {
            (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => (12, None),
            (Some(0xd800..0xe000), _) => (6, Some(REPLACEMENT)),
            (Some(_), _) => (6, None),
            (None, _) => (2, None),
        };
        let (taken, after) = escape.split_at(taken.min(escape.len()));
        out.extend_from_slice(with.map_or(taken, str::as_bytes));
        is_changed |= with.is_some();
        rest = after;
    }
    out.extend_from_slice(rest);
    match is_changed {
        true => Cow::Owned(out),
        false => Cow::Borrowed(document),
    }
}

/// The code unit of an escape such as `\ud83d` that stands at the beginning.
fn unit(escape: &[u8]) -> Option<u16> {
    let digits = escape.strip_prefix(b"\\u")?.get(..4)?;
    let digits = std::str::from_utf8(digits).ok()?;
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u16::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_characters_are_replaced_and_whole_ones_stay() {
        let text = br#"["a\udc80b", "\ud83d\ude00", "\\ud800", "\ud83d"]"#;
        let (value, is_repaired) = parse(text).unwrap();
        assert!(is_repaired);
        let expected = serde_json::json!(["a\u{fffd}b", "😀", "\\ud800", "\u{fffd}"]);
        assert_eq!(value, expected);
        assert!(!parse(br#"["\ud83d\ude00"]"#).unwrap().1);
        assert!(parse(br#"["\ud83d"#).is_err());
        assert!(parse(b"\\").is_err());
    }

    #[test]
    fn marks_are_left_out_and_another_encoding_is_named() {
        assert_eq!(unmarked(b"\xef\xbb\xbf{}"), Ok(&b"{}"[..]));
        assert_eq!(unmarked(b"{}"), Ok(&b"{}"[..]));
        assert!(unmarked(b"\xff\xfe{\0").is_err());
    }
}
