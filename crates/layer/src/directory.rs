//! Reads a directory on disk into a tree.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FileType;

use super::beneath::{Directory, Found};
use super::entry::{Content, Entry, Kind};
use super::path::{LayerPath, MAX_PATH};
use super::tree::{Rules, Tree};
use super::whiteout;

/// The attribute that holds file capabilities: without it, such a program no longer works.
const CAPABILITY: &str = "security.capability";

/// A directory's tree.
#[derive(Debug)]
pub struct DirectoryTree {
    /// The tree; its root entry has the directory's mode.
    pub tree: Tree,
    /// What was left out, and why, for a person.
    pub notes: Vec<String>,
}

/// Whether something of a directory becomes part of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// It does.
    Yes,
    /// It does not, and nothing below it is looked at.
    No,
    /// A directory, where something below it does.
    ForContent,
}

impl From<bool> for Wanted {
    fn from(is_wanted: bool) -> Self {
        match is_wanted {
            true => Self::Yes,
            false => Self::No,
        }
    }
}

/// Why a directory cannot become a layer.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Something in it cannot be in a layer.
    #[error("{path}: {reason}", path = .path.display())]
    Unfit {
        /// Where it is.
        path: PathBuf,
        /// Why it cannot.
        reason: String,
    },
}

/// Reads everything below `root`. Contents stay on disk until they are packed.
///
/// Everything belongs to root and is dated `mtime` (seconds since 1970), so that the tree does not
/// depend on who checked it out and when. Modes are kept, with setuid, setgid and sticky. Symlinks
/// stay symlinks, except that `root` itself may be one. Files with the same inode become hard
/// links. Of the extended attributes only `security.capability` is kept: others (`user.*`,
/// SELinux labels) describe this machine, not the software. Sockets are left out with a note.
///
/// # Errors
/// When something cannot be read, is a device, or has a name that a layer would take for a
/// whiteout.
pub fn read_directory(root: &Path, mtime: i64) -> Result<DirectoryTree, DirectoryError> {
    read_directory_of(root, mtime, &|_, _| Wanted::Yes)
}

/// The same, of what `wanted` says of a path, and of whether it is a directory.
///
/// # Errors
/// As [`read_directory`].
pub(crate) fn read_directory_of(
    root: &Path,
    mtime: i64,
    wanted: &dyn Fn(&LayerPath, bool) -> Wanted,
) -> Result<DirectoryTree, DirectoryError> {
    let opened = Arc::new(Directory::open(root)?);
    let mut tree = Tree::new();
    let mut notes = Vec::new();
    let mut for_content = Vec::new();
    let mut inodes: HashMap<(u64, u64), LayerPath> = HashMap::new();
    let directory = |mode| Entry {
        mtime,
        ..Entry::new(Kind::Directory, mode)
    };
    let own = found(&opened, Path::new(""))?;
    put(&mut tree, root, LayerPath::root(), directory(own.mode))?;
    let mut waiting = vec![(PathBuf::new(), LayerPath::root())];
    while let Some((above, in_layer)) = waiting.pop() {
        for name in opened.list(&above)? {
            let below = above.join(&name);
            let child = root.join(&below);
            let path = LayerPath::parse(name.as_bytes())
                .and_then(|name| in_layer.join(&name))
                .map_err(|error| unfit(&child, error.to_string()))?;
            let found = found(&opened, &below)?;
            match wanted(&path, found.is_directory()) {
                Wanted::Yes => {}
                Wanted::ForContent if found.is_directory() => for_content.push(path.clone()),
                Wanted::ForContent | Wanted::No => continue,
            }
            if whiteout::is_reserved(&path) {
                return Err(unfit(
                    &child,
                    "a name that begins with `.wh.` would remove files instead of adding one",
                ));
            }
            let kind = match found.kind {
                FileType::Directory => {
                    put(&mut tree, &child, path.clone(), directory(found.mode))?;
                    waiting.push((below, path));
                    continue;
                }
                FileType::Socket => {
                    notes.push(format!("{}: sockets are left out", child.display()));
                    continue;
                }
                FileType::CharacterDevice | FileType::BlockDevice => {
                    return Err(unfit(&child, "devices cannot be packed"));
                }
                other => other,
            };
            let known = inodes.get(&found.inode);
            let kind = if let Some(first) = known.filter(|_| found.links > 1) {
                Kind::Hardlink(first.clone())
            } else {
                match kind {
                    FileType::Symlink => Kind::Symlink(symlink_target(&opened, &below)?),
                    FileType::Fifo => Kind::Fifo,
                    _ => Kind::File(Content::File {
                        directory: Arc::clone(&opened),
                        path: below.clone(),
                        size: found.size,
                    }),
                }
            };
            if found.links > 1 {
                inodes.entry(found.inode).or_insert_with(|| path.clone());
            }
            let xattrs = match kind {
                Kind::File(_) => capabilities(&opened, &below)?,
                _ => BTreeMap::new(),
            };
            let entry = Entry {
                mtime,
                xattrs,
                ..Entry::new(kind, found.mode)
            };
            put(&mut tree, &child, path, entry)?;
        }
    }
    // From below, so that one that held only such directories goes, too.
    for_content.sort_unstable();
    for path in for_content.iter().rev() {
        tree.remove_empty(path);
    }
    Ok(DirectoryTree { tree, notes })
}

