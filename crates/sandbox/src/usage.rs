//! What a run has written, measured from outside: by descriptors, following no link, at a bounded
//! cost.

use std::collections::HashSet;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fstat, fstatvfs, open, openat, statat};
use rustix::io::Errno;
use rustix::process::Pid;

use super::limits::Exceeded;
use super::open_files::{self, taken};

/// How deep directories are followed, each of which takes a descriptor.
const DEPTH: usize = 128;

/// How long a measurement may take before a run. Where it takes longer, what its file system has left
/// is looked at instead.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What a file system keeps when a run is stopped, where it has more: bytes, and files.
const RESERVE: u64 = 256 << 20;
const RESERVED_FILES: u64 = 1000;

/// A directory that a run writes to, and what was there before.
#[derive(Debug)]
pub(super) struct Written {
    directory: OwnedFd,
    disk: Option<u64>,
    inodes: Option<u64>,
    before: Measured,
    space_before: Space,
    /// The first process of what writes to it now, 0 where nothing does.
    writer: AtomicI32,
}

/// Files and what they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Measured {
    bytes: u64,
    inodes: u64,
    /// Whether something could not be looked into.
    is_partial: bool,
}

/// What a file system has left for users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Space {
    bytes: u64,
    /// `None` where their number is not limited.
    files: Option<u64>,
}

impl Written {
    /// The time between two looks that take none.
    pub(super) const PAUSE: Duration = Duration::from_millis(100);

    /// Looks at what is there before a run.
    ///
    /// # Errors
    /// When it is no directory that can be looked into.
    pub(super) fn open(path: &Path, disk: Option<u64>, inodes: Option<u64>) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = open(path, flags, Mode::empty())?;
        let space_before = Space::of(&directory)?;
        let before = measure(&directory, Instant::now().checked_add(TIMEOUT), |_| false)?;
        Ok(Self {
            directory,
            disk,
            inodes,
            before,
            space_before,
            writer: AtomicI32::new(0),
        })
    }

    /// From now on the nameless files of this process and of what it starts count, too; of none any
    /// more with `None`.
    pub(super) fn is_written_by(&self, first: Option<Pid>) {
        self.writer.store(Pid::as_raw(first), Ordering::Relaxed);
    }

    /// Whether more was written than may be, and after which time to look again: so that looking
    /// takes a tenth of one processor's time at most.
    pub(super) fn look(&self) -> (Option<Exceeded>, Duration) {
        let started = Instant::now();
        let found = self.exceeded();
        (found, Self::PAUSE.max(started.elapsed().saturating_mul(10)))
    }

    fn exceeded(&self) -> Option<Exceeded> {
        // What cannot be looked at any more is measured by what its file system has lost.
        let space = Space::of(&self.directory).ok()?;
        if space.is_scarce(&self.space_before) {
            return Some(Exceeded::Space);
        }
        let lost = self.space_before.bytes.saturating_sub(space.bytes);
        let lost_files = match (self.space_before.files, space.files) {
            (Some(before), Some(now)) => before.saturating_sub(now),
            _ => 0,
        };
        if self.before.is_partial {
            return self.over(lost, lost_files);
        }
        let is_over = |now: &Measured| {
            let (bytes, inodes) = self.growth(now);
            self.over(bytes, inodes).is_some()
        };
        let now = measure(&self.directory, None, is_over).unwrap_or(Measured {
            is_partial: true,
            ..Measured::default()
        });
        let (bytes, inodes) = self.growth(&now);
        let nameless = Pid::from_raw(self.writer.load(Ordering::Relaxed))
            .map(open_files::of_processes)
            .unwrap_or_default();
        let bytes = bytes.saturating_add(nameless.bytes);
        let inodes = inodes.saturating_add(nameless.inodes);
        match self.over(bytes, inodes) {
            None if now.is_partial => self.over(lost, lost_files),
            found => found,
        }
    }

    fn growth(&self, now: &Measured) -> (u64, u64) {
        (
            now.bytes.saturating_sub(self.before.bytes),
            now.inodes.saturating_sub(self.before.inodes),
        )
    }

    fn over(&self, bytes: u64, inodes: u64) -> Option<Exceeded> {
        let over = |used: u64, limit: Option<u64>| limit.filter(|limit| used > *limit);
        over(bytes, self.disk)
            .map(Exceeded::Disk)
            .or_else(|| over(inodes, self.inodes).map(Exceeded::Inodes))
    }
}

impl Space {
    fn of(directory: &OwnedFd) -> io::Result<Self> {
        let found = fstatvfs(directory)?;
        Ok(Self {
            bytes: found.f_bavail.saturating_mul(found.f_frsize),
            files: (found.f_files > 0).then_some(found.f_favail),
        })
    }

    /// Whether so little is left that others would come to harm.
    fn is_scarce(&self, before: &Self) -> bool {
        let is_below = |left: u64, before: u64, reserve: u64| left < reserve.min(before / 2);
        is_below(self.bytes, before.bytes, RESERVE)
            || match (self.files, before.files) {
                (Some(left), Some(before)) => is_below(left, before, RESERVED_FILES),
                _ => false,
            }
    }
}

