//! What the cache remembers besides blobs: small facts, each of which this machine has verified.
//!
//! File names are hashes of the keys, so that no name that a server or a person chose can lead
//! anywhere. The key stands in the file, too, and is compared when it is read.

use std::collections::HashSet;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::{Value, json};

use crate::oci::Digest;
use crate::store::staged;

use super::{Cache, create, existing};

/// Largest file of a fact, in bytes.
const MAX_FACT: u64 = 1 << 20;

/// Size at which a log is written anew without what it repeats, in bytes.
const COMPACT_AT: u64 = 4 << 20;

/// How much of a log is read: its end, where the newest lines are.
const MAX_LOG: u64 = 16 << 20;

impl Cache {
    /// Remembers which digest a tag was last seen to name. A tag can move, so this is good for
    /// guessing only.
    pub fn remember_reference(&self, host: &str, repository: &str, tag: &str, digest: &Digest) {
        let key = key(&[host, repository, tag]);
        self.remember_fact("reference", &key, &digest.to_string().into());
    }

    /// The digest that a tag was last seen to name.
    #[must_use]
    pub fn reference(&self, host: &str, repository: &str, tag: &str) -> Option<Digest> {
        let fact = self.fact("reference", &key(&[host, repository, tag]))?;
        fact.as_str()?.parse().ok()
    }

    /// Remembers that a manifest proved these blobs to be in a repository.
    pub fn remember_blobs<'a>(
        &self,
        host: &str,
        repository: &str,
        blobs: impl IntoIterator<Item = &'a Digest>,
    ) {
        let Some(path) = self.log_path(host, repository) else {
            return;
        };
        let known = self.known_blobs(host, repository);
        // The first line feed ends whatever an interrupted writer may have left.
        let mut text = String::from("\n");
        let mut new = HashSet::new();
        for digest in blobs {
            if !known.contains(digest) && new.insert(digest) {
                text.push_str(&digest.to_string());
                text.push('\n');
            }
        }
        if !new.is_empty() {
            self.note("write", append(&path, &text));
        }
    }

    /// The blobs that are known to be, or to have been, in a repository.
    #[must_use]
    pub fn known_blobs(&self, host: &str, repository: &str) -> HashSet<Digest> {
        let read = |path: PathBuf| self.note("read", read_log(&path));
        self.log_path(host, repository)
            .and_then(read)
            .unwrap_or_default()
    }

    /// Forgets a repository's blobs: the registry says that one of them is gone.
    pub fn forget_blobs(&self, host: &str, repository: &str) {
        if let Some(path) = self.log_path(host, repository) {
            self.note("write", fs::remove_file(path));
        }
    }

    /// Remembers a fact of a kind (`diff-id`, say) under a key. What was remembered under that
    /// key before is replaced.
    pub fn remember_fact(&self, kind: &str, key: &str, fact: &Value) {
        let Some(path) = self.fact_path(kind, key) else {
            return;
        };
        let content = json!({"kind": kind, "key": key, "fact": fact}).to_string();
        let written = path
            .parent()
            .map_or(Ok(()), create)
            .and_then(|()| staged::replace_unsynced(&path, content.as_bytes()));
        self.note("write", written);
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

    fn log_path(&self, host: &str, repository: &str) -> Option<PathBuf> {
        let hash = Digest::of(key(&[host, repository]).as_bytes());
        Some(
            self.state
                .root
                .as_ref()?
                .join("repositories")
                .join(hash.hex()),
        )
    }
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

/// Writes the log anew, each line once. Lines that another process appends meanwhile are lost,
/// which costs a request some time and nothing else.
fn compact(path: &Path) -> io::Result<()> {
    let mut lines: Vec<String> = read_log(path)?.iter().map(Digest::to_string).collect();
    lines.sort_unstable();
    // Halved when it is really that long: forgetting is harmless, and it must not grow for ever.
    let most = usize::try_from(COMPACT_AT / 2 / 72).unwrap_or(usize::MAX);
    lines.truncate(most);
    let mut text = lines.join("\n");
    text.push('\n');
    staged::replace_unsynced(path, text.as_bytes())
}

/// The digests in a log; torn and damaged lines are passed over.
fn read_log(path: &Path) -> io::Result<HashSet<Digest>> {
    let Some(mut file) = existing(path)? else {
        return Ok(HashSet::new());
    };
    let length = file.metadata()?.len();
    if length > MAX_LOG {
        io::Seek::seek(&mut file, io::SeekFrom::Start(length - MAX_LOG))?;
    }
    let mut content = Vec::new();
    file.take(MAX_LOG).read_to_end(&mut content)?;
    Ok(content
        .split(|byte| *byte == b'\n')
        .filter_map(|line| std::str::from_utf8(line).ok()?.parse().ok())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(range: std::ops::Range<u32>) -> Vec<Digest> {
        range.map(|n| Digest::of(&n.to_be_bytes())).collect()
    }

    #[test]
    fn references_and_facts_are_kept_apart() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(directory.path().join("cache"));
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        assert_eq!(cache.reference("registry.example", "a/b", "c"), None);
        cache.remember_reference("registry.example", "a/b", "c", &one);
        cache.remember_reference("registry.example", "a", "b/c", &two);
        assert_eq!(cache.reference("registry.example", "a/b", "c"), Some(one));
        cache.remember_reference("registry.example", "a/b", "c", &two);
        assert_eq!(cache.reference("registry.example", "a/b", "c"), Some(two));

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
        cache.remember_blobs("registry.example", "a", &blobs[..1]);
        let path = cache.log_path("registry.example", "a").unwrap();
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"\xff\xfe\nsha256:12").unwrap();
        cache.remember_blobs("registry.example", "a", &blobs);
        let known = cache.known_blobs("registry.example", "a");
        assert_eq!(known, blobs.into_iter().collect());
        assert!(cache.known_blobs("registry.example", "b").is_empty());
        cache.forget_blobs("registry.example", "a");
        assert!(cache.known_blobs("registry.example", "a").is_empty());
        assert_eq!(cache.trouble(), None);
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
                        cache.remember_blobs("registry.example", "a", &digests(at..at + 2));
                    }
                });
            }
        });
        let cache = Cache::new(directory.path());
        assert_eq!(cache.known_blobs("registry.example", "a").len(), 8 * 21);
    }

    #[test]
    fn a_long_log_is_compacted() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(directory.path());
        let blobs = digests(0..10);
        cache.remember_blobs("registry.example", "a", &blobs[..9]);
        let path = cache.log_path("registry.example", "a").unwrap();
        let line = format!("{}\n", blobs[0]);
        append(&path, &line.repeat(COMPACT_AT as usize / line.len())).unwrap();
        cache.remember_blobs("registry.example", "a", &blobs);
        assert!(fs::metadata(&path).unwrap().len() < 2000);
        let known = cache.known_blobs("registry.example", "a");
        assert_eq!(known, blobs.into_iter().collect());
    }
}
