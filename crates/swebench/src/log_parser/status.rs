//! What a log says of each test.

use std::collections::HashMap;

use super::LogError;

/// The most bytes that the names put together by a parser may have.
const MAX_NAMES: usize = 256 << 20;

/// A test's status, as a log spells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// `FAILED`
    Failed,
    /// `PASSED`
    Passed,
    /// `SKIPPED`
    Skipped,
    /// `ERROR`
    Error,
    /// `XFAIL`
    Xfail,
    /// A word that only begins or ends with a status, such as `XFAILED` or `ERRORS`. Upstream keeps
    /// it, and counts it neither as success nor as failure.
    Other(String),
}

/// The words that lines of pytest begin or end with.
pub(super) const WORDS: [&str; 5] = ["FAILED", "PASSED", "SKIPPED", "ERROR", "XFAIL"];

impl Status {
    /// The status that a word is.
    #[must_use]
    pub fn of_word(word: &str) -> Self {
        match word {
            "FAILED" => Self::Failed,
            "PASSED" => Self::Passed,
            "SKIPPED" => Self::Skipped,
            "ERROR" => Self::Error,
            "XFAIL" => Self::Xfail,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The status as a log spells it.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::Failed => "FAILED",
            Self::Passed => "PASSED",
            Self::Skipped => "SKIPPED",
            Self::Error => "ERROR",
            Self::Xfail => "XFAIL",
            Self::Other(word) => word,
        }
    }

    /// Whether a test that has it succeeded.
    #[must_use]
    pub fn passes(&self) -> bool {
        matches!(self, Self::Passed | Self::Xfail)
    }
}

/// Tests and their statuses, in the order in which the tests were first named.
///
/// The order decides which of several tests a truncated name stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusMap {
    entries: Vec<(String, Status)>,
    places: HashMap<String, usize>,
    /// Bytes of the names that were added with [`StatusMap::add`].
    added: usize,
}

impl StatusMap {
    /// Whether no test was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The status of the test with exactly this name.
    #[must_use]
    pub fn get(&self, test: &str) -> Option<&Status> {
        let place = *self.places.get(test)?;
        self.entries.get(place).map(|(_, status)| status)
    }

    /// All tests and their statuses.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Status)> {
        self.entries
            .iter()
            .map(|(test, status)| (test.as_str(), status))
    }

    /// Takes up a test whose name a parser has put together: a log can make such names longer than
    /// itself.
    pub(super) fn add(&mut self, test: impl Into<String>, status: Status) -> Result<(), LogError> {
        let test = test.into();
        self.added = self.added.saturating_add(test.len());
        if self.added > MAX_NAMES {
            return Err(LogError::Names);
        }
        self.insert(test, status);
        Ok(())
    }

    /// Takes up a test; a later status takes the place of an earlier one.
    pub fn insert(&mut self, test: impl Into<String>, status: Status) {
        let test = test.into();
        if let Some(entry) = self
            .places
            .get(&test)
            .and_then(|place| self.entries.get_mut(*place))
        {
            entry.1 = status;
            return;
        }
        self.places.insert(test.clone(), self.entries.len());
        self.entries.push((test, status));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_status_takes_the_place_of_the_first() {
        let mut map = StatusMap::default();
        map.insert("a", Status::Failed);
        map.insert("b", Status::of_word("XFAILED"));
        map.insert("a", Status::Passed);
        let found: Vec<_> = map
            .iter()
            .map(|(test, status)| (test, status.word()))
            .collect();
        assert_eq!(found, [("a", "PASSED"), ("b", "XFAILED")]);
        assert_eq!(map.get("c"), None);
    }
}
