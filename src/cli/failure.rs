//! The one error type of commands: what failed, why, and what may help.

use std::fmt;

use super::exit_code;
use crate::oci::reference::ReferenceError;
use crate::store;

/// A failed command, ready to be shown to a person.
#[derive(Debug)]
pub struct Failure {
    exit_code: u8,
    what: String,
    why: Option<String>,
    hint: Option<String>,
}

impl Failure {
    /// Something failed at run time.
    pub(crate) fn new(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            exit_code: exit_code::FAILED,
            what: what.into(),
            why: Some(why.into()),
            hint: None,
        }
    }

    /// The command line asks for something that cannot be.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self {
            exit_code: exit_code::USAGE,
            what: what.into(),
            why: None,
            hint: None,
        }
    }

    /// Adds what may help.
    pub(crate) fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What the process ends with.
    pub(crate) fn exit_code(&self) -> u8 {
        self.exit_code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        if let Some(why) = &self.why {
            write!(f, "\n  {why}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        Self {
            exit_code: exit_code::FAILED,
            what: error.what().to_owned(),
            why: Some(error.why().to_owned()),
            hint: error.hint().map(str::to_owned),
        }
    }
}

impl From<ReferenceError> for Failure {
    fn from(error: ReferenceError) -> Self {
        Self::usage(error.to_string())
    }
}
