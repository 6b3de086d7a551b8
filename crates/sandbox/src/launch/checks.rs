//! What is looked at before a sandbox starts.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fchown, fstat, openat2};
use rustix::io::Errno;

use super::Launch;
use crate::host_user::HostUser;
use crate::remove::others_can_reach;
use crate::staging::PrepareError;

impl Launch {
    /// Whether others on this machine can reach files that can be written inside.
    pub(super) fn is_exposed(&self) -> bool {
        let root =
            Some(&self.sandbox.root).filter(|_| self.sandbox.writable && self.overlay.is_none());
        let binds = self.sandbox.binds.iter();
        binds
            .filter(|bind| bind.writable)
            .map(|bind| &bind.source)
            .chain(root)
            .any(|path| others_can_reach(path))
    }

    /// The standard streams, as they are going to be.
    fn all_streams(&self) -> [BorrowedFd<'_>; 3] {
        let [input, output, error] = &self.streams;
        [
            (input, rustix::stdio::stdin()),
            (output, rustix::stdio::stdout()),
            (error, rustix::stdio::stderr()),
        ]
        .map(|(given, own)| given.as_ref().map_or(own, OwnedFd::as_fd))
    }

    /// A directory as a standard stream would open this machine's files to whoever has it.
    pub(super) fn check_streams(&self) -> Result<(), PrepareError> {
        let names = ["standard input", "standard output", "standard error"];
        for (stream, name) in self.all_streams().into_iter().zip(names) {
            if fstat(stream)
                .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
            {
                return Err(PrepareError::new(
                    format!("hand on {name}"),
                    io::Error::other("it is a directory"),
                ));
            }
        }
        Ok(())
    }

    /// Pipes belong to whoever made them, and only they can open them once more by `/dev/stdout`.
    pub(super) fn give_pipes(&self, user: HostUser) {
        for stream in self.all_streams() {
            let is_pipe = fstat(stream)
                .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo);
            if is_pipe {
                // What then cannot be opened still can be written to.
                let _ = fchown(stream, Some(user.uid()), Some(user.gid()));
            }
        }
    }

    /// Where mount points are left to bubblewrap, which would follow symlinks: none may be there.
    /// Nothing that could put one there runs by then.
    pub(super) fn check_mount_points(&self) -> Result<(), PrepareError> {
        let written = match &self.overlay {
            Some(overlay) => overlay.upper(),
            None => self.sandbox.root.clone(),
        };
        let root = rustix::fs::open(
            &written,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|errno| PrepareError::new(format!("open {}", written.display()), errno))?;
        for path in self.sandbox.mount_points() {
            let found = openat2(
                &root,
                path.strip_prefix("/").unwrap_or(path),
                OFlags::PATH | OFlags::CLOEXEC,
                Mode::empty(),
                ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
            );
            match found {
                Ok(_) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(mount_point(path, errno)),
            }
        }
        Ok(())
    }
}

/// Why nothing can be mounted at a path.
pub(super) fn mount_point(path: &Path, errno: Errno) -> PrepareError {
    let what = format!("mount over {}", path.display());
    match errno {
        Errno::LOOP => PrepareError {
            hint: Some("a program that ran in it before may have put it there"),
            ..PrepareError::new(
                what,
                io::Error::other("there is a symlink on the way to it"),
            )
        },
        errno => PrepareError::new(what, errno),
    }
}
