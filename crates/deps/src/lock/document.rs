//! The lock as a document.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};

use ohoci_image::{Digest, Platform};

/// The only version of the format so far.
pub const VERSION: u64 = 1;

/// The key in [`DebianPackage::file`] of a file that is the same for every platform of its
/// feature.
pub(crate) const ANY_PLATFORM: &str = "any";

/// Everything that a recipe came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Version of the format; [`VERSION`].
    pub version: u64,
    /// The profile or feature that was locked.
    pub recipe: String,
    /// The platforms that it was locked for, sorted.
    pub platforms: Vec<String>,
    /// The features, lowest layer first.
    #[serde(default)]
    pub feature: Vec<LockedFeature>,
    /// The distributions of the Debian archive, by suite.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub release: BTreeMap<String, Release>,
    /// Debian packages, by name and version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub debian: Vec<DebianPackage>,
    /// Python packages, by name and version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub python: Vec<PythonPackage>,
    /// What comes from elsewhere, by kind, name and version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<LockedSource>,
}

/// A feature, and what it asked for when it was locked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedFeature {
    /// Its name.
    pub name: String,
    /// Digest over all in its recipe that decides what is locked; see
    /// [`inputs_of`](super::inputs_of).
    pub inputs: Digest,
}

/// A distribution of a Debian archive, as it was when it was locked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// When it was made, in RFC 3339: what to ask an archive of snapshots for.
    pub date: String,
}

/// A Debian package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DebianPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The source package and its version, where they are not those of the package, but for what
    /// a rebuild adds (`+b2`): `glibc 2.41-12`. See `source_package`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The feature whose layer it is in.
    pub feature: String,
    /// The suite, where it is not the recipe's first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite: Option<String>,
    /// The packages that it needs, sorted: those that its dependencies came to.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub needs: BTreeSet<String>,
    /// Its files by platform (`linux/amd64`), or one for all of them, under `any`.
    pub file: PlatformFiles,
}

/// A Python package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PythonPackage {
    /// Its name, normalized.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The feature whose layer it is in.
    pub feature: String,
    /// Whether the recipe asks for it, rather than another package.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub requested: bool,
    /// Whether it is used without what a script would make when it is built.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_build_script: bool,
    /// Its files by platform, or one for all of them, under `any`: paths below the root of an index,
    /// `NAME/FILE`.
    pub file: PlatformFiles,
}

/// Where something comes from that is neither a Debian nor a Python package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// An archive at a URL.
    Archive,
    /// A path in an image.
    Image,
    /// A package of npm's.
    Npm,
    /// A package of conda's.
    Conda,
}

impl SourceKind {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Archive, Self::Image, Self::Npm, Self::Conda];

    /// Its name in a recipe and a lock.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Archive => "archive",
            Self::Image => "image",
            Self::Npm => "npm",
            Self::Conda => "conda",
        }
    }
}

/// An archive, a path in an image, or a package of npm's or conda's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedSource {
    /// What it is.
    pub kind: SourceKind,
    /// The archive's file name; where the path of an image goes, below the prefix; the package's name.
    pub name: String,
    /// The npm package's version; that of a package of conda's, with its build: `3.12.7=h1_0`; the digest of what
    /// the image's reference names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What a channel of conda's says of the package's licence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// The feature whose layer it is in.
    pub feature: String,
    /// Its files by platform, or one for all of them, under `any`. Their paths: the archive's file name;
    /// the path in the image, and the digest that of the layer which it makes; the place below the
    /// root of an npm registry; the channel's name, and the place below that.
    pub file: PlatformFiles,
}

/// A file to download.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedFile {
    /// Where it is, relative to the root of a mirror.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its digest.
    pub digest: Digest,
}

/// The files of a package by platform (`linux/amd64`), or one for all of them, under `any`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlatformFiles(BTreeMap<String, LockedFile>);

impl PlatformFiles {
    /// One file, the same for every platform.
    #[must_use]
    pub fn any(file: LockedFile) -> Self {
        Self(BTreeMap::from([(ANY_PLATFORM.to_owned(), file)]))
    }

    /// The file for a platform, if it is there for that.
    #[must_use]
    pub fn of(&self, platform: &str) -> Option<&LockedFile> {
        self.0.get(platform).or_else(|| self.0.get(ANY_PLATFORM))
    }

    /// With one file for any platform, where all `platforms` have the same.
    #[must_use]
    pub fn settled(self, platforms: usize) -> Self {
        let mut all = self.0.values();
        match all.next().cloned() {
            Some(first) if self.0.len() == platforms && all.all(|file| *file == first) => {
                Self::any(first)
            }
            _ => self,
        }
    }
}

