//! Packages' files: into the cache.

use std::io::Read as _;
use std::path::Path;

use futures_util::StreamExt as _;
use md5::Md5;
use serde_json::json;
use sha2::Digest as _;

use super::channels::Location;
use super::error::{CondaError, CondaErrorKind};
use super::lists::unreachable;
use super::source::CondaSource;
use crate::hosts::Mirror;
use crate::lock::LockedFile;
use ohoci_conda::record::Located;
use ohoci_image::Digest;

/// How many packages are downloaded at once.
const CONCURRENCY: usize = 8;

/// Largest package whose channel does not say its SHA-256 digest: it is checked in memory.
const MAX_UNKNOWN: u64 = 2 << 30;

/// What the cache calls the SHA-256 digests of packages that channels know by MD5 only.
const FACT: &str = "conda-md5-1";

/// A package whose file is in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The package.
    pub located: Located,
    /// The digest of its file.
    pub digest: Digest,
}

impl CondaSource {
    /// Has packages' files in the cache, each of which is what its channel says: by SHA-256, or by MD5 where
    /// it says no more.
    ///
    /// # Errors
    /// The first package whose file cannot be had.
    pub async fn fetch(&self, packages: &[Located]) -> Result<Vec<Fetched>, CondaError> {
        let mut results = futures_util::stream::iter(packages.iter().map(async |located| {
            let digest = self.fetch_one(located).await?;
            Ok::<_, CondaError>(Fetched {
                located: located.clone(),
                digest,
            })
        }))
        .buffered(CONCURRENCY);
        let mut fetched = Vec::with_capacity(packages.len());
        while let Some(result) = results.next().await {
            fetched.push(result?);
        }
        Ok(fetched)
    }

    async fn fetch_one(&self, located: &Located) -> Result<Digest, CondaError> {
        let record = &located.record;
        let what = located.path();
        let said = record
            .sha256
            .as_deref()
            .map(|hex| format!("sha256:{hex}").parse::<Digest>());
        let said = said
            .transpose()
            .map_err(|error| CondaError::new(CondaErrorKind::Malformed, what.clone(), error))?;
        let cache = self.fetcher.cache();
        let known = said.clone().or_else(|| {
            let fact = cache.fact(FACT, record.md5.as_deref()?)?;
            fact.get("sha256")?.as_str()?.parse().ok()
        });
        if let Some(digest) = known.filter(|digest| cache.path_of(digest).is_some()) {
            return Ok(digest);
        }
        let Some(digest) = said else {
            return self.fetch_by_md5(located).await;
        };
        let mut mirrors = Vec::new();
        let mut gone = None;
        for place in self.places(located) {
            match place {
                Location::Mirror(mirror) => mirrors.push(mirror.clone()),
                Location::Directory(directory) => {
                    match self.keep_file(&directory.join(&what), &what, &digest) {
                        Ok(()) => return Ok(digest),
                        Err(error) if error.kind() == CondaErrorKind::Gone => gone = Some(error),
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        if mirrors.is_empty() || self.offline {
            return Err(gone.unwrap_or_else(|| self.not_here(&what)));
        }
        let size = match (record.size, mirrors.first()) {
            (Some(size), _) => size,
            (None, Some(mirror)) => {
                let length = self.fetcher.length(mirror, &what).await;
                length.map_err(|error| unreachable(&what, &error))?
            }
            (None, None) => 0,
        };
        let file = LockedFile {
            path: what.clone(),
            size,
            digest: digest.clone(),
        };
        let fetched = self.fetcher.file(&file, &mirrors).await;
        fetched.map_err(|error| unreachable(&what, &error))?;
        Ok(digest)
    }

    /// The places of all channels of a package's channel's name.
    fn places(&self, located: &Located) -> impl Iterator<Item = &Location> {
        let channels = self.channels.list.iter();
        channels
            .filter(|channel| channel.name == located.channel)
            .flat_map(|channel| &channel.places)
    }

    fn not_here(&self, what: &str) -> CondaError {
        let why = match self.offline {
            true => "it is not in the cache, and nothing may be downloaded",
            false => "its channel has no place",
        };
        CondaError::new(CondaErrorKind::Unreachable, what, why)
    }

    /// A file of this machine, into the cache.
    fn keep_file(&self, path: &Path, what: &str, digest: &Digest) -> Result<(), CondaError> {
        let broken = |why: String| CondaError::new(CondaErrorKind::Unreachable, what, why);
        let mut file = open(path, what)?;
        let mut staged = self
            .fetcher
            .cache()
            .stage()
            .ok_or_else(|| broken("there is no cache to keep it in".to_owned()))?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            let count = file
                .read(&mut buffer)
                .map_err(|error| broken(error.to_string()))?;
            if count == 0 {
                break;
            }
            let piece = buffer.get(..count).unwrap_or_default();
            staged
                .write(piece)
                .map_err(|error| broken(error.to_string()))?;
        }
        let found = staged.digest();
        if found != *digest {
            let why = format!("what it has hashes to {found}, not to {digest}");
            return Err(CondaError::new(CondaErrorKind::WrongDigest, what, why));
        }
        match self.fetcher.cache().insert_file(staged, digest) {
            Some(_) => Ok(()),
            None => Err(broken("the cache cannot keep it".to_owned())),
        }
    }

    async fn fetch_by_md5(&self, located: &Located) -> Result<Digest, CondaError> {
        let what = located.path();
        let Some(md5) = &located.record.md5 else {
            let why = "its channel says no digest, so nothing tells whether it is right";
            return Err(CondaError::new(CondaErrorKind::WrongDigest, what, why));
        };
        let mut last = None;
        for place in self.places(located) {
            let content = match place {
                Location::Directory(directory) => in_memory(&directory.join(&what), &what),
                Location::Mirror(_) if self.offline => Err(self.not_here(&what)),
                Location::Mirror(mirror) => self.download(mirror, &what).await,
            };
            let content = match content {
                Ok(content) => content,
                Err(error) => {
                    last = Some(error);
                    continue;
                }
            };
            let found = hex::encode(Md5::digest(&content));
            if !found.eq_ignore_ascii_case(md5) {
                let why = format!("what it has hashes to md5:{found}, not to md5:{md5}");
                return Err(CondaError::new(CondaErrorKind::WrongDigest, what, why));
            }
            let digest = Digest::of(&content);
            let cache = self.fetcher.cache();
            cache.put(&digest, &content);
            let fact = json!({"sha256": digest.to_string()});
            cache.remember_fact(FACT, md5, &fact);
            return Ok(digest);
        }
        Err(last.unwrap_or_else(|| self.not_here(&what)))
    }

    async fn download(&self, mirror: &Mirror, what: &str) -> Result<Vec<u8>, CondaError> {
        let content = self.fetcher.small(mirror, what, MAX_UNKNOWN).await;
        content
            .map(|content| content.to_vec())
            .map_err(|error| unreachable(what, &error))
    }
}

fn open(path: &Path, what: &str) -> Result<fs_err::File, CondaError> {
    ohoci_files::regular::open(path).map_err(|error| {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => CondaErrorKind::Gone,
            _ => CondaErrorKind::Unreachable,
        };
        CondaError::new(kind, what, error)
    })
}

fn in_memory(path: &Path, what: &str) -> Result<Vec<u8>, CondaError> {
    let mut content = Vec::new();
    open(path, what)?
        .take(MAX_UNKNOWN)
        .read_to_end(&mut content)
        .map_err(|error| CondaError::new(CondaErrorKind::Unreachable, what, error))?;
    Ok(content)
}
