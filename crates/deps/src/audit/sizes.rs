//! What takes the room, as a tree.

use std::collections::BTreeMap;

use serde::Serialize;

use super::audited::Layer;
use crate::place::Prefix;
use ohoci_layer::path::printable;
use ohoci_layer::{Kind, LayerPath};

/// Something and how large it is, with what it consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Its name, without what it is part of.
    pub name: String,
    /// The sum of its files in bytes. Hard links count once, with their first name.
    pub bytes: u64,
    /// How many files that is.
    pub files: u64,
    /// Its parts, the largest first; none for a file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Self>,
}

#[derive(Default)]
struct Node {
    bytes: u64,
    files: u64,
    parts: BTreeMap<Vec<u8>, Self>,
}

impl Node {
    fn add<'n>(&mut self, names: impl IntoIterator<Item = &'n [u8]>, bytes: u64) {
        self.bytes += bytes;
        self.files += 1;
        let mut node = self;
        for name in names {
            node = node.parts.entry(name.to_vec()).or_default();
            node.bytes += bytes;
            node.files += 1;
        }
    }

    fn finish(self, name: String) -> Size {
        let mut parts: Vec<Size> = self
            .parts
            .into_iter()
            .map(|(name, node)| node.finish(printable(&name)))
            .collect();
        parts.sort_by(|one, other| {
            (other.bytes.cmp(&one.bytes)).then_with(|| one.name.cmp(&other.name))
        });
        Size {
            name,
            bytes: self.bytes,
            files: self.files,
            parts,
        }
    }
}

fn collect<'l>(
    layers: &[Layer<'l>],
    name: &str,
    names: impl Fn(&Layer<'l>, &'l LayerPath) -> Vec<&'l [u8]>,
) -> Size {
    let mut root = Node::default();
    for layer in layers {
        for (path, entry) in layer.tree {
            if let Kind::File(content) = &entry.kind {
                root.add(names(layer, path), content.size());
            }
        }
    }
    root.finish(name.to_owned())
}

/// Sizes by layer, then folder by folder down to the files.
#[must_use]
pub fn by_folder(layers: &[Layer<'_>]) -> Size {
    collect(layers, "all layers", |layer, path| {
        let name = [layer.name.as_bytes()].into_iter();
        name.chain(path.names()).collect()
    })
}

/// Sizes by layer, then by package, then folder by folder below the prefix; `owner` says which
/// package a path from the image's root came from.
#[must_use]
pub fn by_package<'l>(
    layers: &[Layer<'l>],
    prefix: &Prefix,
    owner: impl Fn(&LayerPath) -> Option<&'l str>,
) -> Size {
    let depth = prefix.path().names().count();
    collect(layers, "all layers", |layer, path| {
        let owner = owner(path).unwrap_or("(of no package)");
        let above = if path.is_within(prefix.path()) {
            depth
        } else {
            0
        };
        [layer.name.as_bytes(), owner.as_bytes()]
            .into_iter()
            .chain(path.names().skip(above))
            .collect()
    })
}

impl Size {
    /// The same with folders that hold a single folder put together with that (`lib/python3.13`),
    /// below the first `levels` levels, which are no folders.
    #[must_use]
    pub fn folded(&self, levels: usize) -> Self {
        let mut folded = self.clone();
        if levels == 0 {
            while let [only] = folded.parts.as_mut_slice()
                && !only.parts.is_empty()
            {
                folded.name = format!("{}/{}", folded.name, only.name);
                folded.parts = std::mem::take(&mut only.parts);
            }
        }
        folded.parts = folded
            .parts
            .iter()
            .map(|part| part.folded(levels.saturating_sub(1)))
            .collect();
        folded
    }

    /// The same with parts smaller than `least` bytes put together, or left out where that is next to
    /// nothing, and no more than `depth` levels below this.
    #[must_use]
    pub fn pruned(&self, least: u64, depth: usize) -> Self {
        let mut pruned = Self {
            parts: Vec::new(),
            ..self.clone()
        };
        if depth == 0 {
            return pruned;
        }
        let (large, small): (Vec<_>, Vec<_>) =
            self.parts.iter().partition(|part| part.bytes >= least);
        pruned.parts = large
            .into_iter()
            .map(|part| part.pruned(least, depth - 1))
            .collect();
        let bytes: u64 = small.iter().map(|part| part.bytes).sum();
        // A line is for what one might do something about.
        if bytes > 0 && bytes.saturating_mul(20) >= least {
            pruned.parts.push(Self {
                name: format!("({} smaller)", small.len()),
                bytes,
                files: small.iter().map(|part| part.files).sum(),
                parts: Vec::new(),
            });
        }
        pruned
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ohoci_layer::{Content, Entry, Rules, Tree};

    fn tree(files: &[(&str, usize)]) -> Tree {
        let mut tree = Tree::new();
        for (at, size) in files {
            let content = Content::Memory(vec![0; *size].into());
            let path = LayerPath::parse(at.as_bytes()).unwrap();
            tree.insert(path, Entry::new(Kind::File(content), 0o644), Rules::Strict)
                .unwrap();
        }
        tree
    }

    fn names(size: &Size) -> Vec<(&str, u64)> {
        let parts = size.parts.iter();
        parts.map(|part| (part.name.as_str(), part.bytes)).collect()
    }

    #[test]
    fn the_largest_comes_first_and_small_ones_go_together() {
        let (one, two) = (
            tree(&[("oh/a/x", 10), ("oh/b", 30), ("oh/c", 1), ("oh/d", 2)]),
            tree(&[("oh/e", 100)]),
        );
        let layers = [
            Layer {
                name: "one",
                tree: &one,
            },
            Layer {
                name: "two",
                tree: &two,
            },
        ];
        let sizes = by_folder(&layers);
        assert_eq!((sizes.bytes, sizes.files), (143, 5));
        assert_eq!(names(&sizes), [("two", 100), ("one", 43)]);
        let below = &sizes.parts[1].parts[0];
        assert_eq!(names(below), [("b", 30), ("a", 10), ("d", 2), ("c", 1)]);
        let pruned = sizes.pruned(5, 3);
        let below = &pruned.parts[1].parts[0];
        assert_eq!(names(below), [("b", 30), ("a", 10), ("(2 smaller)", 3)]);
        assert_eq!(below.parts[1].parts, []);

        let prefix = "/oh".parse().unwrap();
        let packages = by_package(&layers, &prefix, |path| {
            path.as_bytes().ends_with(b"x").then_some("p")
        });
        let of_one = &packages.parts[1];
        assert_eq!(names(of_one), [("(of no package)", 33), ("p", 10)]);
        assert_eq!(names(&of_one.parts[1]), [("a", 10)]);
    }

    #[test]
    fn folders_with_a_single_folder_are_one_line() {
        let tree = tree(&[("oh/lib/a/b/x", 10), ("oh/lib/a/b/y", 1), ("oh/c/d/z", 5)]);
        let layer = Layer {
            name: "one",
            tree: &tree,
        };
        let folded = by_folder(&[layer]).folded(2);
        assert_eq!(names(&folded), [("one", 16)]);
        assert_eq!(names(&folded.parts[0]), [("oh", 16)]);
        let below = &folded.parts[0].parts[0];
        assert_eq!(names(below), [("lib/a/b", 11), ("c/d", 5)]);
        assert_eq!(names(&below.parts[0]), [("x", 10), ("y", 1)]);
    }
}
