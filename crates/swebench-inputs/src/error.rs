//! Why an input cannot be used.

/// Why an input cannot be used: what failed, why, and what may help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}{}", .why.as_ref().map(|why| format!(": {why}")).unwrap_or_default())]
pub struct InputError {
    what: String,
    why: Option<String>,
    hint: Option<String>,
}

impl InputError {
    /// Something failed.
    pub(crate) fn new(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            why: Some(why.into()),
            hint: None,
        }
    }

    /// What is named cannot be an input at all.
    pub(crate) fn misnamed(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            why: None,
            hint: None,
        }
    }

    pub(crate) fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What failed.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Why. `None` where nothing was tried, since what is named cannot be an input.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        self.why.as_deref()
    }

    /// What may help.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}
