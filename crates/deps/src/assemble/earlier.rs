//! Layers that were made before, and what of other layers they were made from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::place::Prefix;
use crate::relocate::Programs;
use ohoci_layer::{LayerPath, Tree};

/// A feature's layer that was made before from the same feature and the same packages.
#[derive(Debug)]
pub struct Earlier {
    /// The tree, from the image's root.
    pub tree: Tree,
    /// What it was made from besides; the layer counts where that is the same.
    pub seen: Seen,
    /// How many files were edited in it.
    pub edits: usize,
}

/// What a feature's layer was made from besides the feature itself and its packages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Whether there is something at these paths in a layer below, or a wrapper: links may lead there.
    pub paths: BTreeMap<String, bool>,
    /// Where the programs are that scripts name.
    pub programs: BTreeMap<String, Option<String>>,
}

impl Seen {
    /// Whether other layers, by what is at a path in them, would be seen like this.
    pub(super) fn still(&self, is_there: impl Fn(&LayerPath) -> bool) -> bool {
        self.paths.iter().all(|(path, was_there)| {
            LayerPath::parse(path.as_bytes()).is_ok_and(|path| is_there(&path) == *was_there)
        })
    }
}

impl Earlier {
    /// Whether something is at a path below the prefix.
    pub(super) fn has(&self, path: &LayerPath, prefix: &Prefix) -> bool {
        let path = prefix.path().join(path);
        path.is_ok_and(|path| self.tree.get(&path).is_some())
    }

    /// Its files, below the prefix.
    pub(super) fn files(&self, prefix: &Prefix) -> Vec<LayerPath> {
        let prefix = prefix.path().as_bytes();
        let files = self.tree.iter().filter(|(_, entry)| !entry.is_directory());
        let below = files.filter_map(|(path, _)| {
            let below = path.as_bytes().strip_prefix(prefix)?.strip_prefix(b"/")?;
            LayerPath::parse(below).ok()
        });
        below.collect()
    }

    /// Whether its scripts would be given the same programs.
    pub(super) fn is_current(&self, programs: &Programs) -> bool {
        programs.still(&self.seen.programs)
    }
}
