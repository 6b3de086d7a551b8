//! What a channel lists for a platform in one file: `repodata.json` (conda's CEP 15 and 36).

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::listed::{Listed, RepodataError, chosen, listed, name_of_stem};
use crate::record::stem_of;

/// The packages of one directory of a channel. A channel has hundreds of thousands, of which an environment
/// needs some dozens: only where each stands in the file is known, until it is asked for.
#[derive(Clone, Debug)]
pub struct Repodata {
    json: Vec<u8>,
    channel: String,
    subdir: String,
    by_name: HashMap<Box<str>, Vec<Place>>,
}

/// Where a package stands in a list.
#[derive(Clone, Debug)]
struct Place {
    file_name: Box<str>,
    at: Range<usize>,
}

impl Repodata {
    /// Reads a list of the channel `channel`, of its directory `subdir`.
    ///
    /// # Errors
    /// When it is no such list.
    pub fn read(json: Vec<u8>, channel: &str, subdir: &str) -> Result<Self, RepodataError> {
        let mut by_name = HashMap::new();
        let mut deserializer = serde_json::Deserializer::from_slice(&json);
        let found = Document(&mut by_name, json.as_ptr().addr())
            .deserialize(&mut deserializer)
            .and_then(|()| deserializer.end());
        found.map_err(|error| RepodataError::new(error.to_string()))?;
        Ok(Self {
            json,
            channel: channel.to_owned(),
            subdir: subdir.to_owned(),
            by_name,
        })
    }

    /// The packages of a name whose file names, without ending, `wanted` takes. Of a package with files in two
    /// formats it is the newer format's.
    #[must_use]
    pub fn packages(&self, name: &str, wanted: &dyn Fn(&str) -> bool) -> Vec<Listed> {
        let places = self.by_name.get(name).map(Vec::as_slice);
        let all = places.unwrap_or_default().iter().filter_map(|place| {
            let (stem, rank) = stem_of(&place.file_name)?;
            wanted(stem).then_some((stem, rank, place))
        });
        let chosen = chosen(all).into_iter().map(|(stem, place)| {
            let json = self.json.get(place.at.clone()).unwrap_or_default();
            let record = serde_json::from_slice(json).map_err(|error| error.to_string());
            listed(stem, &place.file_name, record, &self.channel, &self.subdir)
        });
        chosen.collect()
    }
}

/// The whole list, and where it begins in memory.
struct Document<'a>(&'a mut HashMap<Box<str>, Vec<Place>>, usize);

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
struct Packages<'a>(&'a mut HashMap<Box<str>, Vec<Place>>, usize);

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
            let record: &RawValue = map.next_value()?;
            let Some(name) = stem_of(&file_name).and_then(|(stem, _)| name_of_stem(stem)) else {
                continue;
            };
            // It is a part of the whole list, so it begins behind that.
            let text = record.get();
            let start = text.as_ptr().addr().saturating_sub(self.1);
            let place = Place {
                at: start..start.saturating_add(text.len()),
                file_name: file_name.as_str().into(),
            };
            self.0.entry(name.into()).or_default().push(place);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Located, Noarch};

    const JSON: &str = r#"{"info": {"subdir": "linux-64"}, "packages": {
        "a-1.0-0.tar.bz2": {"name": "a", "version": "1.0", "build": "0", "build_number": 0, "md5": "x", "noarch": true},
        "b-1.0-0.tar.bz2": {"name": "b", "version": "2.0", "build": "0"},
        "b-1.0-1.tar.bz2": {"name": "b", "version": [], "build": "1"},
        "b-1.0-2.tar.bz2": {"name": "b", "version": "1.0", "build": "2"},
        "c-1.0-..tar.bz2": {"name": "c", "version": "1.0", "build": "."}
      }, "packages.conda": {
        "a-1.0-0.conda": {"name": "a", "version": "1.0", "build": "0", "build_number": 0, "depends": ["b >=1"],
          "track_features": "x y", "noarch": "python", "unknown": [1.5]}
      }, "removed": ["z"], "repodata_version": 1}"#;

    fn packages(name: &str) -> Vec<Result<Located, String>> {
        let list = Repodata::read(JSON.as_bytes().to_vec(), "c", "linux-64").unwrap();
        let listed = list.packages(name, &|_| true).into_iter();
        listed.map(|listed| listed.package).collect()
    }

    #[test]
    fn the_newer_format_is_taken_and_what_contradicts_its_name_is_not() {
        let found = packages("a");
        let [Ok(found)] = found.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!(found.path(), "linux-64/a-1.0-0.conda");
        assert_eq!(found.record.noarch, Some(Noarch::Python));
        assert_eq!(found.record.track_features, ["x", "y"]);
        let found = packages("b");
        let [Err(other), Err(damaged), Ok(_)] = found.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!(other, "b-1.0-0.tar.bz2 is listed as b=2.0=0");
        assert!(damaged.starts_with("b-1.0-1.tar.bz2: "), "{damaged}");
        assert!(packages("c").iter().all(Result::is_err));
        assert_eq!(packages("z"), []);
    }

    #[test]
    fn only_what_is_wanted_is_read() {
        let list = Repodata::read(JSON.as_bytes().to_vec(), "c", "linux-64").unwrap();
        let found = list.packages("b", &|stem| stem == "b-1.0-2");
        assert_eq!(found.len(), 1);
        assert!(found[0].package.is_ok());
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for json in ["", "[]", "<html>", "{\"packages\": []}", "{} {}"] {
            assert!(Repodata::read(json.as_bytes().to_vec(), "c", "noarch").is_err());
        }
    }
}
