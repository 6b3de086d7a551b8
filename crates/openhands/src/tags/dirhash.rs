//! The hash of a directory that V0 tags are made of (the PyPI package `dirhash` 0.5.0, MD5).
//!
//! An entry is described by its properties, `name:NAME` and `data:MD5` for a file or
//! `dirhash:HASH` for a directory, sorted and joined by a NUL. A directory's hash is the MD5 of
//! its entries' descriptions, sorted and joined by two NULs. Directories without any file do not
//! count.

use std::collections::BTreeMap;

use super::hash::md5;

/// The files of a directory, known by name and content.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// The descriptions of the entries of each directory, which is known by its path's components.
    directories: BTreeMap<Vec<String>, Vec<String>>,
}

impl Listing {
    /// Adds the file `name` of a directory, whose path is relative to the hashed one.
    pub fn add(&mut self, directory: &[String], name: &str, content: &[u8]) {
        for depth in 0..directory.len() {
            let above = directory.get(..depth).unwrap_or_default();
            if !self.directories.contains_key(above) {
                self.directories.insert(above.to_vec(), Vec::new());
            }
        }
        let hash = md5([content]);
        self.directories
            .entry(directory.to_vec())
            .or_default()
            .push(format!("data:{hash:032x}\0name:{name}"));
    }

    /// The directory's hash; `None` without any file, where `dirhash` fails.
    #[must_use]
    pub fn hash(mut self) -> Option<u128> {
        // In reverse order a directory comes behind everything that is in it.
        while let Some((path, mut entries)) = self.directories.pop_last() {
            entries.sort_unstable();
            let hash = md5([entries.join("\0\0").as_bytes()]);
            let Some((name, above)) = path.split_last() else {
                return Some(hash);
            };
            self.directories
                .entry(above.to_vec())
                .or_default()
                .push(format!("dirhash:{hash:032x}\0name:{name}"));
        }
        None
    }
}

/// Whether V0 passes over a directory of this name: its patterns are `.*/`, `__pycache__/` and
/// `*.pyc`, the last of which means directories too.
#[must_use]
pub fn ignores_directory(name: &str) -> bool {
    name.starts_with('.') || name == "__pycache__" || ignores_file(name)
}

/// Whether V0 passes over a file of this name. Hidden files count.
#[must_use]
pub fn ignores_file(name: &str) -> bool {
    name.ends_with(".pyc")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(files: &[(&str, &str)]) -> Option<String> {
        let mut listing = Listing::default();
        for (path, content) in files {
            let mut directory: Vec<String> = path.split('/').map(str::to_owned).collect();
            let name = directory.pop().unwrap();
            listing.add(&directory, &name, content.as_bytes());
        }
        listing.hash().map(|hash| format!("{hash:032x}"))
    }

    /// Computed by `dirhash` 0.5.0 over directories with these files.
    #[test]
    fn hashes_are_those_of_the_python_package() {
        let tree = [
            (".dotfile", "dot"),
            ("a/x.py", "hello\n"),
            ("a/b/y.txt", "w"),
            ("empty", ""),
        ];
        let expected = Some("ccde78b976c41bbf6752e1708cdd095f".to_owned());
        assert_eq!(hash(&tree), expected);
        let mut reversed = tree;
        reversed.reverse();
        assert_eq!(hash(&reversed), expected);

        let linked = [
            ("la/x.py", "hello\n"),
            ("la/b/y.txt", "w"),
            ("lf", "hello\n"),
            ("é", "x"),
            ("__pycache__x", "x"),
            ("pkg/__pycache__", "x"),
        ];
        assert_eq!(
            hash(&[&tree[..], &linked[..]].concat()).as_deref(),
            Some("e7c110422c2244d9dbb3431b80f9823f")
        );
        assert_eq!(
            hash(&[("only", "w")]).as_deref(),
            Some("80894f2d00cee58c0319a94bf83a70c8")
        );
        assert_eq!(hash(&[]), None);
    }

    #[test]
    fn caches_and_hidden_directories_are_passed_over_but_hidden_files_are_not() {
        for name in [".git", "__pycache__", "old.pyc"] {
            assert!(ignores_directory(name), "{name}");
        }
        assert!(!ignores_directory("__pycache__x"));
        assert!(ignores_file("x.pyc"));
        for name in [".gitignore", "__pycache__", "x.py"] {
            assert!(!ignores_file(name), "{name}");
        }
    }
}
