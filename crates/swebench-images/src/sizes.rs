//! How many bytes levels came to, remembered so that plans can tell before they are built again, be it
//! on another base.

use serde_json::{Value, json};

use super::conda_python::CondaPython;
use ohoci_store::cache::Cache;
use ohoci_swebench::environment::Lock;

/// What the cache calls these facts.
const FACT: &str = "swebench-size-1";

/// A level, by what its size depends on most: not the base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sized {
    /// Python, by its version.
    Python(String),
    /// An environment, by the key of its lock.
    Environment(String),
    /// An instance's own level, by its name and its commit.
    Instance(String, String),
}

impl Sized {
    /// The Python of a lock, with all packages of conda where it is one of them.
    #[must_use]
    pub(crate) fn python(lock: &Lock) -> Self {
        Self::Python(python_name(lock))
    }

    /// The environment of a lock.
    #[must_use]
    pub(crate) fn environment(lock: &Lock) -> Self {
        Self::Environment(lock.key())
    }

    fn key(&self) -> String {
        match self {
            Self::Python(version) => format!("python {version}"),
            Self::Environment(lock) => format!("environment {lock}"),
            Self::Instance(name, commit) => format!("instance {name} {commit}"),
        }
    }

    /// Remembers the size of its layer, and of its tar, in bytes.
    pub(crate) fn remember(&self, cache: &Cache, size: u64, uncompressed: u64) {
        let fact = json!({"size": size, "uncompressed": uncompressed});
        cache.remember_fact(FACT, &self.key(), &fact);
    }

    /// The size of its layer when it was built last, and of its tar where that was kept, in bytes.
    #[must_use]
    pub(crate) fn remembered(&self, cache: &Cache) -> Option<(u64, Option<u64>)> {
        let fact = cache.fact(FACT, &self.key())?;
        let number = |name: &str| fact.get(name).and_then(Value::as_u64);
        Some((number("size")?, number("uncompressed")))
    }
}

/// What tells the level of a lock's Python from others: its version, or the packages that it is among.
pub(crate) fn python_name(lock: &Lock) -> String {
    match lock.linked.is_empty() {
        true => lock.python.clone(),
        false => format!("{} {}", lock.python, CondaPython::of(lock, &[]).key()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_built_is_remembered_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::new(directory.path().join("cache"));
        let python = Sized::Python("3.9".to_owned());
        python.remember(&cache, 7, 9);
        assert_eq!(python.remembered(&cache), Some((7, Some(9))));
        assert_eq!(
            Sized::Environment("3.9".to_owned()).remembered(&cache),
            None
        );
    }
}
