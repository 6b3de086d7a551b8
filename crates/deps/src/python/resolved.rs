//! What a resolution comes to: packages, and the files of them that are used.

use pep440_rs::Version;

use super::name::PackageName;
use ohoci_image::Digest;

/// A package that was resolved, and the one file of it that is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// The package.
    pub name: PackageName,
    /// Its version.
    pub version: Version,
    /// The name of its file at an index.
    pub file: String,
    /// The size of that in bytes, where the index says it.
    pub size: Option<u64>,
    /// The digest of that.
    pub digest: Digest,
    /// Whether it was asked for, and is not only required by another one.
    pub requested: bool,
}

impl Package {
    /// Where the file is: below the page of its package at an index, whatever index that is.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/{}", self.name, self.file)
    }
}

/// A source distribution that may be used for want of a wheel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The package.
    pub package: PackageName,
    /// The version.
    pub version: Version,
    /// The name of its file at an index.
    pub file: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// Its metadata, from [`metadata_of`](super::sdist::metadata_of).
    pub metadata: String,
}
