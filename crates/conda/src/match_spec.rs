//! What is asked for: a package by its name, and which of its versions and builds (conda's CEP 29).

use std::fmt;

use rattler_conda_version::{ParseStrictness, Version, VersionSpec};

use crate::build_pattern::{BuildNumbers, BuildPattern};
use crate::condarc::name_of;
use crate::record::Record;

/// Most bytes that a text may have. Those of channels have some dozens.
const MAX_TEXT: usize = 2048;

/// Most parentheses in one: they are read by recursion.
const MAX_GROUPS: usize = 16;

/// What operators of versions are made of.
const OPERATORS: [char; 5] = ['=', '<', '>', '!', '~'];

/// What ends a name.
const AFTER_NAME: [char; 9] = [' ', '\t', '=', '<', '>', '!', '~', '[', ';'];

/// What one channel has under another name: conda's channel `defaults` consists of these.
const OF_DEFAULTS: [&str; 3] = ["main", "r", "msys2"];

/// A package that is asked for, and which of its versions and builds.
#[derive(Clone, Debug, PartialEq)]
pub struct MatchSpec {
    name: String,
    version: Option<VersionSpec>,
    build: Option<BuildPattern>,
    build_number: Option<BuildNumbers>,
    channel: Option<String>,
    subdir: Option<String>,
    md5: Option<String>,
    sha256: Option<String>,
}

/// Why a text does not say which package is asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} asks for no package: {why}")]
pub struct MatchSpecError {
    text: String,
    why: String,
}

/// The name of the package that a text is about, without looking at the rest of it.
#[must_use]
pub(crate) fn name_in(text: &str) -> &str {
    let text = text.rsplit("::").next().unwrap_or(text).trim_start();
    text.split(AFTER_NAME).next().unwrap_or_default()
}

impl MatchSpec {
    /// Reads what a person writes on conda's command line or into `environment.yml`, and what packages say they
    /// depend on: `numpy`, `numpy=1.21`, `numpy >=1.8,<2`, `python=3.6.13=h12debd9_1`, `numpy 1.21.* *_openblas`,
    /// `conda-forge::numpy[version='>=2', build=*_1]`.
    ///
    /// # Errors
    /// A text that asks for no package, or for what is not understood: regular expressions, conditions, features.
    pub fn parse(text: &str) -> Result<Self, MatchSpecError> {
        Self::read(text).map_err(|why| MatchSpecError {
            text: text.chars().take(MAX_TEXT).collect(),
            why,
        })
    }

    fn read(text: &str) -> Result<Self, String> {
        if text.len() > MAX_TEXT {
            return Err(format!("it has more than {MAX_TEXT} bytes"));
        }
        if text.matches('(').count() > MAX_GROUPS {
            return Err(format!("it has more than {MAX_GROUPS} parentheses"));
        }
        let text = text.split(" #").next().unwrap_or(text).trim();
        let (head, keys) = match text.split_once('[') {
            Some((head, rest)) => {
                let keys = rest.strip_suffix(']').ok_or("a bracket stays open")?;
                (head, keys)
            }
            None => (text, ""),
        };
        let (channel, head) = match head.rsplit_once("::") {
            Some((channel, head)) => (Some(channel.trim()), head.trim()),
            None => (None, head.trim()),
        };
        let name = name_in(head);
        let (_, rest) = head.split_at(name.len());
        let is_legal =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if name.is_empty() || !name.bytes().all(is_legal) {
            return Err(format!("{name:?} is no name of a package"));
        }
        let mut spec = Self {
            name: name.to_ascii_lowercase(),
            version: None,
            build: None,
            build_number: None,
            channel: None,
            subdir: None,
            md5: None,
            sha256: None,
        };
        if let Some(channel) = channel {
            spec.of_channel(channel);
        }
        let (version, build) = version_and_build(rest)?;
        if let Some(version) = version {
            spec.version = Some(versions(&version, build.is_some())?);
        }
        if let Some(build) = build {
            spec.build = Some(BuildPattern::parse(&build)?);
        }
        for (key, value) in pairs(keys)? {
            spec.set(&key, &value)?;
        }
        Ok(spec)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "version" => self.version = Some(versions(value, false)?),
            "build" => self.build = Some(BuildPattern::parse(value)?),
            "build_number" => self.build_number = Some(BuildNumbers::parse(value)?),
            "channel" => self.of_channel(value),
            "subdir" => self.subdir = Some(value.to_owned()),
            "md5" => self.md5 = Some(value.to_ascii_lowercase()),
            "sha256" => self.sha256 = Some(value.to_ascii_lowercase()),
            _ => return Err(format!("nothing is known of {key:?} in brackets")),
        }
        Ok(())
    }

    /// A channel by its name or its place, behind which a platform may stand: `conda-forge/linux-64`.
    fn of_channel(&mut self, channel: &str) {
        let (above, last) = channel.rsplit_once('/').unwrap_or(("", channel));
        let is_subdir = last == "noarch" || last.starts_with("linux-");
        if is_subdir && !above.is_empty() {
            self.subdir = Some(last.to_owned());
            self.channel = Some(name_of(above));
        } else {
            self.channel = Some(name_of(channel));
        }
    }

    /// The name of the package, in lower case.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a package of that version, which the channel `channel` lists, is one that is asked for. Its name
    /// is not looked at.
    #[must_use]
    pub fn takes(&self, record: &Record, version: &Version, channel: &str) -> bool {
        let is_channel = |wanted: &String| {
            wanted == channel || (channel == "defaults" && OF_DEFAULTS.contains(&wanted.as_str()))
        };
        let is_digest = |wanted: &Option<String>, said: &Option<String>| {
            wanted.is_none() || wanted.as_deref() == said.as_deref()
        };
        self.version
            .as_ref()
            .is_none_or(|spec| spec.matches(version))
            && self
                .build
                .as_ref()
                .is_none_or(|build| build.takes(&record.build))
            && self
                .build_number
                .is_none_or(|numbers| numbers.takes(record.build_number))
            && self.channel.as_ref().is_none_or(is_channel)
            && self
                .subdir
                .as_ref()
                .is_none_or(|subdir| *subdir == record.subdir)
            && is_digest(&self.md5, &record.md5)
            && is_digest(&self.sha256, &record.sha256)
    }

    /// What is asked for beside the name.
    pub(crate) fn condition(&self) -> String {
        let mut text = String::new();
        match (&self.version, &self.build) {
            (Some(version), Some(build)) => text = format!("{version} {build}"),
            (Some(version), None) => text = version.to_string(),
            (None, Some(build)) => text = format!("* {build}"),
            (None, None) => {}
        }
        let keys = [
            ("build_number", self.build_number.map(|all| all.to_string())),
            ("channel", self.channel.clone()),
            ("subdir", self.subdir.clone()),
            ("md5", self.md5.clone()),
            ("sha256", self.sha256.clone()),
        ];
        let keys: Vec<String> = keys
            .into_iter()
            .filter_map(|(key, value)| Some(format!("{key}={}", value?)))
            .collect();
        if !keys.is_empty() {
            text.push_str(&format!("[{}]", keys.join(",")));
        }
        text
    }
}

