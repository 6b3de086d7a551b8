//! What a stack of layers finally holds below one path, as one tree.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::decompress::Decompressor;
use super::diff_id::{Hashed, WrongDiffId};
use super::entry::{Content, Entry, Kind};
use super::inodes::{self, landed};
use super::limits::Budget;
use super::path::LayerPath;
use super::spool::{Spool, SpoolError};
use super::tar_read::{Limits, Member, TarError, TarReader};
use super::tree::{Rules, Tree, TreeError, remove_below};
use super::whiteout::Whiteout;
use ohoci_image::Digest;

/// Opens a layer as it is stored, from its start. May be called twice.
pub type OpenLayer<'a> = dyn Fn() -> io::Result<Box<dyn Read + 'a>> + 'a;

/// Why layers cannot be flattened.
#[derive(Debug, thiserror::Error)]
pub enum FlattenError {
    /// A layer cannot be read.
    #[error("layer {number}: {error}")]
    Layer {
        /// Which one, counted from the bottom and from 1.
        number: usize,
        /// What is wrong with it.
        error: TarError,
    },
    /// A layer is not the one that the image's config means.
    #[error("layer {number}: {error}")]
    DiffId {
        /// Which one, counted from the bottom and from 1.
        number: usize,
        /// What it is instead.
        error: WrongDiffId,
    },
    /// A layer holds something that has no place in the result.
    #[error("layer {number}: {path}: {reason}")]
    Unfit {
        /// Which one, counted from the bottom and from 1.
        number: usize,
        /// What it is.
        path: LayerPath,
        /// Why it has no place.
        reason: String,
    },
    /// There is nothing below the prefix.
    #[error("there is nothing at {prefix} in these layers{hint}")]
    NotFound {
        /// The prefix.
        prefix: LayerPath,
        /// What is there instead, if anything.
        hint: String,
    },
    /// The prefix is a symlink.
    #[error("{0} is a symlink; name the directory that it leads to")]
    Symlink(LayerPath),
    /// The result contradicts itself.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The spool cannot be written.
    #[error("cannot spool file contents: {0}")]
    Spool(#[source] io::Error),
}

type Inode = inodes::Inode<Content>;
type Inodes = inodes::Inodes<Content>;

/// The final content of `prefix`, with all whiteouts applied (image-spec `layer.md`, "Applying
/// Changesets").
///
/// `layers` go from the bottom to the top. Each is opened once; a second time only when a hard
/// link in the prefix leads out of it, to fetch that file, of which the result then has a copy.
/// Contents wait in an unnamed file in `spool_dir` for as long as the tree lives. `budget` is
/// what they may come to together; what has to be read twice counts twice.
///
/// Owners, modes, dates and extended attributes stay as they are. Directories that layers imply
/// without having an entry for them are 0755 and root's; nothing above the prefix is in the tree.
///
/// # Errors
/// When a layer cannot be read, links to what is not there, or when nothing is at the prefix; and
/// when it puts something below a symlink, unless the prefix is the root: then it lands where the
/// symlink leads to, as it does with runtimes.
pub fn flatten(
    layers: &[&OpenLayer<'_>],
    prefix: &LayerPath,
    budget: &Arc<Budget>,
    spool_dir: &Path,
) -> Result<Tree, FlattenError> {
    flatten_checked(layers, &[], prefix, budget, spool_dir)
}

/// The same, of layers that must have these diff IDs, one each.
///
/// # Errors
/// As [`flatten`]; [`FlattenError::DiffId`] when a layer has another.
pub fn flatten_checked(
    layers: &[&OpenLayer<'_>],
    diff_ids: &[Digest],
    prefix: &LayerPath,
    budget: &Arc<Budget>,
    spool_dir: &Path,
) -> Result<Tree, FlattenError> {
    let mut spool = Spool::create(spool_dir).map_err(FlattenError::Spool)?;
    let mut merged = Inodes::new();
    let mut outside = Outside::new();
    for (index, open) in layers.iter().enumerate() {
        let diff_id = diff_ids.get(index);
        let mut layer = Layer::open(index, *open, budget, diff_id)?;
        let mut upper = Inodes::new();
        let mut whiteouts = Vec::new();
        while let Some(member) = layer.next_member()? {
            let member = match prefix.is_root() {
                true => landed(member, &upper, &merged)
                    .map_err(|path| layer.unfit(&path, "it is below too many symlinks"))?,
                false => member,
            };
            if let Some(whiteout) = member.whiteout {
                whiteouts.push(whiteout);
            } else if concerns(&member.path, prefix) {
                let inode = match &member.entry.kind {
                    Kind::Hardlink(target) => {
                        let known = upper.get(target).or_else(|| merged.get(target));
                        match known {
                            Some(inode) if inode.is_directory() => {
                                return Err(layer.unfit(&member.path, LINKS_TO_DIRECTORY));
                            }
                            Some(inode) => Arc::clone(inode),
                            None if target.is_within(prefix) => {
                                let reason =
                                    format!("it is a hard link to {target}, which is not there");
                                return Err(layer.unfit(&member.path, reason));
                            }
                            None => {
                                let key = (index, target.clone());
                                let link = || Arc::new(unresolved(&member.entry, target));
                                Arc::clone(outside.entry(key).or_insert_with(link))
                            }
                        }
                    }
                    _ => Arc::new(keep(&mut spool, &member, &mut layer)?),
                };
                put(&mut upper, member.path, inode, index)?;
            }
        }
        if let Some(diff_id) = diff_id {
            layer.compare(diff_id)?;
        }
        for whiteout in whiteouts {
            match whiteout {
                Whiteout::Path(path) => {
                    remove_below(&mut merged, &path);
                    merged.remove(&path);
                }
                Whiteout::Below(directory) => remove_below(&mut merged, &directory),
            }
        }
        for (path, inode) in upper {
            make_way(&mut merged, &path);
            put(&mut merged, path, inode, index)?;
        }
    }
    let above = symlink_above(&merged, prefix);
    merged.retain(|path, _| path.is_within(prefix));
    match merged.get(prefix).map(|inode| &inode.kind) {
        Some(Kind::Symlink(_)) => return Err(FlattenError::Symlink(prefix.clone())),
        None if merged.is_empty() => {
            return Err(FlattenError::NotFound {
                prefix: prefix.clone(),
                hint: above.map_or_else(String::new, |path| format!(" ({path} is a symlink)")),
            });
        }
        _ => {}
    }
    fetch(layers, budget, &mut merged, outside, &mut spool)?;
    spool.finish().map_err(FlattenError::Spool)?;
    to_tree(&merged, prefix)
}

/// Hard links from inside the prefix to outside of it, by layer and target.
type Outside = BTreeMap<(usize, LayerPath), Inode>;

const LINKS_TO_DIRECTORY: &str = "it is a hard link to a directory";

/// Whether an entry says something about the prefix: it is in it, or a directory above it.
fn concerns(path: &LayerPath, prefix: &LayerPath) -> bool {
    path.is_within(prefix) || prefix.is_within(path)
}

fn symlink_above(merged: &Inodes, prefix: &LayerPath) -> Option<LayerPath> {
    prefix
        .ancestors()
        .filter_map(|above| merged.get_key_value(above))
        .find(|(_, inode)| matches!(inode.kind, Kind::Symlink(_)))
        .map(|(path, _)| path.clone())
}

/// Stands for a file outside of the prefix until that is fetched.
fn unresolved(entry: &Entry<u64>, target: &LayerPath) -> Entry<Content> {
    Entry::new(Kind::Hardlink(target.clone()), entry.mode)
}

/// Puts an inode at a path as unpacking would, see [`inodes::put`].
fn put(
    inodes: &mut Inodes,
    path: LayerPath,
    inode: Inode,
    index: usize,
) -> Result<(), FlattenError> {
    inodes::put(inodes, path, inode).map_err(|below| FlattenError::Unfit {
        number: index + 1,
        reason: below.to_string(),
        path: below.path,
    })
}

/// Removes what is no directory from above a path of the next layer: overlayfs shows the directory
/// that the layer has there, if only implied.
fn make_way(merged: &mut Inodes, path: &LayerPath) {
    let in_the_way: Vec<LayerPath> = path
        .ancestors()
        .filter_map(|above| merged.get_key_value(above))
        .filter(|(_, inode)| !inode.is_directory())
        .map(|(above, _)| above.clone())
        .collect();
    for above in in_the_way {
        merged.remove(&above);
    }
}

/// Replaces what stands for files outside of the prefix by copies of them.
///
/// A hard link means the file as it was in its own layer, or else in the nearest layer below.
fn fetch(
    layers: &[&OpenLayer<'_>],
    budget: &Arc<Budget>,
    merged: &mut Inodes,
    outside: Outside,
    spool: &mut Spool,
) -> Result<(), FlattenError> {
    // What was removed or replaced later need not be fetched: then only `outside` refers to it.
    let mut wanted: Outside = outside
        .into_iter()
        .filter(|(_, inode)| Arc::strong_count(inode) > 1)
        .collect();
    let mut found: HashMap<*const Entry<Content>, Inode> = HashMap::new();
    for (index, open) in layers.iter().enumerate().rev() {
        let here: BTreeSet<LayerPath> = wanted
            .keys()
            .filter(|(layer, _)| *layer >= index)
            .map(|(_, target)| target.clone())
            .collect();
        if here.is_empty() {
            continue;
        }
        let mut layer = Layer::open(index, *open, budget, None)?;
        let mut latest = Inodes::new();
        while let Some(member) = layer.next_member()? {
            if here.contains(&member.path) {
                let inode = Arc::new(keep(spool, &member, &mut layer)?);
                latest.insert(member.path, inode);
            }
        }
        for (target, inode) in latest {
            let reason = match inode.kind {
                Kind::Directory => LINKS_TO_DIRECTORY,
                Kind::Hardlink(_) => "a hard link leads to it, and it is itself one",
                _ => {
                    wanted.retain(|(layer, path), link| {
                        let resolved = *layer >= index && *path == target;
                        if resolved {
                            found.insert(Arc::as_ptr(link), Arc::clone(&inode));
                        }
                        !resolved
                    });
                    continue;
                }
            };
            return Err(layer.unfit(&target, reason));
        }
    }
    if let Some((index, target)) = wanted.into_keys().next() {
        return Err(FlattenError::Unfit {
            number: index + 1,
            path: target,
            reason: "a hard link leads to it, but it is not there".to_owned(),
        });
    }
    for inode in merged.values_mut() {
        if let Some(copy) = found.get(&Arc::as_ptr(inode)) {
            *inode = Arc::clone(copy);
        }
    }
    Ok(())
}

fn to_tree(inodes: &Inodes, prefix: &LayerPath) -> Result<Tree, FlattenError> {
    let mut tree = Tree::new();
    let mut first: HashMap<*const Entry<Content>, &LayerPath> = HashMap::new();
    for (path, inode) in inodes {
        // The nearest implied directories may be several; those above them are there already.
        let mut implied = Vec::new();
        let mut above = path.parent();
        while let Some(directory) = above.filter(|above| above.is_within(prefix)) {
            if directory.is_root() || tree.get(&directory).is_some() {
                break;
            }
            above = directory.parent();
            implied.push(directory);
        }
        for directory in implied.into_iter().rev() {
            tree.insert(directory, Entry::new(Kind::Directory, 0o755), Rules::Strict)?;
        }
        if path.is_root() {
            continue;
        }
        let entry = match first.get(&Arc::as_ptr(inode)) {
            Some(holder) => Entry {
                kind: Kind::Hardlink((*holder).clone()),
                xattrs: BTreeMap::new(),
                ..inode.as_ref().clone()
            },
            None => inode.as_ref().clone(),
        };
        first.entry(Arc::as_ptr(inode)).or_insert(path);
        tree.insert(path.clone(), entry, Rules::Strict)?;
    }
    Ok(tree)
}

/// A layer that is being read, with its place in the stack for messages.
struct Layer<'a> {
    index: usize,
    reader: TarReader<Hashed<Decompressor<Box<dyn Read + 'a>>>>,
    budget: Arc<Budget>,
}

impl<'a> Layer<'a> {
    fn open(
        index: usize,
        open: &OpenLayer<'a>,
        budget: &Arc<Budget>,
        diff_id: Option<&Digest>,
    ) -> Result<Self, FlattenError> {
        let input = open().and_then(|layer| Decompressor::within(layer, budget));
        let input = input.map_err(|error| FlattenError::Layer {
            number: index + 1,
            error: error.into(),
        })?;
        let input = Hashed::new(input, diff_id);
        let reader = TarReader::new(input, Rules::Foreign, Limits::of_budget());
        let budget = Arc::clone(budget);
        Ok(Self {
            index,
            reader,
            budget,
        })
    }

    /// Compares a layer whose members have all been read with its diff ID.
    fn compare(self, diff_id: &Digest) -> Result<(), FlattenError> {
        let number = self.index + 1;
        match self.reader.into_inner().compare(diff_id) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(FlattenError::DiffId { number, error }),
            Err(error) => Err(FlattenError::Layer {
                number,
                error: error.into(),
            }),
        }
    }

    fn next_member(&mut self) -> Result<Option<Member>, FlattenError> {
        let fail = |error| FlattenError::Layer {
            number: self.index + 1,
            error,
        };
        let member = self.reader.next_member().map_err(fail)?;
        if let Some(member) = &member {
            let counted = self.budget.take_entry(member.names());
            counted.map_err(|error| fail(error.into()))?;
        }
        Ok(member)
    }

    fn unfit(&self, path: &LayerPath, reason: impl Into<String>) -> FlattenError {
        FlattenError::Unfit {
            number: self.index + 1,
            path: path.clone(),
            reason: reason.into(),
        }
    }
}

/// Keeps what `layer` is at, if it has content.
fn keep(spool: &mut Spool, member: &Member, layer: &mut Layer<'_>) -> Result<Entry, FlattenError> {
    spool
        .take(&member.entry, &mut layer.reader)
        .map_err(|error| match error {
            SpoolError::Read(error) => FlattenError::Layer {
                number: layer.index + 1,
                error: error.into(),
            },
            SpoolError::Write(error) => FlattenError::Spool(error),
        })
}

#[cfg(test)]
mod tests;
