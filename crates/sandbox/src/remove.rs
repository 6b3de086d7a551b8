//! Directories that only whoever runs ohoci can enter, and that go away with whatever programs left
//! in them: with the run, or else with the next.

use std::collections::HashSet;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::Errno;

use ohoci_layer::Directory;

/// What names of directories begin with that are removed.
const PREFIX: &str = "ohoci-run-";

/// Says that a directory is one of these, and, by being locked, that its run is alive.
const MARK: &str = ".ohoci";

/// The directory in it that is for use.
const INSIDE: &str = "files";

/// Those in which trees stay for later runs.
const KEPT: &str = "private";

/// A directory for temporary files, removed when this is dropped: also when what is in it may be
/// neither read nor written, which an ordinary user could not remove as it is. It lies in another
/// that no other user can enter, whatever its own permissions become.
///
/// Nothing may write into it any more by then. What a run that was killed has left is removed by the
/// next that makes a directory in the same place.
#[derive(Debug)]
pub struct RemovedDirectory {
    outer: PathBuf,
    path: PathBuf,
    _lock: fs_err::File,
}

impl RemovedDirectory {
    /// Makes an empty one in the place for temporary files, which only its owner can enter.
    ///
    /// # Errors
    /// When no directory can be made there.
    pub fn create() -> io::Result<Self> {
        Self::create_in(&std::env::temp_dir())
    }

    /// Makes an empty one in another place.
    ///
    /// # Errors
    /// When no directory can be made there.
    pub fn create_in(parent: &Path) -> io::Result<Self> {
        remove_left(parent);
        let mut builder = tempfile::Builder::new();
        loop {
            let outer = builder
                .prefix(PREFIX)
                .permissions(PermissionsExt::from_mode(0o700))
                .tempdir_in(parent)?;
            // A process that cleans up may take it for one that was left, until it is locked.
            let Some(lock) = locked(outer.path())? else {
                continue;
            };
            let outer = outer.keep();
            let path = outer.join(INSIDE);
            let made = Self {
                outer,
                path,
                _lock: lock,
            };
            fs_err::create_dir(&made.path)?;
            fs_err::set_permissions(&made.path, PermissionsExt::from_mode(0o700))?;
            return Ok(made);
        }
    }

    /// Gives it another name, under which it stays.
    ///
    /// # Errors
    /// When it cannot be renamed, as where something of that name is there; then it is removed.
    pub fn keep_as(self, name: &Path) -> io::Result<()> {
        fs_err::rename(&self.path, name)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RemovedDirectory {
    fn drop(&mut self) {
        // What cannot be removed is left to the next run.
        let _ = remove_marked(&self.outer);
    }
}

/// Makes the mark of a new directory and locks it; `None` where another process was faster.
fn locked(directory: &Path) -> io::Result<Option<fs_err::File>> {
    let mark = directory.join(MARK);
    let lock = match fs_err::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&mark)
    {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => return Ok(None),
        locked => locked?,
    }
    // Whoever had it meanwhile has removed it.
    Ok(match fs_err::symlink_metadata(&mark) {
        Ok(found) if found.ino() == lock.metadata()?.ino() => Some(lock),
        _ => None,
    })
}

/// Removes what runs have left in a place that were killed, once for each place. What cannot be
/// removed belongs to another user, or is left to whatever cleans the place.
fn remove_left(parent: &Path) {
    static DONE: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);
    let mut done = DONE.lock();
    if !done.get_or_insert_default().insert(parent.to_owned()) {
        return;
    }
    drop(done);
    for entry in fs_err::read_dir(parent).into_iter().flatten().flatten() {
        let _ = remove_if_left(&entry.path());
    }
}

/// Removes a directory if it is one of these and its run is gone. Symlinks are followed nowhere.
fn remove_if_left(directory: &Path) -> io::Result<()> {
    let name = directory.file_name().unwrap_or_default();
    if !name.to_string_lossy().starts_with(PREFIX) {
        return Ok(());
    }
    let own = rustix::process::geteuid().as_raw();
    let found = fs_err::symlink_metadata(directory)?;
    if !found.is_dir() || found.uid() != own {
        return Ok(());
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = openat(CWD, directory, flags, Mode::empty())?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mark = match openat(&opened, MARK, flags, Mode::empty()) {
        // Only what is empty goes by this, and one that is being made is made once more.
        Err(Errno::NOENT) => return fs_err::remove_dir(directory),
        mark => mark?,
    };
    if rustix::fs::fstat(&mark)?.st_uid != own {
        return Ok(());
    }
    // Those that live hold it.
    flock(&mark, FlockOperation::NonBlockingLockExclusive)?;
    remove_marked(directory)
}

/// Removes one of these, its mark last: without the mark, what a process leaves that is killed
/// meanwhile would never be found again.
fn remove_marked(directory: &Path) -> io::Result<()> {
    remove(&directory.join(INSIDE))?;
    remove(directory)
}

/// A directory for trees that stay, in one that may be others' to enter: made if it is missing, and
/// its owner's alone.
///
/// # Errors
/// When it cannot be made, or belongs to another user.
pub fn private_in(parent: &Path) -> io::Result<PathBuf> {
    fs_err::create_dir_all(parent)?;
    let path = fs_err::canonicalize(parent)?.join(KEPT);
    match fs_err::create_dir(&path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made?,
    }
    let found = fs_err::symlink_metadata(&path)?;
    if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other(format!(
            "{} is no directory of whoever runs this",
            path.display()
        )));
    }
    if found.mode() & 0o777 != 0o700 {
        fs_err::set_permissions(&path, PermissionsExt::from_mode(0o700))?;
    }
    match fs_err::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path.join(MARK))
    {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => drop(made?),
    }
    Ok(path)
}

