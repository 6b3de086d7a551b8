//! A copy of directories one over the other, for machines that mount no overlay.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Stat, chmodat, linkat, mkdirat, mknodat, openat,
    readlinkat, symlinkat, utimensat,
};
use rustix::io::Errno;

use super::merged::{Merged, Node, child, copy_attributes, dates, names_in};

impl Merged {
    /// Copies everything into a directory that is made for it: permissions, dates and hard links
    /// stay, and the kernel shares the bytes where the file system can (copy_file_range(2)).
    ///
    /// # Errors
    /// When something cannot be copied.
    pub(crate) fn copy_to(&self, directory: &Path) -> io::Result<()> {
        let Node::Directory(root) = self.find(Path::new("/"))? else {
            return Err(Errno::NOTDIR.into());
        };
        let mut copy = Copy {
            linked: HashMap::new(),
        };
        mkdirat(CWD, directory, Mode::RWXU)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let to = Arc::new(openat(CWD, directory, flags, Mode::empty())?);
        copy.directory(&root, &to)
    }
}

struct Copy {
    /// Where files with several names were copied to first, by device and number.
    linked: HashMap<(u64, u64), (Arc<OwnedFd>, OsString)>,
}

impl Copy {
    fn directory(&mut self, from: &[Arc<OwnedFd>], to: &Arc<OwnedFd>) -> io::Result<()> {
        for name in names_in(from)? {
            let Some(node) = child(from, &name)? else {
                continue;
            };
            match &node {
                Node::Directory(stack) => {
                    mkdirat(to, &name, Mode::RWXU)?;
                    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
                    let made = openat(to, &name, flags | OFlags::CLOEXEC, Mode::empty())?;
                    self.directory(stack, &Arc::new(made))?;
                }
                Node::Other { holder, name, stat } => self.other(holder, name, stat, &node, to)?,
            }
        }
        // Last: what is made in it changes its date, and one that may not be written takes nothing.
        let topmost = from.first().ok_or(Errno::NOENT)?;
        Ok(copy_attributes(&rustix::fs::fstat(topmost)?, to.as_fd())?)
    }

    #[expect(
        clippy::useless_conversion,
        reason = "the fields' widths differ between architectures"
    )]
    fn other(
        &mut self,
        holder: &OwnedFd,
        name: &OsStr,
        stat: &Stat,
        node: &Node,
        to: &Arc<OwnedFd>,
    ) -> io::Result<()> {
        let inode = (u64::from(stat.st_dev), u64::from(stat.st_ino));
        if let Some((known, first)) = self.linked.get(&inode) {
            return Ok(linkat(known, first, to, name, AtFlags::empty())?);
        }
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => copy_file(node, to.as_fd(), name, stat)?,
            FileType::Symlink => {
                symlinkat(readlinkat(holder, name, Vec::new())?, to, name)?;
                utimensat(to, name, &dates(stat), AtFlags::SYMLINK_NOFOLLOW)?;
            }
            FileType::Fifo => {
                let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
                mknodat(to, name, FileType::Fifo, mode, 0)?;
                chmodat(to, name, mode, AtFlags::empty())?;
                utimensat(to, name, &dates(stat), AtFlags::SYMLINK_NOFOLLOW)?;
            }
            // Sockets and devices are of no use in a copy.
            _ => return Ok(()),
        }
        if stat.st_nlink > 1 {
            self.linked.insert(inode, (Arc::clone(to), name.to_owned()));
        }
        Ok(())
    }
}

fn copy_file(node: &Node, to: BorrowedFd<'_>, name: &OsStr, stat: &Stat) -> io::Result<()> {
    let mut from = std::fs::File::from(node.open()?);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut file = std::fs::File::from(openat(to, name, flags, Mode::RUSR | Mode::WUSR)?);
    io::copy(&mut from, &mut file)?;
    Ok(copy_attributes(stat, file.as_fd())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn a_copy_is_what_an_overlay_would_show() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |path: &str| scratch.path().join(path);
        for path in ["low/kept", "low/sub/gone", "top/sub"] {
            fs_err::create_dir_all(at(path)).unwrap();
        }
        fs_err::write(at("low/sub/one"), "one").unwrap();
        fs_err::hard_link(at("low/sub/one"), at("low/two")).unwrap();
        fs_err::os::unix::fs::symlink("sub/one", at("top/link")).unwrap();
        let device = FileType::CharacterDevice;
        mknodat(CWD, at("top/sub/gone"), device, Mode::empty(), 0).unwrap();
        Merged::open([at("top"), at("low")])
            .unwrap()
            .copy_to(&at("copy"))
            .unwrap();
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
        let number = |path: &str| fs_err::metadata(at(path)).unwrap().ino();
        assert_eq!(number("copy/two"), number("copy/sub/one"));
        assert_ne!(number("copy/two"), number("low/two"));
    }
}
