//! How the first process of a run comes into its control groups.
//!
//! Moving a process from outside takes the kernel ten milliseconds and more: it waits until no processor is
//! forking. A process that is made in a group (version 2), or that has one thread and moves itself (version
//! 1), waits for nothing, and nothing that it starts can be outside.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{CWD, Mode, OFlags, openat};

/// The control groups of a run, opened for a process that is to be in them.
#[derive(Debug, Default)]
pub(super) struct Joining {
    /// Of version 1: files that take in whichever thread writes to them.
    tasks: Vec<OwnedFd>,
    /// Of version 2: the group itself, and the file that takes numbers of processes.
    unified: Option<(OwnedFd, PathBuf)>,
}

impl Joining {
    /// Opens them by their directories.
    pub(super) fn open(groups: &[PathBuf]) -> io::Result<Self> {
        let mut joining = Self::default();
        for group in groups {
            // Only version 1 has them.
            let tasks = group.join("tasks");
            if tasks.exists() {
                let file = fs_err::OpenOptions::new().write(true).open(tasks)?;
                joining.tasks.push(file.into_file().into());
            } else {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let directory = openat(CWD, group, flags, Mode::empty())?;
                joining.unified = Some((directory, group.join("cgroup.procs")));
            }
        }
        Ok(joining)
    }

    /// Moves the calling process, which has one thread, into those of version 1. Only makes calls of the
    /// kernel, see [`kernel`](super::kernel).
    pub(super) fn join(&self) -> rustix::io::Result<()> {
        for tasks in &self.tasks {
            // Not its number, which the kernel would have to look for, and wait.
            rustix::io::write(tasks, b"0")?;
        }
        Ok(())
    }

    /// The group of version 2 that a process can be made in.
    pub(super) fn unified(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref().map(|(group, _)| group.as_fd())
    }

    /// What has to take the process in from outside, because it could not be made in the group: that of
    /// version 2, whose kernel may be too old for it (Linux 5.7), or the process has become a user who may
    /// not write there.
    pub(super) fn left(&self) -> io::Result<Option<fs_err::File>> {
        let open = |(_, procs): &(OwnedFd, PathBuf)| {
            fs_err::OpenOptions::new().write(true).open(procs.as_path())
        };
        self.unified.as_ref().map(open).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_is_joined_in_its_way() {
        let groups = tempfile::tempdir().unwrap();
        let [first, second] = ["first", "second"].map(|name| groups.path().join(name));
        for (group, files) in [
            (&first, &["cgroup.procs", "tasks"][..]),
            (&second, &["cgroup.procs"]),
        ] {
            fs_err::create_dir(group).unwrap();
            for file in files {
                fs_err::write(group.join(file), "").unwrap();
            }
        }
        let joining = Joining::open(&[first.clone(), second.clone()]).unwrap();
        joining.join().unwrap();
        assert_eq!(fs_err::read(first.join("tasks")).unwrap(), b"0");
        assert!(joining.unified().is_some());
        let left = joining.left().unwrap().unwrap();
        assert_eq!(left.path(), second.join("cgroup.procs"));
        assert!(Joining::open(&[first]).unwrap().left().unwrap().is_none());
    }
}
