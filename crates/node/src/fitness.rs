//! Whether a file system keeps what unpacked layers need.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use ohoci_sandbox::RemovedDirectory;
use ohoci_sandbox::merged::OPAQUE;
use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat, setxattr};
use rustix::io::Errno;

/// The file that says in which file system this was tried, by its device's number.
const TRIED: &str = "tried";

/// What is known to keep all of it.
const FIT: &str = "ext4, XFS and Btrfs do, and tmpfs since Linux 6.6";

/// Tries, in the directory `scratch`, whether the file system of a store keeps whiteouts and opaque
/// directories as overlays take them. What was tried once is remembered.
///
/// # Errors
/// When it does not.
pub(crate) fn check(store: &Path, scratch: &Path) -> io::Result<()> {
    let device = fs_err::metadata(store)?.dev().to_string();
    let tried = store.join(TRIED);
    if fs_err::read_to_string(&tried).is_ok_and(|known| known == device) {
        return Ok(());
    }
    let made = RemovedDirectory::create_in(scratch)?;
    setxattr(made.path(), OPAQUE, b"y", XattrFlags::empty()).map_err(no_attributes)?;
    let whiteout = made.path().join("whiteout");
    mknodat(CWD, whiteout, FileType::CharacterDevice, Mode::empty(), 0).map_err(no_whiteouts)?;
    fs_err::write(tried, device)
}

fn no_attributes(errno: Errno) -> io::Error {
    let why = match errno {
        Errno::OPNOTSUPP => "its file system keeps no extended attributes of users".to_owned(),
        errno => format!("no extended attribute can be set ({errno})"),
    };
    io::Error::new(
        io::ErrorKind::Unsupported,
        format!("{why}, which unpacked layers need; {FIT}"),
    )
}

fn no_whiteouts(errno: Errno) -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        format!("its file system takes no whiteouts of overlays ({errno}); {FIT}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_system_lacks_is_named() {
        let said = no_attributes(Errno::OPNOTSUPP).to_string();
        assert!(said.contains("keeps no extended attributes"), "{said}");
        let said = no_attributes(Errno::NOSPC).to_string();
        assert!(said.contains("no extended attribute can be set"), "{said}");
        let said = no_whiteouts(Errno::PERM).to_string();
        assert!(
            said.contains("takes no whiteouts") && said.contains("ext4"),
            "{said}"
        );
    }

    #[test]
    fn what_was_tried_is_tried_again_only_in_another_file_system() {
        let store = tempfile::tempdir().unwrap();
        let scratch = store.path().join("scratch");
        fs_err::create_dir(&scratch).unwrap();
        check(store.path(), &scratch).unwrap();
        fs_err::remove_dir(&scratch).unwrap();
        // Without a place to try it in, it could only fail.
        check(store.path(), &scratch).unwrap();
        fs_err::write(store.path().join(TRIED), "another").unwrap();
        assert!(check(store.path(), &scratch).is_err());
    }
}
