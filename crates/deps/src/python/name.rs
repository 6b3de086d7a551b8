//! Names of packages.

use std::fmt;

/// A package's name in its normal form: lower case, with single dashes (PEP 503).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageName(String);

impl PackageName {
    /// The normal form of `text`; `None` when it is no name (PEP 508, "Names").
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let word = |byte: &u8| byte.is_ascii_alphanumeric();
        let legal = |byte: &u8| word(byte) || matches!(byte, b'-' | b'_' | b'.');
        let is_name = bytes.len() <= 200
            && bytes.first().is_some_and(word)
            && bytes.last().is_some_and(word)
            && bytes.iter().all(legal);
        if !is_name {
            return None;
        }
        let words = text.split(['-', '_', '.']).filter(|word| !word.is_empty());
        let words: Vec<String> = words.map(str::to_ascii_lowercase).collect();
        Some(Self(words.join("-")))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How the name is written in the names of files and directories (PEP 427, "Escaping and
    /// Unicode").
    #[must_use]
    pub fn escaped(&self) -> String {
        self.0.replace('-', "_")
    }
}

impl fmt::Display for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The package that a requirement (PEP 508) names; `None` when it begins with no name.
#[must_use]
pub(crate) fn requirement_name(requirement: &str) -> Option<PackageName> {
    let text = requirement.trim_start();
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let end = text
        .bytes()
        .position(|byte| !legal(byte))
        .unwrap_or(text.len());
    PackageName::parse(text.get(..end)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_are_one_name() {
        // The examples of PEP 503, "Normalized Names", and of the packaging guide.
        for text in [
            "friendly-bard",
            "Friendly-Bard",
            "FRIENDLY-BARD",
            "friendly.bard",
            "friendly_bard",
            "friendly--bard",
            "FrIeNdLy-._.-bArD",
        ] {
            let name = PackageName::parse(text).unwrap();
            assert_eq!(name.as_str(), "friendly-bard", "{text}");
            assert_eq!(name.escaped(), "friendly_bard");
        }
        for bad in ["", "-a", "a-", "a b", "a/b", "é", "..", "a\n"] {
            assert_eq!(PackageName::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn requirements_begin_with_a_name() {
        for (text, name) in [
            ("name", "name"),
            ("A.B-C_D", "a-b-c-d"),
            ("name>=3,<2", "name"),
            (" name[fred,bar] @ scheme:x ; python_version < '3'", "name"),
            ("name (>= 3)", "name"),
        ] {
            assert_eq!(requirement_name(text).unwrap().as_str(), name, "{text}");
        }
        assert_eq!(requirement_name("==1"), None);
        assert_eq!(requirement_name("-r file"), None);
    }
}
