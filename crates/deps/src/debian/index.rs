//! What an archive has: the `Packages` files of an architecture, read without copying.

use std::collections::BTreeMap;

use super::relation::{self, Relation, RelationError};
use super::version::{Version, VersionError};
use crate::deb822::{Comments, ControlError, Stanza, Stanzas};
use crate::lock::LockedFile;
use crate::lock::file::is_relative;
use crate::recipe::name::is_package_name;
use ohoci_image::Digest;

/// A package that an archive has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its version.
    pub version: Version<'a>,
    /// Whether it is the same for all architectures.
    pub is_for_all: bool,
    /// Whether every system has to have it (Policy 3.8).
    pub is_essential: bool,
    /// The source package, with its version in parentheses where that differs; empty when it is
    /// called like the package.
    pub source: &'a str,
    /// `Pre-Depends` and `Depends`, as they stand in the index.
    pub depends: [&'a str; 2],
    /// `Conflicts` and `Breaks`, as they stand in the index.
    pub excludes: [&'a str; 2],
    /// What else it serves as, and as which version of that.
    pub provides: Vec<Relation<'a>>,
    /// The suite that it was found in.
    pub suite: &'a str,
    /// Where its file is, how large, and its SHA-256 in hexadecimal digits.
    pub file: FileEntry<'a>,
}

/// A file as the index names it; nothing of it has been checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileEntry<'a> {
    /// `Filename`
    pub path: &'a str,
    /// `Size`
    pub size: &'a str,
    /// `SHA256`
    pub sha256: &'a str,
}

/// Packages by name: of each, the highest version.
#[derive(Clone, Debug, Default)]
pub struct Index<'a> {
    packages: BTreeMap<&'a str, Package<'a>>,
}

/// Why an index cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// It is no control data.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A package in it is described wrongly.
    #[error("line {line}, package {package}: {reason}")]
    Package {
        /// The line that it starts at.
        line: usize,
        /// The package, as far as it is known.
        package: String,
        /// What is wrong.
        reason: String,
    },
}

/// Why the index's word on a package's file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its {field} is {value:?}")]
pub struct FileEntryError {
    package: String,
    field: &'static str,
    value: String,
}

impl FileEntryError {
    /// The package.
    #[must_use]
    pub(crate) fn package(&self) -> &str {
        &self.package
    }
}

impl<'a> Index<'a> {
    /// An index without packages.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the content of a `Packages` file of `suite`. Packages for other architectures than
    /// `architecture` are passed over.
    ///
    /// # Errors
    /// See [`IndexError`].
    pub fn add(
        &mut self,
        text: &'a str,
        suite: &'a str,
        architecture: &str,
    ) -> Result<(), IndexError> {
        for stanza in Stanzas::new(text, Comments::Refused) {
            let stanza = stanza?;
            let of = stanza.get("Architecture").unwrap_or_default();
            if of == architecture || of == "all" {
                self.insert(package(&stanza, suite)?);
            }
        }
        Ok(())
    }

    /// Adds a package, unless there is one of that name and a version at least as high.
    pub fn insert(&mut self, package: Package<'a>) {
        match self.packages.get(package.name) {
            Some(other) if other.version >= package.version => {}
            _ => self.replace(package),
        }
    }

    /// Puts a package in the place of whatever has its name.
    pub fn replace(&mut self, package: Package<'a>) {
        self.packages.insert(package.name, package);
    }

    /// The package of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Package<'a>> {
        self.packages.get(name)
    }

    /// All packages, by name.
    pub fn packages(&self) -> impl Iterator<Item = &Package<'a>> {
        self.packages.values()
    }

    /// How many packages there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.packages.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty()
    }
}

