//! From a recipe to a system's files: downloaded and put together.

use super::assemble::{RootFiles, assemble};
use super::error::RootFsError;
use crate::fetching::Missing;
use crate::lock::{Lock, LockedFile};
use crate::recipe::Recipe;
use crate::session::Session;
use ohoci_image::Platform;

/// Why there are no files of a system.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// Files that the lock names cannot be had.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// The packages do not come to a system.
    #[error(transparent)]
    Assemble(#[from] RootFsError),
}

/// The files of a system, of packages that are downloaded as far as they are not in the cache;
/// `offline`, all of them have to be there.
///
/// Needs a runtime with several threads; see [`tokio::task::block_in_place`].
///
/// # Errors
/// See [`FilesError`].
pub async fn files(
    recipe: &Recipe,
    lock: &Lock,
    platform: &Platform,
    offline: bool,
    session: &Session<'_>,
) -> Result<RootFiles, FilesError> {
    let fetcher = session.fetcher();
    if !offline {
        let platforms = std::slice::from_ref(platform);
        session
            .fetch_with(&fetcher, recipe, lock, platforms)
            .await?;
    }
    let cached = |file: &LockedFile| fetcher.cached(file);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work_dir = session.work_dir;
    let files = tokio::task::block_in_place(|| {
        assemble(recipe, lock, platform, &cached, work_dir, threads)
    });
    Ok(files?)
}
