//! A feature that is a whole system rather than a layer of a prefix: the `[rootfs]` table.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use toml::Spanned;

use super::values::deserialize_from_str;

/// Packages that stand at `/`, with those that Debian calls essential and with what their maintainer
/// scripts do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RootFs {
    /// Users that it has beside those of its packages, each with a group and a home directory of
    /// its own.
    #[serde(default)]
    pub users: Vec<Spanned<UserName>>,
}

/// The name of a user (useradd(8), "CAVEATS"): up to 32 lower-case letters, digits, dashes and
/// underscores, of which the first is no digit and no dash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UserName(String);

/// Why a string is no name of a user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no name of a user: expected lower-case letters, digits, dashes and underscores, with a letter in front"
)]
pub struct UserNameError(String);

impl FromStr for UserName {
    type Err = UserNameError;

    fn from_str(text: &str) -> Result<Self, UserNameError> {
        let first = |byte: &u8| byte.is_ascii_lowercase() || *byte == b'_';
        let legal = |byte: &u8| first(byte) || byte.is_ascii_digit() || *byte == b'-';
        let bytes = text.as_bytes();
        if bytes.len() <= 32 && bytes.first().is_some_and(first) && bytes.iter().all(legal) {
            return Ok(Self(text.to_owned()));
        }
        Err(UserNameError(text.chars().take(80).collect()))
    }
}

impl UserName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

deserialize_from_str!(UserName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_users_cannot_be_taken_for_anything_else() {
        for good in ["nonroot", "_apt", "www-data", "user1"] {
            assert!(good.parse::<UserName>().is_ok(), "{good}");
        }
        for bad in ["", "-u", "1a", "Root", "a b", "a:b", "a/b", &"a".repeat(33)] {
            assert!(bad.parse::<UserName>().is_err(), "{bad}");
        }
    }
}
