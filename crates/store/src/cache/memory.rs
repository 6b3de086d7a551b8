//! What the cache remembers besides blobs: small facts, each of which this machine has verified.
//!
//! File names are hashes of the keys, so that no name that a server or a person chose can lead
//! anywhere. The key stands in the file, too, and is compared when it is read.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fs_err as fs;
use serde_json::{Value, json};

use ohoci_image::Digest;
use ohoci_layout::staged;
use ohoci_registry::{TokenMemory, TokenServer};

use super::{Cache, create, existing};

/// How long something is taken for true that a registry has shown. Registries are emptied, moved
/// and cleaned up; a day spares every run but the first of the day, and what is older is asked for
/// again.
pub(super) const TRUSTED_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// How old a line of a log is, in seconds, when a newer proof is worth another line.
const REFRESH_AFTER: u64 = 60 * 60;

/// Largest file of a fact, in bytes.
const MAX_FACT: u64 = 1 << 20;

/// Size at which a log is written anew without what it repeats, in bytes.
const COMPACT_AT: u64 = 4 << 20;

/// How much of a log is read: its end, where the newest lines are.
const MAX_LOG: u64 = 16 << 20;

/// What the cache calls token servers.
const TOKEN_SERVER: &str = "token-server";

impl TokenMemory for Cache {
    fn recall(&self, registry: &str) -> Option<TokenServer> {
        let fact = self.fact(TOKEN_SERVER, registry)?;
        is_recent(fact.get("at")?.as_u64()?, now()).then_some(())?;
        let text = |name: &str| Some(fact.get(name)?.as_str()?.to_owned());
        Some(TokenServer {
            realm: text("realm")?,
            service: text("service"),
        })
    }

    fn remember(&self, registry: &str, server: &TokenServer) {
        let fact = json!({"realm": server.realm, "service": server.service, "at": now()});
        self.remember_fact(TOKEN_SERVER, registry, &fact);
    }
}

impl Cache {
    /// Remembers which digest a tag was last seen to name. A tag can move, so this is good for
    /// guessing only. `registry` is scheme, host and port: what else identifies one.
    pub fn remember_reference(&self, registry: &str, repository: &str, tag: &str, digest: &Digest) {
        let key = key(&[registry, repository, tag]);
        let fact = json!({"digest": digest.to_string(), "at": now()});
        self.remember_fact("reference", &key, &fact);
    }

    /// The digest that a tag was last seen to name, however long ago that was.
    #[must_use]
    pub fn reference(&self, registry: &str, repository: &str, tag: &str) -> Option<Digest> {
        let fact = self.fact("reference", &key(&[registry, repository, tag]))?;
        fact.get("digest")?.as_str()?.parse().ok()
    }

    /// The digest that a tag was seen to name less than `TRUSTED_FOR` ago.
    #[must_use]
    pub fn recent_reference(&self, registry: &str, repository: &str, tag: &str) -> Option<Digest> {
        let fact = self.fact("reference", &key(&[registry, repository, tag]))?;
        is_recent(fact.get("at")?.as_u64()?, now()).then_some(())?;
        fact.get("digest")?.as_str()?.parse().ok()
    }

    /// Remembers that a policy let an image in: its name, its digest and the rule, as words.
    pub fn remember_accepted(&self, what: &[String; 3]) {
        let words: Vec<&str> = what.iter().map(String::as_str).collect();
        self.remember_fact("accepted", &key(&words), &json!({"at": now()}));
    }

    /// Whether a policy let an image in less than a day ago.
    #[must_use]
    pub fn was_accepted(&self, what: &[String; 3]) -> bool {
        let words: Vec<&str> = what.iter().map(String::as_str).collect();
        let fact = self.fact("accepted", &key(&words));
        let at = fact.and_then(|fact| fact.get("at")?.as_u64());
        at.is_some_and(|at| is_recent(at, now()))
    }