impl fmt::Display for MatchSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.condition())
    }
}

/// Versions in conda's words. `=1.2` is the series 1.2, but together with a build it is that version alone, as
/// `conda env export` writes it.
fn versions(text: &str, has_build: bool) -> Result<VersionSpec, String> {
    let is_simple = |text: &str| !text.contains(['=', ',', '|', '<', '>', '!', '~']);
    let text = match text.strip_prefix('=') {
        Some(rest) if has_build && is_simple(rest) => rest,
        _ => text,
    };
    VersionSpec::from_str(text, ParseStrictness::Lenient)
        .map_err(|error| format!("{text:?} names no versions: {error}"))
}

/// What follows a name, taken apart: versions, and a build behind them, after a space or an equals sign.
fn version_and_build(rest: &str) -> Result<(Option<String>, Option<String>), String> {
    // Spaces beside operators and commas part nothing.
    let mut text = String::new();
    let mut characters = rest.trim().chars().peekable();
    while let Some(character) = characters.next() {
        if !character.is_whitespace() {
            text.push(character);
            continue;
        }
        while characters.next_if(|next| next.is_whitespace()).is_some() {}
        let is_open = text
            .chars()
            .next_back()
            .is_some_and(|last| OPERATORS.contains(&last) || matches!(last, ',' | '|' | '('));
        let goes_on = characters
            .peek()
            .is_some_and(|next| matches!(next, ',' | '|' | ')'));
        if !is_open && !goes_on {
            text.push(' ');
        }
    }
    let (version, build) = match text.split_once(' ') {
        Some((version, build)) => (version, Some(build)),
        None => match behind_equals(&text) {
            Some((version, build)) => (version, Some(build)),
            None => (text.as_str(), None),
        },
    };
    let build = build.map(|build| build.trim_start_matches('='));
    if build.is_some_and(|build| build.is_empty() || build.contains([' ', '='])) {
        return Err(format!("{rest:?} is more than versions and a build"));
    }
    let is_any = |text: &str| matches!(text, "" | "*" | "=*" | "==*");
    Ok((
        (!is_any(version)).then(|| version.to_owned()),
        build.filter(|build| !is_any(build)).map(str::to_owned),
    ))
}

/// `1.2` and `build` of `=1.2=build`: the equals sign belongs to no operator, and no versions follow.
fn behind_equals(text: &str) -> Option<(&str, &str)> {
    let (version, build) = text.rsplit_once('=')?;
    let last = version.chars().next_back()?;
    let is_operator = OPERATORS.contains(&last) || matches!(last, ',' | '|' | '(');
    (!is_operator && !build.contains([',', '|', '<', '>', '~', '!'])).then_some((version, build))
}

