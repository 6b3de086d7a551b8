//! Warnings that registries send along (distribution-spec, "Warnings").

use std::sync::Arc;

use parking_lot::Mutex;
use reqwest::header::{HeaderMap, WARNING};

use super::error_body::printable;
use super::sent::Sent;

/// Most warnings that are kept.
const MOST: usize = 50;

/// Warnings of all answers, each once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    /// Takes the warnings of an answer from `host`.
    pub(crate) fn collect(&self, host: &str, headers: &HeaderMap, sent: &Sent) {
        for value in headers.get_all(WARNING).iter().take(MOST) {
            let value = sent.redacted(&String::from_utf8_lossy(value.as_bytes()));
            let Some(text) = text(&value) else {
                continue;
            };
            let line = format!("{host}: {text}");
            let mut list = self.0.lock();
            if list.len() < MOST && !list.contains(&line) {
                list.push(line);
            }
        }
    }

    /// Takes a warning of the client's own.
    pub(crate) fn note(&self, line: String) {
        let mut list = self.0.lock();
        if list.len() < MOST && !list.contains(&line) {
            list.push(line);
        }
    }

    /// All of them, in the order in which they first came.
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().clone()
    }
}

/// The text in `299 - "text"`; other codes are about caches.
fn text(value: &str) -> Option<String> {
    let rest = value.trim().strip_prefix("299 ")?;
    let (_agent, quoted) = rest.trim_start().split_once(' ')?;
    let mut inside = quoted.trim().strip_prefix('"')?.chars();
    let mut text = String::new();
    while let Some(c) = inside.next() {
        match c {
            '"' => break,
            '\\' => text.extend(inside.next()),
            other => text.push(other),
        }
    }
    let text = printable(&text);
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_warning_is_kept_once() {
        let mut headers = HeaderMap::new();
        for value in [
            r#"299 - "this \"tag\" goes away""#,
            r#"299 - "this \"tag\" goes away""#,
            r#"110 - "stale""#,
            "299",
            "garbage",
        ] {
            headers.append(WARNING, value.parse().unwrap());
        }
        let warnings = Warnings::default();
        warnings.collect("registry.example", &headers, &Sent::default());
        warnings.collect("registry.example", &headers, &Sent::default());
        assert_eq!(
            warnings.all(),
            [r#"registry.example: this "tag" goes away"#]
        );
    }
}
