//! What a client says who it is.

use std::fmt;

use axum::http::{HeaderMap, header};
use base64::Engine as _;

/// Longest `Authorization` with a password that is looked at, in bytes.
const LONGEST: usize = 4096;

/// A user and its password.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) user: String,
    pub(super) password: Password,
}

/// A password, which is never shown.
pub(super) struct Password(String);

impl Password {
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(redacted)")
    }
}

impl Claim {
    /// What a request shows by Basic authentication (RFC 7617).
    pub(super) fn shown(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, encoded) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") || value.len() > LONGEST {
            return None;
        }
        let decoded = base64::engine::general_purpose::STANDARD
            .decode(encoded.trim())
            .ok()?;
        let decoded = String::from_utf8(decoded).ok()?;
        let (user, password) = decoded.split_once(':')?;
        Some(Self {
            user: user.to_owned(),
            password: Password::new(password.to_owned()),
        })
    }
}
