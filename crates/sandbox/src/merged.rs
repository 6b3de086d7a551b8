//! Directories one over the other, seen as an overlay of them would show them, without a mount.
//!
//! What the kernel takes for a whiteout and for an opaque directory is taken for one here, too
//! (Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories").

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, Timestamps, fchmod, fstat, futimens, mkdirat,
    openat, readlinkat, statat,
};
use rustix::io::Errno;

use super::clean_path::cleaned;

/// Says that a directory hides what lies below it, where an ordinary user mounts (`userxattr`).
pub const OPAQUE: &str = "user.overlay.opaque";

/// How many symlinks are followed for one path: as many as Linux does (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// Directories one over the other.
#[derive(Debug)]
pub struct Merged {
    layers: Vec<Arc<OwnedFd>>,
}

/// What stands at a path.
#[derive(Debug)]
pub enum Node {
    /// A directory: all those that it is merged of, topmost first.
    Directory(Vec<Arc<OwnedFd>>),
    /// Anything else.
    Other {
        /// The directory that holds it.
        holder: Arc<OwnedFd>,
        /// What it is called there.
        name: OsString,
        /// What it is.
        stat: Stat,
    },
}

impl Node {
    /// What it is; a directory as its topmost layer has it.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn stat(&self) -> rustix::io::Result<Stat> {
        match self {
            Self::Directory(layers) => fstat(layers.first().ok_or(Errno::NOENT)?),
            Self::Other { stat, .. } => Ok(*stat),
        }
    }

    /// Opens it to be read, a symlink never.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(&self) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        match self {
            Self::Directory(layers) => openat(
                layers.first().ok_or(Errno::NOENT)?,
                ".",
                flags | OFlags::DIRECTORY,
                Mode::empty(),
            ),
            Self::Other { holder, name, .. } => {
                openat(holder, name, flags | OFlags::NOFOLLOW, Mode::empty())
            }
        }
    }
}

impl Merged {
    /// Opens directories, topmost first.
    ///
    /// # Errors
    /// When one is not there.
    pub fn open(layers: impl IntoIterator<Item = PathBuf>) -> io::Result<Self> {
        let open = |path: PathBuf| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            openat(CWD, &path, flags, Mode::empty())
                .map(Arc::new)
                .map_err(|errno| {
                    let error = io::Error::from(errno);
                    let message = format!("cannot open {}: {error}", path.display());
                    io::Error::new(error.kind(), message)
                })
        };
        let layers = layers.into_iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { layers })
    }

    /// What stands at a path, with symlinks followed inside, and that path without them.
    ///
    /// # Errors
    /// `NOENT` when there is nothing, `NOTDIR` below something that is no directory, `LOOP` behind
    /// too many symlinks, and whatever looking costs.
    pub fn resolve(&self, path: &Path) -> rustix::io::Result<(PathBuf, Node)> {
        self.walk(path, true)
    }

    /// What stands at a path itself: no symlink is followed, and none may be in the way.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub fn find(&self, path: &Path) -> rustix::io::Result<Node> {
        self.walk(path, false).map(|(_, node)| node)
    }

    fn walk(&self, path: &Path, follow: bool) -> rustix::io::Result<(PathBuf, Node)> {
        let mut stacks = vec![self.layers.clone()];
        let mut at = PathBuf::from("/");
        let mut names = names_of(path);
        let mut followed = 0;
        while let Some(name) = names.pop() {
            if name == ".." {
                if stacks.len() > 1 {
                    stacks.pop();
                    at.pop();
                }
                continue;
            }
            let stack = stacks.last().ok_or(Errno::NOENT)?;
            match child(stack, &name)?.ok_or(Errno::NOENT)? {
                Node::Directory(stack) => {
                    stacks.push(stack);
                    at.push(name);
                }
                Node::Other { holder, name, stat } => {
                    let kind = FileType::from_raw_mode(stat.st_mode);
                    if kind != FileType::Symlink || (!follow && names.is_empty()) {
                        return match names.is_empty() {
                            true => {
                                at.push(&name);
                                Ok((at, Node::Other { holder, name, stat }))
                            }
                            false => Err(Errno::NOTDIR),
                        };
                    }
                    followed += 1;
                    if !follow || followed > MAX_LINKS {
                        return Err(Errno::LOOP);
                    }
                    let target = readlinkat(&holder, &name, Vec::new())?.into_bytes();
                    let target = PathBuf::from(OsString::from_vec(target));
                    if target.is_absolute() {
                        stacks.truncate(1);
                        at = PathBuf::from("/");
                    }
                    names.extend(names_of(&target));
                }
            }
        }
        let stack = stacks.pop().ok_or(Errno::NOENT)?;
        Ok((at, Node::Directory(stack)))
    }

    /// The directory at a path in the topmost layer, which is made there, and those above it, as
    /// the layers below have them. The path has no symlinks, and in all layers together there is a
    /// directory.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn copied_up(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let top = self.layers.first().ok_or(Errno::NOENT)?;
        let mut upper = openat(top, ".", flags, Mode::empty())?;
        let mut stack = self.layers.clone();
        for component in cleaned(path).components() {
            let Component::Normal(name) = component else {
                continue;
            };
            let Some(Node::Directory(next)) = child(&stack, name)? else {
                return Err(Errno::NOTDIR);
            };
            upper = match openat(&upper, name, flags, Mode::empty()) {
                Err(Errno::NOENT) => {
                    mkdirat(&upper, name, Mode::RWXU)?;
                    let made = openat(&upper, name, flags, Mode::empty())?;
                    let below = next.first().ok_or(Errno::NOENT)?;
                    copy_attributes(&fstat(below)?, made.as_fd())?;
                    made
                }
                opened => opened?,
            };
            stack = next;
        }
        Ok(upper)
    }
}

