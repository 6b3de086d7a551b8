//! A package as its channel lists it.

use std::fmt;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize};

/// The endings of packages' files, the better one first.
const ENDINGS: [&str; 2] = [".conda", ".tar.bz2"];

/// The directory of a channel with packages for every platform.
pub const NOARCH: &str = "noarch";

/// What a channel says of a package (conda's CEP 15 and the fields of `info/index.json`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Which build of that version.
    pub build: String,
    /// The number of the build: of two builds that do the same, the higher one is taken.
    #[serde(default)]
    pub build_number: u64,
    /// What has to be there beside it.
    #[serde(default)]
    pub depends: Vec<String>,
    /// What may be there beside it, where it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constrains: Vec<String>,
    /// Its licence, as its maker wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// The MD5 digest of its file, in hexadecimal.
    #[serde(
        default,
        deserialize_with = "hexadecimal",
        skip_serializing_if = "Option::is_none"
    )]
    pub md5: Option<String>,
    /// The SHA-256 digest of its file, in hexadecimal.
    #[serde(
        default,
        deserialize_with = "hexadecimal",
        skip_serializing_if = "Option::is_none"
    )]
    pub sha256: Option<String>,
    /// The size of its file in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The directory of the channel: a platform in conda's words, or `noarch`.
    #[serde(default)]
    pub subdir: String,
    /// Whether its files are the same everywhere, and of which kind they are.
    #[serde(
        default,
        deserialize_with = "noarch",
        skip_serializing_if = "Option::is_none"
    )]
    pub noarch: Option<Noarch>,
    /// When it was built, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<u64>,
    /// Features that speak against it: a package without any is preferred.
    #[serde(
        default,
        deserialize_with = "features",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub track_features: Vec<String>,
    /// Where this Python has its packages, below the prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python_site_packages_path: Option<String>,
}

/// The kinds of packages that are the same for every platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Noarch {
    /// Files that go where they are.
    Generic,
    /// Modules of Python, which go where the Python of the environment looks for them.
    Python,
}

/// A package in one of the channels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Located {
    /// What the channel says of it.
    pub record: Record,
    /// The name of its file, in the directory that is named `subdir`.
    pub file_name: String,
    /// The name of the channel: no host.
    pub channel: String,
}

impl Record {
    /// Whether its texts can be parts of a file's name.
    #[must_use]
    pub(crate) fn is_well_named(&self) -> bool {
        let is_good = |text: &str| {
            let mut characters = text.chars();
            !text.is_empty()
                && text.len() <= 128
                && !text.starts_with('.')
                && characters.all(|character| {
                    character.is_ascii_alphanumeric() || "._-+!~".contains(character)
                })
        };
        is_good(&self.name)
            && is_good(&self.version)
            && is_good(&self.build)
            && is_good(&self.subdir)
    }

    /// `NAME-VERSION-BUILD`, of which the names of its file and of its record in a prefix are made.
    #[must_use]
    pub fn stem(&self) -> String {
        format!("{}-{}-{}", self.name, self.version, self.build)
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}={}", self.name, self.version, self.build)
    }
}

impl Located {
    /// Whether its file can be one of a channel: named after the package, in a directory of that.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        let stem = stem_of(&self.file_name).map(|(stem, _)| stem.to_owned());
        self.record.is_well_named() && stem == Some(self.record.stem())
    }

    /// The path of its file below the channel's root.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/{}", self.record.subdir, self.file_name)
    }
}

/// A file's name without its ending, and how good the ending is, if it is one of packages.
#[must_use]
pub(crate) fn stem_of(file_name: &str) -> Option<(&str, usize)> {
    let mut endings = ENDINGS.iter().rev().enumerate();
    endings.find_map(|(rank, ending)| Some((file_name.strip_suffix(ending)?, rank)))
}

/// A digest: hexadecimal in JSON, bytes in shards.
fn hexadecimal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    struct Digest;

    impl<'de> Visitor<'de> for Digest {
        type Value = Option<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a digest")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Some(text.to_owned()))
        }

        fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
            Ok(Some(hex::encode(bytes)))
        }
    }

    deserializer.deserialize_any(Digest)
}

/// `"python"`, `"generic"`, or of old a boolean.
fn noarch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Noarch>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(match value {
        serde_json::Value::String(text) if text == "python" => Some(Noarch::Python),
        serde_json::Value::String(text) if text == "generic" => Some(Noarch::Generic),
        serde_json::Value::Bool(true) => Some(Noarch::Generic),
        _ => None,
    })
}

/// Words in one text, or a list of them.
fn features<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    let words = |text: &str| {
        let words = text.split([' ', ',']).filter(|word| !word.is_empty());
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    Ok(match value {
        serde_json::Value::String(text) => words(&text),
        serde_json::Value::Array(all) => all
            .iter()
            .filter_map(serde_json::Value::as_str)
            .flat_map(words)
            .collect(),
        _ => Vec::new(),
    })
}
