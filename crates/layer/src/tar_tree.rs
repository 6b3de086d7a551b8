//! A whole tar as a tree.

use std::io::Read;

use super::entry::{Entry, Kind};
use super::spool::{Spool, SpoolError};
use super::tar_read::{Member, TarError, TarReader};
use super::tree::{Rules, Tree};

/// Reads the members of a tar to its end into a tree, file contents into `spool`.
///
/// What a package may not hold is refused with the member at fault: a path twice, anything below
/// what is no directory, absolute paths, whiteouts, devices, pipes, and hard links that lead to
/// nothing. `refuse` says what else is.
///
/// # Errors
/// See [`TarError`].
pub fn read_tree<R: Read>(
    reader: &mut TarReader<R>,
    spool: &mut Spool,
    mut refuse: impl FnMut(&Member) -> Option<String>,
) -> Result<Tree, TarError> {
    let mut tree: Tree = Tree::new();
    while let Some(member) = reader.next_member()? {
        if let Some(reason) = unfit(&member)
            .map(str::to_owned)
            .or_else(|| refuse(&member))
        {
            return Err(member.refused(reason));
        }
        if let Kind::Hardlink(target) = &member.entry.kind
            && !matches!(
                tree.get(target).map(|entry| &entry.kind),
                Some(Kind::File(_) | Kind::Hardlink(_))
            )
        {
            return Err(member.refused(format!(
                "it is a hard link to {target}, which is no file before it"
            )));
        }
        let entry: Entry = spool
            .take(&member.entry, reader)
            .map_err(|error| match error {
                SpoolError::Read(error) => TarError::Io(error),
                SpoolError::Write(error) => TarError::Io(std::io::Error::new(
                    error.kind(),
                    format!("cannot spool file contents: {error}"),
                )),
            })?;
        if member.path.is_root() {
            // What holds the package is no part of it.
            continue;
        }
        let path = member.path.clone();
        if let Err(error) = tree.insert(path, entry, Rules::Strict) {
            return Err(member.refused(error.to_string()));
        }
    }
    spool.finish()?;
    Ok(tree)
}

fn unfit(member: &Member) -> Option<&'static str> {
    if member.is_absolute {
        return Some("its path is absolute");
    }
    if member.whiteout.is_some() {
        return Some("it would remove what other layers have");
    }
    match member.entry.kind {
        Kind::CharDevice(_) | Kind::BlockDevice(_) => Some("it is a device"),
        Kind::Fifo => Some("it is a named pipe"),
        _ => None,
    }
}
