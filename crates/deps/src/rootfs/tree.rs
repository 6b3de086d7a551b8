//! Packages' files as they stand at `/`.

use std::collections::{BTreeMap, BTreeSet};

use super::error::RootFsError;
use crate::debian::deb::Deb;
use crate::recipe::Pattern;
use ohoci_layer::{Entry, Kind, LayerPath, Rules, Tree};

/// Directories that are links into `/usr` on every Debian since bookworm; of the packages some still
/// have files in them.
const MERGED: [&str; 7] = ["bin", "sbin", "lib", "lib32", "lib64", "libo32", "libx32"];
/// Those that every system has.
const ALWAYS: [&str; 3] = ["bin", "sbin", "lib"];
/// What dpkg calls a configuration file until its package is configured: that it stands in its place
/// says that its package works (dpkg's `src/main/archives.c`, `DPKGNEWEXT`).
const NEW: &[u8] = b".dpkg-new";
/// Permission bits that stay. In an image in which everything is root's, setuid and setgid would
/// lend root's rights where Debian lends those of a group.
const MODE: u32 = 0o1777;

/// A system in the making.
#[derive(Debug)]
pub(super) struct RootTree<'a> {
    tree: Tree,
    /// The package that each entry is from, but for directories. Configuration files have the names
    /// that they will have.
    owners: BTreeMap<LayerPath, String>,
    drop: &'a [Pattern],
    /// The links that are needed.
    merged: BTreeSet<&'static str>,
}

impl<'a> RootTree<'a> {
    /// A tree with nothing in it; what `drop` matches does not get in.
    pub(super) fn new(drop: &'a [Pattern]) -> Self {
        Self {
            tree: Tree::new(),
            owners: BTreeMap::new(),
            drop,
            merged: ALWAYS.into(),
        }
    }

    /// Adds a package's files. Directories may be there already, and then stay as they are.
    ///
    /// # Errors
    /// When a file is there already, or stands below what is no directory.
    pub(super) fn add(&mut self, deb: &Deb) -> Result<(), RootFsError> {
        let conffiles: BTreeSet<&LayerPath> = deb.conffiles.iter().collect();
        for (path, entry) in &deb.tree {
            let at = self.merged(path, deb)?;
            let is_licence = deb.licences.contains_key(path);
            if !is_licence && self.drop.iter().any(|pattern| pattern.matches(&at)) {
                continue;
            }
            let is_link = |entry: &Entry| matches!(entry.kind, Kind::Symlink(_));
            match self.tree.get(&at) {
                // The link that stands for it, or one that another package has in its place.
                Some(known) if entry.is_directory() && (known.is_directory() || is_link(known)) => {
                    continue;
                }
                None if !self.owners.contains_key(&at) => {}
                _ => {
                    return Err(RootFsError::Clash {
                        one: self.owners.get(&at).cloned().unwrap_or_default(),
                        other: deb.name.clone(),
                        path: at,
                    });
                }
            }
            let kind = match &entry.kind {
                Kind::Hardlink(target) => {
                    let to = self.merged(target, deb)?;
                    Kind::Hardlink(unpacked(to, conffiles.contains(target), deb)?)
                }
                other => other.clone(),
            };
            let is_conffile = conffiles.contains(path) && !entry.is_directory();
            if !entry.is_directory() {
                self.owners.insert(at.clone(), deb.name.clone());
            }
            let at = unpacked(at, is_conffile, deb)?;
            let plain = Entry {
                mtime: entry.mtime.max(0),
                ..Entry::new(kind, entry.mode & MODE)
            };
            self.insert(&deb.name, at, plain)?;
        }
        Ok(())
    }

    /// Adds what is in no package's archive.
    pub(super) fn insert(
        &mut self,
        package: &str,
        path: LayerPath,
        entry: Entry,
    ) -> Result<(), RootFsError> {
        let inserted = self.tree.insert(path, entry, Rules::Strict);
        inserted.map_err(|source| RootFsError::Tree {
            package: package.to_owned(),
            source,
        })
    }

    /// Adds a directory, unless it is there.
    pub(super) fn directory(&mut self, path: &LayerPath) -> Result<(), RootFsError> {
        if self.tree.get(path).is_some() {
            return Ok(());
        }
        self.insert("dpkg", path.clone(), Entry::new(Kind::Directory, 0o755))
    }

    /// Where a file is once the directories are merged.
    fn merged(&mut self, path: &LayerPath, deb: &Deb) -> Result<LayerPath, RootFsError> {
        let mut names = path.names();
        let first = names.next().unwrap_or_default();
        let Some(merged) = MERGED.iter().find(|name| name.as_bytes() == first) else {
            return Ok(path.clone());
        };
        let is_link = matches!(
            deb.tree.get(path).map(|entry| &entry.kind),
            Some(Kind::Symlink(_))
        );
        if names.next().is_none() && is_link {
            return Ok(path.clone());
        }
        self.merged.insert(merged);
        let moved = [b"usr/", path.as_bytes()].concat();
        LayerPath::parse(&moved).map_err(RootFsError::path(&deb.name))
    }

    /// The tree, with the links of merged directories where no package has them.
    pub(super) fn finish(mut self) -> Result<Tree, RootFsError> {
        for name in std::mem::take(&mut self.merged) {
            let target = format!("usr/{name}");
            let path = |text: &str| {
                LayerPath::parse(text.as_bytes()).map_err(RootFsError::path("base-files"))
            };
            self.directory(&path(&target)?)?;
            let link = path(name)?;
            if self.tree.get(&link).is_none() {
                let kind = Kind::Symlink(target.into_bytes());
                self.insert("base-files", link, Entry::new(kind, 0o777))?;
            }
        }
        Ok(self.tree)
    }
}

/// Where a file is until its package is configured.
fn unpacked(at: LayerPath, is_conffile: bool, deb: &Deb) -> Result<LayerPath, RootFsError> {
    match is_conffile {
        false => Ok(at),
        true => {
            LayerPath::parse(&[at.as_bytes(), NEW].concat()).map_err(RootFsError::path(&deb.name))
        }
    }
}