/// Reads a file as [`read_directory`] would, following symlinks to it.
///
/// # Errors
/// When it cannot be read or is no regular file.
pub fn read_file(path: &Path, mtime: i64) -> Result<Entry, DirectoryError> {
    let real = fs_err::canonicalize(path)?;
    let (Some(above), Some(name)) = (real.parent(), real.file_name()) else {
        return Err(unfit(path, "it is no file"));
    };
    let directory = Arc::new(Directory::open(above)?);
    let found = found(&directory, Path::new(name))?;
    if !found.is_regular_file() {
        return Err(unfit(path, "it is no regular file"));
    }
    let xattrs = capabilities(&directory, Path::new(name))?;
    let content = Content::File {
        path: PathBuf::from(name),
        size: found.size,
        directory,
    };
    Ok(Entry {
        mtime,
        xattrs,
        ..Entry::new(Kind::File(content), found.mode)
    })
}

fn found(directory: &Directory, path: &Path) -> io::Result<Found> {
    let gone = || {
        let path = directory.path().join(path);
        let why = format!("{} went away while it was read", path.display());
        io::Error::new(io::ErrorKind::NotFound, why)
    };
    directory.find(path)?.ok_or_else(gone)
}

fn unfit(path: &Path, reason: impl Into<String>) -> DirectoryError {
    DirectoryError::Unfit {
        path: path.to_owned(),
        reason: reason.into(),
    }
}

fn put(
    tree: &mut Tree,
    on_disk: &Path,
    path: LayerPath,
    entry: Entry,
) -> Result<(), DirectoryError> {
    tree.insert(path, entry, Rules::Strict)
        .map_err(|error| unfit(on_disk, error.to_string()))
}

fn symlink_target(directory: &Directory, path: &Path) -> Result<Vec<u8>, DirectoryError> {
    let target = directory.read_link(path)?;
    if target.len() > MAX_PATH {
        return Err(unfit(
            &directory.path().join(path),
            "its target is too long",
        ));
    }
    Ok(target)
}

fn capabilities(
    directory: &Directory,
    path: &Path,
) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, DirectoryError> {
    let value = directory.attribute(path, CAPABILITY)?;
    Ok(value
        .map(|value| (CAPABILITY.into(), value))
        .into_iter()
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn read(root: &Path) -> DirectoryTree {
        read_directory(root, 7).unwrap()
    }

    #[test]
    fn a_directory_that_becomes_a_symlink_before_it_is_packed_is_not_followed() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let directory = root.path().join("directory");
        fs_err::create_dir(&directory).unwrap();
        for at in [directory.as_path(), outside.path()] {
            fs_err::write(at.join("file"), "same length").unwrap();
        }
        let found = read(root.path());
        let entry = found.tree.get(&path("directory/file")).unwrap().clone();
        let Kind::File(content) = entry.kind else {
            panic!("it is a file");
        };
        content.open().unwrap();
        fs_err::rename(&directory, root.path().join("moved")).unwrap();
        fs_err::os::unix::fs::symlink(outside.path(), &directory).unwrap();
        assert!(content.open().is_err());
    }

    fn path(raw: &str) -> LayerPath {
        LayerPath::parse(raw.as_bytes()).unwrap()
    }

    #[test]
    fn a_directory_becomes_a_tree() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs_err::create_dir(at("bin")).unwrap();
        fs_err::write(at("bin/tool"), b"#!").unwrap();
        fs_err::set_permissions(at("bin/tool"), PermissionsExt::from_mode(0o4755)).unwrap();
        fs_err::hard_link(at("bin/tool"), at("bin/alias")).unwrap();
        fs_err::os::unix::fs::symlink("/nowhere", at("link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();

        let DirectoryTree { tree, notes } = read(root.path());
        let paths: Vec<_> = tree.iter().map(|(path, _)| path.to_string()).collect();
        assert_eq!(paths, ["/", "/bin", "/bin/alias", "/bin/tool", "/link"]);
        assert_eq!(notes.len(), 1);
        assert!(notes[0].contains("socket"));
        let alias = tree.get(&path("bin/alias")).unwrap();
        assert!(matches!(&alias.kind, Kind::File(content) if content.size() == 2));
        assert_eq!(
            (alias.mode, alias.uid, alias.gid, alias.mtime),
            (0o4755, 0, 0, 7)
        );
        let tool = tree.get(&path("bin/tool")).unwrap();
        assert!(matches!(&tool.kind, Kind::Hardlink(to) if *to == path("bin/alias")));
        let link = tree.get(&path("link")).unwrap();
        assert!(matches!(&link.kind, Kind::Symlink(to) if to == b"/nowhere"));
    }

    #[test]
    fn a_link_out_of_the_directory_is_not_followed() {
        let outside = tempfile::tempdir().unwrap();
        fs_err::write(outside.path().join("secret"), b"secret").unwrap();
        let root = tempfile::tempdir().unwrap();
        let link = root.path().join("out");
        fs_err::os::unix::fs::symlink(outside.path(), &link).unwrap();
        assert_eq!(read(root.path()).tree.len(), 2);
        assert_eq!(read(&link).tree.len(), 2, "the root itself may be a link");
    }

    #[test]
    fn names_that_would_be_whiteouts_are_refused() {
        for name in [".wh.passwd", ".wh..wh..opq"] {
            let root = tempfile::tempdir().unwrap();
            fs_err::write(root.path().join(name), b"").unwrap();
            let error = read_directory(root.path(), 0).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn names_need_not_be_utf8() {
        let root = tempfile::tempdir().unwrap();
        let name = std::ffi::OsStr::from_bytes(b"\xff\xfe");
        fs_err::write(root.path().join(name), b"").unwrap();
        let tree = read(root.path()).tree;
        assert!(tree.get(&LayerPath::parse(b"\xff\xfe").unwrap()).is_some());
    }
}
