//! What is looked at before a sandbox starts.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use ohoci_layer::Directory;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fchown, fstat, fstatfs, openat2};
use rustix::io::Errno;

use super::Launch;
use crate::answers::MOST_PORTS;
use crate::description::Network;
use crate::host_user::HostUser;
use crate::remove::{is_private, others_can_reach};
use crate::staging::PrepareError;

/// What the kernel calls the file system of pipes without names (`linux/magic.h`).
const PIPEFS: i64 = 0x5049_5045;

/// The setuid and setgid bits.
const SET_ID: u32 = 0o6000;

impl Launch {
    /// Refuses ports to be answered on that no network of the sandbox's own has.
    pub(super) fn check_ports(&self) -> Result<(), PrepareError> {
        let why = match self.ports.len() {
            0 => return Ok(()),
            _ if self.sandbox.network != Network::DeadEnd => {
                "only a network that leads nowhere is answered from outside"
            }
            count if count > MOST_PORTS => "there are too many",
            _ => return Ok(()),
        };
        Err(PrepareError::new(
            "answer on ports of a sandbox",
            io::Error::other(why),
        ))
    }

    /// What can be written inside, and is not in a directory that ohoci made for itself alone.
    pub(super) fn written(&self) -> Vec<&Path> {
        let root =
            Some(&self.sandbox.root).filter(|_| self.sandbox.writable && self.overlay.is_none());
        let binds = self.sandbox.binds.iter().filter(|bind| bind.writable);
        let written = binds.map(|bind| &bind.source).chain(root);
        written
            .map(PathBuf::as_path)
            .filter(|path| !is_private(path))
            .collect()
    }

    /// Refuses to let a file be changed that others on this machine could then run with rights that
    /// are not theirs: one that has a setuid or setgid bit already. A program cannot set these bits
    /// itself there, and what it writes takes them away, but not what it changes by a mapping.
    pub(super) fn check_set_ids(&self) -> Result<(), PrepareError> {
        let written = self.written();
        for path in &written {
            if !others_can_reach(path, &written) {
                continue;
            }
            let found = set_id_below(path).map_err(|error| {
                PrepareError::new(format!("look through {}", path.display()), error)
            })?;
            if let Some(found) = found {
                let why = format!(
                    "others on this machine can run {}, which has the setuid or setgid bit and could be changed inside",
                    found.display()
                );
                return Err(PrepareError {
                    hint: Some(
                        "have them not enter a directory above it (chmod 700), take the bit away, or let it be read only (--read-only, :ro)",
                    ),
                    ..PrepareError::new(
                        format!("let {} be written", path.display()),
                        io::Error::other(why),
                    )
                });
            }
        }
        Ok(())
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

    /// Pipes and terminals belong to whoever made them, and only they can open them once more by
    /// `/dev/stdout`.
    pub(super) fn give_streams(&self, user: HostUser) {
        for stream in self.all_streams() {
            // A named one is a file of this machine.
            let is_pipe = fstatfs(stream).is_ok_and(|found| found.f_type == PIPEFS);
            if is_pipe || self.has_terminal {
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

/// A file at or below a path that has a setuid or setgid bit and belongs to whom the path does.
fn set_id_below(path: &Path) -> io::Result<Option<PathBuf>> {
    let metadata = fs_err::symlink_metadata(path)?;
    let owner = metadata.uid();
    if !metadata.is_dir() {
        let has_bit = metadata.is_file() && metadata.mode() & SET_ID != 0;
        return Ok(has_bit.then(|| path.to_owned()));
    }
    let directory = Directory::open(path)?;
    let mut waiting = vec![PathBuf::new()];
    while let Some(below) = waiting.pop() {
        for name in directory.list(&below)? {
            let below = below.join(name);
            match directory.find(&below)? {
                Some(found) if found.is_directory() => waiting.push(below),
                Some(found)
                    if found.is_regular_file()
                        && found.owner == owner
                        && found.mode & SET_ID != 0 =>
                {
                    return Ok(Some(path.join(below)));
                }
                _ => {}
            }
        }
    }
    Ok(None)
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
