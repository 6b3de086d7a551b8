//! What the name of a wheel's file says (binary distribution format, "File name convention").

use std::collections::BTreeSet;
use std::str::FromStr;

use pep440_rs::Version;

use super::name::PackageName;
use super::tags::Tag;

/// A wheel's file name, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WheelName {
    /// The package.
    pub name: PackageName,
    /// Its version.
    pub version: Version,
    /// The build tag: a number and what follows it. Higher is better.
    pub build: Option<(u64, String)>,
    /// What it runs on.
    pub tags: BTreeSet<Tag>,
}

/// Why a string is no name of a wheel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no name of a wheel: {reason}")]
pub struct WheelNameError {
    text: String,
    reason: &'static str,
}

impl FromStr for WheelName {
    type Err = WheelNameError;

    fn from_str(text: &str) -> Result<Self, WheelNameError> {
        let fail = |reason| WheelNameError {
            text: text.chars().take(300).collect(),
            reason,
        };
        let stem = text
            .strip_suffix(".whl")
            .ok_or_else(|| fail("it does not end with .whl"))?;
        let parts: Vec<&str> = stem.split('-').collect();
        let (name, version, build, python, abi, platform) = match parts.as_slice() {
            [name, version, python, abi, platform] => (name, version, None, python, abi, platform),
            [name, version, build, python, abi, platform] => {
                (name, version, Some(build), python, abi, platform)
            }
            _ => return Err(fail("it has not five or six parts")),
        };
        let build = build
            .map(|build| {
                let end = build
                    .bytes()
                    .position(|byte| !byte.is_ascii_digit())
                    .unwrap_or(build.len());
                let (number, rest) = build.split_at_checked(end)?;
                Some((number.parse().ok()?, rest.to_owned()))
            })
            .map(|build| build.ok_or_else(|| fail("its build tag begins with no number")))
            .transpose()?;
        Ok(Self {
            name: PackageName::parse(name).ok_or_else(|| fail("the package has no legal name"))?,
            version: version
                .replace('_', "-")
                .parse()
                .map_err(|_| fail("its version is none by PEP 440"))?,
            build,
            tags: Tag::expand(python, abi, platform)
                .ok_or_else(|| fail("its tags are not legal"))?,
        })
    }
}

/// What the name of a source distribution's file says: package and version (source distribution
/// format, PEP 625). Older names have dashes in the package's name: the version begins behind the
/// last dash.
#[must_use]
pub(super) fn sdist_name(text: &str) -> Option<(PackageName, Version)> {
    let stem = text.strip_suffix(".tar.gz")?;
    let (name, version) = stem.rsplit_once('-')?;
    Some((PackageName::parse(name)?, version.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Names from the tests of pypa/packaging (tests/test_utils.py).
    #[test]
    fn names_are_taken_apart() {
        let name: WheelName = "foo_bár-1.0-py3-none-any.whl"
            .replace('á', "a")
            .parse()
            .unwrap();
        assert_eq!(name.name.as_str(), "foo-bar");
        let name: WheelName = "some_PACKAGE-1.0-1000-py3-none-any.whl".parse().unwrap();
        assert_eq!(name.name.as_str(), "some-package");
        assert_eq!(name.build, Some((1000, String::new())));
        let name: WheelName = "foo-1.0-12abc-py2.py3-none-any.whl".parse().unwrap();
        assert_eq!(name.build, Some((12, "abc".to_owned())));
        assert_eq!(name.tags.len(), 2);
        let name: WheelName = "torch-1.8.1+cpu-cp38-cp38-linux_x86_64.whl"
            .parse()
            .unwrap();
        assert_eq!(name.version.to_string(), "1.8.1+cpu");
    }

    #[test]
    fn other_names_are_refused() {
        for bad in [
            "foo-1.0.whl",
            "foo-1.0-py3-none-any.wheel",
            "foo__bar-1.0-abc-py3-none-any.whl",
            "foo-1.0-200-py3-none-any-junk.whl",
            "-1.0-py3-none-any.whl",
            "foo-x.y-py3-none-any.whl",
            "foo-1.0--none-any.whl",
            "../foo-1.0-py3-none-any.whl",
        ] {
            assert!(bad.parse::<WheelName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn source_distributions_are_named_in_two_ways() {
        let parse = |text| sdist_name(text).map(|(name, version)| format!("{name} {version}"));
        assert_eq!(
            parse("func_timeout-4.3.5.tar.gz").unwrap(),
            "func-timeout 4.3.5"
        );
        assert_eq!(parse("a-b-1.0.tar.gz").unwrap(), "a-b 1.0");
        assert_eq!(parse("a-1.0.zip"), None);
        assert_eq!(parse("a.tar.gz"), None);
    }
}
