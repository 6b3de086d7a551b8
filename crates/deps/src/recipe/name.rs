//! Names of features and of Debian packages.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use super::values::deserialize_from_str;

/// The name of a feature or profile: lower-case letters, digits and dashes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeatureName(String);

/// The name of a Debian package (Debian Policy 5.6.1, and 5.6.7): at least two lower-case letters,
/// digits, `+`, `-` and `.`, of which the first is a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageName(String);

/// Why a string is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no name of a {of}: expected {expected}")]
pub struct NameError {
    text: String,
    of: &'static str,
    expected: &'static str,
}

impl FromStr for FeatureName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !text.is_empty() && text.len() <= 64 && text.bytes().all(legal) {
            return Ok(Self(text.to_owned()));
        }
        Err(NameError {
            text: text.chars().take(80).collect(),
            of: "feature",
            expected: "lower-case letters, digits and dashes",
        })
    }
}

impl FromStr for PackageName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if is_package_name(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(NameError {
            text: text.chars().take(80).collect(),
            of: "Debian package",
            expected: "lower-case letters, digits, \"+\", \"-\" and \".\"",
        })
    }
}

/// Whether `text` can be the name of a Debian package.
#[must_use]
pub(crate) fn is_package_name(text: &str) -> bool {
    let word = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    (2..=128).contains(&bytes.len())
        && bytes.first().is_some_and(word)
        && bytes
            .iter()
            .all(|byte| word(byte) || matches!(byte, b'+' | b'-' | b'.'))
}

macro_rules! name {
    ($type:ty) => {
        deserialize_from_str!($type);

        impl $type {
            /// The name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

name!(FeatureName);
name!(PackageName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_names_follow_the_policy() {
        for good in ["bash", "libstdc++6", "7zip", "python3.13", "g++"] {
            assert!(good.parse::<PackageName>().is_ok(), "{good}");
        }
        for bad in ["", "a", "Bash", "-a", "+a", "a b", "a_b", "bash:amd64", "é"] {
            assert!(bad.parse::<PackageName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn feature_names_can_be_file_names() {
        for bad in ["", "..", "a/b", "A", "a.b"] {
            assert!(bad.parse::<FeatureName>().is_err(), "{bad}");
        }
        assert!("agent-server".parse::<FeatureName>().is_ok());
    }
}
