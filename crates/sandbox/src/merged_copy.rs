//! Directories one over the other, copied as an overlay of them would show them: for machines that mount
//! none, and for whoever wants them outside.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Stat, chmodat, fchmod, fstat, futimens, linkat, mkdirat,
    mknodat, openat, readlinkat, symlinkat, utimensat,
};
use rustix::io::Errno;

use ohoci_layer::limits::Budget;

use super::merged::{Merged, Node, child, dates, names_in};
use super::sparse;

/// Permission bits that are copied: setuid and setgid would lend the rights of whoever copies.
pub(super) const MODE: u32 = 0o1777;

/// How deep directories may be nested: what a program has left may be deeper than a thread's stack.
pub(super) const DEEPEST: usize = 256;

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Directories below the one that was asked for, files, links and named pipes.
    pub entries: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Sockets and devices, which are of no use in a copy.
    pub left_out: u64,
}

impl Merged {
    /// Copies what is in the directory at a path without symlinks into one of this machine, which is
    /// empty. Permissions but for setuid and setgid, dates, holes and hard links stay, symlinks are copied
    /// as they are, and the kernel shares the bytes where the file system can (copy_file_range(2)).
    /// Everything belongs to whoever copies.
    ///
    /// # Errors
    /// When something cannot be copied, or comes to more than the budget; what was copied until then
    /// stays.
    pub fn copy_into(&self, path: &Path, to: &Path, budget: &Budget) -> io::Result<Copied> {
        let Node::Directory(from) = self.find(path)? else {
            return Err(Errno::NOTDIR.into());
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let to = Arc::new(openat(CWD, to, flags, Mode::empty())?);
        let mut copy = Copy {
            linked: HashMap::new(),
            copied: Copied::default(),
            at: path.to_owned(),
            budget,
        };
        copy.directory(&from, &to, 0)?;
        Ok(copy.copied)
    }

    /// Copies everything into a directory that is made for it.
    ///
    /// # Errors
    /// As [`copy_into`](Self::copy_into).
    pub(crate) fn copy_to(&self, directory: &Path) -> io::Result<()> {
        mkdirat(CWD, directory, Mode::RWXU)?;
        self.copy_into(Path::new("/"), directory, &Budget::unlimited())
            .map(drop)
    }
}

struct Copy<'a> {
    /// Where files with several names were copied to first, by device and number.
    linked: HashMap<(u64, u64), (Arc<OwnedFd>, OsString)>,
    copied: Copied,
    /// Where it is, for messages.
    at: PathBuf,
    budget: &'a Budget,
}

impl Copy<'_> {
    fn directory(
        &mut self,
        from: &[Arc<OwnedFd>],
        to: &Arc<OwnedFd>,
        depth: usize,
    ) -> io::Result<()> {
        for name in names_in(from).map_err(|errno| self.failed(errno))? {
            self.at.push(&name);
            let node = child(from, &name).map_err(|errno| self.failed(errno))?;
            match &node {
                None => {}
                Some(Node::Directory(stack)) => {
                    let made = self.make(to, &name, depth)?;
                    self.directory(stack, &made, depth + 1)?;
                }
                Some(Node::Other { holder, name, stat }) => {
                    let node = node.as_ref();
                    self.other((holder, name, stat), node, to)
                        .map_err(|error| self.failed(error))?;
                }
            }
            self.at.pop();
        }
        // Last: what is made in it changes its date, and one that may not be written takes nothing.
        let topmost = from.first().ok_or(Errno::NOENT)?;
        fstat(topmost)
            .and_then(|stat| give_attributes(&stat, to.as_fd()))
            .map_err(|errno| self.failed(errno))
    }

    fn make(&mut self, to: &OwnedFd, name: &OsStr, depth: usize) -> io::Result<Arc<OwnedFd>> {
        if depth >= DEEPEST {
            return Err(self.failed(too_deep()));
        }
        self.count(name)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made =
            mkdirat(to, name, Mode::RWXU).and_then(|()| openat(to, name, flags, Mode::empty()));
        made.map(Arc::new).map_err(|errno| self.failed(errno))
    }

    fn count(&mut self, name: &OsStr) -> io::Result<()> {
        self.copied.entries += 1;
        self.budget.take_entry(name.len() as u64)
    }

    #[expect(
        clippy::useless_conversion,
        reason = "the fields' widths differ between architectures"
    )]
    fn other(
        &mut self,
        (holder, name, stat): (&OwnedFd, &OsStr, &Stat),
        node: Option<&Node>,
        to: &Arc<OwnedFd>,
    ) -> io::Result<()> {
        let inode = (u64::from(stat.st_dev), u64::from(stat.st_ino));
        if let Some((known, first)) = self.linked.get(&inode) {
            linkat(known, first, to, name, AtFlags::empty())?;
            return self.count(name);
        }
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let size = u64::try_from(stat.st_size).unwrap_or_default();
                self.budget.take_bytes(size)?;
                let node = node.ok_or(Errno::NOENT)?;
                copy_file(node, to.as_fd(), name, (stat, size))?;
                self.copied.bytes = self.copied.bytes.saturating_add(size);
            }
            FileType::Symlink => {
                symlinkat(readlinkat(holder, name, Vec::new())?, to, name)?;
                utimensat(to, name, &dates(stat), AtFlags::SYMLINK_NOFOLLOW)?;
            }
            FileType::Fifo => {
                let mode = Mode::from_raw_mode(stat.st_mode & MODE);
                mknodat(to, name, FileType::Fifo, mode, 0)?;
                chmodat(to, name, mode, AtFlags::empty())?;
                utimensat(to, name, &dates(stat), AtFlags::SYMLINK_NOFOLLOW)?;
            }
            _ => {
                self.copied.left_out += 1;
                return Ok(());
            }
        }
        if stat.st_nlink > 1 {
            self.linked.insert(inode, (Arc::clone(to), name.to_owned()));
        }
        self.count(name)
    }

    /// The same error with the path that it is about.
    fn failed(&self, error: impl Into<io::Error>) -> io::Error {
        named(&self.at, &error.into())
    }
}

