//! Removes a directory with all that is in it, by descriptors.

use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, fstat, renameat, statat, unlinkat,
};
use rustix::io::Errno;

use super::{names_in, open, set_mode};

/// How many directories are open at a time, one in the other. What lies deeper is brought up first:
/// a program can nest directories deeper than a process may have open files.
const DEPTH: usize = 32;
/// How many names are held in memory at a time.
const NAMES: usize = 4096;
/// How many names are tried for what is brought up.
const ATTEMPTS: usize = 1000;

/// Removes what has a name in a directory.
pub(super) fn remove(above: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<()> {
    if unlink(above, name)? {
        return Ok(());
    }
    let top = enter(above, name)?;
    let mut brought = 0;
    empty(&top, &top, 0, &mut brought)?;
    unlinkat(above, name, AtFlags::REMOVEDIR)
}

/// Removes anything but a directory; `false` where it is one.
fn unlink(above: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<bool> {
    let is_directory = || {
        statat(above, name, AtFlags::SYMLINK_NOFOLLOW)
            .map(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
    };
    // Asked first: some file systems let root unlink a directory.
    if is_directory()? {
        return Ok(false);
    }
    match unlinkat(above, name, AtFlags::empty()) {
        // It has become a directory meanwhile.
        Err(Errno::ISDIR | Errno::PERM) if is_directory()? => Ok(false),
        done => done.map(|()| true),
    }
}

/// Opens a directory, which its owner may be kept from reading and changing; not any longer.
fn enter(above: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    let opened = |flags| {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let flags = flags | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        open(above, Path::new(name), flags, Mode::empty(), resolve)
    };
    let named = opened(OFlags::PATH)?;
    let mode = fstat(&named)?.st_mode & 0o7777;
    if mode & 0o700 != 0o700 {
        // Where it is another user's, what follows says why it cannot be.
        let _ = set_mode(named.as_fd(), mode | 0o700);
    }
    opened(OFlags::RDONLY)
}

/// Removes all that is in a directory.
fn empty(
    directory: &OwnedFd,
    top: &OwnedFd,
    depth: usize,
    brought: &mut usize,
) -> rustix::io::Result<()> {
    loop {
        let names = names_in(directory.as_fd(), NAMES)?;
        if names.is_empty() {
            return Ok(());
        }
        for name in &names {
            match remove_entry(directory, name, top, depth, brought) {
                // Another process was quicker.
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

fn remove_entry(
    directory: &OwnedFd,
    name: &OsStr,
    top: &OwnedFd,
    depth: usize,
    brought: &mut usize,
) -> rustix::io::Result<()> {
    if unlink(directory.as_fd(), name)? {
        return Ok(());
    }
    if depth < DEPTH {
        let child = enter(directory.as_fd(), name)?;
        empty(&child, top, depth + 1, brought)?;
        return unlinkat(directory, name, AtFlags::REMOVEDIR);
    }
    // To be moved it has to be writable: what it says of its parent changes.
    drop(enter(directory.as_fd(), name)?);
    for _ in 0..ATTEMPTS {
        *brought += 1;
        let new = format!(".ohoci-removed-{brought}");
        // Nothing of that name may be there: a directory that is empty would be replaced, which
        // does no harm here, and anything else is an error.
        match renameat(directory, name, top, &new) {
            Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
            moved => return moved,
        }
    }
    Err(Errno::EXIST)
}
