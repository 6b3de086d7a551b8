//! What Python's `str` and text files make of white space: upstream's results depend on it.

use std::borrow::Cow;

/// Whether Python's `str.isspace` holds: Unicode's white space and the four information separators.
///
/// Source: <https://docs.python.org/3/library/stdtypes.html#str.isspace>
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// `str.strip()`.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `str.split()`.
pub(super) fn words(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// What `open(path).read()` gives: `\r\n` and lone `\r` read as `\n`.
///
/// Bytes that are no UTF-8 become U+FFFD. Upstream replaces them before it writes the log, and
/// would fail on a log that has them.
pub(super) fn read_text(bytes: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(bytes);
    if text.contains('\r') {
        Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_parted_by_all_that_python_calls_space() {
        let text = "\u{1c}a\u{1f}b\u{a0}c\u{85}d\u{2028}e\u{200b}f ";
        let found: Vec<_> = words(text).collect();
        assert_eq!(found, ["a", "b", "c", "d", "e\u{200b}f"]);
        assert_eq!(strip("\u{1d} a b\t\n"), "a b");
    }

    #[test]
    fn line_ends_of_all_kinds_are_read_as_one() {
        assert_eq!(read_text(b"a\r\nb\rc\n\xff"), "a\nb\nc\n\u{fffd}");
        assert!(matches!(read_text(b"a\nb"), Cow::Borrowed("a\nb")));
    }
}
