//! What is mounted in the namespaces around a sandbox: its root file system, and what is put over it.
//!
//! This happens between fork and exec, so everything has a name that ends in a zero byte already,
//! and nothing is allocated, see [`kernel`](super::kernel).

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, mkdirat, openat2};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount, move_mount, open_tree,
};

use super::mount_attributes::set_attributes;
use super::report::{Failure, Step, at};

/// Namespaces for users, mounts and processes, and what is mounted in them.
#[derive(Debug)]
pub(super) struct Namespaces {
    /// The contents of `uid_map` and `gid_map`.
    pub(super) maps: [Vec<u8>; 2],
    /// Whether there is a network, too, from which no way leads on.
    pub(super) dead_end: bool,
    /// Where an overlay is mounted on `root` by these options.
    pub(super) overlay: Option<(CString, CString)>,
    /// The root file system.
    pub(super) root: CString,
    /// Whether it becomes read-only.
    pub(super) read_only: bool,
    /// What is put over it, what lies deeper later.
    pub(super) over: Vec<Over>,
    /// Most bytes of each file system in memory, if that is limited.
    pub(super) temporary_size: Option<CString>,
}

/// Something that is put over a root file system.
#[derive(Debug)]
pub(super) struct Over {
    /// Where: a path from the root, without the `/` at its beginning. No part of it may be a symlink.
    pub(super) destination: CString,
    /// What; an empty file system in memory where there is none.
    pub(super) source: Option<CString>,
    /// Whether that is a directory.
    pub(super) is_directory: bool,
    /// Whether it can be written.
    pub(super) writable: bool,
}

impl Namespaces {
    /// Mounts all of it, in the namespaces. Only makes calls of the kernel, see [`kernel`](super::kernel).
    pub(super) fn mount(&self) -> Result<(), Failure> {
        if let Some((directory, options)) = &self.overlay {
            rustix::process::chdir(directory.as_c_str())
                .and_then(|()| {
                    let flags = MountFlags::NOSUID | MountFlags::NODEV;
                    mount(c"overlay", c"root", c"overlay", flags, options.as_c_str())
                })
                .and_then(|()| rustix::process::chdir(c"/"))
                .map_err(at(Step::Overlay))?;
        }
        let path = &self.root;
        let open = || open_root(path).map_err(at(Step::Root));
        let mut root = open()?;
        if self.read_only {
            let flags = MountAttrFlags::MOUNT_ATTR_RDONLY;
            clone_tree(path, flags)
                .and_then(|tree| attach(&tree, root.as_fd()))
                .map_err(at(Step::Root))?;
            root = open()?;
        }
        for (position, over) in self.over.iter().enumerate() {
            let position = u8::try_from(position.min(253)).unwrap_or_default();
            over.mount(root.as_fd(), self.temporary_size.as_deref())
                .map_err(|(step, errno)| (step, position, errno))?;
        }
        // Bubblewrap mounts over these itself, and would follow symlinks.
        for (position, path) in OWN {
            match beneath(root.as_fd(), path, OFlags::PATH, Mode::empty()) {
                Ok(_) | Err(Errno::NOENT) => {}
                Err(errno) => return Err((Step::MountPoint, position, errno)),
            }
        }
        Ok(())
    }
}

/// What every sandbox has of its own, with the positions under which that is reported.
const OWN: [(u8, &CStr); 2] = [(254, c"proc"), (255, c"dev")];

/// Opens what is at a path from a root, if no part of the path is a symlink.
fn beneath(
    root: BorrowedFd<'_>,
    path: &CStr,
    flags: OFlags,
    mode: Mode,
) -> rustix::io::Result<OwnedFd> {
    let opened = openat2(
        root,
        path,
        flags | OFlags::CLOEXEC | OFlags::NOFOLLOW,
        mode,
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )?;
    // A symlink at its end is opened itself then.
    match FileType::from_raw_mode(rustix::fs::fstat(&opened)?.st_mode) {
        FileType::Symlink => Err(Errno::LOOP),
        _ => Ok(opened),
    }
}

