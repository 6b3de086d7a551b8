//! What is wrong with a TOML file that a person wrote, and where in it.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A TOML file that cannot be used: a configuration, or a recipe or lock of layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    path: PathBuf,
    position: Option<(usize, usize)>,
    why: String,
    hint: Option<String>,
}

impl ConfigError {
    /// The file at `path` cannot be used because of `why`.
    pub(crate) fn new(path: &Path, why: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            position: None,
            why: why.into(),
            hint: None,
        }
    }

    /// What stands at `span` of `text`, the content of the file at `path`, cannot be used because
    /// of `why`.
    pub(crate) fn at(path: &Path, text: &str, span: &Range<usize>, why: impl Into<String>) -> Self {
        Self {
            position: Some(line_and_column(text, span)),
            ..Self::new(path, why)
        }
    }

    /// Adds what may help.
    pub(crate) fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What the parser found wrong with `text`, the content of the file at `path`.
    pub(crate) fn parse(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        Self {
            path: path.to_owned(),
            position: error.span().map(|span| line_and_column(text, &span)),
            why: error.message().replace('\n', "; "),
            hint: near_name(error.message()),
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The line and the column where it is wrong, both counted from 1; columns are characters.
    #[must_use]
    pub fn position(&self) -> Option<(usize, usize)> {
        self.position
    }

    /// What is wrong.
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

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some((line, column)) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.why)
    }
}

impl std::error::Error for ConfigError {}

fn line_and_column(text: &str, span: &Range<usize>) -> (usize, usize) {
    let before = text.get(..span.start).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or(before).chars().count() + 1;
    (line, column)
}

/// Finds the name that was probably meant in serde's message about an unknown one, which has the
/// name that it met and then those that it knows in backticks.
fn near_name(message: &str) -> Option<String> {
    if !message.starts_with("unknown field") && !message.starts_with("unknown variant") {
        return None;
    }
    let mut names = message.split('`').skip(1).step_by(2);
    let met = names.next()?;
    did_you_mean(met, names)
}

/// A hint at the one of `names` that is most like `met`, when any is like it.
pub(crate) fn did_you_mean<'a>(
    met: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let length = met.chars().count();
    let limit = length.div_ceil(3);
    names
        .into_iter()
        // Names come by the ten thousand: what differs in length alone needs no table.
        .filter(|name| name.chars().count().abs_diff(length) <= limit)
        .map(|name| (distance(met, name), name))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, name)| format!("did you mean {name:?}?"))
}

/// How many characters have to be inserted, removed or replaced (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = i;
        let mut previous = i + 1;
        if let Some(first) = row.first_mut() {
            *first = previous;
        }
        for (cell, b) in row.iter_mut().skip(1).zip(right.chars()) {
            let replaced = diagonal + usize::from(a != b);
            diagonal = *cell;
            *cell = replaced.min(diagonal + 1).min(previous + 1);
            previous = *cell;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("plain-http", "plain-http"), 0);
    }

    #[test]
    fn columns_count_characters() {
        assert_eq!(line_and_column("ä = 1\nöö = x", &(14..15)), (2, 6));
        assert_eq!(line_and_column("", &(0..0)), (1, 1));
        assert_eq!(line_and_column("ab", &(9..10)), (1, 3));
    }
}
