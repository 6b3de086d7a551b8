//! One file from the first mirror that has it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::CONTENT_RANGE;
use reqwest::{Response, StatusCode};

use super::error::{FetchError, FetchErrorKind, Refusal};
use super::request::{Http, RequestError};
use crate::hosts::Mirror;
use crate::lock::LockedFile;
use ohoci_compose::{Event, Observer};
use ohoci_http::{Pace, RetryPolicy, TooSlow, chain};
use ohoci_image::digest::Algorithm;
use ohoci_layout::staged::StagedFile;
use ohoci_store::cache::Cache;

/// How often in a row a mirror may fail without anything having arrived.
const TRIES: u32 = 4;
/// How often a mirror may break off although it gets further each time.
const MOST_TRIES: u32 = 50;
/// The longest wait between two tries.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// How long the second try at a download waits at most; the third twice as long, and so on.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// Downloads from mirrors into the cache. Clones share everything.
#[derive(Clone, Debug)]
pub struct Fetcher {
    http: Http,
    cache: Arc<Cache>,
    observer: Arc<dyn Observer>,
}

impl Fetcher {
    /// A fetcher that keeps files in `cache`, which must be one that can be written.
    #[must_use]
    pub fn new(cache: Arc<Cache>, observer: Arc<dyn Observer>) -> Self {
        Self {
            http: Http::new(RetryPolicy::default()),
            cache,
            observer,
        }
    }

    /// Waits for mirrors as a policy says: its timeouts and its least speed count, not its
    /// attempts.
    #[must_use]
    pub fn with_policy(mut self, policy: RetryPolicy) -> Self {
        self.http = Http::new(policy);
        self
    }

    /// Who is told what happens.
    #[must_use]
    pub fn observer(&self) -> &dyn Observer {
        &*self.observer
    }

    pub(super) fn http(&self) -> &Http {
        &self.http
    }

    /// The cache.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// A small file that nothing is known about, from one mirror.
    ///
    /// # Errors
    /// When the mirror does not hand it out, or it has more than `max` bytes.
    pub async fn small(&self, mirror: &Mirror, path: &str, max: u64) -> Result<Bytes, FetchError> {
        let mut failures = 0;
        loop {
            match self.try_small(mirror, path, max).await {
                Ok(content) => return Ok(content),
                Err(error) if error.passing && failures + 1 < TRIES => {
                    self.pause(failures, &error).await;
                    failures += 1;
                }
                Err(error) => {
                    return Err(FetchError::new(path, vec![refusal(mirror, error)]));
                }
            }
        }
    }

    /// The size of a file that one mirror has, from the beginning of its answer: for indexes that
    /// do not say it.
    ///
    /// # Errors
    /// When the mirror does not hand it out, or does not say either.
    pub async fn length(&self, mirror: &Mirror, path: &str) -> Result<u64, FetchError> {
        let fail = |error| FetchError::new(path, vec![refusal(mirror, error)]);
        let mut failures = 0;
        loop {
            match self.http.get(mirror, path, 0).await {
                Ok(response) => {
                    return response.content_length().ok_or_else(|| {
                        let why = "it does not say how large it is";
                        fail(RequestError::new(FetchErrorKind::Refused, why))
                    });
                }
                Err(error) if error.passing && failures + 1 < TRIES => {
                    self.pause(failures, &error).await;
                    failures += 1;
                }
                Err(error) => return Err(fail(error)),
            }
        }
    }

    async fn try_small(
        &self,
        mirror: &Mirror,
        path: &str,
        max: u64,
    ) -> Result<Bytes, RequestError> {
        let response = self.http.get(mirror, path, 0).await?;
        whole(&self.http, response, max).await?.ok_or_else(|| {
            let why = format!("it has more than the {max} bytes that are allowed");
            RequestError::new(FetchErrorKind::Corrupt, why)
        })
    }

