//! Foreign text made fit for a terminal: registries, images and files are not to give it orders.

/// Whether a character does something to a terminal other than appear: control characters, and
/// those that turn the direction of text or hide in it (Unicode TR 36, "bidirectional text
/// spoofing").
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{2069}'
                | '\u{feff}'
        )
}

/// The text with its lines, and with a mark in the place of every character that acts.
pub(crate) fn lines(text: &str) -> String {
    text.chars()
        .map(|c| if c != '\n' && acts(c) { '\u{fffd}' } else { c })
        .collect()
}

/// The text on one line; what separates lines and columns becomes a blank.
pub(crate) fn line(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\r' | '\t' => ' ',
            c if acts(c) => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// A JSON document with every character that acts written as an escape. Such characters stand only
/// in strings, so the document means the same.
pub(crate) fn json(document: &str) -> String {
    let mut text = String::with_capacity(document.len());
    for c in document.chars() {
        // JSON's own blanks and line ends stand outside of strings.
        if acts(c) && !matches!(c, '\n' | '\r' | '\t') {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}[2J\u{9b}1m\u{7f}\u{202e}b\r\nc\td\u{200b}";

    #[test]
    fn nothing_that_acts_is_left() {
        let marked = lines(HOSTILE);
        assert_eq!(marked.lines().count(), 2);
        assert!(!marked.chars().any(|c| c != '\n' && acts(c)), "{marked:?}");
        let marked = line(HOSTILE);
        assert!(!marked.chars().any(acts), "{marked:?}");
        assert!(marked.ends_with("b  c d\u{fffd}"), "{marked:?}");
    }

    #[test]
    fn ordinary_text_stays_as_it_is() {
        let text = "naïve 图像 🦀 └─ e\u{301}";
        assert_eq!(lines(text), text);
        assert_eq!(line(text), text);
        assert_eq!(json(text), text);
    }

    #[test]
    fn escaped_json_means_the_same() {
        let value = serde_json::json!({ HOSTILE: [HOSTILE, 1] });
        let document = serde_json::to_string_pretty(&value).unwrap();
        let escaped = json(&document);
        assert!(!escaped.chars().any(|c| c != '\n' && acts(c)));
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&escaped).unwrap(),
            value
        );
    }
}