impl Deref for PlatformFiles {
    type Target = BTreeMap<String, LockedFile>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for PlatformFiles {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<'a> IntoIterator for &'a PlatformFiles {
    type Item = (&'a String, &'a LockedFile);
    type IntoIter = btree_map::Iter<'a, String, LockedFile>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl FromIterator<(String, LockedFile)> for PlatformFiles {
    fn from_iter<I: IntoIterator<Item = (String, LockedFile)>>(files: I) -> Self {
        Self(files.into_iter().collect())
    }
}

impl Lock {
    /// An empty lock of that recipe.
    #[must_use]
    pub fn new(recipe: &str, platforms: &[Platform]) -> Self {
        Self {
            version: VERSION,
            recipe: recipe.to_owned(),
            platforms: platforms.iter().map(ToString::to_string).collect(),
            feature: Vec::new(),
            release: BTreeMap::new(),
            debian: Vec::new(),
            python: Vec::new(),
            source: Vec::new(),
        }
    }

    /// Puts packages into the order in which they are written.
    pub fn sort(&mut self) {
        self.debian
            .sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
        self.python.sort_by(|a, b| {
            (&a.name, &a.version, &a.feature).cmp(&(&b.name, &b.version, &b.feature))
        });
        self.source.sort_by(|a, b| {
            (a.kind, &a.name, &a.version, &a.feature)
                .cmp(&(b.kind, &b.name, &b.version, &b.feature))
        });
    }

    /// The Python packages of a feature's layer for a platform, each with its file.
    pub fn python_files<'a>(
        &'a self,
        feature: &'a str,
        platform: &Platform,
    ) -> impl Iterator<Item = (&'a PythonPackage, &'a LockedFile)> {
        let packages = self.python.iter();
        of_platform(
            packages.filter(move |package| package.feature == feature),
            platform,
            |package| &package.file,
        )
    }

    /// What a feature's layer for a platform has from elsewhere, of one kind, each with its file.
    pub(crate) fn source_files<'a>(
        &'a self,
        kind: SourceKind,
        feature: &'a str,
        platform: &Platform,
    ) -> impl Iterator<Item = (&'a LockedSource, &'a LockedFile)> {
        let sources = self.source.iter();
        of_platform(
            sources.filter(move |source| source.kind == kind && source.feature == feature),
            platform,
            |source| &source.file,
        )
    }

    /// The Debian packages of a feature's layer for a platform, each with its file.
    pub fn debian_files<'a>(
        &'a self,
        feature: &'a str,
        platform: &Platform,
    ) -> impl Iterator<Item = (&'a DebianPackage, &'a LockedFile)> {
        let packages = self.debian.iter();
        of_platform(
            packages.filter(move |package| package.feature == feature),
            platform,
            |package| &package.file,
        )
    }
}

/// Those that are there for a platform, each with its file.
fn of_platform<'a, P: 'a>(
    all: impl Iterator<Item = &'a P>,
    platform: &Platform,
    files: impl Fn(&'a P) -> &'a PlatformFiles,
) -> impl Iterator<Item = (&'a P, &'a LockedFile)> {
    let platform = platform.to_string();
    all.filter_map(move |package| Some((package, files(package).of(&platform)?)))
}

impl DebianPackage {
    /// The source package that it is built from, and that one's version.
    #[must_use]
    pub(crate) fn source_package(&self) -> (&str, &str) {
        if let Some((name, version)) = self.source.as_deref().and_then(|text| text.split_once(' '))
        {
            return (name, version);
        }
        let version = match self.version.rsplit_once("+b") {
            Some((of, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => of,
            _ => &self.version,
        };
        (&self.name, version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_from_packages() {
        let package = |version: &str, source: Option<&str>| DebianPackage {
            name: "aa".to_owned(),
            version: version.to_owned(),
            source: source.map(str::to_owned),
            feature: String::new(),
            suite: None,
            needs: BTreeSet::new(),
            file: PlatformFiles::default(),
        };
        for (version, source, name, of) in [
            ("1-2", None, "aa", "1-2"),
            ("1-2+b10", None, "aa", "1-2"),
            ("1-2+bpo", None, "aa", "1-2+bpo"),
            ("1-2+b1", Some("bb 3"), "bb", "3"),
        ] {
            assert_eq!(package(version, source).source_package(), (name, of));
        }
    }
}
