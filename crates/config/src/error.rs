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
    pub fn new(path: &Path, why: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            position: None,
            why: why.into(),
            hint: None,
        }
    }

    /// What stands at `span` of `text`, the content of the file at `path`, cannot be used because
    /// of `why`.
    pub fn at(path: &Path, text: &str, span: &Range<usize>, why: impl Into<String>) -> Self {
        Self {
            position: Some(line_and_column(text, span)),
            ..Self::new(path, why)
        }
    }

    /// Adds what may help.
    pub fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What the parser found wrong with `text`, the content of the file at `path`.
    pub fn parse(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        Self {
            path: path.to_owned(),
            position: error.span().map(|span| line_and_column(text, &span)),
            why: without_value(&error.message().replace('\n', "; ")),
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

/// serde's message about a value of the wrong type, without the value: it may be a password in the
/// wrong place, or a line of a file that was named by mistake.
fn without_value(message: &str) -> String {
    let quoted = message
        .find("string \"")
        .zip(message.rfind("\", expected"))
        .filter(|(start, end)| start + "string \"".len() <= *end);
    match quoted {
        Some((start, end)) => {
            let before = message.get(..start).unwrap_or_default();
            let behind = message.get(end + 1..).unwrap_or_default();
            format!("{before}a string{behind}")
        }
        None => message.to_owned(),
    }
}

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
pub fn did_you_mean<'a>(met: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
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
    fn values_are_not_quoted() {
        for (message, shown) in [
            (
                "invalid type: string \"hunter2\", expected a boolean",
                "invalid type: a string, expected a boolean",
            ),
            (
                "invalid value: string \"a\\\", expected\", expected x",
                "invalid value: a string, expected x",
            ),
            (
                "unknown field `x`, expected `y`",
                "unknown field `x`, expected `y`",
            ),
        ] {
            assert_eq!(without_value(message), shown);
        }
    }

    #[test]
    fn columns_count_characters() {
        assert_eq!(line_and_column("ä = 1\nöö = x", &(14..15)), (2, 6));
        assert_eq!(line_and_column("", &(0..0)), (1, 1));
        assert_eq!(line_and_column("ab", &(9..10)), (1, 3));
    }
}
