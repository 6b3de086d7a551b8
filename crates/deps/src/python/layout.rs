//! Where the files of a virtual environment are.

use super::name::PackageName;
use ohoci_layer::LayerPath;

/// Where an environment is, and what its programs are run by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub(super) root: LayerPath,
    pub(super) python: u32,
    shebang: String,
}

impl Layout {
    /// An environment at `root` (`poetry/oh`, below the prefix) for CPython 3 of the minor version
    /// `python`. `shebang` is what stands behind `#!` in its programs: the interpreter's path as
    /// it is in the image, and at most one argument.
    #[must_use]
    pub fn new(root: LayerPath, python: u32, shebang: &str) -> Self {
        Self {
            root,
            python,
            shebang: shebang.to_owned(),
        }
    }

    /// Where packages go, relative to the environment.
    #[must_use]
    pub(crate) fn site_packages(&self) -> LayerPath {
        path(&format!("lib/python3.{}/site-packages", self.python))
    }

    /// Where programs go, relative to the environment.
    #[must_use]
    pub fn programs(&self) -> LayerPath {
        path("bin")
    }

    /// Where the headers of a package go, relative to the environment.
    pub(super) fn headers(&self, name: &PackageName) -> LayerPath {
        path(&format!("include/site/python3.{}/{name}", self.python))
    }

    /// What stands behind `#!`.
    pub(super) fn shebang(&self) -> &str {
        &self.shebang
    }
}

/// A path that is written here and therefore legal.
pub(super) fn path(text: &str) -> LayerPath {
    LayerPath::parse(text.as_bytes()).unwrap_or_default()
}
