//! A file that a recipe stands in, for messages that point into it.

use std::io::{ErrorKind, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;

use ohoci_config::{ConfigError, text};

/// Largest recipe that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// A file's name and text. Clones share the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceFile {
    path: PathBuf,
    text: Arc<str>,
}

impl SourceFile {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, is no text or is larger than 1 MiB.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let fail = |error: &std::io::Error| {
            let why = match error.kind() {
                ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
                ErrorKind::InvalidInput => error.to_string(),
                kind => kind.to_string(),
            };
            ConfigError::new(path, why)
        };
        let file = ohoci_files::regular::open(path).map_err(|error| fail(&error))?;
        let mut bytes = Vec::new();
        file.take(MAX_FILE + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| fail(&error))?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(ConfigError::new(path, "it is larger than 1 MiB"));
        }
        let text = text::decode(bytes).map_err(|error| fail(&error))?;
        Ok(Self {
            path: path.to_owned(),
            text: text.into(),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The error that what stands at `span` cannot be used because of `why`.
    #[must_use]
    pub(crate) fn error_at(&self, span: Range<usize>, why: impl Into<String>) -> ConfigError {
        ConfigError::at(&self.path, &self.text, &span, why)
    }

    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        toml::from_str(&self.text).map_err(|error| self.parse_error(&error))
    }

    pub(super) fn parse_error(&self, error: &toml::de::Error) -> ConfigError {
        ConfigError::parse(&self.path, &self.text, error)
    }
}
