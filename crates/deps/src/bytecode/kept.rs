//! Archives of compiled modules in the cache.

use std::ffi::OsStr;
use std::io::{self, Read as _, Seek as _};
use std::sync::Arc;

use serde_json::Value;

use super::{BytecodeError, Job, Wanted, compile, key, tree};
use crate::assemble::digest_of;
use ohoci_image::Digest;
use ohoci_layer::Tree;
use ohoci_sandbox::{Bubblewrap, Limiter};
use ohoci_store::cache::Cache;

/// What a [`key`](super::key()) is remembered to have come to.
const FACT: &str = "bytecode";

/// The compiled modules of a job, as [`tree()`] takes them out of an archive: of what an earlier run
/// made of the same inputs, or else of what a sandbox makes now, which is kept if it can be used.
/// `path` is the `PATH` with bubblewrap.
///
/// # Errors
/// See [`compile()`] and [`tree()`].
pub(crate) async fn compiled(
    job: &Job<'_>,
    wanted: &Wanted<'_>,
    cache: &Cache,
    path: Option<&OsStr>,
    limiter: &Arc<Limiter>,
    threads: usize,
) -> Result<Tree, BytecodeError> {
    let failed = BytecodeError::io("compile modules");
    let key = key(job).map_err(&failed)?.to_string();
    if let Some(archive) = find(cache, &key) {
        return tree(archive, wanted);
    }
    let mut archive = compile(job, &Bubblewrap::find(path)?, limiter, threads).await?;
    let tree = tree(archive.try_clone().map_err(&failed)?, wanted)?;
    archive.rewind().map_err(&failed)?;
    keep(cache, &key, archive).map_err(failed)?;
    Ok(tree)
}

fn find(cache: &Cache, key: &str) -> Option<fs_err::File> {
    let fact = cache.fact(FACT, key)?;
    let digest: Digest = fact.as_str()?.parse().ok()?;
    let mut file = fs_err::File::open(cache.path_of(&digest)?).ok()?;
    let found = digest_of(&mut file, &digest).ok()?;
    (found == digest).then_some(file)
}

/// Keeps an archive for later runs, where there is a cache.
fn keep(cache: &Cache, key: &str, mut archive: fs_err::File) -> io::Result<()> {
    let Some(mut staged) = cache.stage() else {
        return Ok(());
    };
    let mut buffer = vec![0; 256 << 10];
    loop {
        let count = archive.read(&mut buffer)?;
        match buffer.get(..count) {
            Some(piece) if !piece.is_empty() => {
                // The cache has told why by then.
                if staged.write(piece).is_err() {
                    return Ok(());
                }
            }
            _ => {
                let digest = staged.digest();
                if cache.insert_file(staged, &digest).is_some() {
                    cache.remember_fact(FACT, key, &Value::from(digest.to_string()));
                }
                return Ok(());
            }
        }
    }
}
