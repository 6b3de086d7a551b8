//! A virtual environment (PEP 405) put together from distributions.

use std::collections::BTreeMap;

use bytes::Bytes;
use pep440_rs::Version;

use super::distribution::{self, Distribution, Licences};
use super::install::place;
use super::layout::{Layout, path};
use super::left_out::LeftOut;
use super::name::PackageName;
use super::{PythonError, pth};
use crate::archive::selection::add_directories;
use crate::place::Glob;
use ohoci_layer::tree::TreeError;
use ohoci_layer::{Content, Entry, Kind, LayerPath, Rules, Tree};

/// A virtual environment in the making.
#[derive(Debug)]
pub struct Environment {
    layout: Layout,
    left_out: LeftOut,
    files: BTreeMap<LayerPath, Owned>,
    packages: BTreeMap<PackageName, Installed>,
}

/// A distribution in an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Its version.
    pub version: Version,
    /// The file that it came in.
    pub file: String,
    /// Whether it was asked for, and not only required by another one.
    pub requested: bool,
    /// What it says about its licence; the files by their path in the wheel.
    pub licences: Licences,
    /// What it requires.
    pub requires: Vec<String>,
    /// How many files of bytecode were left out.
    pub bytecode: usize,
}

#[derive(Debug)]
struct Owned {
    entry: Entry,
    /// `None` for what is no file of a distribution.
    sha256: Option<[u8; 32]>,
    owner: String,
}

impl Environment {
    /// An environment without packages: `pyvenv.cfg` and the links to the interpreter.
    ///
    /// `home` is the directory with the interpreter (`python3.N`) as it is in the image, and
    /// `version` that interpreter's whole version.
    #[must_use]
    pub fn new(layout: Layout, home: &str, version: &str) -> Self {
        let mut environment = Self {
            layout,
            left_out: LeftOut::default(),
            files: BTreeMap::new(),
            packages: BTreeMap::new(),
        };
        let config =
            format!("home = {home}\ninclude-system-site-packages = false\nversion = {version}\n");
        let interpreter = format!("python3.{}", environment.layout.python);
        let link = |target: &str| Entry::new(Kind::Symlink(target.as_bytes().to_vec()), 0o777);
        let config = Entry::new(Kind::File(Content::Memory(Bytes::from(config))), 0o644);
        for (at, entry) in [
            ("pyvenv.cfg".to_owned(), config),
            (
                "bin/python".to_owned(),
                link(&format!("{home}/{interpreter}")),
            ),
            ("bin/python3".to_owned(), link("python")),
            (format!("bin/{interpreter}"), link("python")),
            ("lib64".to_owned(), link("lib")),
        ] {
            let owned = Owned {
                entry,
                sha256: None,
                owner: "the environment itself".to_owned(),
            };
            environment.files.insert(path(&at), owned);
        }
        environment
    }

    /// The same, without the files of packages that `drop` stands for and `keep` does not, below `site-packages`.
    /// Licences and what packages say of themselves stay.
    #[must_use]
    pub fn without(mut self, drop: &[Glob], keep: &[Glob]) -> Self {
        self.left_out = LeftOut::new(drop, keep);
        self
    }

    /// Adds a distribution. `requested` says that it was asked for, and is not only required by
    /// another one.
    ///
    /// Two packages may bring the same file if it has the same content.
    ///
    /// # Errors
    /// When a version of the package is there already, when a file goes where another package has
    /// another one, and when a `.pth` file does what it may not.
    pub fn add(
        &mut self,
        distribution: &Distribution,
        requested: bool,
    ) -> Result<&Installed, PythonError> {
        let file = distribution.file();
        let placed = place(distribution, &self.layout, requested, &self.left_out)?;
        if let Some(known) = self.packages.get(distribution.name()) {
            let why = format!("version {} of the package is there already", known.version);
            return Err(PythonError::new(file, why));
        }
        for (at, content) in placed.files {
            if pth::is_read(&at, &self.layout) {
                self.check_pth(distribution, &at, &content.content)?;
            }
            let mode = if content.executable { 0o755 } else { 0o644 };
            if let Some(known) = self.files.get(&at) {
                if known.sha256 == Some(content.sha256) && known.entry.mode == mode {
                    continue;
                }
                let why = format!("{} brings another file of that name", known.owner);
                return Err(PythonError::member(file, at.as_bytes(), why));
            }
            let owned = Owned {
                entry: Entry::new(Kind::File(content.content), mode),
                sha256: Some(content.sha256),
                owner: file.to_owned(),
            };
            self.files.insert(at, owned);
        }
        let installed = Installed {
            version: distribution.version().clone(),
            file: file.to_owned(),
            requested,
            licences: distribution.licences().clone(),
            requires: distribution.requires().to_vec(),
            bytecode: placed.bytecode,
        };
        let package = self.packages.entry(distribution.name().clone());
        Ok(package.or_insert(installed))
    }

    fn check_pth(
        &self,
        distribution: &Distribution,
        at: &LayerPath,
        content: &Content,
    ) -> Result<(), PythonError> {
        let fail = |why: String| PythonError::member(distribution.file(), at.as_bytes(), why);
        let bytes = distribution::read_small(content).map_err(|error| fail(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|_| fail("it is not UTF-8 text".to_owned()))?;
        let paths = pth::paths(&text);
        match paths
            .iter()
            .find(|line| !pth::stays_inside(line, &self.layout))
        {
            Some(line) => Err(fail(format!("it adds {line:?}, which is outside"))),
            None => Ok(()),
        }
    }

    /// The packages by name.
    #[must_use]
    pub fn packages(&self) -> &BTreeMap<PackageName, Installed> {
        &self.packages
    }

    /// The tree: paths are relative to what the layout's root is relative to, every directory from
    /// that root down has an entry.
    ///
    /// # Errors
    /// When one package has a file where another has a directory.
    pub fn finish(self) -> Result<Tree, TreeError> {
        let mut tree = Tree::new();
        for (at, owned) in self.files {
            let at = self.layout.root.join(&at)?;
            add_directories(&mut tree, &at)?;
            tree.insert(at, owned.entry, Rules::Strict)?;
        }
        Ok(tree)
    }
}

#[cfg(test)]
mod tests;