/// The names of a path, last first, without those that say nothing.
fn names_of(path: &Path) -> Vec<OsString> {
    let names = path
        .components()
        .rev()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        });
    names.collect()
}

/// What a merged directory holds under a name.
///
/// # Errors
/// When it cannot be looked at.
pub fn child(stack: &[Arc<OwnedFd>], name: &OsStr) -> rustix::io::Result<Option<Node>> {
    let mut directories = Vec::new();
    for layer in stack {
        let stat = match statat(layer, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => continue,
            found => found?,
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let directory = openat(layer, name, flags, Mode::empty())?;
                let is_opaque = is_opaque(directory.as_fd())?;
                directories.push(Arc::new(directory));
                if is_opaque {
                    break;
                }
            }
            // A whiteout.
            FileType::CharacterDevice if stat.st_rdev == 0 => break,
            _ if directories.is_empty() => {
                return Ok(Some(Node::Other {
                    holder: Arc::clone(layer),
                    name: name.to_owned(),
                    stat,
                }));
            }
            _ => break,
        }
    }
    Ok((!directories.is_empty()).then_some(Node::Directory(directories)))
}

/// The names in a merged directory, sorted.
///
/// # Errors
/// When it cannot be read.
pub fn names_in(stack: &[Arc<OwnedFd>]) -> rustix::io::Result<Vec<OsString>> {
    let mut all = BTreeSet::new();
    for layer in stack {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(layer, ".", flags, Mode::empty())?;
        for entry in Dir::new(directory)? {
            let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
            if name != "." && name != ".." {
                all.insert(name);
            }
        }
    }
    Ok(all.into_iter().collect())
}

