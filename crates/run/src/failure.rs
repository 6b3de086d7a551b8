//! Why a program could not be run.

use ohoci_sandbox::RunError;

/// What failed, why, and what may help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFailure {
    what: String,
    why: Option<String>,
    hint: Option<String>,
    is_mistake: bool,
}

impl RunFailure {
    /// Something could not be done.
    pub(crate) fn new(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            why: Some(why.into()),
            hint: None,
            is_mistake: false,
        }
    }

    /// What was asked for cannot be.
    pub(crate) fn mistake(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            why: None,
            hint: None,
            is_mistake: true,
        }
    }

    pub(crate) fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// That a sandbox was not started, and why.
    pub(crate) fn of_sandbox(what: impl Into<String>, error: &RunError) -> Self {
        Self {
            hint: error.hint().map(str::to_owned),
            ..Self::new(what, error.to_string())
        }
    }

    /// What failed.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Why, in the words of whoever refused it.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        self.why.as_deref()
    }

    /// What may help.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Whether it is what was asked for that cannot be.
    #[must_use]
    pub fn is_mistake(&self) -> bool {
        self.is_mistake
    }
}

impl From<ohoci_store::Error> for RunFailure {
    fn from(error: ohoci_store::Error) -> Self {
        Self {
            hint: error.hint().map(str::to_owned),
            ..Self::new(error.what(), error.why())
        }
    }
}
