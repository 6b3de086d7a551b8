//! A virtual file tree: sorted paths and what stands at them.

use std::collections::{BTreeMap, btree_map};
use std::ops::Bound;

use super::entry::{Content, Entry, Kind};
use super::owner::Owner;
use super::path::{LayerPath, PathError};

/// How an entry that contradicts the tree is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// For layers that we make: one entry per path, and nothing below anything but directories.
    Strict,
    /// For layers that others made and that runtimes unpack all the same: the last entry for a
    /// path wins, and entries below a symlink are kept as data.
    Foreign,
}

/// Paths in bytewise order, and what stands at them. Parents may be missing.
///
/// It can hold the root itself, whose attributes matter when the tree is moved below a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree<C = Content> {
    entries: BTreeMap<LayerPath, Entry<C>>,
}

/// Why an entry cannot stand where it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The path is there already.
    #[error("{0} is there twice")]
    Duplicate(LayerPath),
    /// Something that is no directory stands above it.
    #[error("{path} is below {above}, which is a {noun}, not a directory")]
    BelowOther {
        /// The path.
        path: LayerPath,
        /// What is above it.
        above: LayerPath,
        /// What kind that is.
        noun: &'static str,
    },
    /// Something is below it, and it is no directory.
    #[error("{path} is a {noun}, but other entries are below it")]
    AboveOthers {
        /// The path.
        path: LayerPath,
        /// What kind it is.
        noun: &'static str,
    },
    /// A hard link leads nowhere, to a directory or in a circle.
    #[error("{path} is a hard link to {target}, {reason}")]
    BadLink {
        /// The link.
        path: LayerPath,
        /// Where it leads.
        target: LayerPath,
        /// What is wrong.
        reason: &'static str,
    },
    /// Moving the tree makes a path too long.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl<C> Default for Tree<C> {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
        }
    }
}

impl<C> Tree<C> {
    /// An empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts an entry at a path.
    ///
    /// Whether a hard link leads anywhere is checked when links are resolved, because its target
    /// may come later.
    ///
    /// # Errors
    /// An entry that the rules refuse; the tree is as before.
    pub fn insert(
        &mut self,
        path: LayerPath,
        entry: Entry<C>,
        rules: Rules,
    ) -> Result<(), TreeError> {
        for above in path.ancestors() {
            let Some((above, other)) = self.entries.get_key_value(above) else {
                continue;
            };
            let tolerated = other.is_directory()
                || (rules == Rules::Foreign && matches!(other.kind, Kind::Symlink(_)));
            if !tolerated {
                return Err(TreeError::BelowOther {
                    path: path.clone(),
                    above: above.clone(),
                    noun: other.kind.noun(),
                });
            }
        }
        if rules == Rules::Strict && self.entries.contains_key(&path) {
            return Err(TreeError::Duplicate(path));
        }
        if !entry.is_directory() && (path.is_root() || below(&self.entries, &path).next().is_some())
        {
            if rules == Rules::Strict || path.is_root() {
                return Err(TreeError::AboveOthers {
                    noun: entry.kind.noun(),
                    path,
                });
            }
            remove_below(&mut self.entries, &path);
        }
        self.entries.insert(path, entry);
        Ok(())
    }

    /// Removes a directory that has nothing below it.
    pub(crate) fn remove_empty(&mut self, path: &LayerPath) {
        let is_directory = self.get(path).is_some_and(Entry::is_directory);
        if is_directory && below(&self.entries, path).next().is_none() {
            self.entries.remove(path);
        }
    }

    /// Gives everything to an owner.
    pub(crate) fn give_to(&mut self, owner: Owner) {
        for entry in self.entries.values_mut() {
            (entry.uid, entry.gid) = (owner.uid, owner.gid);
        }
    }

    /// What stands at a path.
    #[must_use]
    pub fn get(&self, path: &LayerPath) -> Option<&Entry<C>> {
        self.entries.get(path)
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries in bytewise order of their paths.
    pub fn iter(&self) -> btree_map::Iter<'_, LayerPath, Entry<C>> {
        self.entries.iter()
    }

