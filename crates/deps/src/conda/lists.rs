//! What channels list.

use std::io::Read;
use std::path::Path;

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::channels::{Channel, Location};
use super::error::{CondaError, CondaErrorKind};
use super::source::CondaSource;
use crate::fetch::{FetchError, FetchErrorKind};
use crate::hosts::Mirror;
use ohoci_conda::repodata::Repodata;
use ohoci_image::Digest;

/// The names of a list, the smaller one first.
const NAMES: [&str; 2] = ["repodata.json.zst", "repodata.json"];

/// Largest list that is read, compressed or not.
const MAX_LIST: u64 = 2 << 30;

/// How long a list is taken from the cache, in seconds: conda's own caching asks for about that.
const FRESH: i64 = 60 * 60;

/// What the cache calls what it knows of lists.
const FACT: &str = "conda-repodata-1";

/// A channel's name, and of each of its platforms the name and the list as it was read.
type ChannelLists = (String, Vec<(String, Vec<u8>)>);

/// The lists of all channels.
#[derive(Debug, Default)]
pub struct Lists {
    channels: Vec<ChannelLists>,
    /// What a person should know of where they are from.
    pub notes: Vec<String>,
}

impl Lists {
    /// The packages whose file names, without ending, `wanted` takes: the lists of the channels in the order
    /// of their priority.
    ///
    /// # Errors
    /// A list that is none.
    pub fn repodata(&self, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<Repodata>, CondaError> {
        let mut all = Vec::new();
        for (channel, documents) in &self.channels {
            for (subdir, json) in documents {
                let list = Repodata::read(json, channel, subdir, wanted).map_err(|error| {
                    let what = format!("the list of {channel}/{subdir}");
                    CondaError::new(CondaErrorKind::Malformed, what, error)
                })?;
                all.push(list);
            }
        }
        Ok(all)
    }
}

/// What came of asking for a list.
enum Found {
    Json(Vec<u8>),
    /// There is none.
    Nothing(String),
}

impl CondaSource {
    /// The lists of all channels for these directories of theirs. A list that was asked for within the last
    /// hour is taken from the cache; an older one is where its channel cannot be reached, which is told.
    ///
    /// # Errors
    /// A channel that is not there or cannot be reached.
    pub async fn lists(&self, subdirs: &[&str]) -> Result<Lists, CondaError> {
        let mut lists = Lists::default();
        for channel in &self.channels.list {
            let mut documents = Vec::new();
            let mut reasons = Vec::new();
            for subdir in subdirs {
                match self.list(channel, subdir, &mut lists.notes).await? {
                    Found::Json(json) => documents.push(((*subdir).to_owned(), json)),
                    Found::Nothing(why) => reasons.push(why),
                }
            }
            if documents.is_empty() {
                let why = reasons.join("; ");
                return Err(CondaError::new(
                    CondaErrorKind::NoChannel,
                    &channel.name,
                    why,
                ));
            }
            lists.channels.push((channel.name.clone(), documents));
        }
        Ok(lists)
    }

    async fn list(
        &self,
        channel: &Channel,
        subdir: &str,
        notes: &mut Vec<String>,
    ) -> Result<Found, CondaError> {
        let mut reasons = Vec::new();
        for place in &channel.places {
            let found = match place {
                Location::Directory(directory) => of_directory(&directory.join(subdir))?,
                Location::Mirror(mirror) => self.of_mirror(mirror, subdir, notes).await?,
            };
            match found {
                Found::Json(json) => return Ok(Found::Json(json)),
                Found::Nothing(why) => reasons.push(why),
            }
        }
        Ok(Found::Nothing(reasons.join("; ")))
    }

    async fn of_mirror(
        &self,
        mirror: &Mirror,
        subdir: &str,
        notes: &mut Vec<String>,
    ) -> Result<Found, CondaError> {
        let what = format!("the list of {}/{subdir}", mirror.name());
        let key = hex::encode(Sha256::digest(format!("{}{subdir}", mirror.base)));
        let known = self.known(&key);
        if let Some((content, at)) = &known
            && (self.offline || (0..FRESH).contains(&self.now.saturating_sub(*at)))
        {
            return decompressed(content, &what).map(Found::Json);
        }
        if self.offline {
            let why = "it is not in the cache, and nothing may be downloaded";
            return Err(CondaError::new(CondaErrorKind::Unreachable, what, why));
        }
        let mut reasons = Vec::new();
        for name in NAMES {
            let path = format!("{subdir}/{name}");
            match self.fetcher.small(mirror, &path, MAX_LIST).await {
                Ok(content) => {
                    self.remember(&key, &content);
                    return decompressed(&content, &what).map(Found::Json);
                }
                Err(error) if error.kind() == FetchErrorKind::Gone => reasons.push(error.why()),
                Err(error) => {
                    let Some((content, _)) = known else {
                        return Err(unreachable(what, &error));
                    };
                    notes.push(format!("{what} is that of an earlier run: {}", error.why()));
                    return decompressed(&content, &what).map(Found::Json);
                }
            }
        }
        reasons.dedup();
        Ok(Found::Nothing(format!("{subdir}: {}", reasons.join("; "))))
    }

    /// A list from the cache, as it was downloaded, and when.
    fn known(&self, key: &str) -> Option<(Vec<u8>, i64)> {
        let cache = self.fetcher.cache();
        let fact = cache.fact(FACT, key)?;
        let digest: Digest = fact.get("digest")?.as_str()?.parse().ok()?;
        let at = fact.get("at")?.as_i64()?;
        Some((cache.get(&digest, MAX_LIST)?.to_vec(), at))
    }

    fn remember(&self, key: &str, content: &[u8]) {
        let digest = Digest::of(content);
        let cache = self.fetcher.cache();
        cache.put(&digest, content);
        let fact = json!({"digest": digest.to_string(), "at": self.now});
        cache.remember_fact(FACT, key, &fact);
    }
}

fn of_directory(directory: &Path) -> Result<Found, CondaError> {
    for name in NAMES {
        let path = directory.join(name);
        let what = path.display().to_string();
        match ohoci_files::regular::open(&path) {
            Ok(file) => {
                let mut content = Vec::new();
                file.take(MAX_LIST)
                    .read_to_end(&mut content)
                    .map_err(|error| CondaError::new(CondaErrorKind::Unreachable, &what, error))?;
                return decompressed(&content, &what).map(Found::Json);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(CondaError::new(CondaErrorKind::Unreachable, &what, error)),
        }
    }
    let why = format!("{} has no repodata.json", directory.display());
    Ok(Found::Nothing(why))
}

fn decompressed(content: &[u8], what: &str) -> Result<Vec<u8>, CondaError> {
    const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    if !content.starts_with(&ZSTD) {
        return Ok(content.to_vec());
    }
    let mut json = Vec::new();
    let malformed = |why: String| CondaError::new(CondaErrorKind::Malformed, what, why);
    zstd::Decoder::new(content)
        .and_then(|decoder| decoder.take(MAX_LIST + 1).read_to_end(&mut json))
        .map_err(|error| malformed(error.to_string()))?;
    if json.len() as u64 > MAX_LIST {
        return Err(malformed(format!("it has more than {MAX_LIST} bytes")));
    }
    Ok(json)
}

pub(super) fn unreachable(what: impl Into<String>, error: &FetchError) -> CondaError {
    let kind = match error.kind() {
        FetchErrorKind::Gone => CondaErrorKind::Gone,
        FetchErrorKind::Corrupt => CondaErrorKind::WrongDigest,
        _ => CondaErrorKind::Unreachable,
    };
    CondaError::new(kind, what, error.why())
}
