//! What a sandbox is made of, where root makes it: files of root, shown to whom the sandbox runs as
//! as if they were theirs, in a place that only the sandbox sees.
//!
//! What they write belongs to root on the disk again, as what is unpacked does, so nothing changes
//! owners. File systems that cannot show other owners (those in containers, mostly) have ohoci's own
//! directories given away instead; others it leaves alone.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use ohoci_layer::Directory;
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags, mount, move_mount, open_tree};

use super::host_user::{HostUser, last_ids, shown_as};
use super::kernel;
use super::limiter::kernel_is_at_least;
use super::mount_attributes::show_owners;
use super::remove::is_private;

/// Where what a sandbox is made of is mounted, for the sandbox alone: the first of these that is
/// there and does not hold bubblewrap itself.
const PLACES: [&str; 4] = ["/mnt", "/tmp", "/srv", "/run"];

/// What may help where a file system cannot show other owners.
const HINT: &str = "as root ohoci runs programs as another user, whom files of root have to be shown to: use a directory on ext4, XFS, Btrfs or tmpfs and Linux 5.19 or later, mount it with `:ro`, or run ohoci as the ordinary user who owns it";

/// What a source is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Something to look at.
    ReadOnly,
    /// Something to write to.
    Writable,
    /// A part of an overlay.
    Layer,
}

/// Why a sandbox could not be prepared.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what}: {error}")]
pub struct PrepareError {
    pub(super) what: String,
    #[source]
    pub(super) error: io::Error,
    pub(super) hint: Option<&'static str>,
}

impl PrepareError {
    pub(super) fn new(what: impl Into<String>, error: impl Into<io::Error>) -> Self {
        Self {
            what: what.into(),
            error: error.into(),
            hint: None,
        }
    }
}

/// A place in which sources are mounted. The thread that makes it has to last as long as what it is
/// for.
#[derive(Debug)]
pub(super) struct Staging {
    place: &'static str,
    user: HostUser,
    /// Whether overlays can be of such mounts.
    layers_show_owners: bool,
    sources: Vec<(OwnedFd, PathBuf)>,
}

impl Staging {
    /// Gives the calling thread mounts of its own.
    pub(super) fn new(user: HostUser, bubblewrap: &Path) -> Result<Self, PrepareError> {
        kernel::own_mounts().map_err(|errno| PrepareError {
            hint: Some("in a container, that container has to be started with the right to make namespaces; or run ohoci as an ordinary user"),
            ..PrepareError::new("make mounts for the sandbox alone", errno)
        })?;
        let place = PLACES
            .into_iter()
            .find(|place| Path::new(place).is_dir() && !bubblewrap.starts_with(place))
            .unwrap_or("/tmp");
        Ok(Self {
            place,
            user,
            layers_show_owners: kernel_is_at_least((5, 19)),
            sources: Vec::new(),
        })
    }

    /// Takes a source, and says where it is going to be. What is beneath it comes along.
    pub(super) fn take(&mut self, source: &Path, used: Use) -> Result<PathBuf, PrepareError> {
        let what = || format!("show {} inside", source.display());
        let failed = |errno: Errno| PrepareError::new(what(), errno);
        let clone = |further: OpenTreeFlags| {
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            open_tree(CWD, source, flags | further)
        };
        let metadata =
            fs_err::metadata(source).map_err(|error| PrepareError::new(what(), error))?;
        let tree = clone(OpenTreeFlags::AT_RECURSIVE).map_err(failed)?;
        let taken = PathBuf::from(format!("{}/{}", self.place, self.sources.len()));
        if metadata.uid() != self.user.user {
            let namespace = shown((metadata.uid(), metadata.gid()), self.user)
                .map_err(|error| PrepareError::new(what(), error))?;
            let show = |all| show_owners(tree.as_fd(), namespace.as_fd(), all);
            let shown = if used == Use::Layer && !self.layers_show_owners {
                Err(Errno::OPNOTSUPP)
            } else {
                // Where only what is mounted below cannot show other owners, it does not.
                show(true).or_else(|_| show(false))
            };
            if let Err(errno) = shown {
                if is_private(source) {
                    give(source, self.user).map_err(|error| PrepareError::new(what(), error))?;
                } else if used != Use::ReadOnly {
                    return Err(PrepareError {
                        hint: Some(HINT),
                        ..failed(errno)
                    });
                }
            }
        }
        self.sources.push((tree, taken.clone()));
        Ok(taken)
    }

    /// Mounts all that was taken.
    pub(super) fn mount(&self) -> Result<(), PrepareError> {
        let failed =
            |error: io::Error| PrepareError::new("mount what the sandbox is made of", error);
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount("tmpfs", self.place, "tmpfs", flags, c"mode=0711,size=1m")
            .map_err(|errno| failed(errno.into()))?;
        for (tree, place) in &self.sources {
            let stat = rustix::fs::fstat(tree).map_err(|errno| failed(errno.into()))?;
            match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
                rustix::fs::FileType::Directory => fs_err::create_dir(place),
                _ => fs_err::write(place, ""),
            }
            .map_err(failed)?;
            let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
            move_mount(tree, c"", CWD, place, flags).map_err(|errno| failed(errno.into()))?;
        }
        Ok(())
    }
}

/// The user namespace that says how to show an owner as another, made once.
fn shown((owner, group): (u32, u32), user: HostUser) -> io::Result<Arc<OwnedFd>> {
    type Namespaces = HashMap<(u32, u32), Arc<OwnedFd>>;
    static MADE: Mutex<Option<Namespaces>> = Mutex::new(None);
    let mut made = MADE.lock();
    let made = made.get_or_insert_default();
    if let Some(found) = made.get(&(owner, group)) {
        return Ok(Arc::clone(found));
    }
    let [last_user, last_group] = last_ids();
    let users = shown_as(owner, user.user, last_user);
    let groups = shown_as(group, user.group, last_group);
    let namespace = Arc::new(kernel::user_namespace(users.as_bytes(), groups.as_bytes())?);
    made.insert((owner, group), Arc::clone(&namespace));
    Ok(namespace)
}

/// Gives a directory of ohoci's own away, with all that is in it. Programs may have run in there.
fn give(directory: &Path, user: HostUser) -> io::Result<()> {
    let directory = Directory::open(directory)?;
    let mut waiting = vec![PathBuf::new()];
    while let Some(path) = waiting.pop() {
        directory.set_owner(&path, user.uid(), user.gid())?;
        if directory
            .find(&path)?
            .is_some_and(|found| found.is_directory())
        {
            let names = directory.list(&path)?;
            waiting.extend(names.into_iter().map(|name| path.join(name)));
        }
    }
    Ok(())
}