    /// The tree moved below `directory`.
    ///
    /// The root's entry becomes the directory's, which is 0755 and root's when the tree has no
    /// root. No entry is made for what is above the directory, and none for the root of the image:
    /// it would override mode and owner of directories that belong to the base (image-spec 737,
    /// containers/storage 1288).
    ///
    /// # Errors
    /// When a path becomes too long.
    pub fn moved_below(mut self, directory: &LayerPath, mtime: i64) -> Result<Self, TreeError> {
        if directory.is_root() {
            self.entries.remove(directory);
            return Ok(self);
        }
        self.entries
            .entry(LayerPath::root())
            .or_insert_with(|| Entry {
                mtime,
                ..Entry::new(Kind::Directory, 0o755)
            });
        let entries = self
            .entries
            .into_iter()
            .map(|(path, mut entry)| {
                if let Kind::Hardlink(target) = &mut entry.kind {
                    *target = directory.join(target)?;
                }
                Ok((directory.join(&path)?, entry))
            })
            .collect::<Result<_, PathError>>()?;
        Ok(Self { entries })
    }

    /// Gives every set of hard links its canonical form: the first path in order holds the
    /// content, the others link to it.
    ///
    /// # Errors
    /// [`TreeError::BadLink`] for a link that leads to nothing, to a directory, or in a circle.
    pub fn resolve_links(&mut self) -> Result<(), TreeError> {
        let mut groups: BTreeMap<LayerPath, Vec<LayerPath>> = BTreeMap::new();
        for (path, entry) in &self.entries {
            if let Kind::Hardlink(target) = &entry.kind {
                let end = self.follow(path, target)?;
                groups.entry(end).or_default().push(path.clone());
            }
        }
        for (holder, links) in groups {
            // Links come in path order, so the least of all paths is the holder or the first.
            let first = links.first().filter(|first| **first < holder).cloned();
            let Some(entry) = self.entries.get(&holder) else {
                continue;
            };
            let link = |target: &LayerPath| Entry {
                kind: Kind::Hardlink(target.clone()),
                mode: entry.mode,
                uid: entry.uid,
                gid: entry.gid,
                mtime: entry.mtime,
                xattrs: BTreeMap::new(),
            };
            let target = first.as_ref().unwrap_or(&holder);
            let links: Vec<_> = links
                .into_iter()
                .chain([holder.clone()])
                .filter(|path| path != target)
                .map(|path| (path, link(target)))
                .collect();
            if let Some(first) = first
                && let Some(entry) = self.entries.remove(&holder)
            {
                self.entries.insert(first, entry);
            }
            self.entries.extend(links);
        }
        Ok(())
    }

    fn follow(&self, path: &LayerPath, target: &LayerPath) -> Result<LayerPath, TreeError> {
        let bad = |reason| TreeError::BadLink {
            path: path.clone(),
            target: target.clone(),
            reason,
        };
        let mut end = target;
        for _ in 0..self.entries.len() {
            match self.entries.get(end).map(|entry| &entry.kind) {
                None => return Err(bad("which is not there")),
                Some(Kind::Directory) => return Err(bad("which is a directory")),
                Some(Kind::Hardlink(next)) => end = next,
                Some(_) => return Ok(end.clone()),
            }
        }
        Err(bad("which leads back to it"))
    }
}

impl<'a, C> IntoIterator for &'a Tree<C> {
    type Item = (&'a LayerPath, &'a Entry<C>);
    type IntoIter = btree_map::Iter<'a, LayerPath, Entry<C>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The entries below a directory, without itself.
pub(super) fn below<'a, V>(
    entries: &'a BTreeMap<LayerPath, V>,
    directory: &'a LayerPath,
) -> impl Iterator<Item = (&'a LayerPath, &'a V)> {
    let mut start = directory.as_bytes().to_vec();
    if !directory.is_root() {
        start.push(b'/');
    }
    entries
        .range::<[u8], _>((Bound::Excluded(start.as_slice()), Bound::Unbounded))
        .take_while(|(path, _)| path.is_within(directory))
}

