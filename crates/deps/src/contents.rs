//! What a layer says of itself: the packages that it was made from, and which file is whose.
//!
//! It stands in the layer as `share/ohoci/FEATURE.json` below the prefix.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use ohoci_layer::LayerPath;

/// The only version of the format so far.
const VERSION: u64 = 1;

/// A layer's contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Version of the format.
    pub version: u64,
    /// The feature.
    pub feature: String,
    /// Its packages by name.
    pub packages: BTreeMap<String, PackageContents>,
}

/// What is in a layer of a package.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageContents {
    /// Its version.
    pub version: String,
    /// Its files and links, below the prefix.
    pub files: BTreeSet<String>,
}

impl Contents {
    /// Where the contents of all features are, below the prefix.
    pub(crate) const DIRECTORY: &str = "share/ohoci";

    /// Of a feature, without packages.
    #[must_use]
    pub fn new(feature: &str) -> Self {
        Self {
            version: VERSION,
            feature: feature.to_owned(),
            packages: BTreeMap::new(),
        }
    }

    /// Where a feature's contents are, below the prefix.
    #[must_use]
    pub fn path(feature: &str) -> String {
        format!("{}/{feature}.json", Self::DIRECTORY)
    }

    /// As it stands in the layer.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Maps with string keys, strings and numbers: nothing that JSON could not hold.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The package of each path from the image's root.
    #[must_use]
    pub fn owners(&self, prefix: &LayerPath) -> BTreeMap<LayerPath, String> {
        let mut owners = BTreeMap::new();
        for (name, package) in &self.packages {
            for file in &package.files {
                if let Ok(path) = LayerPath::parse(file.as_bytes())
                    && let Ok(path) = prefix.join(&path)
                {
                    owners.insert(path, name.clone());
                }
            }
        }
        owners
    }
}
