//! A directory of this machine, put into directories one over the other: all of it lands in the
//! topmost, and nothing of it goes through a symlink.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RawMode, fchmod, fstat, openat, renameat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use ohoci_layer::Directory;
use ohoci_layer::beneath::Found;
use ohoci_layer::limits::Budget;

use super::merged::{Merged, Node, child, copy_attributes, dates};
use super::merged_copy::{Copied, DEEPEST, MODE, named, too_deep};
use super::merged_make::make_over;
use super::replacement::{another_name, put};

impl Merged {
    /// Puts everything that a directory has into the one at a path without symlinks. What is there
    /// already stays, but for files and symlinks of the same names, each of which is replaced as a whole.
    /// New directories have the permissions of those that they are copied from.
    ///
    /// # Errors
    /// When something cannot be read or made, is a directory in one of them and not in the other, or
    /// comes to more than the budget; what was put there until then stays.
    pub(crate) fn put(&self, from: &Directory, path: &Path, budget: &Budget) -> io::Result<Copied> {
        let Node::Directory(stack) = self.find(path)? else {
            return Err(Errno::NOTDIR.into());
        };
        let to = self.copied_up(path)?;
        let mut put = Put {
            copied: Copied::default(),
            at: path.to_owned(),
            budget,
        };
        put.directory(from, &stack, &to, 0)?;
        Ok(put.copied)
    }
}

struct Put<'a> {
    copied: Copied,
    /// Where it is, for messages.
    at: PathBuf,
    budget: &'a Budget,
}

