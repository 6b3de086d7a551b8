//! All layers as one file tree, with symlinks followed inside it.

use std::collections::BTreeMap;

use ohoci_layer::{Content, Entry, Kind, LayerPath, Tree};

/// How many symlinks are followed for one path (Linux's `MAXSYMLINKS`).
const MOST_LINKS: usize = 40;

/// What the image has where: of the same path in two layers, the later one's.
#[derive(Debug)]
pub(crate) struct Files<'a> {
    entries: BTreeMap<&'a LayerPath, &'a Entry<Content>>,
}

impl<'a> Files<'a> {
    /// Of these layers, lowest first.
    pub(crate) fn of(layers: impl IntoIterator<Item = &'a Tree>) -> Self {
        let entries = layers.into_iter().flat_map(Tree::iter).collect();
        Self { entries }
    }

    /// All of them, in the order of their paths.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'a LayerPath, &'a Entry<Content>)> {
        self.entries.iter().map(|(path, entry)| (*path, *entry))
    }

    /// What stands at a path itself.
    pub(crate) fn get(&self, path: &LayerPath) -> Option<&'a Entry<Content>> {
        self.entries.get(path).copied()
    }

    /// The path of what a path leads to when every symlink on the way is followed; `None` when
    /// that is nothing in these layers.
    pub(crate) fn resolve(&self, path: &LayerPath) -> Option<LayerPath> {
        self.resolve_by(path, |_| {})
    }

    /// The same, told every symlink on the way.
    pub(crate) fn resolve_by(
        &self,
        path: &LayerPath,
        mut passed: impl FnMut(&LayerPath),
    ) -> Option<LayerPath> {
        let mut waiting: Vec<Vec<u8>> = path.names().rev().map(<[u8]>::to_vec).collect();
        let mut at: Vec<Vec<u8>> = Vec::new();
        let mut links = 0;
        while let Some(name) = waiting.pop() {
            match name.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    at.pop();
                    continue;
                }
                _ => at.push(name),
            }
            let here = join(&at)?;
            match self.get(&here).map(|entry| &entry.kind) {
                Some(Kind::Symlink(target)) => {
                    passed(&here);
                    links += 1;
                    if links > MOST_LINKS {
                        return None;
                    }
                    at.pop();
                    if target.starts_with(b"/") {
                        at.clear();
                    }
                    let names = target.split(|byte| *byte == b'/').rev();
                    waiting.extend(names.map(<[u8]>::to_vec));
                }
                Some(_) => {}
                // Parents may be missing in a layer.
                None if !waiting.is_empty() => {}
                None => return None,
            }
        }
        join(&at)
    }

    /// The same for a path whose hard links are followed too, if it is a file.
    pub(crate) fn resolve_file(&self, path: &LayerPath) -> Option<LayerPath> {
        let mut at = self.resolve(path)?;
        for _ in 0..MOST_LINKS {
            match &self.get(&at)?.kind {
                Kind::File(_) => return Some(at),
                Kind::Hardlink(target) => at = target.clone(),
                _ => return None,
            }
        }
        None
    }
}

fn join(names: &[Vec<u8>]) -> Option<LayerPath> {
    match names.is_empty() {
        true => Some(LayerPath::root()),
        false => LayerPath::parse(&names.join(&b'/')).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ohoci_layer::Rules;

    fn path(raw: &str) -> LayerPath {
        LayerPath::parse(raw.as_bytes()).unwrap()
    }

    #[test]
    fn links_are_followed_through_directories_and_never_for_ever() {
        let mut tree = Tree::new();
        for (at, target) in [
            ("oh/lib/libz.so", "libz.so.1"),
            ("oh/l", "lib"),
            ("oh/abs", "/oh/l/libz.so"),
            ("oh/up", "../oh/../oh/lib"),
            ("oh/loop", "loop"),
            ("oh/a", "b"),
            ("oh/b", "a"),
        ] {
            let kind = Kind::Symlink(target.as_bytes().to_vec());
            tree.insert(path(at), Entry::new(kind, 0o777), Rules::Strict)
                .unwrap();
        }
        let file = Kind::File(Content::Memory(Default::default()));
        tree.insert(
            path("oh/lib/libz.so.1"),
            Entry::new(file, 0o644),
            Rules::Strict,
        )
        .unwrap();
        let files = Files::of([&tree]);
        for from in ["oh/lib/libz.so", "oh/l/libz.so", "oh/abs", "oh/up/libz.so"] {
            assert_eq!(
                files.resolve_file(&path(from)),
                Some(path("oh/lib/libz.so.1")),
                "{from}"
            );
        }
        let mut passed = Vec::new();
        files.resolve_by(&path("oh/abs"), |link| passed.push(link.to_string()));
        assert_eq!(passed, ["/oh/abs", "/oh/l", "/oh/lib/libz.so"]);
        for from in ["oh/loop", "oh/a", "oh/lib/none", "none"] {
            assert_eq!(files.resolve(&path(from)), None, "{from}");
        }
    }
}