    /// Where a file with that digest and size lies in the cache. Its content has not been read.
    #[must_use]
    pub fn cached(&self, file: &LockedFile) -> Option<PathBuf> {
        let path = self.cache.path_of(&file.digest)?;
        let size = fs_err::metadata(&path).ok()?.len();
        (size == file.size).then_some(path)
    }

    /// Where a file lies, which is downloaded from the first mirror that has it when it is not
    /// cached. What was downloaded has been verified; what was cached is for the reader to verify.
    ///
    /// # Errors
    /// When no mirror hands it out, or the cache cannot keep it.
    pub async fn file(&self, file: &LockedFile, mirrors: &[Mirror]) -> Result<PathBuf, FetchError> {
        if let Some(path) = self.cached(file) {
            return Ok(path);
        }
        let mut refusals = Vec::new();
        for mirror in mirrors {
            match self.download(file, mirror).await {
                Ok(staged) => match self.cache.insert_file(staged, &file.digest) {
                    Some(path) => return Ok(path),
                    None => {
                        refusals.push(self.cache_failed());
                        break;
                    }
                },
                Err(error) => refusals.push(refusal(mirror, error)),
            }
        }
        Err(FetchError::new(&file.path, refusals))
    }

    /// The content of a file, verified, which is downloaded when it is not cached.
    ///
    /// # Errors
    /// See [`Fetcher::file`].
    pub async fn bytes(&self, file: &LockedFile, mirrors: &[Mirror]) -> Result<Bytes, FetchError> {
        // The cache removes what is damaged, so that the second time it is downloaded.
        for _ in 0..2 {
            self.file(file, mirrors).await?;
            if let Some(content) = self.cache.get(&file.digest, file.size) {
                return Ok(content);
            }
        }
        Err(FetchError::new(&file.path, vec![self.cache_failed()]))
    }

