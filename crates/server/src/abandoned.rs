//! Storages that a killed server has left in the directory for temporary files.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use fs_err::File;
use rustix::fs::FlockOperation;

use super::storage::lock_in;

/// How old a storage has to be: a server that is just starting may not have its lock yet.
const AGE: Duration = Duration::from_secs(60);

/// Removes the storages in `parent` whose names begin with `prefix`, that belong to this user, and
/// whose server is gone, as their locks tell. What cannot be removed stays: another run may.
pub fn remove_abandoned(parent: &Path, prefix: &str) {
    let Ok(entries) = fs_err::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let named = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(prefix));
        if named {
            // Nothing depends on it, and the next server tries again.
            let _ = remove_if_abandoned(&entry.path());
        }
    }
}

fn remove_if_abandoned(path: &Path) -> io::Result<()> {
    let own = rustix::process::geteuid().as_raw();
    // Everybody may put something there, links among it.
    let metadata = fs_err::symlink_metadata(path)?;
    if !metadata.is_dir() || metadata.uid() != own {
        return Ok(());
    }
    let place = lock_in(path);
    let metadata = fs_err::symlink_metadata(&place)?;
    let old = |time: SystemTime| time.elapsed().is_ok_and(|age| age >= AGE);
    if !metadata.is_file() || !old(metadata.modified()?) {
        return Ok(());
    }
    let lock = File::open(&place)?;
    if rustix::fs::flock(lock.file(), FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(());
    }
    // The lock is held meanwhile, so that only one process removes it.
    fs_err::remove_dir_all(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::os::unix::fs::symlink;

    /// A storage whose lock was made just now, or long ago.
    fn storage(parent: &Path, name: &str, old: bool) -> File {
        let lock = lock_in(&parent.join(name));
        fs_err::create_dir_all(lock.parent().unwrap()).unwrap();
        fs_err::write(parent.join(name).join("content"), "content").unwrap();
        let lock = File::create(lock).unwrap();
        if old {
            lock.file().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }
        lock
    }

    #[test]
    fn only_what_a_dead_server_left_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let parent = directory.path();
        drop(storage(parent, "p-dead", true));
        drop(storage(parent, "p-young", false));
        drop(storage(parent, "q-other", true));
        let alive = storage(parent, "p-alive", true);
        rustix::fs::flock(alive.file(), FlockOperation::NonBlockingLockExclusive).unwrap();
        fs_err::create_dir(parent.join("p-nothing")).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        drop(storage(elsewhere.path(), "kept", true));
        symlink(elsewhere.path().join("kept"), parent.join("p-link")).unwrap();

        remove_abandoned(parent, "p-");
        let mut left: Vec<_> = fs_err::read_dir(parent)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(
            left,
            ["p-alive", "p-link", "p-nothing", "p-young", "q-other"]
        );
        assert!(elsewhere.path().join("kept/content").exists());
    }
}