fn package<'a>(stanza: &Stanza<'a>, suite: &'a str) -> Result<Package<'a>, IndexError> {
    let name = stanza.get("Package").unwrap_or_default();
    let fail = |reason: String| IndexError::Package {
        line: stanza.line,
        package: name.chars().take(80).collect(),
        reason,
    };
    if !is_package_name(name) {
        return Err(fail("that is no name of a package".to_owned()));
    }
    let field = |name: &str| stanza.get(name).unwrap_or_default();
    let version =
        Version::parse(field("Version")).map_err(|error: VersionError| fail(error.to_string()))?;
    let provides = relation::parse(field("Provides"))
        .map_err(|error: RelationError| fail(format!("Provides: {error}")))?
        .into_iter()
        .flat_map(|alternatives| alternatives.0)
        .collect();
    Ok(Package {
        name,
        version,
        is_for_all: field("Architecture") == "all",
        is_essential: field("Essential") == "yes",
        source: field("Source"),
        depends: [field("Pre-Depends"), field("Depends")],
        excludes: [field("Conflicts"), field("Breaks")],
        provides,
        suite,
        file: FileEntry {
            path: field("Filename"),
            size: field("Size"),
            sha256: field("SHA256"),
        },
    })
}

impl<'a> Package<'a> {
    /// Whether it is, or serves as, what the relation wants.
    #[must_use]
    pub fn satisfies(&self, relation: &Relation<'_>) -> bool {
        self.is(relation) || self.provides_for(relation)
    }

    /// Whether it is the package that the relation wants.
    #[must_use]
    pub fn is(&self, relation: &Relation<'_>) -> bool {
        self.name == relation.name && relation.accepts(&self.version)
    }

    /// Whether it serves as what the relation wants. Where a version is wanted, it must say as
    /// which version it serves (Policy 7.5).
    #[must_use]
    pub(crate) fn provides_for(&self, relation: &Relation<'_>) -> bool {
        self.provides.iter().any(|provided| {
            provided.name == relation.name
                && match (&provided.constraint, &relation.constraint) {
                    (_, None) => true,
                    (Some((_, version)), Some(_)) => relation.accepts(version),
                    (None, Some(_)) => false,
                }
        })
    }

    /// The file to download.
    ///
    /// # Errors
    /// When the index does not say where it is, how large, or what it hashes to, or says what
    /// cannot be.
    pub fn locked_file(&self) -> Result<LockedFile, FileEntryError> {
        let fail = |field, value: &str| FileEntryError {
            package: self.name.to_owned(),
            field,
            value: value.chars().take(200).collect(),
        };
        // Some archives write `./` in front.
        let path = self.file.path.trim_start_matches("./");
        if !is_relative(path) {
            return Err(fail("Filename", self.file.path));
        }
        let digits = self.file.size.bytes().all(|byte| byte.is_ascii_digit());
        let size = self.file.size.parse().ok().filter(|_| digits);
        let digest: Option<Digest> = format!("sha256:{}", self.file.sha256).parse().ok();
        Ok(LockedFile {
            path: path.to_owned(),
            size: size.ok_or_else(|| fail("Size", self.file.size))?,
            digest: digest.ok_or_else(|| fail("SHA256", self.file.sha256))?,
        })
    }