impl Put<'_> {
    fn directory(
        &mut self,
        from: &Directory,
        stack: &[Arc<OwnedFd>],
        to: &OwnedFd,
        depth: usize,
    ) -> io::Result<()> {
        for name in from.list("")? {
            self.at.push(&name);
            let found = from.find(&name)?;
            let found = found.ok_or_else(|| self.failed(Errno::NOENT))?;
            let there = child(stack, &name).map_err(|errno| self.failed(errno))?;
            if !found.is_directory() {
                self.other(from, (&name, found), there.as_ref(), to)?;
            } else if depth < DEEPEST {
                let below = match there {
                    None => Vec::new(),
                    Some(Node::Directory(below)) => below,
                    Some(Node::Other { .. }) => {
                        let why = "something that is no directory is in its place";
                        return Err(self.failed(io::Error::other(why)));
                    }
                };
                self.count(&name)?;
                let made = self
                    .make(to, &name, &below, found)
                    .map_err(|errno| self.failed(errno))?;
                self.directory(&from.directory(&name)?, &below, &made, depth + 1)?;
            } else {
                return Err(self.failed(too_deep()));
            }
            self.at.pop();
        }
        Ok(())
    }

    /// The directory of the topmost layer, which is made where it is missing: as it is below, or as the
    /// one that it is copied from.
    fn make(
        &self,
        to: &OwnedFd,
        name: &OsStr,
        below: &[Arc<OwnedFd>],
        found: Found,
    ) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(to, name, flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            opened => return opened,
        }
        let made = make_over(to, name, Mode::RWXU)?;
        match below.first() {
            Some(below) => copy_attributes(&fstat(below)?, made.as_fd())?,
            None => fchmod(&made, Mode::from_raw_mode(RawMode::from(found.mode & MODE)))?,
        }
        Ok(made)
    }

    fn other(
        &mut self,
        from: &Directory,
        (name, found): (&OsStr, Found),
        there: Option<&Node>,
        to: &OwnedFd,
    ) -> io::Result<()> {
        if matches!(there, Some(Node::Directory(_))) {
            return Err(self.failed(io::Error::other("a directory is in its place")));
        }
        match found.kind {
            FileType::RegularFile => {
                self.budget.take_bytes(found.size)?;
                let mut file = from.open_file(name)?;
                let dates = dates(&fstat(&file).map_err(|errno| self.failed(errno))?);
                put(to, name, &mut file, (found.mode, Some(dates)))
                    .map_err(|error| self.failed(error))?;
                self.copied.bytes = self.copied.bytes.saturating_add(found.size);
            }
            FileType::Symlink => {
                let target = from.read_link(name)?;
                let other = another_name();
                symlinkat(target, to, &other)
                    .and_then(|()| renameat(to, &other, to, name))
                    .map_err(|errno| {
                        // What went wrong is told already.
                        let _ = unlinkat(to, &other, AtFlags::empty());
                        self.failed(errno)
                    })?;
            }
            _ => {
                self.copied.left_out += 1;
                return Ok(());
            }
        }
        self.count(name)
    }

    fn count(&mut self, name: &OsStr) -> io::Result<()> {
        self.copied.entries += 1;
        self.budget.take_entry(name.len() as u64)
    }

    /// The same error with the path that it is about.
    fn failed(&self, error: impl Into<io::Error>) -> io::Error {
        named(&self.at, &error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merged::OPAQUE;
    use ohoci_layer::limits::UnpackLimits;
    use rustix::fs::{CWD, getxattr, mknodat};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt, symlink};

    struct Scene(tempfile::TempDir);

    impl Scene {
        /// A directory to be put, and two layers that it is put into.
        fn new() -> Self {
            let scene = Self(tempfile::tempdir().unwrap());
            for path in ["from/new/deep", "from/both", "low/both", "low/gone", "top"] {
                fs_err::create_dir_all(scene.at(path)).unwrap();
            }
            for (path, text) in [
                ("from/new/deep/file", "new"),
                ("from/both/file", "over"),
                ("low/both/file", "low"),
                ("low/both/kept", "kept"),
                ("low/gone/old", "old"),
            ] {
                fs_err::write(scene.at(path), text).unwrap();
            }
            scene
        }

        fn at(&self, path: &str) -> PathBuf {
            self.0.path().join(path)
        }

        fn put(&self, limits: UnpackLimits) -> io::Result<Copied> {
            let merged = Merged::open([self.at("top"), self.at("low")]).unwrap();
            let from = Directory::open(&self.at("from")).unwrap();
            merged.put(&from, Path::new("/"), &Budget::new(limits))
        }

        fn shows(&self, path: &str) -> Option<String> {
            let merged = Merged::open([self.at("top"), self.at("low")]).unwrap();
            let mut text = String::new();
            let (_, node) = merged.resolve(Path::new(path)).ok()?;
            let mut file = std::fs::File::from(node.open().unwrap());
            io::Read::read_to_string(&mut file, &mut text).unwrap();
            Some(text)
        }
    }

    #[test]
    fn what_is_in_both_is_replaced_and_what_else_is_there_stays() {
        let scene = Scene::new();
        let mode = PermissionsExt::from_mode(0o4711);
        fs_err::set_permissions(scene.at("from/new/deep/file"), mode).unwrap();
        let mode = PermissionsExt::from_mode(0o750);
        fs_err::set_permissions(scene.at("from/new"), mode).unwrap();
        symlink("/etc/passwd", scene.at("from/new/link")).unwrap();
        let pipe = scene.at("from/pipe");
        mknodat(CWD, pipe, FileType::Fifo, Mode::RUSR, 0).unwrap();
        let copied = scene.put(UnpackLimits::default()).unwrap();
        let expected = Copied {
            entries: 6,
            bytes: 7,
            left_out: 1,
        };
        assert_eq!(copied, expected);
        assert_eq!(scene.shows("/both/file").unwrap(), "over");
        assert_eq!(scene.shows("/both/kept").unwrap(), "kept");
        assert_eq!(scene.shows("/new/deep/file").unwrap(), "new");
        let found = |path: &str| fs_err::symlink_metadata(scene.at(path)).unwrap();
        assert_eq!(found("top/new/deep/file").mode() & 0o7777, 0o711);
        assert_eq!(found("top/new").mode() & 0o7777, 0o750);
        let date = |path: &str| found(path).modified().unwrap();
        assert_eq!(date("top/both/file"), date("from/both/file"));
        let target = fs_err::read_link(scene.at("top/new/link")).unwrap();
        assert_eq!(target, Path::new("/etc/passwd"));
        let low = fs_err::read_to_string(scene.at("low/both/file")).unwrap();
        assert_eq!(low, "low");
        // And again, over what was put.
        assert_eq!(scene.put(UnpackLimits::default()).unwrap(), expected);
        assert_eq!(fs_err::read_dir(scene.at("top/new")).unwrap().count(), 2);
    }

    #[test]
    fn nothing_goes_through_a_link_that_is_there() {
        let scene = Scene::new();
        fs_err::create_dir(scene.at("outside")).unwrap();
        symlink(scene.at("outside"), scene.at("top/new")).unwrap();
        let said = scene.put(UnpackLimits::default()).unwrap_err().to_string();
        assert_eq!(said, "/new: something that is no directory is in its place");
        fs_err::remove_file(scene.at("top/new")).unwrap();
        // A link in a file's place is replaced, not followed. What comes before was put.
        fs_err::remove_file(scene.at("top/both/file")).unwrap();
        fs_err::write(scene.at("outside/file"), "outside").unwrap();
        symlink(scene.at("outside/file"), scene.at("top/both/file")).unwrap();
        scene.put(UnpackLimits::default()).unwrap();
        assert_eq!(scene.shows("/both/file").unwrap(), "over");
        let kept = fs_err::read_to_string(scene.at("outside/file")).unwrap();
        assert_eq!(kept, "outside");
        fs_err::remove_file(scene.at("top/both/file")).unwrap();
        fs_err::create_dir(scene.at("top/both/file")).unwrap();
        let said = scene.put(UnpackLimits::default()).unwrap_err().to_string();
        assert_eq!(said, "/both/file: a directory is in its place");
    }

    #[test]
    fn what_was_removed_inside_does_not_come_back_below_what_is_put() {
        let scene = Scene::new();
        let device = FileType::CharacterDevice;
        mknodat(CWD, scene.at("top/gone"), device, Mode::empty(), 0).unwrap();
        fs_err::create_dir(scene.at("from/gone")).unwrap();
        fs_err::write(scene.at("from/gone/new"), "new").unwrap();
        scene.put(UnpackLimits::default()).unwrap();
        assert_eq!(scene.shows("/gone/new").unwrap(), "new");
        assert_eq!(scene.shows("/gone/old"), None);
        let mut value = [0; 8];
        let length = getxattr(scene.at("top/gone"), OPAQUE, value.as_mut_slice()).unwrap();
        assert_eq!(value[..length], *b"y");
    }

    #[test]
    fn no_more_is_put_than_is_allowed() {
        let scene = Scene::new();
        let standard = UnpackLimits::default();
        for limits in [
            UnpackLimits {
                bytes: 6,
                ..standard
            },
            UnpackLimits {
                entries: 4,
                ..standard
            },
        ] {
            assert!(scene.put(limits).is_err(), "{limits:?}");
        }
        let deep = vec!["d"; DEEPEST + 1].join("/");
        fs_err::create_dir_all(scene.at("from").join(deep)).unwrap();
        let said = scene.put(standard).unwrap_err().to_string();
        assert!(said.ends_with("directories deep"), "{said}");
    }
}
