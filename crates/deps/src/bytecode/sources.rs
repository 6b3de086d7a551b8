//! Sources that are compiled, in chunks.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};

use super::BytecodeError;
use crate::files::Files;
use ohoci_image::Digest;
use ohoci_layer::{Content, Kind, LayerPath, Tree};

/// One of so many paths is the last of its chunk. A chunk takes a process of its own, which costs as much
/// as compiling a few sources; and where one source has changed, its chunk is compiled anew.
const ONE_IN: u8 = 200;

/// Most sources of a chunk.
const MOST: usize = 512;

/// Sources that are compiled by one process.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    sources: BTreeMap<LayerPath, Content>,
}

impl Chunk {
    /// Whether a source is in it, by its path from the root.
    pub(super) fn has(&self, path: &LayerPath) -> bool {
        self.sources.contains_key(path)
    }

    /// How many sources it has.
    pub(super) fn len(&self) -> usize {
        self.sources.len()
    }

    /// The path, the size and the content of one source after the other.
    ///
    /// # Errors
    /// When a source cannot be read.
    pub(super) fn content(&self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        for (path, source) in &self.sources {
            let head = format!("\n{}\n", source.size());
            for piece in [b"/", path.as_bytes(), head.as_bytes()] {
                all.extend_from_slice(piece);
            }
            source.open()?.read_to_end(&mut all)?;
        }
        Ok(all)
    }
}

/// The paths that a list has, one a line, whose sources are in the tree; `false` where another is in
/// it, too.
pub(super) fn listed(list: &[u8], tree: &Tree) -> (BTreeSet<LayerPath>, bool) {
    let files = Files::of([tree]);
    let lines = list.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.is_empty());
    let mut found = BTreeSet::new();
    let mut all = true;
    for line in lines {
        let path = LayerPath::parse(line).ok();
        let path = path.filter(|path| {
            line.strip_prefix(b"/") == Some(path.as_bytes()) && files.resolve_file(path).is_some()
        });
        all &= path.is_some();
        found.extend(path);
    }
    (found, all)
}

/// Divides sources into chunks. Where one ends depends on the path that it ends with, so that chunks
/// stay the same around a source that is new or gone.
///
/// # Errors
/// When a source is not in the tree.
pub(super) fn chunks(
    paths: &BTreeSet<LayerPath>,
    tree: &Tree,
) -> Result<Vec<Chunk>, BytecodeError> {
    let files = Files::of([tree]);
    let mut chunks = Vec::new();
    let mut chunk = Chunk::default();
    for path in paths {
        let end = files.resolve_file(path);
        let entry = end.and_then(|end| files.get(&end));
        let Some(Kind::File(source)) = entry.map(|entry| &entry.kind) else {
            let why = format!("{path}: there is no source for it");
            return Err(BytecodeError::Unexpected(why));
        };
        chunk.sources.insert(path.clone(), source.clone());
        if is_last(path) || chunk.len() == MOST {
            chunks.push(std::mem::take(&mut chunk));
        }
    }
    if chunk.len() > 0 {
        chunks.push(chunk);
    }
    Ok(chunks)
}

fn is_last(path: &LayerPath) -> bool {
    let digest = Digest::of(path.as_bytes());
    let start = digest.hex().get(..4).unwrap_or_default();
    u16::from_str_radix(start, 16).is_ok_and(|number| number % u16::from(ONE_IN) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ohoci_layer::{Entry, Rules};

    fn tree(paths: &[String]) -> Tree {
        let mut tree = Tree::new();
        for path in paths {
            let kind = Kind::File(Content::Memory(path.clone().into()));
            let path = LayerPath::parse(path.as_bytes()).unwrap();
            tree.insert(path, Entry::new(kind, 0o644), Rules::Strict)
                .unwrap();
        }
        tree
    }

    fn of(paths: &[String]) -> Vec<Vec<u8>> {
        let tree = tree(paths);
        let list: String = paths.iter().map(|path| format!("/{path}\n")).collect();
        let (paths, all) = listed(list.as_bytes(), &tree);
        assert!(all);
        let chunks = chunks(&paths, &tree).unwrap();
        chunks
            .into_iter()
            .map(|chunk| chunk.content().unwrap())
            .collect()
    }

    #[test]
    fn a_source_that_is_new_or_gone_changes_few_chunks() {
        let mut paths: Vec<String> = (0..3000).map(|at| format!("oh/{at:04}.py")).collect();
        let before = of(&paths);
        assert!((8..40).contains(&before.len()), "{}", before.len());
        let known = |after: &[Vec<u8>]| after.iter().filter(|one| before.contains(one)).count();
        assert_eq!(known(&before), before.len());
        paths.insert(1500, "oh/1499a.py".to_owned());
        // Where a chunk is as large as chunks get, the next one begins elsewhere, too.
        assert!(known(&of(&paths)) + 2 >= before.len());
        paths.remove(1500);
        paths.remove(700);
        assert!(known(&of(&paths)) + 2 >= before.len());
    }

    #[test]
    fn a_chunk_has_the_paths_the_sizes_and_the_contents_of_its_sources() {
        let chunks = of(&["oh/a.py".to_owned(), "oh/b/c.py".to_owned()]);
        assert_eq!(chunks, [b"/oh/a.py\n7\noh/a.py/oh/b/c.py\n9\noh/b/c.py"]);
    }

    #[test]
    fn what_has_no_source_is_not_listed() {
        let tree = tree(&["oh/a.py".to_owned()]);
        for line in [
            "/oh/b.py",
            "oh/a.py",
            "/oh//a.py",
            "/oh/../oh/a.py",
            "/oh",
            "/",
        ] {
            let list = format!("/oh/a.py\n{line}\n");
            let (paths, all) = listed(list.as_bytes(), &tree);
            assert_eq!(paths.len(), 1, "{line}");
            assert!(!all, "{line}");
        }
    }
}