/// Whether there is a directory that [`private_in`] would give without making it.
#[must_use]
pub fn has_private(parent: &Path) -> bool {
    parent.join(KEPT).is_dir()
}

/// Whether a path is below a directory that ohoci made for itself alone.
pub(super) fn is_private(path: &Path) -> bool {
    let own = rustix::process::geteuid().as_raw();
    path.ancestors().skip(1).any(|above| {
        let is_own = |metadata: &std::fs::Metadata| metadata.uid() == own;
        fs_err::symlink_metadata(above)
            .is_ok_and(|found| is_own(&found) && found.mode() & 0o777 == 0o700)
            && fs_err::symlink_metadata(above.join(MARK))
                .is_ok_and(|mark| is_own(&mark) && mark.is_file())
    })
}

/// Whether users other than root and whoever calls can get at what is at a path. Only directories
/// above it count, and of those none below what is `written` inside: a program could open the others
/// to everybody.
pub(super) fn others_can_reach(path: &Path, written: &[&Path]) -> bool {
    let own = rustix::process::geteuid().as_raw();
    let above = path.ancestors().skip(1);
    let mut fixed = above.filter(|above| !written.iter().any(|path| above.starts_with(path)));
    let keeps_out = |found: std::fs::Metadata| {
        found.is_dir() && [0, own].contains(&found.uid()) && found.mode() & 0o011 == 0
    };
    !fixed.any(|above| fs_err::metadata(above).is_ok_and(keeps_out))
}

/// Removes a directory with all that is in it, making it removable where need be. Symlinks are
/// removed, never followed, also where they take a directory's place meanwhile. Nothing being there
/// is no error.
///
/// # Errors
/// When something cannot be removed even so.
pub fn remove(directory: &Path) -> io::Result<()> {
    let name = directory.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let above = directory.parent().unwrap_or(Path::new(""));
    let above = match above.as_os_str().is_empty() {
        true => Path::new("."),
        false => above,
    };
    Directory::open(above)?.remove_tree(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_may_enter_is_removed() {
        let outside = tempfile::tempdir().unwrap();
        let kept = outside.path().join("kept");
        fs_err::write(&kept, "kept").unwrap();
        let directory = RemovedDirectory::create().unwrap();
        let path = directory.path().to_owned();
        fs_err::create_dir_all(path.join("a/b")).unwrap();
        fs_err::write(path.join("a/b/file"), "x").unwrap();
        fs_err::os::unix::fs::symlink(outside.path(), path.join("a/link")).unwrap();
        for (name, mode) in [("a/b", 0o000), ("a", 0o555)] {
            fs_err::set_permissions(path.join(name), PermissionsExt::from_mode(mode)).unwrap();
        }
        drop(directory);
        assert!(!path.parent().unwrap().exists());
        assert!(kept.exists());
    }

    #[test]
    fn nobody_else_can_enter_whatever_the_directory_allows() {
        let parent = tempfile::tempdir().unwrap();
        fs_err::set_permissions(parent.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let directory = RemovedDirectory::create_in(parent.path()).unwrap();
        fs_err::set_permissions(directory.path(), PermissionsExt::from_mode(0o777)).unwrap();
        let path = directory.path();
        assert!(!others_can_reach(path, &[path]));
        // What stands above is no wall where a program can change it.
        assert!(others_can_reach(path, &[parent.path()]));
        assert!(is_private(directory.path()));
        let kept = private_in(parent.path()).unwrap();
        assert_eq!(fs_err::metadata(&kept).unwrap().mode() & 0o777, 0o700);
        assert!(is_private(&kept.join("tree")));
        assert!(!is_private(&parent.path().join("tree")));
    }

    #[test]
    fn what_a_killed_run_left_is_removed_and_what_lives_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let at = |name: &str| parent.path().join(name);
        let living = RemovedDirectory::create_in(parent.path()).unwrap();
        for name in ["ohoci-run-dead", "ohoci-run-other", "mine"] {
            fs_err::create_dir_all(at(name).join("files/deep")).unwrap();
        }
        fs_err::write(at("ohoci-run-dead/.ohoci"), "").unwrap();
        // Killed while it removed the rest.
        fs_err::create_dir(at("ohoci-run-dying")).unwrap();
        fs_err::write(at("ohoci-run-dying/.ohoci"), "").unwrap();
        fs_err::write(at("mine/.ohoci"), "").unwrap();
        fs_err::create_dir(at("ohoci-run-empty")).unwrap();
        fs_err::os::unix::fs::symlink(at("mine"), at("ohoci-run-link")).unwrap();
        for entry in fs_err::read_dir(parent.path()).unwrap() {
            let _ = remove_if_left(&entry.unwrap().path());
        }
        assert!(living.path().is_dir());
        assert!(!at("ohoci-run-dead").exists());
        assert!(!at("ohoci-run-empty").exists());
        assert!(!at("ohoci-run-dying").exists());
        for kept in ["ohoci-run-other", "mine/files/deep", "ohoci-run-link"] {
            assert!(at(kept).exists(), "{kept}");
        }
    }
}
