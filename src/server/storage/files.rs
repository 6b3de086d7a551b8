//! Putting files in place whole.

use std::io;
use std::path::{Path, PathBuf};

/// Renames a finished file to its place. Across filesystems, it is copied beside its place first.
pub(super) fn publish(from: &Path, to: &Path, sync: bool) -> io::Result<()> {
    match fs_err::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            copy(from, to, sync)?;
            fs_err::remove_file(from)
        }
        other => other,
    }
}

/// Gives a file a second name. Where the filesystem cannot, the file is copied.
pub(super) fn share(from: &Path, to: &Path, sync: bool) -> io::Result<()> {
    match fs_err::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(error) => match error.kind() {
            io::ErrorKind::AlreadyExists => Ok(()),
            io::ErrorKind::NotFound | io::ErrorKind::StorageFull => Err(error),
            // Another filesystem, one without links, or a file that has all the links it may have.
            _ => copy(from, to, sync),
        },
    }
}

fn copy(from: &Path, to: &Path, sync: bool) -> io::Result<()> {
    let beside = beside(to);
    let copied = fs_err::copy(from, &beside).and_then(|_| {
        if sync {
            fs_err::File::open(&beside)?.sync_data()?;
        }
        fs_err::rename(&beside, to)
    });
    if copied.is_err() {
        // The first error is the one that tells something.
        let _ = fs_err::remove_file(&beside);
    }
    copied
}

/// Writes a file beside its place and renames it over what is there.
pub(super) fn replace(path: &Path, content: &[u8], sync: bool) -> io::Result<()> {
    use std::io::Write as _;
    let beside = beside(path);
    let written = fs_err::File::create(&beside).and_then(|mut file| {
        file.write_all(content)?;
        if sync {
            file.sync_data()?;
        }
        fs_err::rename(&beside, path)
    });
    if written.is_err() {
        let _ = fs_err::remove_file(&beside);
    }
    written
}

/// A name that no other writer uses, and no layout or repository has.
fn beside(path: &Path) -> PathBuf {
    let name = format!(".new-{:032x}", fastrand::u128(..));
    path.with_file_name(name)
}

/// The size of a regular file; `None` when there is none.
pub(super) fn size(path: &Path) -> io::Result<Option<u64>> {
    match fs_err::metadata(path) {
        Ok(metadata) => Ok(metadata.is_file().then_some(metadata.len())),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_stands_in_where_no_link_can_be_made() {
        let directory = tempfile::tempdir().unwrap();
        let from = directory.path().join("from");
        let to = directory.path().join("to");
        fs_err::write(&from, "content").unwrap();
        copy(&from, &to, true).unwrap();
        assert_eq!(fs_err::read_to_string(&to).unwrap(), "content");
        share(&from, &to, true).unwrap();
        assert!(copy(&directory.path().join("absent"), &to, false).is_err());
        assert_eq!(fs_err::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn only_regular_files_have_a_size() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs_err::write(&file, "abc").unwrap();
        assert_eq!(size(&file).unwrap(), Some(3));
        assert_eq!(size(directory.path()).unwrap(), None);
        assert_eq!(size(&directory.path().join("absent")).unwrap(), None);
        assert_eq!(size(&file.join("below")).unwrap(), None);
    }
}
