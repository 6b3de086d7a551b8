//! Patterns of paths to leave out.

use std::str::FromStr;

use glob::MatchOptions;

use super::values::deserialize_from_str;
use ohoci_layer::LayerPath;

/// A pattern of paths: `*` and `?` within a name, `**` for any number of directories, `[abc]`.
///
/// A directory that matches takes everything below it along, so `usr/share/man` and
/// `usr/share/man/**` differ only in whether the directory itself is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(glob::Pattern);

/// Why a string is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no pattern of paths: {reason}")]
pub struct PatternError {
    text: String,
    reason: String,
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let fail = |reason: &str| PatternError {
            text: text.chars().take(200).collect(),
            reason: reason.to_owned(),
        };
        if text.is_empty() {
            return Err(fail("it is empty"));
        }
        if text.starts_with('/') || text.ends_with('/') {
            return Err(fail(
                "paths are written without a slash in front and behind",
            ));
        }
        if text.split('/').any(|name| matches!(name, "" | "." | "..")) {
            return Err(fail("it has an empty name, \".\" or \"..\" in it"));
        }
        glob::Pattern::new(text)
            .map(Self)
            .map_err(|error| fail(error.msg))
    }
}

deserialize_from_str!(Pattern);

impl Pattern {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether the path, or a directory above it, matches. Bytes that are no UTF-8 match wildcards
    /// only.
    #[must_use]
    pub fn matches(&self, path: &LayerPath) -> bool {
        let options = MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: false,
        };
        path.ancestors().chain([path.as_bytes()]).any(|bytes| {
            self.0
                .matches_with(&String::from_utf8_lossy(bytes), options)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        let path = LayerPath::parse(path.as_bytes()).unwrap();
        pattern.parse::<Pattern>().unwrap().matches(&path)
    }

    #[test]
    fn a_directory_takes_along_what_is_below_it() {
        assert!(matches("usr/share/man", "usr/share/man"));
        assert!(matches("usr/share/man", "usr/share/man/man1/bash.1.gz"));
        assert!(!matches("usr/share/man", "usr/share/manual"));
        assert!(matches("usr/share/man/**", "usr/share/man/man1/bash.1.gz"));
        assert!(!matches("usr/share/man/**", "usr/share/man"));
        assert!(matches("**/*.a", "usr/lib/x86_64-linux-gnu/libc.a"));
        assert!(matches(
            "usr/share/doc/*/changelog*",
            "usr/share/doc/a/changelog.gz"
        ));
        assert!(!matches("usr/share/doc/*.gz", "usr/share/doc/a/x.gz"));
    }

    #[test]
    fn patterns_that_can_never_match_are_refused() {
        for bad in ["", "/usr", "usr/", "a//b", "../a", "a/./b", "a[", "a**b"] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad}");
        }
    }
}
