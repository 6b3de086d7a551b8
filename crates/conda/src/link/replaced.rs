//! The files that hold a placeholder, with the prefix in its place: most of the work of linking, by several threads.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io::Read as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest as _, Sha256};

use crate::package::{Package, PathEntry};
use crate::placeholder::{self, FileMode};
use ohoci_layer::{Content, Kind};

/// Largest file in which a placeholder is replaced.
const MAX_REPLACED: u64 = 2 << 30;

/// A file with the prefix in it.
#[derive(Debug)]
pub(super) struct Replaced {
    pub(super) content: Content,
    /// The SHA-256 digest of its content, in hexadecimal.
    pub(super) sha256: String,
}

/// What became of files, by the number of the path in the package, or why nothing did.
pub(super) type AllReplaced = HashMap<usize, Result<Replaced, String>>;

struct Job<'a> {
    number: usize,
    entry: &'a PathEntry,
    content: &'a Content,
    placeholder: &'a str,
    mode: FileMode,
}

/// Replaces the placeholders of a package.
pub(super) fn all_of(package: &Package, prefix: &str) -> AllReplaced {
    let mut jobs = Vec::new();
    for (number, entry) in package.paths.iter().enumerate() {
        let Some((placeholder, mode)) = &entry.placeholder else {
            continue;
        };
        if let Some(Kind::File(content)) = package.holder(&entry.path).map(|held| &held.kind) {
            jobs.push(Job {
                number,
                entry,
                content,
                placeholder,
                mode: *mode,
            });
        }
    }
    jobs.sort_by_key(|job| Reverse(job.content.size()));
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let replaced =
                replaced(job, prefix).map_err(|why| format!("{}: {why}", job.entry.path));
            done.push((job.number, replaced));
        }
        done
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let others = (1..threads.min(jobs.len())).map(|_| scope.spawn(work));
        let others: Vec<_> = others.collect();
        let own = work();
        let others = others.into_iter().filter_map(|other| other.join().ok());
        own.into_iter().chain(others.flatten()).collect()
    })
}

fn replaced(job: &Job<'_>, prefix: &str) -> Result<Replaced, String> {
    let size = job.content.size();
    if size > MAX_REPLACED {
        return Err(format!("it has more than {MAX_REPLACED} bytes"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    job.content
        .open()
        .and_then(|mut content| content.read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    let bytes = placeholder::replace(bytes, job.mode, job.placeholder, prefix)
        .map_err(|error| error.to_string())?;
    Ok(Replaced {
        sha256: hex::encode(Sha256::digest(&bytes)),
        content: Content::Memory(bytes.into()),
    })
}