fn is_opaque(directory: BorrowedFd<'_>) -> rustix::io::Result<bool> {
    // What is open by name only has no attributes to be asked for (openat(2), `O_PATH`).
    let own_name = format!("/proc/self/fd/{}", directory.as_raw_fd());
    let mut value = [0; 8];
    match rustix::fs::getxattr(own_name, OPAQUE, value.as_mut_slice()) {
        Ok(length) => Ok(value.get(..length) == Some(b"y")),
        Err(Errno::NODATA | Errno::NOTSUP | Errno::RANGE | Errno::ACCESS) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Gives permissions and dates to what is open.
pub(super) fn copy_attributes(from: &Stat, to: BorrowedFd<'_>) -> rustix::io::Result<()> {
    fchmod(to, Mode::from_raw_mode(from.st_mode & 0o7777))?;
    futimens(to, &dates(from))
}

/// When something was read and changed last, to give the same dates to another.
#[expect(
    clippy::useless_conversion,
    reason = "the fields' widths differ between architectures"
)]
pub fn dates(stat: &Stat) -> Timestamps {
    let time = |seconds: i64, nanoseconds: u64| rustix::fs::Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanoseconds).unwrap_or_default(),
    };
    Timestamps {
        last_access: time(stat.st_atime, u64::from(stat.st_atime_nsec)),
        last_modification: time(stat.st_mtime, u64::from(stat.st_mtime_nsec)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{XattrFlags, mknodat, setxattr};

    /// Three layers with a whiteout, an opaque directory, a file over a directory, a directory over
    /// a file, and links.
    fn scene() -> (tempfile::TempDir, Merged) {
        let scratch = tempfile::tempdir().unwrap();
        let at = |path: &str| {
            let path = scratch.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            path
        };
        for (path, content) in [
            ("0/gone", ""),
            ("0/both/low", "0"),
            ("0/both/all", "0"),
            ("0/opaque/old", ""),
            ("0/file-later/x", ""),
            ("0/directory-later", ""),
            ("1/both/all", "1"),
            ("1/both/middle", "1"),
            ("1/opaque/new", ""),
            ("1/file-later", "1"),
            ("1/directory-later/y", ""),
            ("2/both/all", "2"),
        ] {
            fs_err::write(at(path), content).unwrap();
        }
        mknodat(
            CWD,
            at("1/gone"),
            FileType::CharacterDevice,
            Mode::empty(),
            0,
        )
        .unwrap();
        setxattr(at("1/opaque"), OPAQUE, b"y", XattrFlags::empty()).unwrap();
        fs_err::os::unix::fs::symlink("/both", at("0/link")).unwrap();
        fs_err::os::unix::fs::symlink("../../link/../both", at("2/up")).unwrap();
        fs_err::os::unix::fs::symlink("gone", at("2/dangling")).unwrap();
        let layers = ["2", "1", "0"].map(|layer| scratch.path().join(layer));
        let merged = Merged::open(layers).unwrap();
        (scratch, merged)
    }

    #[test]
    fn whiteouts_hide_and_directories_are_merged() {
        let (_scratch, merged) = scene();
        let found = |path: &str| match merged.resolve(Path::new(path)) {
            Ok((path, Node::Directory(_))) => format!("{}/", path.display()),
            Ok((path, Node::Other { .. })) => path.display().to_string(),
            Err(errno) => format!("{errno:?}"),
        };
        for (path, expected) in [
            (
                "/gone",
                "Os { code: 2, kind: NotFound, message: \"No such file or directory\" }",
            ),
            ("/both/low", "/both/low"),
            ("/both/middle", "/both/middle"),
            ("/opaque/new", "/opaque/new"),
            ("/file-later", "/file-later"),
            ("/directory-later/y", "/directory-later/y"),
            ("/link/low", "/both/low"),
            ("/up/low", "/both/low"),
            ("/up", "/both/"),
            ("/../..", "//"),
        ] {
            assert_eq!(found(path), expected, "{path}");
        }
        for (path, errno) in [
            ("/opaque/old", Errno::NOENT),
            ("/file-later/x", Errno::NOTDIR),
            ("/dangling", Errno::NOENT),
            ("/both/all/below", Errno::NOTDIR),
        ] {
            assert_eq!(
                merged.resolve(Path::new(path)).unwrap_err(),
                errno,
                "{path}"
            );
        }
        assert_eq!(
            merged.find(Path::new("/link/low")).unwrap_err(),
            Errno::LOOP
        );
        let Node::Directory(stack) = merged.find(Path::new("/both")).unwrap() else {
            panic!();
        };
        assert_eq!(names_in(&stack).unwrap(), ["all", "low", "middle"]);
    }

    #[test]
    fn what_is_copied_up_has_the_attributes_of_what_was_below() {
        use std::os::unix::fs::PermissionsExt as _;
        let (scratch, merged) = scene();
        let below = scratch.path().join("1/directory-later");
        fs_err::set_permissions(&below, std::fs::Permissions::from_mode(0o1750)).unwrap();
        merged.copied_up(Path::new("/directory-later")).unwrap();
        let made = fs_err::metadata(scratch.path().join("2/directory-later")).unwrap();
        assert_eq!(made.permissions().mode() & 0o7777, 0o1750);
        let expected = fs_err::metadata(below).unwrap().modified().unwrap();
        assert_eq!(made.modified().unwrap(), expected);
        let refused = merged.copied_up(Path::new("/file-later"));
        assert_eq!(refused.unwrap_err(), Errno::NOTDIR);
    }
}
