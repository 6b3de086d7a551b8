//! Reads a feature's packages side by side.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::AssembleError;
use crate::debian::deb::{self, Deb, Expected};
use crate::lock::{DebianPackage, LockedFile};

/// A package and the file that it is in.
pub(crate) type Wanted<'a> = (&'a DebianPackage, &'a LockedFile);

/// Reads packages, in the order in which they are given, whatever the number of threads.
///
/// # Errors
/// The first one, in that order, that is not in the cache or cannot be read.
pub(crate) fn read(
    wanted: &[Wanted<'_>],
    architecture: &str,
    cached: &(dyn Fn(&LockedFile) -> Option<PathBuf> + Sync),
    spool_dir: &Path,
    threads: usize,
) -> Result<Vec<Deb>, AssembleError> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<Deb, AssembleError>)>> = Mutex::default();
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some((package, file)) = wanted.get(at) else {
                break;
            };
            let read = one(package, file, architecture, cached, spool_dir);
            done.lock().push((at, read));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.clamp(1, wanted.len().max(1)) {
            scope.spawn(work);
        }
        work();
    });
    let mut done = done.into_inner();
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, read)| read).collect()
}

fn one(
    package: &DebianPackage,
    file: &LockedFile,
    architecture: &str,
    cached: &(dyn Fn(&LockedFile) -> Option<PathBuf> + Sync),
    spool_dir: &Path,
) -> Result<Deb, AssembleError> {
    let path = cached(file).ok_or_else(|| AssembleError::NotCached {
        package: format!("{} {} for {architecture}", package.name, package.version),
    })?;
    let expected = Expected {
        name: &package.name,
        version: &package.version,
        architecture,
        file,
    };
    Ok(deb::read(&path, expected, spool_dir)?)
}
