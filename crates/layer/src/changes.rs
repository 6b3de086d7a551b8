//! What one layer changes, read by itself: what it adds, and what it removes from the layers below.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::sync::Arc;

use super::decompress::Decompressor;
use super::diff_id::{Hashed, WrongDiffId};
use super::entry::{Entry, Kind};
use super::inodes::{Inode, Inodes, landed, put};
use super::limits::Budget;
use super::path::LayerPath;
use super::tar_read::{Limits, TarError, TarReader};
use super::tree::Rules;
use super::whiteout::Whiteout;
use ohoci_image::Digest;

/// What a layer adds and removes (image-spec `layer.md`, "Representing Changes").
///
/// `C` is what stands for a file's content. Directories above a path may be missing: the layer then
/// says nothing of them, and those of the layers below stay as they are.
#[derive(Clone, Debug)]
pub struct Changes<C> {
    added: Inodes<C>,
    removed: BTreeSet<LayerPath>,
    opaque: BTreeSet<LayerPath>,
}

/// Why a layer cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ChangesError {
    /// It cannot be read, or is no layer.
    #[error(transparent)]
    Layer(#[from] TarError),
    /// It is not the one that the image's config means.
    #[error(transparent)]
    DiffId(WrongDiffId),
    /// It holds something that has no place.
    #[error("{path}: {reason}")]
    Unfit {
        /// What it is.
        path: LayerPath,
        /// Why it has no place.
        reason: String,
    },
    /// A content could not be kept.
    #[error("cannot keep {path}: {error}")]
    Keep {
        /// Whose content.
        path: LayerPath,
        /// Why.
        #[source]
        error: io::Error,
    },
}

/// Takes the content of a file with so many bytes from a reader, and says what stands for it. The
/// entry is as it will be found in the [`Changes`], but for the content.
pub(crate) type Keep<'a, C> = dyn FnMut(&Entry<u64>, u64, &mut dyn Read) -> io::Result<C> + 'a;

/// Reads a layer as it is stored, compressed or not, to its end, and compares it with its diff ID.
///
/// A member lands where unpacking the layer alone would put it, with the symlinks that the layer
/// itself has followed inside the root. A hard link to something that the layer does not hold stays
/// one, as [`Kind::Hardlink`]; every other shares its entry with what it links to.
///
/// # Errors
/// When it cannot be read, has another diff ID, comes to more than the budget allows, or holds
/// something that has no place; or a content cannot be kept.
pub fn read_changes<C>(
    layer: impl Read,
    diff_id: &Digest,
    budget: &Arc<Budget>,
    keep: &mut Keep<'_, C>,
) -> Result<Changes<C>, ChangesError> {
    let input = Decompressor::within(layer, budget).map_err(TarError::from)?;
    let input = Hashed::new(input, Some(diff_id));
    let mut reader = TarReader::new(input, Rules::Foreign, Limits::of_budget());
    let mut added = Inodes::new();
    let mut whiteouts = Vec::new();
    let unfit = |path: &LayerPath, reason: &str| ChangesError::Unfit {
        path: path.clone(),
        reason: reason.to_owned(),
    };
    while let Some(member) = reader.next_member()? {
        budget.take_entry(member.names()).map_err(TarError::from)?;
        let none = Inodes::new();
        let member = landed(member, &added, &none)
            .map_err(|path| unfit(&path, "it is below too many symlinks"))?;
        if let Some(whiteout) = member.whiteout {
            whiteouts.push(whiteout);
            continue;
        }
        let known = match &member.entry.kind {
            Kind::Hardlink(target) => added.get(target),
            _ => None,
        };
        let inode: Inode<C> = match known {
            Some(inode) if inode.is_directory() => {
                return Err(unfit(&member.path, "it is a hard link to a directory"));
            }
            Some(inode) => Arc::clone(inode),
            None => {
                let attributes = member.entry.clone();
                let kept = member
                    .entry
                    .try_map_content(|size| keep(&attributes, size, &mut reader));
                Arc::new(kept.map_err(|error| ChangesError::Keep {
                    path: member.path.clone(),
                    error,
                })?)
            }
        };
        put(&mut added, member.path, inode).map_err(|below| ChangesError::Unfit {
            reason: below.to_string(),
            path: below.path,
        })?;
    }
    match reader.into_inner().compare(diff_id) {
        Ok(Ok(())) => {}
        Ok(Err(wrong)) => return Err(ChangesError::DiffId(wrong)),
        Err(error) => return Err(TarError::from(error).into()),
    }
    Ok(Changes::of(added, whiteouts))
}

