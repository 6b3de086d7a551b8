//! What channels list.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::channels::{Channel, Location};
use super::error::{CondaError, CondaErrorKind};
use super::shard_place::ShardPlace;
use super::source::CondaSource;
use crate::fetch::{FetchError, FetchErrorKind};
use crate::hosts::Mirror;
use ohoci_conda::listed::Listed;
use ohoci_conda::repodata::Repodata;
use ohoci_conda::shards::{ShardIndex, read_shard};
use ohoci_conda::shelf::Shelf;
use ohoci_image::Digest;

/// The list of the shards of a channel's directory.
const SHARDS: &str = "repodata_shards.msgpack.zst";

/// The names of a list, the one with the least to download first.
const NAMES: [&str; 3] = [SHARDS, "repodata.json.zst", "repodata.json"];

/// Largest list that is read, compressed or not.
const MAX_LIST: u64 = 2 << 30;

/// Largest shard that is read, compressed or not.
const MAX_SHARD: u64 = 256 << 20;

/// How many shards are asked for at once.
const CONCURRENCY: usize = 16;

/// How long a list is taken from the cache, in seconds: conda's own caching asks for about that.
const FRESH: i64 = 60 * 60;

/// What the cache calls what it knows of lists.
const FACT: &str = "conda-repodata-2";

/// The lists of all channels.
#[derive(Debug, Default)]
pub struct Lists {
    channels: Vec<ChannelLists>,
    /// What a person should know of where they are from.
    pub notes: Vec<String>,
}

/// The lists of a channel, one for each of its directories.
#[derive(Debug)]
struct ChannelLists {
    name: String,
    lists: Vec<(String, List)>,
}

/// A list of a channel's directory.
#[derive(Debug)]
enum List {
    Whole(Box<Repodata>),
    Shards(Box<Shards>),
}

/// A list in shards, and where they are.
#[derive(Debug)]
struct Shards {
    index: ShardIndex,
    place: ShardPlace,
}

