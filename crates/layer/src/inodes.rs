//! The files of a layer while its members are read, as unpacking them one after the other would leave
//! them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::entry::{Entry, Kind};
use super::path::LayerPath;
use super::tar_read::Member;
use super::tree::remove_below;
use super::whiteout::Whiteout;

/// An inode: hard links share it, and it outlives the path that it was made by.
pub(crate) type Inode<C> = Arc<Entry<C>>;

/// What stands at which path.
pub(crate) type Inodes<C> = BTreeMap<LayerPath, Inode<C>>;

/// How many symlinks are followed for one path: as many as Linux does (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// An entry below something that is no directory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is below {above}, which is a {noun}")]
pub(super) struct BelowOther {
    pub(super) path: LayerPath,
    above: LayerPath,
    noun: &'static str,
}

/// A member where unpacking would put it: with the symlinks above it followed, inside the root, as
/// far as they are in its own layer. Runtimes unpack each layer by itself and mount one over the
/// other (containerd and Docker with overlayfs, podman), so that what stands below a symlink of a
/// layer further down takes the symlink's place, as a directory. Only what a hard link leads to is
/// looked for in all layers. Gives its path back when there are too many to follow.
pub(super) fn landed<C>(
    mut member: Member,
    upper: &Inodes<C>,
    merged: &Inodes<C>,
) -> Result<Member, LayerPath> {
    let none = Inodes::new();
    let follow =
        |path: &LayerPath, last| landing(path, upper, &none, last).ok_or_else(|| path.clone());
    match &mut member.whiteout {
        Some(Whiteout::Path(path)) => *path = follow(path, false)?,
        Some(Whiteout::Below(directory)) => *directory = follow(directory, true)?,
        None => member.path = follow(&member.path, false)?,
    }
    if let Kind::Hardlink(target) = &mut member.entry.kind {
        let near = follow(target, false)?;
        let is_near = upper.contains_key(&near) || merged.contains_key(&near);
        *target = match is_near {
            true => near,
            false => landing(target, upper, merged, false).ok_or_else(|| target.clone())?,
        };
    }
    Ok(member)
}

/// A path with the symlinks above it followed, and on request one that it is itself.
fn landing<C>(
    path: &LayerPath,
    upper: &Inodes<C>,
    merged: &Inodes<C>,
    last: bool,
) -> Option<LayerPath> {
    let link = |path: &[u8]| match &upper.get(path).or_else(|| merged.get(path))?.kind {
        Kind::Symlink(target) => Some(target),
        _ => None,
    };
    let is_followed = path.ancestors().any(|above| link(above).is_some());
    let is_link = last && link(path.as_bytes()).is_some();
    if !is_followed && !is_link {
        return Some(path.clone());
    }
    let mut followed = 0;
    let mut at = LayerPath::root();
    let mut names: Vec<&[u8]> = path.names().rev().collect();
    while let Some(name) = names.pop() {
        match name {
            b"" | b"." => continue,
            b".." => {
                at = at.parent().unwrap_or_default();
                continue;
            }
            _ => {}
        }
        let next = at.join(&LayerPath::parse(name).ok()?).ok()?;
        match link(next.as_bytes()) {
            Some(target) if last || !names.is_empty() => {
                followed += 1;
                if followed > MAX_LINKS {
                    return None;
                }
                if target.starts_with(b"/") {
                    at = LayerPath::root();
                }
                names.extend(target.rsplit(|byte| *byte == b'/'));
            }
            _ => at = next,
        }
    }
    Some(at)
}

/// Puts an inode at a path as unpacking would: it replaces what is there, and all that is below
/// it unless both are directories.
pub(super) fn put<C>(
    inodes: &mut Inodes<C>,
    path: LayerPath,
    inode: Inode<C>,
) -> Result<(), BelowOther> {
    let blocked = path
        .ancestors()
        .filter_map(|above| inodes.get_key_value(above))
        .find(|(_, inode)| !inode.is_directory());
    if let Some((above, other)) = blocked {
        return Err(BelowOther {
            above: above.clone(),
            noun: other.kind.noun(),
            path,
        });
    }
    if !inode.is_directory() {
        remove_below(inodes, &path);
    }
    inodes.insert(path, inode);
    Ok(())
}
