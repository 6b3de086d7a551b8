//! Many files side by side.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt as _;

use super::error::{FetchError, FetchErrorKind};
use super::fetcher::Fetcher;
use crate::hosts::Mirror;
use crate::lock::LockedFile;
use ohoci_compose::Event;
use ohoci_image::Digest;

/// How many files are downloaded at once.
const CONCURRENCY: usize = 8;

/// A file to have.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What it is, for messages: `bash 5.2.37-2 for linux/amd64`.
    pub name: String,
    /// The file.
    pub file: LockedFile,
    /// Where to ask for it, in this order.
    pub mirrors: Arc<[Mirror]>,
}

/// What it came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Fetched {
    /// How many different files there are.
    pub files: usize,
    /// How many bytes they have together.
    pub bytes: u64,
    /// How many of them had to be downloaded.
    pub downloaded_files: usize,
    /// How many bytes those have.
    pub downloaded_bytes: u64,
}

impl Fetcher {
    /// Downloads what is not in the cache yet.
    ///
    /// Goes on when a file is gone, so that all that are gone can be named together; stops at
    /// every other failure.
    ///
    /// # Errors
    /// The files that could not be had, with why.
    pub async fn all(&self, wanted: &[Wanted]) -> Result<Fetched, Vec<(Wanted, FetchError)>> {
        let different: BTreeMap<&Digest, &Wanted> = wanted
            .iter()
            .map(|wanted| (&wanted.file.digest, wanted))
            .collect();
        let size = |wanted: &[&Wanted]| wanted.iter().map(|wanted| wanted.file.size).sum();
        let all: Vec<&Wanted> = different.into_values().collect();
        let mut missing: Vec<&Wanted> = all
            .iter()
            .copied()
            .filter(|wanted| self.cached(&wanted.file).is_none())
            .collect();
        // The largest first, so that none of them is left alone at the end.
        missing.sort_by_key(|wanted| std::cmp::Reverse(wanted.file.size));
        let fetched = Fetched {
            files: all.len(),
            bytes: size(&all),
            downloaded_files: missing.len(),
            downloaded_bytes: size(&missing),
        };
        self.observer()
            .event(&Event::Step("downloading".to_owned()));
        self.observer()
            .event(&Event::Expect(fetched.downloaded_bytes));
        let mut results = futures_util::stream::iter(missing.into_iter().map(async |wanted| {
            let result = self.file(&wanted.file, &wanted.mirrors).await;
            (wanted, result)
        }))
        .buffer_unordered(CONCURRENCY);
        let mut failed = Vec::new();
        while let Some((wanted, result)) = results.next().await {
            if let Err(error) = result {
                let stop = error.kind() != FetchErrorKind::Gone;
                failed.push((wanted.clone(), error));
                if stop {
                    break;
                }
            }
        }
        if failed.is_empty() {
            return Ok(fetched);
        }
        failed.sort_by(|a, b| a.0.name.cmp(&b.0.name));
        Err(failed)
    }
}
