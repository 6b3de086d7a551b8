//! Why a distribution cannot be used.

use std::io;

use crate::archive::ArchiveError;
use ohoci_layer::path::printable;

/// Why a wheel or source distribution cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {why}")]
pub struct PythonError {
    file: String,
    why: String,
    hint: Option<String>,
    #[source]
    io: Option<io::Error>,
}

impl PythonError {
    /// The distribution in the file called `file` cannot be used because of `why`.
    pub(crate) fn new(file: &str, why: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            why: why.into(),
            hint: None,
            io: None,
        }
    }

    /// A member of it is at fault.
    pub(crate) fn member(file: &str, member: &[u8], why: impl AsRef<str>) -> Self {
        Self::new(file, format!("{}: {}", printable(member), why.as_ref()))
    }

    /// Adds what may help.
    pub(crate) fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The archive that it is in cannot be read.
    pub(crate) fn archive(file: &str, error: ArchiveError) -> Self {
        let why = error.to_string();
        Self {
            io: match error {
                ArchiveError::Io(error) => Some(error),
                _ => None,
            },
            ..Self::new(file, why)
        }
    }

    /// The name of the file.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What is wrong, with the member that is at fault.
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
