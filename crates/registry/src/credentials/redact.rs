//! Makes what a program says fit to be shown. Pure.

use crate::Secret;

/// Most of what a helper says that a message quotes, in characters.
const MAX_QUOTE: usize = 300;

/// Makes what a helper says fit to be shown: one line, no control characters, no secret.
///
/// The secret itself, if known, and every long word that has the look of a token are taken out;
/// JSON is an answer and not a message, so nothing is left of it.
pub(super) fn redact(text: &str, secret: Option<&Secret>) -> String {
    const REDACTED: &str = "(redacted)";
    let mut text = text.trim().to_owned();
    if let Some(secret) = secret.map(Secret::expose).filter(|text| !text.is_empty()) {
        text = text.replace(secret, REDACTED);
    }
    if text.starts_with(['{', '[']) {
        return REDACTED.to_owned();
    }
    let shown: Vec<_> = text
        .split_whitespace()
        .map(|word| if has_token(word) { REDACTED } else { word })
        .collect();
    shown
        .join(" ")
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_QUOTE)
        .collect()
}

/// Whether there is a stretch in the word that base64, hexadecimal or a part of a JWT may be made
/// of, and that is too long and too mixed to be said in earnest. Host names have shorter parts.
fn has_token(word: &str) -> bool {
    word.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '_' | '-' | '=')))
        .any(|run| run.len() >= 20 && run.bytes().any(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_answers_and_the_secret_itself_are_taken_out() {
        for (text, wanted) in [
            (
                "bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30",
                "bearer (redacted)",
            ),
            ("sum=d41d8cd98f00b204e9800998ecf8427e!", "(redacted)"),
            ("password hunter2 refused", "password (redacted) refused"),
            (r#" {"Secret": "s"}"#, "(redacted)"),
        ] {
            assert_eq!(redact(text, Some(&"hunter2".into())), wanted);
        }
    }

    #[test]
    fn host_names_and_sentences_are_shown() {
        for text in [
            "no such host 123456789012.dkr.ecr.us-east-1.registry.example",
            "error getting credentials - err: exit status 1",
        ] {
            assert_eq!(redact(text, None), text);
        }
        assert_eq!(redact("a\u{1b}[2J\nb", None), "a[2J b");
    }
}
