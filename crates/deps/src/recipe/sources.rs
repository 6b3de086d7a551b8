//! What a feature takes from elsewhere: Python, npm and conda packages, archives, images, directories.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::debian::Reason;
use super::pattern::Pattern;
use ohoci_image::Digest;

/// Python packages: the `[python]` table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Python {
    /// The interpreter's version, such as `3.13`.
    pub version: String,
    /// Requirements (PEP 508), with values of `set` in the place of `${NAME}` once a recipe is read.
    pub requirements: Vec<String>,
    /// Values that requirements name as `${NAME}`, and whoever builds may set to others.
    #[serde(default)]
    pub set: BTreeMap<String, String>,
    /// Packages without wheels, which are pure Python and made into wheels without being run.
    #[serde(default)]
    pub allow_sdist: Vec<String>,
    /// Those of them that are used without what a script of theirs makes when they are built. It is
    /// not run.
    #[serde(default)]
    pub skip_build_script: Vec<Spanned<String>>,
    /// Packages that are not taken although others require them, each with the reason; nor is what
    /// only they require.
    #[serde(default)]
    pub exclude: BTreeMap<Spanned<String>, Reason>,
    /// Files of packages to leave out, below `site-packages`. Licences and what packages say of themselves
    /// (`*.dist-info`) stay.
    #[serde(default)]
    pub drop: Vec<Pattern>,
    /// Files that stay although `drop` matches them.
    #[serde(default)]
    pub keep: Vec<Pattern>,
    /// The virtual environment, below the prefix.
    pub target: String,
}

/// npm packages: the `[npm]` table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Npm {
    /// The `package-lock.json`, relative to the recipe's file.
    pub lockfile: PathBuf,
    /// The directory that gets `node_modules`, below the prefix.
    pub target: String,
    /// Files of packages to leave out, below that directory.
    #[serde(default)]
    pub drop: Vec<Pattern>,
    /// Programs, below that directory, that stay as they were made: not a byte of them is edited, so that they
    /// name a loader which a base may not have. They cannot be executed; a wrapper starts them by the
    /// prefix's loader.
    #[serde(default)]
    pub as_is: Vec<Pattern>,
    /// What the lockfile says; empty while there is none yet.
    #[serde(skip)]
    pub content: String,
    /// What the `package.json` beside it says, where there is one.
    #[serde(skip)]
    pub manifest: Option<String>,
}

/// An environment of conda's packages: the `[conda]` table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Conda {
    /// What is asked for, in conda's words: `python=3.12`, `poetry >=2`.
    pub specs: Vec<Spanned<String>>,
    /// The channels by the names that this machine's settings know them by, the first one preferred; without
    /// any, those of the machine.
    #[serde(default)]
    pub channels: Vec<String>,
    /// The environment, below the prefix.
    pub target: String,
    /// Files of packages to leave out, below that directory.
    #[serde(default)]
    pub drop: Vec<Pattern>,
    /// Packages that are used without what a script of theirs does when they are linked. It is not run.
    #[serde(default)]
    pub skip_scripts: Vec<String>,
}

/// An archive from a URL or a file: an `[[archive]]` table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Archive {
    /// Where it is downloaded from. Exactly one of this and `path` is given.
    pub url: Option<Url>,
    /// Where it lies, relative to the recipe's file.
    pub path: Option<PathBuf>,
    /// What it must hash to.
    pub digest: Digest,
    /// How many names to take off the front of its paths.
    #[serde(default)]
    pub strip: u32,
    /// Where its content goes, below the prefix.
    pub to: String,
}

/// A path in an image: an `[[image]]` table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Image {
    /// The image.
    #[serde(rename = "ref")]
    pub reference: String,
    /// What to take of it.
    pub path: String,
    /// Where that goes, below the prefix.
    pub to: String,
}

/// A directory of this machine: a `[[directory]]` table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Directory {
    /// Where it is, relative to the recipe's file.
    pub path: PathBuf,
    /// Where its content goes, below the prefix.
    pub to: String,
}

impl Npm {
    pub(super) fn resolve(&mut self, directory: &Path) {
        self.lockfile = directory.join(&self.lockfile);
    }
}

impl Archive {
    pub(super) fn resolve(&mut self, directory: &Path) {
        if let Some(path) = &mut self.path {
            *path = directory.join(&*path);
        }
    }
}

impl Directory {
    pub(super) fn resolve(&mut self, directory: &Path) {
        self.path = directory.join(&self.path);
    }
}