    /// Remembers that these blobs were just now proven to be in a repository. `known` is what is remembered of
    /// it already, as [`Cache::known_blobs`] has it, and learns what is new.
    pub(crate) fn remember_blobs<'a>(
        &self,
        registry: &str,
        repository: &str,
        blobs: impl IntoIterator<Item = &'a Digest>,
        known: &mut HashMap<Digest, u64>,
    ) {
        self.remember_blobs_at(registry, repository, blobs, known, now());
    }

    fn remember_blobs_at<'a>(
        &self,
        registry: &str,
        repository: &str,
        blobs: impl IntoIterator<Item = &'a Digest>,
        known: &mut HashMap<Digest, u64>,
        now: u64,
    ) {
        let Some(path) = self.log_path(registry, repository) else {
            return;
        };
        // The first line feed ends whatever an interrupted writer may have left.
        let mut text = String::from("\n");
        let start = text.len();
        for digest in blobs {
            let is_fresh = known
                .get(digest)
                .is_some_and(|at| now.saturating_sub(*at) < REFRESH_AFTER);
            if !is_fresh {
                text.push_str(&line(digest, now));
                known.insert(digest.clone(), now);
            }
        }
        if text.len() > start {
            self.write(move |cache| {
                cache.note("write", append(&path, &text));
            });
        }
    }

    /// Writes now, or behind whoever goes on.
    fn write(&self, write: impl FnOnce(&Self) + Send + 'static) {
        match &self.behind {
            Some(behind) => {
                let cache = self.at_once();
                behind.write(move || write(&cache));
            }
            None => write(self),
        }
    }

    /// The blobs that were proven to be in a repository less than `TRUSTED_FOR` ago, with when
    /// that was, in seconds since 1970.
    #[must_use]
    pub(crate) fn known_blobs(&self, registry: &str, repository: &str) -> HashMap<Digest, u64> {
        self.known_blobs_at(registry, repository, now())
    }

    fn known_blobs_at(&self, registry: &str, repository: &str, now: u64) -> HashMap<Digest, u64> {
        let read = |path: PathBuf| self.note("read", read_log(&path));
        let mut known = self
            .log_path(registry, repository)
            .and_then(read)
            .unwrap_or_default();
        known.retain(|_, at| is_recent(*at, now));
        known
    }

    /// Forgets the blobs of all repositories of a registry: one of them turned out to be gone, so
    /// nothing that was remembered of the registry can be relied on.
    pub(crate) fn forget_registry(&self, registry: &str) {
        if let Some(path) = self.registry_path(registry) {
            // In its turn: what waits to be written is older.
            self.write(move |cache| {
                cache.note("write", fs::remove_dir_all(path));
            });
        }
    }

    /// Remembers a fact of a kind (`diff-id`, say) under a key. What was remembered under that
    /// key before is replaced.
    pub fn remember_fact(&self, kind: &str, key: &str, fact: &Value) {
        let Some(path) = self.fact_path(kind, key) else {
            return;
        };
        let content = json!({"kind": kind, "key": key, "fact": fact}).to_string();
        self.write(move |cache| {
            let written = path
                .parent()
                .map_or(Ok(()), create)
                .and_then(|()| staged::replace_unsynced(&path, content.as_bytes()));
            cache.note("write", written);
        });
    }

    /// The fact of a kind under a key.
    #[must_use]
    pub fn fact(&self, kind: &str, key: &str) -> Option<Value> {
        let path = self.fact_path(kind, key)?;
        let read = || -> io::Result<Option<Vec<u8>>> {
            let Some(file) = existing(&path)? else {
                return Ok(None);
            };
            let mut content = Vec::new();
            file.take(MAX_FACT).read_to_end(&mut content)?;
            Ok(Some(content))
        };
        let content = self.note("read", read())??;
        let mut value: Value = serde_json::from_slice(&content).ok()?;
        let is = |field: &str, text: &str| value.get(field).and_then(Value::as_str) == Some(text);
        (is("kind", kind) && is("key", key))
            .then(|| value.get_mut("fact").map(Value::take))
            .flatten()
    }

    fn fact_path(&self, kind: &str, key: &str) -> Option<PathBuf> {
        let hash = Digest::of(self::key(&[kind, key]).as_bytes());
        let mut path = self.state.root.as_ref()?.join("facts");
        path.push(hash.hex().get(..2)?);
        path.push(hash.hex());
        Some(path)
    }

    fn registry_path(&self, registry: &str) -> Option<PathBuf> {
        let hash = Digest::of(key(&[registry]).as_bytes());
        Some(self.state.root.as_ref()?.join("held").join(hash.hex()))
    }

    fn log_path(&self, registry: &str, repository: &str) -> Option<PathBuf> {
        let hash = Digest::of(key(&[repository]).as_bytes());
        Some(self.registry_path(registry)?.join(hash.hex()))
    }
}

/// Seconds since 1970; a clock before that counts as 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "how long something is believed has no influence on content"
)]
fn now() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Whether what was seen then may be relied on now. What was seen in the future was seen by a
/// clock that was wrong.
fn is_recent(at: u64, now: u64) -> bool {
    now.checked_sub(at)
        .is_some_and(|age| age < TRUSTED_FOR.as_secs())
}

fn line(digest: &Digest, at: u64) -> String {
    format!("{digest} {at}\n")
}

/// Joins the parts of a key so that different parts give different keys.
fn key(parts: &[&str]) -> String {
    Value::from(parts).to_string()
}