/// What came of asking for a list.
enum Found {
    List(List),
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
            let mut found = Vec::new();
            let mut reasons = Vec::new();
            for subdir in subdirs {
                match self.list(channel, subdir, &mut lists.notes).await? {
                    Found::List(list) => found.push(((*subdir).to_owned(), list)),
                    Found::Nothing(why) => reasons.push(why),
                }
            }
            if found.is_empty() {
                let why = reasons.join("; ");
                return Err(CondaError::new(
                    CondaErrorKind::NoChannel,
                    &channel.name,
                    why,
                ));
            }
            lists.channels.push(ChannelLists {
                name: channel.name.clone(),
                lists: found,
            });
        }
        Ok(lists)
    }

    /// What the lists have of these names, as far as `wanted` takes the names of files without their endings; with
    /// `follow` what those packages need as well, and so on. Of lists in shards only those of these names are
    /// downloaded.
    ///
    /// # Errors
    /// A shard that cannot be had, or is none.
    pub(super) async fn shelf(
        &self,
        lists: &Lists,
        names: BTreeSet<String>,
        wanted: &dyn Fn(&str) -> bool,
        follow: bool,
    ) -> Result<Shelf, CondaError> {
        let mut shelf = Shelf::new(lists.channels.len());
        let (mut open, mut seen) = (names, BTreeSet::new());
        while !open.is_empty() {
            let mut needed = BTreeSet::new();
            for (at, channel) in lists.channels.iter().enumerate() {
                for (subdir, list) in &channel.lists {
                    let all = open.iter().map(|name| async move {
                        let listed = self.listed(&channel.name, subdir, list, name, wanted);
                        listed.await.map(|listed| (name, listed))
                    });
                    let mut all = stream::iter(all).buffered(CONCURRENCY);
                    while let Some((name, listed)) = all.try_next().await? {
                        needed.extend(shelf.add(at, name, listed));
                    }
                }
            }
            seen.append(&mut open);
            if follow {
                open = needed.difference(&seen).cloned().collect();
            }
        }
        Ok(shelf)
    }

    async fn listed(
        &self,
        channel: &str,
        subdir: &str,
        list: &List,
        name: &str,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<Listed>, CondaError> {
        let shards = match list {
            List::Whole(list) => return Ok(list.packages(name, wanted)),
            List::Shards(shards) => shards,
        };
        let Some(hex) = shards.index.shard(name) else {
            return Ok(Vec::new());
        };
        let content = self.shard(&shards.place, &hex).await?;
        let what = format!("the list of {name} in {channel}/{subdir}");
        let content = decompressed(&content, &what, MAX_SHARD)?;
        read_shard(&content, channel, subdir, wanted).map_err(|error| malformed(what, &error))
    }

    /// A shard, which is what its digest says.
    async fn shard(&self, place: &ShardPlace, hex: &str) -> Result<Vec<u8>, CondaError> {
        let path = place.path(hex);
        let wrong = |why: String| CondaError::new(CondaErrorKind::WrongDigest, &path, why);
        let digest: Digest = format!("sha256:{hex}")
            .parse()
            .map_err(|error| malformed(&path, &error))?;
        let cache = self.fetcher.cache();
        if let Some(content) = cache.get(&digest, MAX_SHARD) {
            return Ok(content.to_vec());
        }
        let content = match place {
            ShardPlace::Directory(directory, _) => {
                read(&directory.join(&path))?.ok_or_else(|| {
                    CondaError::new(CondaErrorKind::Gone, &path, "there is no such file")
                })?
            }
            ShardPlace::Mirror(..) if self.offline => {
                let why = "it is not in the cache, and nothing may be downloaded";
                return Err(CondaError::new(CondaErrorKind::Unreachable, path, why));
            }
            ShardPlace::Mirror(mirror, _) => {
                let content = self.fetcher.small(mirror, &path, MAX_SHARD).await;
                content
                    .map_err(|error| unreachable(&path, &error))?
                    .to_vec()
            }
        };
        let found = Digest::of(&content);
        if found != digest {
            return Err(wrong(format!(
                "what it has hashes to {found}, not to {digest}"
            )));
        }
        cache.put(&digest, &content);
        Ok(content)
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
                Location::Directory(directory) => of_directory(directory, &channel.name, subdir)?,
                Location::Mirror(mirror) => {
                    self.of_mirror(mirror, &channel.name, subdir, notes).await?
                }
            };
            match found {
                Found::List(list) => return Ok(Found::List(list)),
                Found::Nothing(why) => reasons.push(why),
            }
        }
        Ok(Found::Nothing(reasons.join("; ")))
    }

    async fn of_mirror(
        &self,
        mirror: &Mirror,
        channel: &str,
        subdir: &str,
        notes: &mut Vec<String>,
    ) -> Result<Found, CondaError> {
        let what = format!("the list of {}/{subdir}", mirror.name());
        let place = Location::Mirror(mirror.clone());
        let parse =
            |name: &str, content: &[u8]| parsed(content, name, &what, channel, subdir, &place);
        let key = hex::encode(Sha256::digest(format!("{}{subdir}", mirror.base)));
        let known = self.known(&key);
        if let Some((name, content, at)) = &known
            && (self.offline || (0..FRESH).contains(&self.now.saturating_sub(*at)))
            && let Some(list) = parse(name, content)?
        {
            return Ok(Found::List(list));
        }
        if self.offline {
            let why = "it is not in the cache, and nothing may be downloaded";
            return Err(CondaError::new(CondaErrorKind::Unreachable, what, why));
        }
        let mut reasons = Vec::new();
        for name in NAMES {
            let path = format!("{subdir}/{name}");
            match self.fetcher.small(mirror, &path, MAX_LIST).await {
                Ok(content) => match parse(name, &content)? {
                    Some(list) => {
                        self.remember(&key, name, &content);
                        return Ok(Found::List(list));
                    }
                    None => reasons.push(format!("{name}: its shards are on another server")),
                },
                Err(error) if error.kind() == FetchErrorKind::Gone => reasons.push(error.why()),
                Err(error) => {
                    let known = known.as_ref();
                    let known = known.map(|(name, content, _)| parse(name, content));
                    let Some(list) = known.transpose()?.flatten() else {
                        return Err(unreachable(what, &error));
                    };
                    notes.push(format!("{what} is that of an earlier run: {}", error.why()));
                    return Ok(Found::List(list));
                }
            }
        }
        reasons.dedup();
        Ok(Found::Nothing(format!("{subdir}: {}", reasons.join("; "))))
    }

    /// A list from the cache, as it was downloaded: its name, its content, and when that was.
    fn known(&self, key: &str) -> Option<(String, Vec<u8>, i64)> {
        let cache = self.fetcher.cache();
        let fact = cache.fact(FACT, key)?;
        let digest: Digest = fact.get("digest")?.as_str()?.parse().ok()?;
        let name = fact.get("name")?.as_str()?.to_owned();
        let at = fact.get("at")?.as_i64()?;
        Some((name, cache.get(&digest, MAX_LIST)?.to_vec(), at))
    }

    fn remember(&self, key: &str, name: &str, content: &[u8]) {
        let digest = Digest::of(content);
        let cache = self.fetcher.cache();
        cache.put(&digest, content);
        let fact = json!({"digest": digest.to_string(), "name": name, "at": self.now});
        cache.remember_fact(FACT, key, &fact);
    }
}

