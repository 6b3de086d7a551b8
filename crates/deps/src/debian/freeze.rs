//! Keeping packages as they are locked while others are resolved anew.

use std::collections::BTreeSet;

use super::index::{FileEntry, Index, Package};
use super::version::{Version, VersionError};
use crate::lock::{DebianPackage, Lock, LockedFile};

/// A locked package as an index would describe it, as far as the lock knows.
#[derive(Clone, Debug)]
pub struct Frozen<'a> {
    package: &'a DebianPackage,
    file: &'a LockedFile,
    depends: String,
    size: String,
    source: String,
}

/// The packages of a lock that stay as they are on a platform: all but those in `update`, and those
/// that are built from the same source.
#[must_use]
pub fn frozen<'a>(lock: &'a Lock, platform: &str, update: &BTreeSet<String>) -> Vec<Frozen<'a>> {
    let source = |package: &'a DebianPackage| package.source_package().0;
    let updated: BTreeSet<&str> = lock
        .debian
        .iter()
        .filter(|package| update.contains(&package.name))
        .map(source)
        .collect();
    let here: BTreeSet<&str> = lock
        .debian
        .iter()
        .filter(|package| package.file.of(platform).is_some())
        .map(|package| package.name.as_str())
        .collect();
    lock.debian
        .iter()
        .filter(|package| !updated.contains(source(package)))
        .filter_map(|package| {
            let file = package.file.of(platform)?;
            let needs = package.needs.iter().map(String::as_str);
            let needs: Vec<&str> = needs.filter(|name| here.contains(name)).collect();
            Some(Frozen {
                package,
                file,
                depends: needs.join(", "),
                size: file.size.to_string(),
                source: {
                    let (name, version) = package.source_package();
                    format!("{name} ({version})")
                },
            })
        })
        .collect()
}

/// Puts locked packages in the place of those that the archive has now.
///
/// Of a version that has left the archive it is no longer known what it conflicts with, nor which
/// versions it depends on; both were found good when it was locked.
///
/// # Errors
/// A version in the lock that is none.
pub fn freeze<'a>(
    index: &mut Index<'a>,
    frozen: &'a [Frozen<'a>],
    first_suite: &'a str,
) -> Result<(), VersionError> {
    for one in frozen {
        let locked = one.package;
        let version = Version::parse(&locked.version)?;
        let current = index.get(&locked.name);
        let suite = locked.suite.as_deref().unwrap_or(first_suite);
        let file = FileEntry {
            path: &one.file.path,
            size: &one.size,
            sha256: one.file.digest.hex(),
        };
        let package = match current {
            Some(current) if current.version.as_str() == locked.version => Package {
                file,
                suite,
                ..current.clone()
            },
            current => Package {
                name: &locked.name,
                version,
                is_for_all: one.file.path.ends_with("_all.deb"),
                is_essential: current.is_some_and(|current| current.is_essential),
                source: &one.source,
                depends: ["", &one.depends],
                excludes: ["", ""],
                provides: current
                    .map(|current| current.provides.clone())
                    .unwrap_or_default(),
                suite,
                file,
            },
        };
        index.replace(package);
    }
    Ok(())
}
