//! What a feature takes from a Debian archive: the `[debian]` table.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::name::{PackageName, is_package_name};
use super::pattern::Pattern;
use super::values::deserialize_from_str;

/// Packages of a Debian archive, with what they depend on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Debian {
    /// The distribution below `dists/`, such as `trixie`.
    pub suite: Suite,
    /// More distributions of the same release, such as `trixie-security`. Of a package that
    /// several have, the highest version counts.
    #[serde(default)]
    pub extra_suites: Vec<Suite>,
    /// The components that may be taken from.
    #[serde(default = "main")]
    pub components: Vec<Component>,
    /// The OpenPGP keys that may have signed the archive; without it, those that the machine's apt
    /// trusts. Relative to the recipe's file.
    pub keyring: Option<PathBuf>,
    /// The packages.
    pub packages: Vec<Spanned<PackageName>>,
    /// Packages and virtual packages that count as there, but are not taken, nor what they depend
    /// on; each with the reason.
    #[serde(default)]
    pub exclude: BTreeMap<Spanned<PackageName>, Reason>,
    /// Files to leave out. Licences are kept aside all the same.
    #[serde(default)]
    pub drop: Vec<Pattern>,
    /// Which package to take where a dependency leaves a choice.
    #[serde(default)]
    pub choose: BTreeMap<Spanned<Choice>, Spanned<PackageName>>,
}

fn main() -> Vec<Component> {
    vec![Component("main".to_owned())]
}

impl Debian {
    /// All distributions, the first one being [`Debian::suite`].
    pub fn suites(&self) -> impl Iterator<Item = &Suite> {
        [&self.suite].into_iter().chain(&self.extra_suites)
    }

    /// Makes paths relative to `directory`.
    pub(super) fn resolve(&mut self, directory: &Path) {
        if let Some(keyring) = &mut self.keyring {
            *keyring = directory.join(&*keyring);
        }
    }
}

/// A distribution of an archive: a path below `dists/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Suite(String);

/// A component of a distribution: `main`, `non-free-firmware`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Component(String);

/// A string that cannot be used in a `[debian]` table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} {reason}")]
pub struct ValueError {
    text: String,
    reason: &'static str,
}

impl ValueError {
    fn new(text: &str, reason: &'static str) -> Self {
        Self {
            text: text.chars().take(200).collect(),
            reason,
        }
    }
}

/// Whether it can stand in a URL and as a path without surprises.
fn is_path(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'+' | b'~');
    text.len() <= 128
        && text
            .split('/')
            .all(|name| !matches!(name, "" | "." | "..") && name.bytes().all(legal))
}

impl FromStr for Suite {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if is_path(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ValueError::new(
                text,
                "is no suite of a Debian archive: expected a name such as \"trixie\"",
            ))
        }
    }
}

impl FromStr for Component {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if is_path(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ValueError::new(
                text,
                "is no component of a Debian archive: expected a name such as \"main\"",
            ))
        }
    }
}

impl Suite {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Component {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

deserialize_from_str!(Suite);
deserialize_from_str!(Component);

/// Why something is left out: a sentence for those who wonder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(String);

impl FromStr for Reason {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text.trim() {
            "" => Err(ValueError::new(text, "is no reason to leave something out")),
            reason => Ok(Self(reason.to_owned())),
        }
    }
}

deserialize_from_str!(Reason);

/// A dependency that leaves a choice: a virtual package (`awk`), or alternatives in their order
/// without versions (`debconf | debconf-2.0`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Choice(String);

impl Choice {
    /// Names, separated by ` | `.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Choice {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for Choice {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let names: Vec<&str> = text.split('|').map(str::trim).collect();
        if names.iter().all(|name| is_package_name(name)) {
            Ok(Self(names.join(" | ")))
        } else {
            Err(ValueError::new(
                text,
                "is no dependency: expected a virtual package, or names separated by \" | \", \
                 without versions",
            ))
        }
    }
}

deserialize_from_str!(Choice);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_compared_without_regard_to_spaces() {
        let choice: Choice = "debconf|  debconf-2.0".parse().unwrap();
        assert_eq!(choice.as_str(), "debconf | debconf-2.0");
        for bad in ["", "a |", "debconf (>= 0.5) | debconf-2.0", "a,b"] {
            assert!(bad.parse::<Choice>().is_err(), "{bad}");
        }
    }

    #[test]
    fn suites_cannot_lead_elsewhere() {
        for bad in ["", "..", "a/../b", "/a", "a/", "a b", "a?b", "a#b", "a%2e"] {
            assert!(bad.parse::<Suite>().is_err(), "{bad}");
        }
        for good in ["trixie", "trixie-security", "stable/updates"] {
            assert!(good.parse::<Suite>().is_ok(), "{good}");
        }
    }
}
