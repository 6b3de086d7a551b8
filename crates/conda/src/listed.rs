//! Packages as lists of channels have them, whichever form the list has.

use std::collections::BTreeMap;

use crate::record::{Located, Record};

/// A package of a list.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The name of its file without the ending: `NAME-VERSION-BUILD`.
    pub stem: String,
    /// The package, or why it cannot be used.
    pub package: Result<Located, String>,
}

/// Why a list of packages cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no list of conda packages: {0}")]
pub struct RepodataError(String);

impl RepodataError {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// The name of the package in a file's name, which may have hyphens itself.
pub(crate) fn name_of_stem(stem: &str) -> Option<&str> {
    let mut parts = stem.rsplitn(3, '-');
    let (_build, _version) = (parts.next()?, parts.next()?);
    parts.next()
}

/// Of files of one package in two formats the one of the better format, by their names without ending.
pub(crate) fn chosen<'a, T>(
    all: impl Iterator<Item = (&'a str, usize, T)>,
) -> BTreeMap<&'a str, T> {
    let mut chosen: BTreeMap<&str, (usize, T)> = BTreeMap::new();
    for (stem, rank, one) in all {
        if chosen.get(stem).is_none_or(|(known, _)| *known < rank) {
            chosen.insert(stem, (rank, one));
        }
    }
    let chosen = chosen.into_iter();
    chosen.map(|(stem, (_, one))| (stem, one)).collect()
}

/// A package whose file has this name.
pub(crate) fn listed(
    stem: &str,
    file_name: &str,
    record: Result<Record, String>,
    channel: &str,
    subdir: &str,
) -> Listed {
    let package = record
        .map_err(|why| format!("{file_name}: {why}"))
        .and_then(|mut record| {
            // Lists of old do not say it.
            subdir.clone_into(&mut record.subdir);
            if record.stem() != stem || !record.is_well_named() {
                return Err(format!("{file_name} is listed as {record}"));
            }
            Ok(Located {
                record,
                file_name: file_name.to_owned(),
                channel: channel.to_owned(),
            })
        });
    Listed {
        stem: stem.to_owned(),
        package,
    }
}