fn of_directory(channel: &Path, name: &str, subdir: &str) -> Result<Found, CondaError> {
    let place = Location::Directory(channel.to_owned());
    let directory = channel.join(subdir);
    for file in NAMES {
        let path = directory.join(file);
        if let Some(content) = read(&path)? {
            let what = path.display().to_string();
            if let Some(list) = parsed(&content, file, &what, name, subdir, &place)? {
                return Ok(Found::List(list));
            }
        }
    }
    let why = format!("{} has no repodata.json", directory.display());
    Ok(Found::Nothing(why))
}

/// A list of that file name; `None` where it says that its shards or packages are elsewhere.
fn parsed(
    content: &[u8],
    file: &str,
    what: &str,
    channel: &str,
    subdir: &str,
    place: &Location,
) -> Result<Option<List>, CondaError> {
    let content = decompressed(content, what, MAX_LIST)?;
    let what = format!("the list of {channel}/{subdir}");
    if file == SHARDS {
        let index = ShardIndex::read(&content, subdir).map_err(|error| malformed(what, &error))?;
        let place = ShardPlace::of(&index, place, subdir);
        return Ok(place.map(|place| List::Shards(Box::new(Shards { index, place }))));
    }
    let list = Repodata::read(content, channel, subdir).map_err(|error| malformed(what, &error))?;
    Ok(Some(List::Whole(Box::new(list))))
}

/// A file of this machine; `None` where there is none.
fn read(path: &Path) -> Result<Option<Vec<u8>>, CondaError> {
    let fail = |error| {
        let what = path.display().to_string();
        CondaError::new(CondaErrorKind::Unreachable, what, error)
    };
    match ohoci_files::regular::open(path) {
        Ok(file) => {
            let mut content = Vec::new();
            file.take(MAX_LIST)
                .read_to_end(&mut content)
                .map_err(fail)?;
            Ok(Some(content))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(fail(error)),
    }
}

fn malformed(what: impl Into<String>, why: &dyn std::fmt::Display) -> CondaError {
    CondaError::new(CondaErrorKind::Malformed, what, why)
}

fn decompressed(content: &[u8], what: &str, max: u64) -> Result<Vec<u8>, CondaError> {
    const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    if !content.starts_with(&ZSTD) {
        return Ok(content.to_vec());
    }
    let mut plain = Vec::new();
    zstd::Decoder::new(content)
        .and_then(|decoder| decoder.take(max + 1).read_to_end(&mut plain))
        .map_err(|error| malformed(what, &error))?;
    if plain.len() as u64 > max {
        return Err(malformed(what, &format!("it has more than {max} bytes")));
    }
    Ok(plain)
}

pub(super) fn unreachable(what: impl Into<String>, error: &FetchError) -> CondaError {
    let kind = match error.kind() {
        FetchErrorKind::Gone => CondaErrorKind::Gone,
        FetchErrorKind::Corrupt => CondaErrorKind::WrongDigest,
        _ => CondaErrorKind::Unreachable,
    };
    CondaError::new(kind, what, error.why())
}