    async fn download(
        &self,
        file: &LockedFile,
        mirror: &Mirror,
    ) -> Result<StagedFile, RequestError> {
        let mut staged = self.resume(file)?;
        // What an earlier run left may be of a file that was damaged on its way.
        let mut is_suspect = staged.size() > 0;
        loop {
            match self.to_end(&mut staged, file, mirror).await {
                Ok(()) => return Ok(staged),
                Err(error) if error.kind == FetchErrorKind::Corrupt => {
                    staged.discard();
                    if !std::mem::take(&mut is_suspect) {
                        return Err(error);
                    }
                    staged = self.resume(file)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Downloads until everything is there and right, however often the mirror breaks off.
    async fn to_end(
        &self,
        staged: &mut StagedFile,
        file: &LockedFile,
        mirror: &Mirror,
    ) -> Result<(), RequestError> {
        let mut failures = 0;
        for round in 0.. {
            let before = staged.size();
            if before == file.size {
                break;
            }
            match self.go_on(staged, file, mirror).await {
                Ok(()) => break,
                Err(error) if error.passing => {
                    // A mirror that gets further with every try is slow, not broken.
                    failures = if staged.size() > before {
                        0
                    } else {
                        failures + 1
                    };
                    if failures >= TRIES || round >= MOST_TRIES {
                        return Err(error);
                    }
                    self.pause(failures, &error).await;
                }
                Err(error) => return Err(error),
            }
        }
        let found = staged.digest();
        // SHA-512 is checked when the file gets its name.
        if file.digest.algorithm() == Algorithm::Sha256 && found != file.digest {
            let why = format!("what it has hashes to {found}, not to {}", file.digest);
            return Err(RequestError::new(FetchErrorKind::Corrupt, why));
        }
        Ok(())
    }

    /// Downloads what is missing of a file.
    async fn go_on(
        &self,
        staged: &mut StagedFile,
        file: &LockedFile,
        mirror: &Mirror,
    ) -> Result<(), RequestError> {
        let from = staged.size();
        let mut response = self.http.get(mirror, &file.path, from).await?;
        if response.status() == StatusCode::PARTIAL_CONTENT {
            let range = response.headers().get(CONTENT_RANGE);
            let range = range.and_then(|range| range.to_str().ok());
            if range.is_none_or(|range| !range.starts_with(&format!("bytes {from}-"))) {
                return Err(RequestError::passing(
                    "it sent another part than was asked for",
                ));
            }
        } else if from > 0 {
            // It does not know how to go on, and begins anew.
            std::mem::replace(staged, self.stage()?).discard();
        }
        let wrong_size = |size: u64| {
            let why = format!("what it has has {size} bytes or more, not {}", file.size);
            RequestError::new(FetchErrorKind::Corrupt, why)
        };
        if let Some(length) = response.content_length() {
            let whole = staged.size().saturating_add(length);
            if whole != file.size {
                return Err(wrong_size(whole));
            }
        }
        let mut pace = self.http.pace();
        while let Some(piece) = next_piece(&mut response, &mut pace).await? {
            let size = staged.size().saturating_add(piece.len() as u64);
            if size > file.size {
                return Err(wrong_size(size));
            }
            staged
                .write(&piece)
                .map_err(|error| RequestError::new(FetchErrorKind::Local, error.to_string()))?;
            self.observer.event(&Event::Moved(piece.len() as u64));
        }
        if staged.size() < file.size {
            return Err(RequestError::passing("the connection ended early"));
        }
        Ok(())
    }

    fn stage(&self) -> Result<StagedFile, RequestError> {
        self.cache.stage().ok_or_else(|| self.no_cache())
    }

    fn resume(&self, file: &LockedFile) -> Result<StagedFile, RequestError> {
        self.cache
            .resume(&file.digest)
            .ok_or_else(|| self.no_cache())
    }

    fn no_cache(&self) -> RequestError {
        let refusal = self.cache_failed();
        RequestError::new(refusal.kind, refusal.why)
    }

    fn cache_failed(&self) -> Refusal {
        let why = self
            .cache
            .first_failure()
            .unwrap_or("there is no cache to keep it in");
        Refusal {
            kind: FetchErrorKind::Local,
            mirror: String::new(),
            why: why.to_owned(),
        }
    }

    async fn pause(&self, failures: u32, error: &RequestError) {
        let own = FIRST_WAIT.saturating_mul(1 << failures.min(8));
        tracing::debug!(why = error.why, "trying again");
        tokio::time::sleep(error.wait.unwrap_or(own).min(MAX_WAIT)).await;
    }
}

fn refusal(mirror: &Mirror, error: RequestError) -> Refusal {
    Refusal {
        mirror: match error.kind {
            FetchErrorKind::Local => String::new(),
            _ => mirror.name(),
        },
        kind: error.kind,
        why: error.why,
    }
}

/// All of a body; `None` when it has more than `max` bytes.
pub(super) async fn whole(
    http: &Http,
    mut response: Response,
    max: u64,
) -> Result<Option<Bytes>, RequestError> {
    let mut pace = http.pace();
    let read = async {
        let mut content = Vec::new();
        while let Some(piece) = next_piece(&mut response, &mut pace).await? {
            if (content.len() + piece.len()) as u64 > max {
                return Ok(None);
            }
            content.extend_from_slice(&piece);
        }
        Ok(Some(content.into()))
    };
    let allowed = http.whole();
    tokio::time::timeout(allowed, read)
        .await
        .unwrap_or_else(|_| {
            let why = format!("it is too slow: not done within {} s", allowed.as_secs());
            Err(RequestError::new(FetchErrorKind::Unreachable, why))
        })
}

async fn next_piece(
    response: &mut Response,
    pace: &mut Pace,
) -> Result<Option<Bytes>, RequestError> {
    match pace.next(response.chunk()).await {
        Ok(Ok(piece)) => Ok(piece),
        Ok(Err(error)) => Err(RequestError::passing(chain(&error.without_url()))),
        Err(slow @ TooSlow::Silent(_)) => Err(RequestError::passing(slow.to_string())),
        Err(slow) => Err(RequestError::passing(format!("it is too slow: {slow}"))),
    }
}
