//! Attributes of mounts, by a call of the kernel that no kept crate makes safe. Nothing is allocated:
//! it is made between fork and exec, too, see [`kernel`](super::kernel).
#![expect(unsafe_code, reason = "mount_setattr(2) has no safe interface")]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use rustix::io::Errno;

/// Sets attributes of mounts (mount_setattr(2), Linux 5.12).
pub(super) fn set_attributes(
    tree: BorrowedFd<'_>,
    set: u64,
    user_namespace: Option<BorrowedFd<'_>>,
    with_those_below: bool,
) -> rustix::io::Result<()> {
    let namespace = user_namespace.map_or(0, |fd| fd.as_raw_fd());
    let attributes = libc::mount_attr {
        attr_set: set,
        attr_clr: 0,
        propagation: 0,
        userns_fd: u64::try_from(namespace).unwrap_or(0),
    };
    let recursive = match with_those_below {
        true => libc::AT_RECURSIVE,
        false => 0,
    };
    // SAFETY: the structure is one, of the size that is said, and lasts as long as the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    match done {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}

/// Lets mounts that are nowhere yet show other owners: those that the user namespace says.
pub(super) fn show_owners(
    tree: BorrowedFd<'_>,
    namespace: BorrowedFd<'_>,
    with_those_below: bool,
) -> rustix::io::Result<()> {
    let set = libc::MOUNT_ATTR_IDMAP | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    set_attributes(tree, set, Some(namespace), with_those_below)
}
