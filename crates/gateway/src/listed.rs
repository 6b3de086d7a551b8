//! Which index lists a manifest that a base's repository has.

use std::fmt;

use ohoci_image::{Content, Digest, Manifest, RegistryReference};
use ohoci_store::cache::Cache;
use quick_cache::sync::Cache as Memory;
use serde_json::Value;

/// How many manifests that indexes list are remembered.
const LISTED: usize = 16_384;

/// What the cache knows indexes of listed manifests by.
const FACT: &str = "gateway-index";

/// Which index lists a manifest: signatures are about indexes, and clients ask for what they list one by
/// one.
pub(crate) struct Listed(Memory<String, Digest>);

impl Default for Listed {
    fn default() -> Self {
        Self(Memory::new(LISTED))
    }
}

impl fmt::Debug for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listed").finish_non_exhaustive()
    }
}

impl Listed {
    pub(crate) fn remember(&self, cache: &Cache, base: &RegistryReference, index: &Manifest) {
        let Content::Index { manifests } = index.content() else {
            return;
        };
        for entry in manifests {
            let key = base.at(&entry.digest).to_string();
            cache.remember_fact(FACT, &key, &Value::from(index.digest().to_string()));
            self.0.insert(key, index.digest().clone());
        }
    }

    pub(crate) fn index_of(&self, cache: &Cache, manifest: &RegistryReference) -> Option<Digest> {
        let key = manifest.to_string();
        self.0
            .get(&key)
            .or_else(|| cache.fact(FACT, &key)?.as_str()?.parse().ok())
    }
}
