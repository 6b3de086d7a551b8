//! The prefix as a bare directory, for whoever mounts it instead of changing images.

use std::io::{Error, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{BuildError, Work};
use crate::archive::Spool;
use crate::archive::tar::read_tar;
use crate::contents::Contents;
use ohoci_compose::local::{LayerBytes, LocalLayer};
use ohoci_layer::{LayerPath, Rules, Tree};
use ohoci_unpack::{Owners, unpack};

/// Most bytes of a layer when decompressed.
const MAX_LAYER: u64 = 32 << 30;

impl Work<'_> {
    /// Puts what is below the prefix into a directory, which is there whole or not at all. One that a
    /// build made before is replaced.
    ///
    /// # Errors
    /// When the directory has something else in it, or cannot be written.
    pub(super) fn write_directory(
        &self,
        layers: &[LocalLayer],
        directory: &Path,
    ) -> Result<(), BuildError> {
        self.step(format!("writing {}", directory.display()));
        self.written(layers, directory)
            .map_err(|source| BuildError::Directory {
                path: directory.to_owned(),
                source,
            })
    }

    fn written(&self, layers: &[LocalLayer], directory: &Path) -> Result<(), Error> {
        let is_there = is_replaceable(directory)?;
        let name = directory
            .file_name()
            .ok_or_else(|| Error::new(ErrorKind::InvalidInput, "it has no name of its own"))?;
        let above = match directory.parent() {
            Some(above) if !above.as_os_str().is_empty() => above,
            _ => Path::new("."),
        };
        fs_err::create_dir_all(above)?;
        // Beside it, so that it can be renamed.
        let beside = tempfile::Builder::new()
            .prefix(&format!(".{}.", name.to_string_lossy()))
            .tempdir_in(above)?;
        let new = beside.path().join("new");
        fs_err::create_dir(&new)?;
        let tree = self.below_the_prefix(layers)?;
        unpack(tree, &new, Owners::Own, &|| true).map_err(Error::other)?;
        // It may be mounted by another user than the one who builds it.
        fs_err::set_permissions(&new, std::fs::Permissions::from_mode(0o755))?;
        if is_there {
            fs_err::rename(directory, beside.path().join("old"))?;
        }
        fs_err::rename(&new, directory)
    }

    /// What all layers have below the prefix, the upper over the lower.
    fn below_the_prefix(&self, layers: &[LocalLayer]) -> Result<Tree, Error> {
        let spool = Spool::create(self.session.work_dir)?;
        let prefix = self.recipe.prefix.as_bytes();
        let mut all = Tree::new();
        for layer in layers {
            let LayerBytes::File(body) = &layer.from else {
                continue;
            };
            let path = body
                .file()
                .ok_or_else(|| Error::other(format!("layer {} is in no file", layer.name)))?;
            let file = fs_err::File::open(path)?;
            let tree = read_tar(file, MAX_LAYER, &spool).map_err(Error::other)?;
            for (path, entry) in tree.iter() {
                let below = path.as_bytes().strip_prefix(prefix);
                let Some(below) = below.and_then(|below| below.strip_prefix(b"/")) else {
                    continue;
                };
                let mut entry = entry.clone();
                if let ohoci_layer::Kind::Hardlink(target) = &entry.kind {
                    let target = target.as_bytes().strip_prefix(prefix);
                    let target = target.and_then(|target| target.strip_prefix(b"/"));
                    let target = LayerPath::parse(target.unwrap_or_default());
                    entry.kind = ohoci_layer::Kind::Hardlink(target.map_err(Error::other)?);
                }
                let path = LayerPath::parse(below).map_err(Error::other)?;
                all.insert(path, entry, Rules::Foreign)
                    .map_err(Error::other)?;
            }
        }
        Ok(all)
    }
}

/// Whether there is a directory, which may be replaced: one that a build made, or an empty one.
fn is_replaceable(directory: &Path) -> Result<bool, Error> {
    let mut entries = match fs_err::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let is_made = Path::new(Contents::DIRECTORY);
    if entries.next().is_none() || directory.join(is_made).is_dir() {
        return Ok(true);
    }
    Err(Error::new(
        ErrorKind::AlreadyExists,
        "it has something else in it than what a build made",
    ))
}
