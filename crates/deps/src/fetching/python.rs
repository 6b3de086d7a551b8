//! Where the Python packages of a lock are.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};

use crate::fetch::{FetchError, FetchErrorKind, Fetcher, Refusal, Wanted};
use crate::hosts::Mirror;
use crate::lock::{Lock, LockedFile};
use crate::python::PackageName;
use crate::python::configuration::Indexes;
use crate::python::index;
use ohoci_image::Platform;

/// How many pages are asked for at once.
const CONCURRENCY: usize = 8;

/// What is not cached, with where it is; and what no index has.
pub(super) async fn wanted(
    lock: &Lock,
    features: &[&str],
    platforms: &[Platform],
    fetcher: &Fetcher,
    indexes: &Indexes,
) -> (Vec<Wanted>, Vec<(String, LockedFile, FetchError)>) {
    let mut files: Vec<(String, String, &LockedFile)> = Vec::new();
    for platform in platforms {
        for feature in features {
            for (package, file) in lock.python_files(feature, platform) {
                let what = format!("{} {} for {platform}", package.name, package.version);
                files.push((package.name.clone(), what, file));
            }
        }
    }
    files.sort_by(|a, b| a.2.digest.cmp(&b.2.digest));
    files.dedup_by(|a, b| a.2.digest == b.2.digest);
    // The tools are asked only where something is to be downloaded: it takes them a while to answer.
    let needs_index = files
        .iter()
        .any(|(_, _, file)| fetcher.cached(file).is_none());
    let indexes = &match needs_index {
        true => indexes.clone().or_default_of_tools().await,
        false => indexes.clone(),
    };
    let found = stream::iter(files.into_iter().map(async |(name, what, file)| {
        if fetcher.cached(file).is_some() {
            // Where it lies does not matter any more.
            let wanted = Wanted {
                name: what,
                file: file.clone(),
                mirrors: Arc::from([]),
            };
            return Ok(wanted);
        }
        let file_name = file.path.rsplit('/').next().unwrap_or_default();
        let at = match PackageName::parse(&name) {
            None => {
                let why = format!("{name:?} is no name of a package");
                Err((FetchErrorKind::Refused, why))
            }
            Some(package) => index::find(fetcher, indexes, &package, file_name, &file.digest)
                .await
                .map_err(|error| match error.hint() {
                    // Something is wrong with this machine, not with the index.
                    Some(hint) => (FetchErrorKind::Refused, format!("{error} ({hint})")),
                    None => (FetchErrorKind::Gone, error.to_string()),
                }),
        };
        match at {
            Ok(at) => {
                let (directory, path) = at.place();
                Ok(Wanted {
                    name: what,
                    file: LockedFile {
                        path,
                        ..file.clone()
                    },
                    mirrors: Arc::from([Mirror::new(directory)]),
                })
            }
            Err((kind, why)) => Err((
                what,
                file.clone(),
                FetchError::new(
                    &file.path,
                    vec![Refusal {
                        kind,
                        mirror: String::new(),
                        why,
                    }],
                ),
            )),
        }
    }))
    .buffer_unordered(CONCURRENCY)
    .collect::<Vec<_>>()
    .await;
    let mut wanted = Vec::new();
    let mut missing = Vec::new();
    for result in found {
        match result {
            Ok(file) => wanted.push(file),
            Err(failed) => missing.push(failed),
        }
    }
    (wanted, missing)
}
