//! Secrets of a request, kept out of quotations of its answer.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use reqwest::header::HeaderValue;
use url::form_urlencoded;

use super::call::Payload;
use ohoci_config::secrets::{LEFT_OUT, without_secrets};

/// Values that are shorter are words like any other.
const SHORTEST: usize = 4;

/// Parameters of queries that are no secret: those of distribution-spec and of token servers.
const OPEN: [&str; 14] = [
    "scope",
    "service",
    "account",
    "client_id",
    "grant_type",
    "offline_token",
    "digest",
    "mount",
    "from",
    "n",
    "last",
    "tag",
    "artifactType",
    "ns",
];

/// The secrets of one request.
#[derive(Clone, Default)]
pub(crate) struct Sent(Vec<String>);

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sent").finish_non_exhaustive()
    }
}

impl Sent {
    /// Those of a request with that proof and body, which went to these URLs.
    pub(crate) fn of<'a>(
        authorization: Option<&HeaderValue>,
        payload: &Payload<'_>,
        urls: impl IntoIterator<Item = &'a Url>,
    ) -> Self {
        let mut sent = Self::default();
        if let Some(text) = authorization.and_then(|value| value.to_str().ok()) {
            let (_, proof) = text.split_once(' ').unwrap_or(("", text));
            let decoded = STANDARD.decode(proof).unwrap_or_default();
            if let Ok(pair) = String::from_utf8(decoded)
                && let Some((_, password)) = pair.split_once(':')
            {
                sent.add(password);
                sent.add(&pair);
            }
            sent.add(proof);
        }
        if let Payload::Secret(form) = payload {
            sent.add_pairs(form);
        }
        for url in urls {
            sent.add_pairs(url.query().unwrap_or_default().as_bytes());
            sent.add(url.password().unwrap_or_default());
        }
        // The longest first, so that none is left in pieces by another.
        sent.0.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        sent.0.dedup();
        sent
    }

    fn add(&mut self, secret: &str) {
        if secret.len() >= SHORTEST {
            self.0.push(secret.to_owned());
        }
    }

    fn add_pairs(&mut self, pairs: &[u8]) {
        for (key, value) in form_urlencoded::parse(pairs) {
            if !OPEN.contains(&&*key) {
                self.add(&value);
                let encoded: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
                self.add(&encoded);
            }
        }
        // As it was written, too, which may be encoded in another way.
        for pair in String::from_utf8_lossy(pairs).split('&') {
            if let Some((key, value)) = pair.split_once('=')
                && !OPEN.contains(&key)
            {
                self.add(value);
            }
        }
    }

    /// The words without any of it.
    pub(crate) fn redacted(&self, words: &str) -> String {
        let mut words = words.to_owned();
        for secret in &self.0 {
            if words.contains(secret.as_str()) {
                words = words.replace(secret.as_str(), LEFT_OUT);
            }
        }
        without_secrets(&words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_was_sent_comes_back() {
        let url = "https://r.example/u?_state=abc%2Fdef&digest=sha256:00&sig=s1g="
            .parse()
            .unwrap();
        let proof = HeaderValue::from_static("Basic dXNlcjpodW50ZXIy");
        let form = bytes::Bytes::from_static(b"grant_type=refresh_token&refresh_token=re%2Bfresh");
        let sent = Sent::of(Some(&proof), &Payload::Secret(form), [&url]);
        let echo =
            "dXNlcjpodW50ZXIy user:hunter2 hunter2 abc/def abc%2Fdef s1g= re+fresh re%2Bfresh";
        let shown = sent.redacted(echo);
        for secret in ["hunter2", "dXNl", "abc", "s1g", "fresh"] {
            assert!(!shown.contains(secret), "{secret}: {shown}");
        }
        let plain = "scope refresh_token of sha256:00 for user";
        assert_eq!(sent.redacted(plain), plain);
        assert!(!format!("{sent:?}").contains("hunter2"));
    }
}
