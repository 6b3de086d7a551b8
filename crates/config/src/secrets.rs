//! Foreign words without the secrets that may stand in them: what a server or a program says may
//! repeat what it was sent.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// What stands in the place of a secret.
pub const LEFT_OUT: &str = "…";

static URL: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(?i)\b([a-z][a-z0-9+.-]*://)([^\s"'<>\\]+)"#).ok());

static PROOF: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?i)\b(bearer|basic)(:?\s+)([a-z0-9._~+/=-]{6,})").ok());

/// The words without what URLs in them hold of credentials and of queries, whose values are often
/// signatures, and without what looks like an `Authorization`.
#[must_use]
pub fn without_secrets(words: &str) -> String {
    let words = replaced(&URL, words, |found| {
        let (scheme, rest) = (part(found, 1), part(found, 2));
        format!("{scheme}{}", without_credentials(rest))
    });
    let words = replaced(&PROOF, &words, |found| {
        let secret = part(found, 3);
        // "Basic authentication" is no secret.
        let is_word = secret.len() < 20 && secret.bytes().all(|b| b.is_ascii_alphabetic());
        let shown = if is_word { secret } else { LEFT_OUT };
        format!("{}{}{shown}", part(found, 1), part(found, 2))
    });
    words.into_owned()
}

/// What follows a URL's scheme, without user and password and with no values in its query.
fn without_credentials(rest: &str) -> String {
    let (before, query) = match rest.split_once('?') {
        Some((before, query)) => (before, Some(query)),
        None => (rest, None),
    };
    let (authority, path) = before.split_at(before.find('/').unwrap_or(before.len()));
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let mut shown = format!("{host}{path}");
    for (at, pair) in query.iter().flat_map(|query| query.split('&')).enumerate() {
        shown.push(if at == 0 { '?' } else { '&' });
        match pair.split_once('=') {
            Some((key, _)) => shown.push_str(&format!("{key}={LEFT_OUT}")),
            None => shown.push_str(LEFT_OUT),
        }
    }
    shown
}

fn part<'a>(found: &'a Captures<'_>, number: usize) -> &'a str {
    found.get(number).map_or("", |part| part.as_str())
}

fn replaced<'a>(
    pattern: &LazyLock<Option<Regex>>,
    words: &'a str,
    by: impl Fn(&Captures<'_>) -> String,
) -> Cow<'a, str> {
    match &**pattern {
        Some(pattern) => pattern.replace_all(words, by),
        None => Cow::Borrowed(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_left_out_and_the_rest_stays() {
        for (words, shown) in [
            (
                "fatal: unable to access 'https://me:hunter2@git.example/a.git/': 403",
                "fatal: unable to access 'https://git.example/a.git/': 403",
            ),
            (
                "expired: https://cdn.example/b?X-Amz-Signature=abc&x=1&flag (try again)",
                "expired: https://cdn.example/b?X-Amz-Signature=…&x=…&… (try again)",
            ),
            (
                "got Authorization: Bearer eyJhbGciOi.x-1_2",
                "got Authorization: Bearer …",
            ),
            ("Basic dXNlcjpzZWNyZXQ= is wrong", "Basic … is wrong"),
            ("Basic authentication is off", "Basic authentication is off"),
            (
                "see https://docs.example/a@b/c",
                "see https://docs.example/a@b/c",
            ),
            (
                "insufficient_scope: token expired",
                "insufficient_scope: token expired",
            ),
        ] {
            assert_eq!(without_secrets(words), shown);
        }
    }
}
