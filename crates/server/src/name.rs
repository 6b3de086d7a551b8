//! Names of repositories, and the directories that they have.

use std::fmt;
use std::path::{Path, PathBuf};

use ohoci_image::RegistryReference;

/// Names of an image layout's own files. A component of a repository's name may be one of them,
/// and is then stored behind an underscore, with which no component can start.
const LAYOUT_FILES: [&str; 3] = ["blobs", "index.json", "oci-layout"];

/// A repository's name that follows distribution's grammar.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RepositoryName(String);

impl RepositoryName {
    /// Checks a name; the reason when it is none.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        // Clients limit host and name together to 255 characters; any host is at least this long.
        match RegistryReference::new("localhost", text, None, None) {
            Ok(reference) => Ok(Self(reference.repository().to_owned())),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The name as clients write it.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The repository's directory below `root`.
    pub(crate) fn directory(&self, root: &Path) -> PathBuf {
        let mut path = root.to_owned();
        for component in self.0.split('/') {
            if LAYOUT_FILES.contains(&component) {
                path.push(format!("_{component}"));
            } else {
                path.push(component);
            }
        }
        path
    }

    /// The name of the directory `entry` in the directory of `parent`; `None` when it cannot be
    /// part of a repository's name.
    pub(crate) fn below(parent: Option<&Self>, entry: &str) -> Option<Self> {
        let component = match entry.strip_prefix('_') {
            Some(rest) if LAYOUT_FILES.contains(&rest) => rest,
            Some(_) => return None,
            None if LAYOUT_FILES.contains(&entry) => return None,
            None => entry,
        };
        let text = match parent {
            Some(parent) => format!("{parent}/{component}"),
            None => component.to_owned(),
        };
        Self::parse(&text).ok()
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_layout_uses_get_directories_of_their_own() {
        let root = Path::new("/r");
        for (name, directory) in [
            ("a/b", "/r/a/b"),
            ("a/blobs", "/r/a/_blobs"),
            ("index.json/oci-layout", "/r/_index.json/_oci-layout"),
        ] {
            let name = RepositoryName::parse(name).unwrap();
            assert_eq!(name.directory(root), Path::new(directory));
            let mut found = None;
            for entry in Path::new(directory).strip_prefix(root).unwrap() {
                found = RepositoryName::below(found.as_ref(), entry.to_str().unwrap());
            }
            assert_eq!(found, Some(name));
        }
        for entry in ["blobs", "_x", ".uploads", "..", "A", "oci-layout"] {
            assert_eq!(RepositoryName::below(None, entry), None, "{entry}");
        }
    }

    #[test]
    fn no_name_leads_out_of_the_storage() {
        for bad in [
            "", ".", "..", "a/../b", "a//b", "/a", "a/", "a\\b", "a\0", "_blobs",
        ] {
            assert!(RepositoryName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(RepositoryName::parse(&"a/".repeat(200)).is_err());
        assert!(RepositoryName::parse(&"a".repeat(246)).is_err());
        assert!(RepositoryName::parse(&"a".repeat(245)).is_ok());
    }
}
