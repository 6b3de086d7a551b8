//! Reads packages side by side.

use std::path::{Path, PathBuf};

use super::AssembleError;
use super::side_by_side::side_by_side;
use crate::debian::deb::{self, Deb, Expected};
use crate::lock::{DebianPackage, LockedFile};

/// A package and the file that it is in.
pub(crate) type Wanted<'a> = (&'a DebianPackage, &'a LockedFile);

/// Reads Debian packages, in the order in which they are given, whatever the number of threads.
///
/// # Errors
/// The first one, in that order, that is not in the cache or cannot be read.
pub(crate) fn read(
    wanted: &[Wanted<'_>],
    architecture: &str,
    cached: &(dyn Fn(&LockedFile) -> Option<PathBuf> + Sync),
    spool_dir: &Path,
    threads: usize,
) -> Result<Vec<Deb>, AssembleError> {
    let size = |(_, file): &Wanted<'_>| file.size;
    let read = side_by_side(wanted, threads, size, |(package, file)| {
        one(package, file, architecture, cached, spool_dir)
    });
    read.into_iter().collect()
}

/// Reads a Debian package.
///
/// # Errors
/// When it is not in the cache or cannot be read.
pub(super) fn one(
    package: &DebianPackage,
    file: &LockedFile,
    architecture: &str,
    cached: &(dyn Fn(&LockedFile) -> Option<PathBuf> + Sync),
    spool_dir: &Path,
) -> Result<Deb, AssembleError> {
    let path = cached(file).ok_or_else(|| AssembleError::NotCached {
        package: format!("{} {} for {architecture}", package.name, package.version),
    })?;
    let expected = Expected {
        name: &package.name,
        version: &package.version,
        architecture,
        file,
    };
    Ok(deb::read(&path, expected, spool_dir)?)
}