/// What stands in brackets: `key=value`, separated by commas; values may stand in quotes.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (key, behind) = rest
            .split_once('=')
            .ok_or_else(|| format!("{rest:?} says nothing"))?;
        let behind = behind.trim_start();
        let quote = behind
            .chars()
            .next()
            .filter(|first| matches!(first, '\'' | '"'));
        let (value, behind) = match quote {
            Some(quote) => behind
                .get(1..)
                .and_then(|quoted| quoted.split_once(quote))
                .ok_or("a quotation stays open")?,
            None => match behind.find(',') {
                Some(at) => behind.split_at(at),
                None => (behind, ""),
            },
        };
        pairs.push((key.trim().to_owned(), value.trim().to_owned()));
        let behind = behind.trim_start();
        rest = match behind.strip_prefix(',') {
            Some(next) => next.trim_start(),
            None if behind.is_empty() => behind,
            None => return Err(format!("{behind:?} stands behind a value")),
        };
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(spec: &str, version: &str, build: &str) -> bool {
        let record = Record {
            name: "a".to_owned(),
            version: version.to_owned(),
            build: build.to_owned(),
            build_number: 3,
            subdir: "linux-64".to_owned(),
            sha256: Some("ab".to_owned()),
            ..Record::default()
        };
        let version: Version = version.parse().unwrap();
        let spec = MatchSpec::parse(spec).unwrap();
        assert_eq!(spec.name(), "a");
        spec.takes(&record, &version, "conda-forge")
    }

    #[test]
    fn versions_and_builds_are_asked_for_in_condas_words() {
        for spec in [
            "a",
            "A",
            "a *",
            "a=1.2",
            "a = 1.2",
            "a=1.2.3",
            "a==1.2.3",
            "a 1.2.3",
            "a 1.2.*",
            "a=1.2.*",
            "a >=1,<2",
            "a >= 1 , < 2",
            "a>=1.2,!=1.2.4",
            "a 1.1|1.2.3",
            "a (>=1,<1.1)|>=1.2",
            "a ~=1.2.1",
            "a=1.2.3=py36_1",
            "a==1.2.3=py36_1",
            "a 1.2.3 py36_1",
            "a 1.2.* *_1",
            "a=*=py36*",
            "a * py*_1",
            "conda-forge::a",
            "conda-forge/linux-64::a >1",
            "https://mirror.example/t/conda-forge::a=1",
            "a[version='>=1,<2', build=\"py36*\"]",
            "a[build_number='>=3',channel=conda-forge,subdir=linux-64]",
            "a 1.2.3[sha256=AB]",
            "a   # a comment",
        ] {
            assert!(takes(spec, "1.2.3", "py36_1"), "{spec}");
        }
        for spec in [
            "a=1.3",
            "a 1.2",
            "a==1.2",
            "a=1.2=py36_1",
            "a=1.2.3=py36",
            "a 1.2.3 *_0",
            "a <1.2.3",
            "a 1.2.3a0",
            "defaults::a",
            "conda-forge/noarch::a",
            "a[build_number=2]",
            "a[build_number='<3']",
            "a[sha256=ac]",
            "a[md5=ab]",
        ] {
            assert!(!takes(spec, "1.2.3", "py36_1"), "{spec}");
        }
    }

    #[test]
    fn versions_are_ordered_as_conda_orders_them() {
        // conda's CEP 33.
        let order = [
            "0.4",
            "0.4.1.rc",
            "0.4.1",
            "0.5a1",
            "0.5b3",
            "0.5c1",
            "0.5",
            "0.9.6",
            "0.960923",
            "1.0",
            "1.1dev1",
            "1.1a1",
            "1.1.0dev1",
            "1.1.a1",
            "1.1.0rc1",
            "1.1.0",
            "1.1.0post1",
            "1.1post1",
            "1996.07.12",
            "1!0.4.1",
            "1!3.1.1.6",
            "2!0.4.1",
        ];
        let mut versions: Vec<Version> = order.iter().map(|text| text.parse().unwrap()).collect();
        let written: Vec<String> = versions.iter().map(ToString::to_string).collect();
        versions.sort();
        let sorted: Vec<String> = versions.iter().map(ToString::to_string).collect();
        assert_eq!(sorted, written);
    }

    #[test]
    fn what_asks_for_nothing_says_why() {
        for (text, why) in [
            ("", "\"\" is no name of a package"),
            ("=1.2", "\"\" is no name"),
            ("a b c d", "more than versions and a build"),
            ("a[version=1", "a bracket stays open"),
            ("a[version='1]", "a quotation stays open"),
            ("a[when=b]", "nothing is known of \"when\" in brackets"),
            ("a 1.2.3 ^py3.$", "regular expression"),
            ("a >=", "names no versions"),
            ("a[build_number=x]", "no number of a build"),
            ("naïve", "is no name of a package"),
        ] {
            let error = MatchSpec::parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        let deep = format!("a {}1{}", "(".repeat(1000), ")".repeat(1000));
        assert!(MatchSpec::parse(&deep).is_err());
        assert!(MatchSpec::parse(&"a".repeat(5000)).is_err());
    }

    #[test]
    fn names_are_found_without_reading_the_rest() {
        for text in [
            "numpy",
            "numpy >=1",
            "numpy=1",
            "c::numpy[build=x]",
            "numpy;x",
        ] {
            assert_eq!(name_in(text), "numpy", "{text}");
        }
    }
}