/// An error with the path that it is about.
pub(super) fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// That directories are nested deeper than is copied.
pub(super) fn too_deep() -> io::Error {
    io::Error::other(format!("it is more than {DEEPEST} directories deep"))
}

fn copy_file(
    node: &Node,
    to: BorrowedFd<'_>,
    name: &OsStr,
    (stat, size): (&Stat, u64),
) -> io::Result<()> {
    let from = std::fs::File::from(node.open()?);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = std::fs::File::from(openat(to, name, flags, Mode::RUSR | Mode::WUSR)?);
    sparse::copy(&from, &file, size)?;
    Ok(give_attributes(stat, file.as_fd())?)
}

fn give_attributes(from: &Stat, to: BorrowedFd<'_>) -> rustix::io::Result<()> {
    fchmod(to, Mode::from_raw_mode(from.st_mode & MODE))?;
    futimens(to, &dates(from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ohoci_layer::limits::UnpackLimits;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt};

    #[test]
    fn a_copy_is_what_an_overlay_would_show() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |path: &str| scratch.path().join(path);
        for path in ["low/kept", "low/sub/gone", "top/sub"] {
            fs_err::create_dir_all(at(path)).unwrap();
        }
        fs_err::write(at("low/sub/one"), "one").unwrap();
        fs_err::set_permissions(at("low/sub/one"), PermissionsExt::from_mode(0o4750)).unwrap();
        fs_err::hard_link(at("low/sub/one"), at("low/two")).unwrap();
        fs_err::os::unix::fs::symlink("sub/one", at("top/link")).unwrap();
        let device = FileType::CharacterDevice;
        mknodat(CWD, at("top/sub/gone"), device, Mode::empty(), 0).unwrap();
        mknodat(
            CWD,
            at("top/socket"),
            FileType::Socket,
            Mode::from_raw_mode(0o777),
            0,
        )
        .unwrap();
        let merged = Merged::open([at("top"), at("low")]).unwrap();
        merged.copy_to(&at("copy")).unwrap();
        let names = |path: &str| {
            let mut names: Vec<_> = fs_err::read_dir(at(path))
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect();
            names.sort();
            names
        };
        assert_eq!(names("copy"), ["kept", "link", "sub", "two"]);
        assert_eq!(names("copy/sub"), ["one"]);
        assert_eq!(fs_err::read_to_string(at("copy/link")).unwrap(), "one");
        let found = |path: &str| fs_err::metadata(at(path)).unwrap();
        assert_eq!(found("copy/two").ino(), found("copy/sub/one").ino());
        assert_ne!(found("copy/two").ino(), found("low/two").ino());
        assert_eq!(found("copy/two").mode() & 0o7777, 0o750);

        fs_err::create_dir(at("part")).unwrap();
        let copied = merged
            .copy_into(Path::new("/sub"), &at("part"), &Budget::unlimited())
            .unwrap();
        let expected = Copied {
            entries: 1,
            bytes: 3,
            left_out: 0,
        };
        assert_eq!((copied, names("part")), (expected, vec!["one".into()]));
        let all = |limits| {
            fs_err::remove_dir_all(at("part")).unwrap();
            fs_err::create_dir(at("part")).unwrap();
            merged.copy_into(Path::new("/"), &at("part"), &Budget::new(limits))
        };
        let standard = UnpackLimits::default();
        assert_eq!(all(standard).unwrap().left_out, 1);
        for limits in [
            UnpackLimits {
                bytes: 2,
                ..standard
            },
            UnpackLimits {
                entries: 2,
                ..standard
            },
        ] {
            assert!(all(limits).is_err(), "{limits:?}");
        }
    }

    #[test]
    fn what_is_too_deep_is_refused_and_named() {
        let scratch = tempfile::tempdir().unwrap();
        let low = scratch.path().join("low");
        fs_err::create_dir_all(low.join(vec!["d"; DEEPEST + 1].join("/"))).unwrap();
        let merged = Merged::open([low]).unwrap();
        let said = merged.copy_to(&scratch.path().join("copy")).unwrap_err();
        assert!(said.to_string().starts_with("/d/d/"), "{said}");
    }
}
