//! What credentials and tokens look like in an `Authorization` header.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;

use super::credential::{Credential, Secret};

/// `Authorization` for a name and a password.
fn basic(username: &str, password: &Secret) -> Option<HeaderValue> {
    let encoded = STANDARD.encode(format!("{username}:{}", password.expose()));
    sensitive(&format!("Basic {encoded}"))
}

/// `Authorization` for a token.
pub(crate) fn bearer(token: &Secret) -> Option<HeaderValue> {
    sensitive(&format!("Bearer {}", token.expose()))
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// What credentials look like in a Basic header.
pub(crate) fn basic_of(credential: &Credential) -> Option<HeaderValue> {
    match credential {
        Credential::Basic { username, password } => basic(username, password),
        // The user name that Docker's tools give an identity token.
        Credential::IdentityToken(token) => basic("<token>", token),
        Credential::Anonymous | Credential::RegistryToken(_) => None,
    }
}