/// Takes out everything below a directory, but not itself.
pub(super) fn remove_below<V>(entries: &mut BTreeMap<LayerPath, V>, directory: &LayerPath) {
    let gone: Vec<_> = below(entries, directory)
        .map(|(path, _)| path.clone())
        .collect();
    for path in gone {
        entries.remove(&path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(raw: &str) -> LayerPath {
        LayerPath::parse(raw.as_bytes()).unwrap()
    }

    fn file() -> Entry<u64> {
        Entry::new(Kind::File(1), 0o644)
    }

    fn directory() -> Entry<u64> {
        Entry::new(Kind::Directory, 0o755)
    }

    fn symlink() -> Entry<u64> {
        Entry::new(Kind::Symlink(b"/etc".to_vec()), 0o777)
    }

    fn link(target: &str) -> Entry<u64> {
        Entry::new(Kind::Hardlink(path(target)), 0o644)
    }

    fn tree(entries: &[(&str, Entry<u64>)]) -> Result<Tree<u64>, TreeError> {
        let mut tree = Tree::new();
        for (at, entry) in entries {
            tree.insert(path(at), entry.clone(), Rules::Strict)?;
        }
        Ok(tree)
    }

    #[test]
    fn strict_trees_refuse_contradictions() {
        assert!(tree(&[("a", file()), ("a", file())]).is_err());
        assert!(tree(&[("a", directory()), ("a", directory())]).is_err());
        assert!(tree(&[("a", file()), ("a/b", file())]).is_err());
        assert!(tree(&[("a/b/c", file()), ("a", file())]).is_err());
        assert!(tree(&[("a", symlink()), ("a/b", file())]).is_err());
        assert!(tree(&[("a/b", file()), ("a", symlink())]).is_err());
        assert!(tree(&[(".", file())]).is_err());
        assert!(tree(&[("a", file()), ("a-b", file()), ("ab/c", file())]).is_ok());
    }

    #[test]
    fn foreign_trees_take_the_last_entry_and_keep_what_is_below_a_symlink() {
        let mut tree = Tree::new();
        for (at, entry) in [
            ("a", symlink()),
            ("a/b", file()),
            ("c/d", file()),
            ("c", file()),
            ("c", symlink()),
        ] {
            tree.insert(path(at), entry, Rules::Foreign).unwrap();
        }
        assert_eq!(tree.get(&path("c")), Some(&symlink()));
        assert_eq!(tree.get(&path("c/d")), None);
        assert!(tree.get(&path("a/b")).is_some());
        tree.insert(path("f"), file(), Rules::Foreign).unwrap();
        assert!(tree.insert(path("f/g"), file(), Rules::Foreign).is_err());
    }

    #[test]
    fn the_first_path_of_a_set_of_hard_links_holds_the_content() {
        let mut links = tree(&[
            ("b", file()),
            ("a", link("c")),
            ("c", link("b")),
            ("d", link("b")),
        ])
        .unwrap();
        links.resolve_links().unwrap();
        let kinds: Vec<_> = links.iter().map(|(_, entry)| entry.kind.clone()).collect();
        let to_a = Kind::Hardlink(path("a"));
        assert_eq!(kinds, [Kind::File(1), to_a.clone(), to_a.clone(), to_a]);
    }

    #[test]
    fn hard_links_that_lead_nowhere_are_refused() {
        for bad in [
            vec![("a", link("b"))],
            vec![("a", link("a"))],
            vec![("a", link("b")), ("b", link("a"))],
            vec![("a", link("b")), ("b", directory())],
        ] {
            assert!(tree(&bad).unwrap().resolve_links().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn moving_makes_no_entries_above_the_directory() {
        let moved = tree(&[(".", directory()), ("x", file()), ("y", link("x"))])
            .unwrap()
            .moved_below(&path("/opt/tool"), 0)
            .unwrap();
        let paths: Vec<_> = moved.iter().map(|(path, _)| path.to_string()).collect();
        assert_eq!(paths, ["/opt/tool", "/opt/tool/x", "/opt/tool/y"]);
        assert_eq!(
            moved.get(&path("opt/tool/y")).unwrap().kind,
            Kind::Hardlink(path("opt/tool/x"))
        );
        let at_root = tree(&[(".", directory()), ("x", file())])
            .unwrap()
            .moved_below(&LayerPath::root(), 0)
            .unwrap();
        assert_eq!(at_root.len(), 1);
    }
}