/// Adds up what is below a directory, on its own file system; files with several names once. Stops
/// at the deadline, with what there is by then, and when `is_enough`.
fn measure(
    directory: &OwnedFd,
    deadline: Option<Instant>,
    is_enough: impl Fn(&Measured) -> bool,
) -> io::Result<Measured> {
    let device = fstat(directory)?.st_dev;
    let mut all = Measured::default();
    let mut known = HashSet::new();
    // A new description: the place in it is not to be shared with others that look.
    let mut stack = vec![Dir::new(enter(directory, c".")?)?];
    while let Some(top) = stack.last_mut() {
        if deadline.is_some_and(|deadline| Instant::now() > deadline) {
            all.is_partial = true;
            break;
        }
        let Some(entry) = top.read() else {
            stack.pop();
            if is_enough(&all) {
                break;
            }
            continue;
        };
        let entry = match entry {
            Ok(entry) => entry,
            Err(_) => {
                all.is_partial = true;
                stack.pop();
                continue;
            }
        };
        let name = entry.file_name();
        if [c".", c".."].contains(&name) {
            continue;
        }
        let here = top.fd()?;
        let status = match statat(here, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(status) => status,
            Err(error) => {
                all.is_partial |= error != Errno::NOENT;
                continue;
            }
        };
        if status.st_dev != device {
            continue;
        }
        let is_directory = FileType::from_raw_mode(status.st_mode).is_dir();
        if is_directory || status.st_nlink < 2 || known.insert(status.st_ino) {
            all.inodes = all.inodes.saturating_add(1);
            all.bytes = all.bytes.saturating_add(taken(&status));
        }
        if !is_directory {
            continue;
        }
        if stack.len() >= DEPTH {
            all.is_partial = true;
            continue;
        }
        let Some(parent) = stack.last() else { break };
        match enter(parent.fd()?, name).and_then(Dir::new) {
            Ok(below) => stack.push(below),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            Err(_) => all.is_partial = true,
        }
    }
    Ok(all)
}

fn enter(parent: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent.as_fd(), name, flags, Mode::empty())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn watched(disk: Option<u64>, inodes: Option<u64>) -> (tempfile::TempDir, Written) {
        let directory = tempfile::tempdir().unwrap();
        fs_err::create_dir(directory.path().join("old")).unwrap();
        fs_err::write(directory.path().join("old/file"), vec![1; 1 << 20]).unwrap();
        let written = Written::open(directory.path(), disk, inodes).unwrap();
        (directory, written)
    }

    #[test]
    fn what_was_there_before_does_not_count() {
        let (directory, written) = watched(Some(1 << 20), Some(3));
        assert_eq!(written.look().0, None);
        fs_err::write(directory.path().join("old/new"), vec![1; 512 << 10]).unwrap();
        assert_eq!(written.look().0, None);
        fs_err::write(directory.path().join("newer"), vec![1; 1 << 20]).unwrap();
        assert_eq!(written.look().0, Some(Exceeded::Disk(1 << 20)));
    }

    #[test]
    fn files_are_counted_whatever_they_are_and_those_with_several_names_once() {
        let (directory, written) = watched(None, Some(3));
        let at = |name: &str| directory.path().join(name);
        fs_err::create_dir(at("a")).unwrap();
        fs_err::os::unix::fs::symlink("/", at("b")).unwrap();
        fs_err::write(at("c"), "").unwrap();
        fs_err::hard_link(at("c"), at("a/c")).unwrap();
        assert_eq!(written.look().0, None);
        fs_err::write(at("d"), "").unwrap();
        assert_eq!(written.look().0, Some(Exceeded::Inodes(3)));
    }

    #[test]
    fn what_cannot_be_looked_into_is_known_to_be_missing() {
        let (directory, _) = watched(None, None);
        let deep: std::path::PathBuf = std::iter::repeat_n("d", DEPTH + 2).collect();
        fs_err::create_dir_all(directory.path().join(deep)).unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let root = open(directory.path(), flags, Mode::empty()).unwrap();
        assert!(measure(&root, None, |_| false).unwrap().is_partial);
        let (directory, _) = watched(None, None);
        let old = directory.path().join("old");
        fs_err::set_permissions(&old, PermissionsExt::from_mode(0o000)).unwrap();
        let root = open(directory.path(), flags, Mode::empty()).unwrap();
        let is_root = rustix::process::geteuid().is_root();
        let found = measure(&root, None, |_| false).unwrap();
        assert_eq!(found.is_partial, !is_root);
        fs_err::set_permissions(&old, PermissionsExt::from_mode(0o700)).unwrap();
    }

    #[test]
    fn a_disk_that_is_almost_full_is_noticed() {
        let space = |bytes, files| Space { bytes, files };
        let plenty = space(10 << 30, Some(1 << 20));
        assert!(!plenty.is_scarce(&plenty));
        assert!(space(200 << 20, None).is_scarce(&plenty));
        assert!(space(1 << 30, Some(10)).is_scarce(&plenty));
        let little = space(100 << 20, Some(100));
        assert!(!little.is_scarce(&little));
        assert!(space(40 << 20, Some(100)).is_scarce(&little));
    }
}
