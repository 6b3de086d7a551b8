//! Why a level could not be built, with what a person needs to go on.

use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};

/// How many lines of a log are shown.
const TAIL: usize = 20;
/// How much of a log's end is read for them, in bytes.
const TAIL_BYTES: usize = 16 << 10;

/// The levels of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The system and its tools.
    Base,
    /// Python and packages.
    Environment,
    /// The repository at a commit.
    Instance,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Base => "base",
            Self::Environment => "env",
            Self::Instance => "instance",
        })
    }
}

impl Level {
    /// The level that is called so.
    #[must_use]
    pub(crate) fn named(name: &str) -> Option<Self> {
        let all = [Self::Base, Self::Environment, Self::Instance];
        all.into_iter().find(|level| level.to_string() == name)
    }
}

/// A level that could not be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", .0.step, .0.why)]
pub struct BuildError(Box<Details>);

/// What is known of a [`BuildError`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// Which one.
    pub level: Level,
    /// What was being done.
    pub step: String,
    /// Why it failed.
    pub why: String,
    /// What may help.
    pub hint: Option<String>,
    /// The log, if there is one.
    pub log: Option<PathBuf>,
    /// The log's last lines.
    pub tail: Vec<String>,
}

impl Deref for BuildError {
    type Target = Details;

    fn deref(&self) -> &Details {
        &self.0
    }
}

impl BuildError {
    /// An error of one step.
    pub fn new(level: Level, step: impl Into<String>, why: impl fmt::Display) -> Self {
        Self(Box::new(Details {
            level,
            step: step.into(),
            why: why.to_string(),
            hint: None,
            log: None,
            tail: Vec::new(),
        }))
    }

    /// One of which all is known.
    #[must_use]
    pub(crate) fn of(details: Details) -> Self {
        Self(Box::new(details))
    }

    /// Adds what may help, unless whoever is closer to the cause has said it.
    #[must_use]
    pub fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.0.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// Adds the log and its end.
    #[must_use]
    pub fn logged(mut self, log: &Path) -> Self {
        let content = fs_err::read(log).unwrap_or_default();
        let start = content.len().saturating_sub(TAIL_BYTES);
        let text = String::from_utf8_lossy(content.get(start..).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let first = lines.len().saturating_sub(TAIL);
        self.0.tail = lines.iter().skip(first).map(ToString::to_string).collect();
        self.0.log = Some(log.to_owned());
        self
    }
}

/// Makes errors of one step of one level, for `map_err`.
pub(crate) fn at<E: fmt::Display>(
    level: Level,
    step: impl Into<String>,
) -> impl FnOnce(E) -> BuildError {
    let step = step.into();
    move |error| BuildError::new(level, step, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_the_end_of_its_log() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("build_image.log");
        let lines: Vec<String> = (0..5_000).map(|line| format!("line {line}")).collect();
        fs_err::write(&log, lines.join("\n")).unwrap();
        let error = BuildError::new(Level::Instance, "install", "exit code 1").logged(&log);
        assert_eq!(error.tail.len(), TAIL);
        assert_eq!(error.tail.last().unwrap(), "line 4999");
        assert_eq!(error.to_string(), "install: exit code 1");
    }
}
