//! Paths inside a root.

use std::path::{Component, Path, PathBuf};

/// A path from the root, without `.` and `..`, which are taken away as text as Docker does.
#[must_use]
pub fn cleaned(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    clean
}
