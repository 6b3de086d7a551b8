//! Archives of compiled modules in the cache.

use std::ffi::OsStr;
use std::io::{self, Read as _, Seek as _};

use serde_json::Value;

use super::{BytecodeError, Job, compile, key};
use crate::deps::assemble::digest_of;
use crate::oci::Digest;
use crate::sandbox::Bubblewrap;
use crate::store::cache::Cache;

/// What a [`key`](super::key()) is remembered to have come to.
const FACT: &str = "bytecode";

/// The archive of compiled modules, to be read with [`tree`](super::tree()): what an earlier run
/// made of the same inputs, or else what a sandbox makes now. `path` is the `PATH` with bubblewrap.
///
/// # Errors
/// See [`compile()`].
pub async fn archive(
    job: &Job<'_>,
    cache: &Cache,
    path: Option<&OsStr>,
    threads: usize,
) -> Result<fs_err::File, BytecodeError> {
    let failed = BytecodeError::io("compile modules");
    let key = key(job).map_err(&failed)?.to_string();
    if let Some(archive) = find(cache, &key) {
        return Ok(archive);
    }
    let archive = compile(job, &Bubblewrap::find(path)?, threads).await?;
    keep(cache, &key, archive).map_err(failed)
}

fn find(cache: &Cache, key: &str) -> Option<fs_err::File> {
    let fact = cache.fact(FACT, key)?;
    let digest: Digest = fact.as_str()?.parse().ok()?;
    let mut file = fs_err::File::open(cache.path_of(&digest)?).ok()?;
    let found = digest_of(&mut file, &digest).ok()?;
    (found == digest).then_some(file)
}

/// Keeps an archive for later runs, where there is a cache, and gives it back.
fn keep(cache: &Cache, key: &str, mut archive: fs_err::File) -> io::Result<fs_err::File> {
    let Some(mut staged) = cache.stage() else {
        return Ok(archive);
    };
    let mut buffer = vec![0; 256 << 10];
    loop {
        let count = archive.read(&mut buffer)?;
        match buffer.get(..count) {
            Some(piece) if !piece.is_empty() => {
                if staged.write(piece).is_err() {
                    break;
                }
            }
            _ => {
                let digest = staged.digest();
                if cache.insert_file(staged, &digest).is_some() {
                    cache.remember_fact(FACT, key, &Value::from(digest.to_string()));
                }
                break;
            }
        }
    }
    archive.rewind()?;
    Ok(archive)
}
