//! URLs and errors as they may be shown.

use reqwest::Url;

/// A URL for the log: signatures and session states in a query are secrets.
#[must_use]
pub fn redacted(url: &Url) -> String {
    let mut shown = url.clone();
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    let keys: Vec<String> = url
        .query_pairs()
        .map(|(key, _)| format!("{key}=…"))
        .collect();
    shown.set_query(None);
    shown.set_fragment(None);
    if keys.is_empty() {
        shown.to_string()
    } else {
        format!("{shown}?{}", keys.join("&"))
    }
}

/// An error and everything that caused it, without repetitions.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let words = error.to_string();
        if !text.contains(&words) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&words);
        }
        next = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_has_no_secrets() {
        let url: Url = "https://u:p@cdn.example/b?X-Signature=abc&e=1#f"
            .parse()
            .unwrap();
        assert_eq!(redacted(&url), "https://cdn.example/b?X-Signature=…&e=…");
    }
}
