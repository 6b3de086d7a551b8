//! Reading the reasons that registries give (distribution-spec, "Error codes").

use serde_json::Value;

use super::sent::Sent;

/// Largest error body that is read, in bytes.
pub(crate) const MAX_ERROR_BODY: u64 = 64 << 10;

/// Longest text of a server that is quoted, in characters.
const MAX_QUOTE: usize = 400;

/// What a registry said about a refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ErrorBody {
    /// Its codes, upper case, in order.
    pub(crate) codes: Vec<String>,
    /// Its words, fit for a terminal; empty when it had none.
    pub(crate) words: String,
}

impl ErrorBody {
    /// Reads a body. Registries send the specified JSON, OAuth2's, other JSON, text or HTML.
    ///
    /// What the request showed is left out of its words.
    pub(crate) fn parse(body: &[u8], sent: &Sent) -> Self {
        let printable = |text: &str| printable(&sent.redacted(text));
        let Ok(value) = serde_json::from_slice::<Value>(body) else {
            return Self::from_text(&sent.redacted(&String::from_utf8_lossy(body)));
        };
        let mut found = Self::default();
        let mut words: Vec<String> = Vec::new();
        for entry in value
            .get("errors")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .take(8)
        {
            let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
            let (code, message) = (printable(text("code")), printable(text("message")));
            let mut line = if message.is_empty() {
                code.clone()
            } else {
                message
            };
            match entry.get("detail") {
                Some(Value::String(detail)) if !detail.is_empty() && line != *detail => {
                    line = format!("{line} ({})", printable(detail));
                }
                Some(detail @ (Value::Object(_) | Value::Array(_))) => {
                    let detail = printable(&detail.to_string());
                    if detail.len() > 2 {
                        line = format!("{line} ({detail})");
                    }
                }
                _ => {}
            }
            if !code.is_empty() {
                found.codes.push(code.to_ascii_uppercase());
            }
            if !line.is_empty() && !words.contains(&line) {
                words.push(line);
            }
        }
        if words.is_empty() {
            // OAuth2 (RFC 6749, 5.2) and the shapes that token servers and gateways make up.
            words.extend(
                ["error_description", "message", "details", "error", "detail"]
                    .iter()
                    .find_map(|key| value.get(key).and_then(Value::as_str))
                    .map(printable),
            );
        }
        found.words = shorten(&words.join("; "));
        found
    }

    fn from_text(text: &str) -> Self {
        let looks_like_markup = text.trim_start().starts_with('<');
        Self {
            codes: Vec::new(),
            words: if looks_like_markup {
                String::new()
            } else {
                shorten(&printable(text))
            },
        }
    }

    /// Whether one of `codes` was sent.
    pub(crate) fn has(&self, codes: &[&str]) -> bool {
        self.codes.iter().any(|code| codes.contains(&code.as_str()))
    }
}

/// Foreign text without control characters (a terminal would obey them) and runs of blanks.
pub(crate) fn printable(text: &str) -> String {
    let visible: String = text
        .chars()
        .map(|c| {
            if c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
                ' '
            } else {
                c
            }
        })
        .collect();
    shorten(&visible.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTE) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_what_the_registry_said() {
        let body = ErrorBody::parse(
            br#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known","detail":{"name":"a/b"}}]}"#,
            &Sent::default(),
        );
        assert_eq!(body.codes, ["NAME_UNKNOWN"]);
        assert_eq!(body.words, r#"repository name not known ({"name":"a/b"})"#);
        assert!(body.has(&["MANIFEST_UNKNOWN", "NAME_UNKNOWN"]));
    }

    #[test]
    fn other_shapes_are_read_too() {
        for (body, words) in [
            (
                &br#"{"details":"incorrect username or password"}"#[..],
                "incorrect username or password",
            ),
            (
                br#"{"error":"invalid_grant","error_description":"token expired"}"#,
                "token expired",
            ),
            (br#"{"errors":[{"code":"DENIED"}]}"#, "DENIED"),
            (
                b"toomanyrequests: slow down\n",
                "toomanyrequests: slow down",
            ),
            (b"<html>nginx</html>", ""),
            (b"", ""),
            (br#"{"errors":"odd"}"#, ""),
            (b"[]", ""),
        ] {
            assert_eq!(ErrorBody::parse(body, &Sent::default()).words, words);
        }
    }

    #[test]
    fn a_terminal_is_not_given_orders() {
        let words = ErrorBody::parse(
            "\u{1b}[2Jgone\r\n\u{202e}backwards".as_bytes(),
            &Sent::default(),
        )
        .words;
        assert_eq!(words, "[2Jgone backwards");
        assert!(
            ErrorBody::parse("x".repeat(100_000).as_bytes(), &Sent::default())
                .words
                .chars()
                .count()
                <= 401
        );
    }
}