impl<C> Changes<C> {
    /// Whiteouts count for the layers below, wherever they stand among the members.
    fn of(added: Inodes<C>, whiteouts: Vec<Whiteout>) -> Self {
        let mut opaque = BTreeSet::new();
        let mut removed = BTreeSet::new();
        let is_directory = |path: &LayerPath| match added.get(path) {
            Some(inode) => inode.is_directory(),
            None => has_below(&added, path),
        };
        for whiteout in whiteouts {
            let (path, whole) = match whiteout {
                Whiteout::Path(path) => (path, true),
                Whiteout::Below(directory) => (directory, false),
            };
            let is_hidden = path
                .ancestors()
                .any(|above| added.get(above).is_some_and(|inode| !inode.is_directory()));
            if is_hidden {
                continue;
            }
            match (added.contains_key(&path), is_directory(&path)) {
                // What is added in its place hides it; a directory would show what is below it.
                (_, true) => {
                    opaque.insert(path);
                }
                (true, false) => {}
                (false, false) if whole => {
                    removed.insert(path);
                }
                (false, false) => {
                    opaque.insert(path);
                }
            }
        }
        Self {
            added,
            removed,
            opaque,
        }
    }

    /// What it adds or changes, in bytewise order of paths, so that a directory stands before what
    /// it holds. Hard links to one another share their entry.
    #[must_use]
    pub fn added(&self) -> &Inodes<C> {
        &self.added
    }

    /// What it removes, with everything below; nothing of it is added.
    #[must_use]
    pub fn removed(&self) -> &BTreeSet<LayerPath> {
        &self.removed
    }

    /// Directories of which nothing that the layers below have in them is left.
    #[must_use]
    pub fn opaque(&self) -> &BTreeSet<LayerPath> {
        &self.opaque
    }
}

fn has_below<C>(added: &Inodes<C>, path: &LayerPath) -> bool {
    super::tree::below(added, path).next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tar_write::TarWriter;

    fn path(raw: &str) -> LayerPath {
        LayerPath::parse(raw.as_bytes()).unwrap()
    }

    /// Reads a layer whose members are directories (`d/`), files (`f`), symlinks (`l>target`) and
    /// hard links (`h=target`).
    fn read(members: &[&str]) -> Result<Changes<u64>, ChangesError> {
        let mut writer = TarWriter::new(Vec::new());
        for member in members {
            let (at, kind) = match member.split_once(['>', '=']) {
                Some((at, target)) if member.contains('>') => (at, Kind::Symlink(target.into())),
                Some((at, target)) => (at, Kind::Hardlink(path(target))),
                None if member.ends_with('/') => (*member, Kind::Directory),
                None => (*member, Kind::File(0)),
            };
            let entry = Entry::new(kind, 0o755);
            writer.append(&path(at), &entry, &mut io::empty()).unwrap();
        }
        let tar = writer.finish().unwrap();
        let diff_id = Digest::of(&tar);
        let budget = Arc::new(Budget::unlimited());
        let mut number = 0;
        read_changes(tar.as_slice(), &diff_id, &budget, &mut |_, _, _| {
            number += 1;
            Ok(number)
        })
    }

    fn names<'a>(paths: impl IntoIterator<Item = &'a LayerPath>) -> Vec<String> {
        paths.into_iter().map(ToString::to_string).collect()
    }

    #[test]
    fn whiteouts_remove_what_is_below_and_leave_what_the_layer_adds() {
        let changes = read(&[
            ".wh.gone",
            "a/.wh..wh..opq",
            "a/new",
            "b/",
            ".wh.b",
            "c",
            ".wh.c",
            "d/x",
            ".wh.d",
            "e/.wh..wh..opq",
        ])
        .unwrap();
        assert_eq!(names(changes.removed()), ["/gone"]);
        assert_eq!(names(changes.opaque()), ["/a", "/b", "/d", "/e"]);
        assert_eq!(
            names(changes.added().keys()),
            ["/a/new", "/b", "/c", "/d/x"]
        );
    }

    #[test]
    fn hard_links_share_an_entry_and_those_to_other_layers_stay() {
        let changes = read(&["one", "two=one", "one", "three=base/file"]).unwrap();
        let at = |name: &str| changes.added().get(&path(name)).unwrap();
        // The second `one` is another file than the one that `two` links to.
        assert_eq!(at("two").kind, Kind::File(1));
        assert_eq!(at("one").kind, Kind::File(2));
        assert_eq!(at("three").kind, Kind::Hardlink(path("base/file")));
        let changes = read(&["one", "two=one"]).unwrap();
        let at = |name: &str| changes.added().get(&path(name)).unwrap();
        assert!(Arc::ptr_eq(at("one"), at("two")));
    }

    #[test]
    fn members_land_behind_the_links_of_their_own_layer_only() {
        let changes = read(&["bin>usr/bin", "usr/bin/", "bin/sh", "lib/x"]).unwrap();
        let all = names(changes.added().keys());
        assert_eq!(all, ["/bin", "/lib/x", "/usr/bin", "/usr/bin/sh"]);
        assert!(read(&["file", "file/below"]).is_err());
        assert!(read(&["d/", "h=d"]).is_err());
        assert!(read(&["a>b", "b>a", "a/x"]).is_err());
    }

    #[test]
    fn another_layer_than_the_config_means_is_refused() {
        let budget = Arc::new(Budget::unlimited());
        let tar = TarWriter::new(Vec::new()).finish().unwrap();
        let other = Digest::of(b"other");
        let read = read_changes(tar.as_slice(), &other, &budget, &mut |_, _, _| Ok(()));
        assert!(matches!(read, Err(ChangesError::DiffId(_))));
    }
}