fn open_root(path: &CStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

/// Mounts that are nowhere yet, of what is at a path and below it.
fn clone_tree(path: &CStr, further: MountAttrFlags) -> rustix::io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(CWD, path, flags)?;
    let set = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | further;
    set_attributes(tree.as_fd(), u64::from(set.bits()), None, true)?;
    Ok(tree)
}

fn attach(tree: &OwnedFd, place: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, c"", place, c"", flags)
}

impl Over {
    fn mount(
        &self,
        root: BorrowedFd<'_>,
        temporary_size: Option<&CStr>,
    ) -> Result<(), (Step, Errno)> {
        let tree = match &self.source {
            None => temporary(temporary_size),
            Some(source) => {
                let flags = match self.writable {
                    true => MountAttrFlags::empty(),
                    false => MountAttrFlags::MOUNT_ATTR_RDONLY,
                };
                clone_tree(source, flags)
            }
        }
        .map_err(|errno| (Step::Source, errno))?;
        let place = self
            .place(root)
            .map_err(|errno| (Step::MountPoint, errno))?;
        attach(&tree, place.as_fd()).map_err(|errno| (Step::Mount, errno))
    }

    /// Opens the mount point, and makes it where it is missing.
    fn place(&self, root: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
        let open = |flags, mode| beneath(root, &self.destination, flags, mode);
        match open(OFlags::PATH, Mode::empty()) {
            Err(Errno::NOENT) if self.is_directory => {
                make_above(root, &self.destination)?;
                mkdir_beneath(root, &self.destination)?;
                open(OFlags::PATH, Mode::empty())
            }
            Err(Errno::NOENT) => {
                make_above(root, &self.destination)?;
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
                open(flags, Mode::from_raw_mode(0o644))?;
                open(OFlags::PATH, Mode::empty())
            }
            found => found,
        }
    }
}

/// Makes the directories above the last component of a path that are missing.
fn make_above(root: BorrowedFd<'_>, path: &CStr) -> rustix::io::Result<()> {
    let bytes = path.to_bytes();
    // On the stack: nothing may be allocated.
    let mut above = [0; 4096];
    for (position, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
        let so_far = bytes.get(..position).ok_or(Errno::INVAL)?;
        above
            .get_mut(..position)
            .ok_or(Errno::NAMETOOLONG)?
            .copy_from_slice(so_far);
        let so_far = CStr::from_bytes_until_nul(&above).map_err(|_| Errno::NAMETOOLONG)?;
        match beneath(
            root,
            so_far,
            OFlags::PATH | OFlags::DIRECTORY,
            Mode::empty(),
        ) {
            Ok(_) => {}
            Err(Errno::NOENT) => mkdir_beneath(root, so_far)?,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Makes the last directory of a path.
fn mkdir_beneath(root: BorrowedFd<'_>, path: &CStr) -> rustix::io::Result<()> {
    let bytes = path.to_bytes();
    let slash = bytes.iter().rposition(|byte| *byte == b'/');
    let mode = Mode::from_raw_mode(0o755);
    let Some(slash) = slash else {
        return mkdirat(root, path, mode);
    };
    // On the stack: nothing may be allocated.
    let mut above = [0; 4096];
    let (holder, name) = bytes.split_at(slash);
    above
        .get_mut(..slash)
        .ok_or(Errno::NAMETOOLONG)?
        .copy_from_slice(holder);
    let above = CStr::from_bytes_until_nul(&above).map_err(|_| Errno::INVAL)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let holder = beneath(root, above, flags, Mode::empty())?;
    let rest = path.to_bytes_with_nul().get(slash + 1..);
    let name = rest.filter(|_| name.len() > 1).ok_or(Errno::INVAL)?;
    let name = CStr::from_bytes_with_nul(name).map_err(|_| Errno::INVAL)?;
    mkdirat(holder, name, mode)
}

/// An empty file system in memory.
fn temporary(size: Option<&CStr>) -> rustix::io::Result<OwnedFd> {
    let context = fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(context.as_fd(), c"mode", c"0755")?;
    if let Some(size) = size {
        fsconfig_set_string(context.as_fd(), c"size", size)?;
    }
    fsconfig_create(context.as_fd())?;
    fsmount(
        context.as_fd(),
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV,
    )
}