    /// The source package and its version as a lock has them; `None` when they are those of the
    /// package, but for a `+b` and a number behind the version.
    #[must_use]
    pub(crate) fn foreign_source(&self) -> Option<String> {
        if self.source.is_empty() {
            return None;
        }
        let (name, version) = match self.source.split_once('(') {
            Some((name, version)) => (
                name.trim_ascii(),
                version.trim_end_matches(')').trim_ascii(),
            ),
            None => (self.source, self.version.as_str()),
        };
        // A package that was built anew without a change of its source (Policy 5.6.12).
        let binary = self.version.as_str().rsplit_once("+b");
        let rebuilt = binary.is_some_and(|(of, number)| {
            of == version && number.bytes().all(|byte| byte.is_ascii_digit())
        });
        let own = name == self.name && (version == self.version.as_str() || rebuilt);
        (!own).then(|| format!("{name} {version}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Package: aa\nVersion: 1\nArchitecture: amd64\nProvides: vv, ww (= 2)\n\
        Source: src (1-2)\nFilename: pool/a/aa_1_amd64.deb\nSize: 10\nSHA256: \
        ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n\n\
        Package: aa\nVersion: 2\nArchitecture: i386\n\n\
        Package: bb\nVersion: 3\nArchitecture: all\nFilename: ../bb.deb\nSize: 1\n";

    fn index(text: &str) -> Index<'_> {
        let mut index = Index::new();
        index.add(text, "s", "amd64").unwrap();
        index
    }

    fn relation(text: &str) -> Relation<'_> {
        relation::parse(text).unwrap()[0].0[0]
    }

    #[test]
    fn packages_of_the_architecture_and_of_all_are_read() {
        let index = index(TEXT);
        assert_eq!(index.len(), 2);
        let aa = index.get("aa").unwrap();
        assert_eq!(aa.version.as_str(), "1");
        assert_eq!(aa.foreign_source().as_deref(), Some("src 1-2"));
        let file = aa.locked_file().unwrap();
        assert_eq!(
            (file.path.as_str(), file.size),
            ("pool/a/aa_1_amd64.deb", 10)
        );
        assert_eq!(file.digest, Digest::of(b"abc"));
        let error = index.get("bb").unwrap().locked_file().unwrap_err();
        assert!(error.to_string().contains("Filename"), "{error}");
    }

    #[test]
    fn a_source_is_named_where_it_cannot_be_told_from_the_package() {
        for (version, source, named) in [
            ("2-1", "", None),
            ("2-1", "Source: bb\n", Some("bb 2-1")),
            ("2-1", "Source: bb (2)\n", Some("bb 2")),
            ("2-1+b3", "Source: aa (2-1)\n", None),
            ("2-1+deb13u1", "Source: aa (2-1)\n", Some("aa 2-1")),
        ] {
            let text = format!("Package: aa\nVersion: {version}\nArchitecture: all\n{source}");
            let index = index(&text);
            let found = index.get("aa").unwrap().foreign_source();
            assert_eq!(found.as_deref(), named, "{text}");
        }
    }

    #[test]
    fn the_highest_version_counts_and_of_equal_ones_the_first() {
        let old = "Package: aa\nVersion: 1\nArchitecture: all\n";
        let new = "Package: aa\nVersion: 1.1\nArchitecture: all\n";
        for (texts, suite) in [([old, new], "1"), ([new, old], "0"), ([new, new], "0")] {
            let mut index = Index::new();
            index.add(texts[0], "0", "amd64").unwrap();
            index.add(texts[1], "1", "amd64").unwrap();
            assert_eq!(index.get("aa").unwrap().suite, suite);
        }
    }

    #[test]
    fn a_virtual_package_has_only_the_version_that_is_said() {
        let index = index(TEXT);
        let aa = index.get("aa").unwrap();
        for (text, satisfied) in [
            ("aa", true),
            ("aa (>= 2)", false),
            ("vv", true),
            ("vv (>= 0)", false),
            ("ww (>= 2)", true),
            ("ww (>> 2)", false),
            ("xx", false),
        ] {
            assert_eq!(aa.satisfies(&relation(text)), satisfied, "{text}");
        }
    }

    #[test]
    fn wrong_entries_are_named_with_their_line() {
        for (text, words) in [
            ("Version: 1\nArchitecture: all\n", "line 1, package :"),
            (
                "\nPackage: aa\nVersion: x\nArchitecture: all\n",
                "line 2, package aa: \"x\"",
            ),
            (
                "Package: aa\nVersion: 1\nArchitecture: all\nProvides: A\n",
                "Provides",
            ),
            ("Package aa\n", "line 1: "),
        ] {
            let error = Index::new()
                .add(text, "s", "amd64")
                .unwrap_err()
                .to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