fn append(path: &Path, text: &str) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        create(directory)?;
    }
    let mut file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)?;
    // One write, so that lines of concurrent processes do not mix.
    file.write_all(text.as_bytes())?;
    if file.metadata()?.len() > COMPACT_AT {
        compact(path)?;
    }
    Ok(())
}

/// Writes the log anew, each blob once. Lines that another process appends meanwhile are lost,
/// which costs a request some time and nothing else.
fn compact(path: &Path) -> io::Result<()> {
    let mut newest: Vec<(Digest, u64)> = read_log(path)?.into_iter().collect();
    newest.sort_unstable_by(|(one, then), (other, now)| now.cmp(then).then_with(|| one.cmp(other)));
    // Halved when it is really that long: forgetting is harmless, and it must not grow for ever.
    let most = usize::try_from(COMPACT_AT / 2 / 90).unwrap_or(usize::MAX);
    newest.truncate(most);
    let text: String = newest
        .iter()
        .map(|(digest, at)| line(digest, *at))
        .collect();
    staged::replace_unsynced(path, text.as_bytes())
}

/// The digests in a log, each with when it was last proven; torn and damaged lines are passed
/// over.
fn read_log(path: &Path) -> io::Result<HashMap<Digest, u64>> {
    let Some(mut file) = existing(path)? else {
        return Ok(HashMap::new());
    };
    let length = file.metadata()?.len();
    if length > MAX_LOG {
        io::Seek::seek(&mut file, io::SeekFrom::Start(length - MAX_LOG))?;
    }
    let mut content = Vec::new();
    file.take(MAX_LOG).read_to_end(&mut content)?;
    let mut known = HashMap::new();
    for line in content.split(|byte| *byte == b'\n') {
        let parsed = std::str::from_utf8(line).ok().and_then(|line| {
            let (digest, at) = line.split_once(' ')?;
            Some((digest.parse::<Digest>().ok()?, at.parse::<u64>().ok()?))
        });
        if let Some((digest, at)) = parsed {
            let newest = known.entry(digest).or_insert(at);
            *newest = at.max(*newest);
        }
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const REGISTRY: &str = "https://registry.example";

    fn remember(cache: &Cache, registry: &str, repository: &str, blobs: &[Digest]) {
        remember_at(cache, registry, repository, blobs, now());
    }

    /// As a process does that has just read what is remembered.
    fn remember_at(cache: &Cache, registry: &str, repository: &str, blobs: &[Digest], at: u64) {
        let mut known = cache.known_blobs_at(registry, repository, at);
        cache.remember_blobs_at(registry, repository, blobs, &mut known, at);
    }

    fn digests(range: std::ops::Range<u32>) -> Vec<Digest> {
        range.map(|n| Digest::of(&n.to_be_bytes())).collect()
    }

    #[test]
    fn token_servers_are_remembered_for_a_day() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(directory.path());
        let server = TokenServer {
            realm: "https://auth.example/token".to_owned(),
            service: Some("registry.example".to_owned()),
        };
        let registry = "https://registry.example/";
        cache.remember(registry, &server);
        assert_eq!(cache.recall(registry), Some(server.clone()));
        assert_eq!(cache.recall("http://registry.example/"), None);
        let yesterday = json!({"realm": server.realm, "at": now() - TRUSTED_FOR.as_secs()});
        cache.remember_fact(TOKEN_SERVER, registry, &yesterday);
        assert_eq!(cache.recall(registry), None);
    }

    #[test]
    fn references_and_facts_are_kept_apart() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(directory.path().join("cache"));
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        assert_eq!(cache.reference(REGISTRY, "a/b", "c"), None);
        cache.remember_reference(REGISTRY, "a/b", "c", &one);
        cache.remember_reference(REGISTRY, "a", "b/c", &two);
        assert_eq!(cache.reference(REGISTRY, "a/b", "c"), Some(one));
        cache.remember_reference(REGISTRY, "a/b", "c", &two);
        assert_eq!(cache.reference(REGISTRY, "a/b", "c"), Some(two));

        cache.remember_fact("diff-id", "../../x", &json!({"a": [1]}));
        assert_eq!(cache.fact("diff-id", "../../x"), Some(json!({"a": [1]})));
        assert_eq!(cache.fact("flattened", "../../x"), None);
        assert_eq!(Cache::disabled().fact("diff-id", "../../x"), None);
        let beside: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(beside, ["cache"]);
    }

    #[test]
    fn a_fact_of_another_key_or_a_damaged_one_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(directory.path());
        cache.remember_fact("k", "a", &json!(1));
        cache.remember_fact("k", "b", &json!(2));
        let path = |key| cache.fact_path("k", key).unwrap();
        fs::copy(path("b"), path("a")).unwrap();
        assert_eq!(cache.fact("k", "a"), None);
        fs::write(path("b"), "{\"ki").unwrap();
        assert_eq!(cache.fact("k", "b"), None);
    }

    #[test]
    fn torn_lines_cost_only_themselves() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(directory.path());
        let blobs = digests(0..3);
        remember(&cache, REGISTRY, "a", &blobs[..1]);
        let path = cache.log_path(REGISTRY, "a").unwrap();
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"\xff\xfe\nsha256:12").unwrap();
        remember(&cache, REGISTRY, "a", &blobs);
        let known = cache.known_blobs(REGISTRY, "a");
        assert_eq!(
            known.into_keys().collect::<HashSet<_>>(),
            blobs.into_iter().collect()
        );
        assert!(cache.known_blobs(REGISTRY, "b").is_empty());
        assert_eq!(cache.first_failure(), None);
    }

    #[test]
    fn concurrent_writers_lose_no_line() {
        let directory = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let cache = Cache::new(directory.path());
                scope.spawn(move || {
                    for n in 0..20 {
                        let at = thread * 100 + n;
                        remember(&cache, REGISTRY, "a", &digests(at..at + 2));
                    }
                });
            }
        });
        let cache = Cache::new(directory.path());
        assert_eq!(cache.known_blobs(REGISTRY, "a").len(), 8 * 21);
    }

    #[test]
    fn a_long_log_is_compacted() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(directory.path());
        let blobs = digests(0..10);
        remember(&cache, REGISTRY, "a", &blobs[..9]);
        let path = cache.log_path(REGISTRY, "a").unwrap();
        let line = line(&blobs[0], now());
        append(&path, &line.repeat(COMPACT_AT as usize / line.len())).unwrap();
        remember(&cache, REGISTRY, "a", &blobs);
        assert!(fs::metadata(&path).unwrap().len() < 2000);
        let known = cache.known_blobs(REGISTRY, "a");
        assert_eq!(
            known.into_keys().collect::<HashSet<_>>(),
            blobs.into_iter().collect()
        );
    }

    #[test]
    fn what_was_seen_is_believed_for_a_day_and_never_from_the_future() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(directory.path());
        let blobs = digests(0..2);
        let then = 1_000_000;
        remember_at(&cache, REGISTRY, "a", &blobs, then);
        let day = TRUSTED_FOR.as_secs();
        assert_eq!(cache.known_blobs_at(REGISTRY, "a", then + day - 1).len(), 2);
        assert!(cache.known_blobs_at(REGISTRY, "a", then + day).is_empty());
        assert!(cache.known_blobs_at(REGISTRY, "a", then - 1).is_empty());
        // One that is proven again is believed for longer; the other is not.
        remember_at(&cache, REGISTRY, "a", &blobs[..1], then + day / 2);
        let later = cache.known_blobs_at(REGISTRY, "a", then + day);
        assert_eq!(later.into_keys().collect::<Vec<_>>(), blobs[..1]);
    }

    #[test]
    fn registries_that_differ_in_scheme_or_port_are_others_and_each_is_forgotten_as_a_whole() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(directory.path());
        let blobs = digests(0..1);
        let others = ["http://registry.example", "https://registry.example:5000"];
        remember(&cache, REGISTRY, "a", &blobs);
        remember(&cache, REGISTRY, "b", &blobs);
        for other in others {
            assert!(cache.known_blobs(other, "a").is_empty());
            remember(&cache, other, "a", &blobs);
        }
        cache.forget_registry(REGISTRY);
        assert!(cache.known_blobs(REGISTRY, "a").is_empty());
        assert!(cache.known_blobs(REGISTRY, "b").is_empty());
        for other in others {
            assert_eq!(cache.known_blobs(other, "a").len(), 1);
        }
        assert_eq!(cache.first_failure(), None);
    }

    #[test]
    fn a_tag_seen_long_ago_is_good_for_a_guess_only() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(directory.path());
        let digest = Digest::of(b"1");
        cache.remember_reference(REGISTRY, "a", "b", &digest);
        assert_eq!(
            cache.recent_reference(REGISTRY, "a", "b"),
            Some(digest.clone())
        );
        let old = json!({"digest": digest.to_string(), "at": 1_000_000});
        cache.remember_fact("reference", &key(&[REGISTRY, "a", "b"]), &old);
        assert_eq!(cache.recent_reference(REGISTRY, "a", "b"), None);
        assert_eq!(cache.reference(REGISTRY, "a", "b"), Some(digest));
    }
}
