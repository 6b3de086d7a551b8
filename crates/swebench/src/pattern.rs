//! Regular expressions that are compiled once, where they are first used.

use std::sync::OnceLock;

use regex::Regex;

/// A regular expression of this room's source.
///
/// Upstream's are Python's, whose `\s` also takes U+001C to U+001F: patterns here write that out.
/// `\d`, `.`, `^` and `$` mean the same to both with `(?m)`.
#[derive(Debug)]
pub(super) struct Pattern {
    source: &'static str,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    pub(super) const fn new(source: &'static str) -> Self {
        Self {
            source,
            compiled: OnceLock::new(),
        }
    }

    /// The expression; `None` where its source is wrong, which the tests of each user rule out.
    pub(super) fn get(&self) -> Option<&Regex> {
        self.compiled
            .get_or_init(|| Regex::new(self.source).ok())
            .as_ref()
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        self.get().is_some_and(|regex| regex.is_match(text))
    }
}
