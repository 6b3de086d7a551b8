//! What a registry is shown to prove who asks, and where that comes from.

use std::fmt;

use async_trait::async_trait;

/// A string that is never shown: its `Debug` and `Display` are redacted.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the one endpoint that sends or stores it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(redacted)")
    }
}

/// What is known about who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Nothing.
    Anonymous,
    /// A name and a password, or an access token in a password's endpoint.
    Basic {
        /// The user's name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// An OAuth2 refresh token (`identitytoken` in Docker's files), exchanged for access tokens.
    IdentityToken(Secret),
    /// A bearer token that is sent to the registry as it is (`registrytoken` in Docker's files).
    RegistryToken(Secret),
}

impl Credential {
    /// Whether there is nothing to show.
    #[must_use]
    pub(crate) fn is_anonymous(&self) -> bool {
        matches!(self, Self::Anonymous)
    }
}

/// Why credentials that should be there cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct CredentialError {
    why: String,
    hint: Option<String>,
    of_helper: bool,
}

impl CredentialError {
    /// A failure because of `why`: the file with what is wrong in it, or the helper with its words.
    #[must_use]
    pub fn new(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            hint: None,
            of_helper: false,
        }
    }

    /// The same, as the fault of a credential helper: a program that is not there, crashes or says
    /// nothing that makes sense. What is public can be read all the same.
    #[must_use]
    pub(crate) fn by_helper(mut self) -> Self {
        self.of_helper = true;
        self
    }

    /// Whether a credential helper is at fault.
    #[must_use]
    pub(crate) fn is_by_helper(&self) -> bool {
        self.of_helper
    }

    /// Adds what the person could do about it.
    #[must_use]
    pub fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Why, with the file or the helper.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }

    /// What may help.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

/// Finds credentials.
#[async_trait]
pub trait CredentialSource: fmt::Debug + Send + Sync {
    /// The credential for a repository on a host, both as they stand in references (`docker.io`
    /// for Docker Hub). No credential is [`Credential::Anonymous`], not an error.
    ///
    /// The client asks when a registry first demands proof for a repository, possibly from many
    /// tasks at once; an implementation that runs a helper caches what it said.
    ///
    /// # Errors
    /// When a credential is configured but cannot be had.
    async fn credential(&self, host: &str, repository: &str)
    -> Result<Credential, CredentialError>;
}

/// Finds nothing: every request is anonymous.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCredentials;

#[async_trait]
impl CredentialSource for NoCredentials {
    async fn credential(
        &self,
        _host: &str,
        _repository: &str,
    ) -> Result<Credential, CredentialError> {
        Ok(Credential::Anonymous)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_printed() {
        let credential = Credential::Basic {
            username: "reader".to_owned(),
            password: "hunter2".into(),
        };
        assert!(!format!("{credential:?}").contains("hunter2"));
        assert_eq!(Secret::from("hunter2").to_string(), "(redacted)");
        assert_eq!(Secret::from("hunter2").expose(), "hunter2");
    }
}
