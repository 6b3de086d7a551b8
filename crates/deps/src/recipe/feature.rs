//! A feature: one layer, and where its content comes from.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::bytecode::Bytecode;
use super::debian::Debian;
use super::name::FeatureName;
use super::rootfs::RootFs;
use super::source_file::SourceFile;
use super::sources::{Archive, Conda, Directory, Image, Npm, Python};
use super::values::parsed_list;
use ohoci_files::regular;
use ohoci_image::Platform;
use ohoci_image::config_patch::ConfigPatch;

/// A feature, as it stands in `layers/NAME.toml`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Feature {
    /// Its name, which is also that of its file.
    pub name: Spanned<FeatureName>,
    /// What it is for, in a sentence.
    #[serde(default)]
    pub description: String,
    /// Features whose layers it needs below its own.
    #[serde(default)]
    pub requires: Vec<Spanned<FeatureName>>,
    /// The platforms that it can be built for; empty is any.
    #[serde(default, deserialize_with = "parsed_list")]
    pub platforms: Vec<Platform>,
    /// Makes it a system of its own, at `/`, of the packages below `[debian]`.
    pub rootfs: Option<Spanned<RootFs>>,
    /// Packages of a Debian archive.
    pub debian: Option<Spanned<Debian>>,
    /// Python packages.
    pub python: Option<Python>,
    /// npm packages.
    pub npm: Option<Npm>,
    /// conda's packages.
    pub conda: Option<Conda>,
    /// Archives.
    #[serde(default)]
    pub archive: Vec<Archive>,
    /// Paths in images.
    #[serde(default)]
    pub image: Vec<Image>,
    /// Directories.
    #[serde(default)]
    pub directory: Vec<Directory>,
    /// Python modules that are compiled beforehand.
    pub bytecode: Option<Bytecode>,
    /// What composing with this feature changes in the image's config.
    #[serde(default)]
    pub patch: ConfigPatch,
    /// Symlinks below the prefix that maintainer scripts would have made, or that are wanted.
    #[serde(default)]
    pub link: Vec<LinkTable>,
    /// Programs of ours that start those of the feature.
    #[serde(default)]
    pub wrapper: Vec<Wrapper>,
    /// The file that all this stands in.
    #[serde(skip)]
    pub source: SourceFile,
}

/// A symlink below the prefix: a `[[link]]` table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LinkTable {
    /// Where it stands, such as `tools/bin/sh`.
    pub at: String,
    /// What it leads to, such as `tools/bin/dash`.
    pub to: String,
    /// Whether it stands in the place of a file that a Python or npm package brings.
    #[serde(default)]
    pub replace: bool,
}

/// A program in the prefix's `bin`: a `[[wrapper]]` table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Wrapper {
    /// What it is called there.
    pub name: String,
    /// The file, relative to the recipe's file.
    pub from: PathBuf,
}

impl Feature {
    /// What of it only a layer below a prefix can have, by its name in a recipe.
    pub(super) fn layer_only(&self) -> Option<&'static str> {
        let tables = [
            (!self.requires.is_empty(), "requires"),
            (self.python.is_some(), "[python]"),
            (self.npm.is_some(), "[npm]"),
            (self.conda.is_some(), "[conda]"),
            (!self.archive.is_empty(), "[[archive]]"),
            (!self.image.is_empty(), "[[image]]"),
            (!self.directory.is_empty(), "[[directory]]"),
            (self.bytecode.is_some(), "[bytecode]"),
            (!self.link.is_empty(), "[[link]]"),
            (!self.wrapper.is_empty(), "[[wrapper]]"),
        ];
        let found = tables.into_iter().find(|(is_there, _)| *is_there);
        found.map(|(_, name)| name)
    }

    /// What it takes from a Debian archive.
    #[must_use]
    pub fn debian(&self) -> Option<&Debian> {
        self.debian.as_ref().map(Spanned::get_ref)
    }

    /// Reads the lockfile of its npm packages, if that was written already, and the `package.json`
    /// beside it.
    pub(super) fn read_lockfile(&mut self) -> Result<(), String> {
        let Some(npm) = &mut self.npm else {
            return Ok(());
        };
        let missing = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
        match regular::read_to_string(npm.lockfile.with_file_name("package.json")) {
            Ok(manifest) => npm.manifest = Some(manifest),
            Err(error) if missing(&error) => {}
            Err(error) => return Err(format!("[npm]: {error}")),
        }
        match regular::read_to_string(&npm.lockfile) {
            Ok(content) => npm.content = content,
            Err(error) if missing(&error) && npm.manifest.is_some() => {}
            Err(error) if missing(&error) => {
                return Err(format!(
                    "[npm]: {error}, and there is no package.json beside it"
                ));
            }
            Err(error) => return Err(format!("[npm]: {error}")),
        }
        Ok(())
    }

    /// Makes paths relative to `directory`.
    pub(super) fn resolve(&mut self, directory: &Path) {
        if let Some(debian) = &mut self.debian {
            debian.get_mut().resolve(directory);
        }
        if let Some(npm) = &mut self.npm {
            npm.resolve(directory);
        }
        for archive in &mut self.archive {
            archive.resolve(directory);
        }
        for from in &mut self.directory {
            from.resolve(directory);
        }
        for wrapper in &mut self.wrapper {
            wrapper.from = directory.join(&wrapper.from);
        }
    }
}
