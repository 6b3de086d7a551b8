//! What a channel lists for a platform: `repodata.json` (conda's CEP 15 and 36).

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};

use crate::record::{Located, Record, stem_of};

/// The packages of one directory of a channel that are wanted. A channel has hundreds of thousands, and an
/// environment some dozens.
#[derive(Clone, Debug, Default)]
pub struct Repodata {
    /// By the name of their file without its ending. Of a package with files in two formats it is the newer
    /// format's.
    by_stem: BTreeMap<String, Located>,
}

/// Why a list of packages cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no list of conda packages: {0}")]
pub struct RepodataError(String);

impl Repodata {
    /// Reads a list of the channel `channel`, of its directory `subdir`: the packages whose file names,
    /// without ending, `wanted` takes.
    ///
    /// # Errors
    /// When it is no such list, or contradicts the name of a file.
    pub fn read(
        json: &[u8],
        channel: &str,
        subdir: &str,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<Self, RepodataError> {
        let mut found = Found::default();
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        Document(&mut found, wanted)
            .deserialize(&mut deserializer)
            .and_then(|()| deserializer.end())
            .map_err(|error| RepodataError(error.to_string()))?;
        let packages = found
            .by_stem
            .into_iter()
            .map(|(stem, (_, file_name, mut record))| {
                // Lists of old do not say it.
                subdir.clone_into(&mut record.subdir);
                if record.stem() != stem || !record.is_well_named() {
                    return Err(RepodataError(format!("{file_name} is listed as {record}")));
                }
                let located = Located {
                    record,
                    file_name,
                    channel: channel.to_owned(),
                };
                Ok((stem, located))
            });
        Ok(Self {
            by_stem: packages.collect::<Result<_, _>>()?,
        })
    }

    /// The package with a file of that name, which is without ending.
    #[must_use]
    pub fn package(&self, stem: &str) -> Option<&Located> {
        self.by_stem.get(stem)
    }
}

/// The packages by their file names without ending, with how good the ending is.
#[derive(Default)]
struct Found {
    by_stem: BTreeMap<String, (usize, String, Record)>,
}

/// The whole list.
struct Document<'a>(&'a mut Found, &'a dyn Fn(&str) -> bool);

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with packages")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "packages" | "packages.conda" => {
                    map.next_value_seed(Packages(self.0, self.1))?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// The packages in one format.
struct Packages<'a>(&'a mut Found, &'a dyn Fn(&str) -> bool);

impl<'de> DeserializeSeed<'de> for Packages<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Packages<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("packages by their file names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(file_name) = map.next_key::<String>()? {
            let stem = stem_of(&file_name).map(|(stem, rank)| (stem.to_owned(), rank));
            let Some((stem, rank)) = stem.filter(|(stem, _)| (self.1)(stem)) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let record: Record = map.next_value()?;
            let known = self.0.by_stem.get(&stem);
            if known.is_none_or(|(known, ..)| *known < rank) {
                self.0.by_stem.insert(stem, (rank, file_name, record));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"info": {"subdir": "linux-64"}, "packages": {
        "a-1.0-0.tar.bz2": {"name": "a", "version": "1.0", "build": "0", "build_number": 0, "md5": "x", "noarch": true},
        "b-1.0-0.tar.bz2": {"name": "b", "version": "2.0", "build": "0"},
        "c-1.0-..tar.bz2": {"name": "c", "version": "1.0", "build": "."}
      }, "packages.conda": {
        "a-1.0-0.conda": {"name": "a", "version": "1.0", "build": "0", "build_number": 0, "depends": ["b >=1"],
          "track_features": "x y", "noarch": "python", "unknown": [1.5]}
      }, "removed": ["z"], "repodata_version": 1}"#;

    fn read(json: &str, name: &str) -> Result<Repodata, RepodataError> {
        Repodata::read(json.as_bytes(), "c", "linux-64", &|stem| {
            stem.starts_with(name)
        })
    }

    #[test]
    fn the_newer_format_is_taken_and_what_contradicts_its_name_is_not() {
        let list = read(JSON, "a").unwrap();
        let found = list.package("a-1.0-0").unwrap();
        assert_eq!(found.path(), "linux-64/a-1.0-0.conda");
        assert_eq!(found.record.noarch, Some(crate::record::Noarch::Python));
        assert_eq!(found.record.track_features, ["x", "y"]);
        assert_eq!(list.package("a-1.0-1"), None);
        let error = read(JSON, "b").unwrap_err().to_string();
        assert!(
            error.contains("b-1.0-0.tar.bz2 is listed as b=2.0=0"),
            "{error}"
        );
        assert!(read(JSON, "c").is_err());
        assert_eq!(read(JSON, "z").unwrap().package("a-1.0-0"), None);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for json in ["", "[]", "<html>", "{\"packages\": []}", "{} {}"] {
            assert!(read(json, "").is_err());
        }
    }
}
