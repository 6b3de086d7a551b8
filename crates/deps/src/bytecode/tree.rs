//! From archives of compiled modules to the tree of a layer.

use std::collections::BTreeSet;
use std::io;

use super::sources::Chunk;
use super::{BytecodeError, Wanted};
use crate::archive::selection::add_directories;
use crate::archive::{Spool, tar};
use ohoci_layer::{Entry, Kind, LayerPath, Rules, Tree};

/// Most that compiled modules may come to, in bytes.
const LIMIT: u64 = 1 << 30;

/// Where compiled modules are, beside their sources.
const DIRECTORY: &str = "__pycache__";

/// The compiled modules of a chunk of sources, from the archive that they are in.
///
/// What it holds has been made by foreign code, and may be no modules at all; so only what stands where
/// the module of a source does is taken, and anything else is refused.
///
/// # Errors
/// When the archive holds anything but the modules of all sources, or cannot be read.
pub(super) fn modules(
    archive: fs_err::File,
    chunk: &Chunk,
    spool: &Spool,
) -> Result<Tree, BytecodeError> {
    let found = tar::read_tar(archive, LIMIT, spool)?;
    for (path, entry) in &found {
        let refused = |why: &str| BytecodeError::Unexpected(format!("{path}: {why}"));
        if !matches!(entry.kind, Kind::File(_)) {
            return Err(refused(&format!("it is a {}", entry.kind.noun())));
        }
        let source = source_of(path).ok_or_else(|| refused("it is no compiled module"))?;
        if !chunk.has(&source) {
            return Err(refused("its source was not to be compiled"));
        }
    }
    // Two names of an interpreter's could be those of one source.
    let sources: BTreeSet<_> = found
        .iter()
        .filter_map(|(path, _)| source_of(path))
        .collect();
    if sources.len() != chunk.len() || found.len() != chunk.len() {
        return Err(BytecodeError::Unexpected(format!(
            "there are {} of {}",
            found.len(),
            chunk.len()
        )));
    }
    Ok(found)
}

/// Compiled modules as a layer: those whose source stands in the layers that they are wanted for. When
/// other layers were compiled, only modules whose source is the same in both are taken: what is
/// compiled does not depend on the machine.
///
/// # Errors
/// When a source cannot be read.
pub(super) fn tree(modules: &[Tree], wanted: &Wanted<'_>) -> Result<Tree, BytecodeError> {
    let Wanted {
        sources,
        compiled_from,
        spool_dir: _,
    } = *wanted;
    let mut tree = Tree::new();
    for (path, entry) in modules.iter().flatten() {
        if let Some(from) = compiled_from {
            let source = source_of(path);
            let source = source.as_ref();
            let both = source.and_then(|at| Some((found_at(sources, at)?, found_at(from, at)?)));
            match both {
                Some((one, other)) if is_same(one, other).map_err(failed)? => {}
                _ => continue,
            }
        }
        let directory = path.parent().unwrap_or_default();
        if tree.get(&directory).is_none() {
            let entry = Entry::new(Kind::Directory, 0o755);
            tree.insert(directory, entry, Rules::Strict)?;
        }
        let entry = Entry::new(entry.kind.clone(), 0o644);
        tree.insert(path.clone(), entry, Rules::Strict)?;
    }
    Ok(tree)
}

/// Compiled modules as an interpreter looks for them in a directory of their own, which stands for
/// the root (`sys.pycache_prefix`).
///
/// # Errors
/// When two stand at one path.
pub(super) fn apart(modules: &[Tree]) -> Result<Tree, BytecodeError> {
    let mut tree = Tree::new();
    for (path, entry) in modules.iter().flatten() {
        let directory = path.parent().and_then(|directory| directory.parent());
        let name = LayerPath::parse(path.name());
        let at = name.and_then(|name| directory.unwrap_or_default().join(&name));
        let at = at.map_err(|source| BytecodeError::Path {
            path: path.to_string(),
            source,
        })?;
        add_directories(&mut tree, &at)?;
        tree.insert(at, entry.clone(), Rules::Strict)?;
    }
    Ok(tree)
}

fn failed(error: io::Error) -> BytecodeError {
    BytecodeError::io("read a source")(error)
}

/// `a/b.py` for `a/__pycache__/b.cpython-313.pyc` (PEP 3147).
fn source_of(path: &LayerPath) -> Option<LayerPath> {
    let directory = path.parent()?;
    if directory.name() != DIRECTORY.as_bytes() {
        return None;
    }
    let name = path.name().strip_suffix(b".pyc")?;
    let tag = name.iter().rposition(|byte| *byte == b'.')?;
    let mut source = name.get(..tag)?.to_vec();
    source.extend_from_slice(b".py");
    let source = LayerPath::parse(&source).ok()?;
    directory.parent().unwrap_or_default().join(&source).ok()
}

/// What stands at a path, if that may be a source: a file, or a symlink to one.
fn found_at<'a>(layers: &[&'a Tree], path: &LayerPath) -> Option<&'a Kind> {
    let entry = layers.iter().rev().find_map(|tree| tree.get(path))?;
    matches!(entry.kind, Kind::File(_) | Kind::Symlink(_)).then_some(&entry.kind)
}

/// Whether two sources are the same for certain; of symlinks that is not known.
fn is_same(one: &Kind, other: &Kind) -> io::Result<bool> {
    let (Kind::File(one), Kind::File(other)) = (one, other) else {
        return Ok(false);
    };
    if one.size() != other.size() {
        return Ok(false);
    }
    let (mut left, mut right) = (Vec::new(), Vec::new());
    io::copy(&mut one.open()?, &mut left)?;
    io::copy(&mut other.open()?, &mut right)?;
    Ok(left == right)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::bytecode::sources::chunks;
    use ohoci_layer::Content;
    use ohoci_layer::tar_write::TarWriter;

    fn path(text: &str) -> LayerPath {
        LayerPath::parse(text.as_bytes()).unwrap()
    }

    fn sources(files: &[(&str, &'static str)]) -> Tree {
        let mut tree = Tree::new();
        for (at, content) in files {
            let content = Content::Memory((*content).into());
            let entry = Entry::new(Kind::File(content), 0o644);
            tree.insert(path(at), entry, Rules::Strict).unwrap();
        }
        tree
    }

    fn chunk(sources: &Tree) -> Chunk {
        let paths = sources.iter().map(|(path, _)| path.clone());
        chunks(&paths.collect(), sources).unwrap().remove(0)
    }

    fn made(members: &[(&str, Kind<u64>)], sources: &Tree) -> Result<Tree, String> {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = TarWriter::new(Vec::new());
        for (at, kind) in members {
            let content: &[u8] = if matches!(kind, Kind::File(_)) {
                b"x"
            } else {
                b""
            };
            let entry = Entry::new(kind.clone(), 0o777);
            writer.append(&path(at), &entry, &mut &*content).unwrap();
        }
        let at = directory.path().join("tar");
        fs_err::write(&at, writer.finish().unwrap()).unwrap();
        let file = fs_err::File::open(at).unwrap();
        let spool = Spool::create(directory.path()).unwrap();
        modules(file, &chunk(sources), &spool).map_err(|error| error.to_string())
    }

    fn layer(modules: Tree, sources: &Tree, compiled_from: Option<&Tree>) -> Vec<String> {
        let from = compiled_from.map(|tree| [tree]);
        let wanted = Wanted {
            sources: &[sources],
            compiled_from: from.as_ref().map(<[&Tree; 1]>::as_slice),
            spool_dir: Path::new("/"),
        };
        lines(&tree(&[modules], &wanted).unwrap())
    }

    fn lines(tree: &Tree) -> Vec<String> {
        let line = |(path, entry): (&LayerPath, &Entry)| format!("{path} {:o}", entry.mode);
        tree.iter().map(line).collect()
    }

    #[test]
    fn modules_stand_beside_their_sources_or_apart() {
        let sources = sources(&[("o/a.py", "1"), ("o/b.c.py", "1")]);
        let members = [
            ("o/__pycache__/a.cpython-313.pyc", Kind::File(1)),
            ("o/__pycache__/b.c.cpython-313.pyc", Kind::File(1)),
        ];
        let found = made(&members, &sources).unwrap();
        let expected = [
            "/o 755",
            "/o/a.cpython-313.pyc 777",
            "/o/b.c.cpython-313.pyc 777",
        ];
        assert_eq!(
            lines(&apart(std::slice::from_ref(&found)).unwrap()),
            expected
        );
        let expected = [
            "/o/__pycache__ 755",
            "/o/__pycache__/a.cpython-313.pyc 644",
            "/o/__pycache__/b.c.cpython-313.pyc 644",
        ];
        assert_eq!(layer(found, &sources, None), expected);
    }

    #[test]
    fn anything_else_is_refused() {
        let sources = sources(&[("o/a.py", "1")]);
        let well = ("o/__pycache__/a.x.pyc", Kind::File(1));
        for (members, why) in [
            (
                vec![("o/a.py", Kind::File(1))],
                "/o/a.py: it is no compiled module",
            ),
            (
                vec![("o/a.cpython-313.pyc", Kind::File(1))],
                "/o/a.cpython-313.pyc: it is no compiled module",
            ),
            (
                vec![("o/__pycache__/a.pyc", Kind::File(1))],
                "/o/__pycache__/a.pyc: it is no compiled module",
            ),
            (
                vec![well.clone(), ("o/__pycache__/b.x.pyc", Kind::File(1))],
                "/o/__pycache__/b.x.pyc: its source was not to be compiled",
            ),
            (
                vec![(
                    "o/__pycache__/a.x.pyc",
                    Kind::Symlink(b"/etc/passwd".to_vec()),
                )],
                "/o/__pycache__/a.x.pyc: it is a symlink",
            ),
            (
                vec![well, ("o/__pycache__/a.y.pyc", Kind::File(1))],
                "there are 2 of 1",
            ),
            (Vec::new(), "there are 0 of 1"),
        ] {
            let error = made(&members, &sources).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn another_platform_takes_what_has_the_same_source() {
        let here = sources(&[("o/a.py", "1"), ("o/b.py", "1"), ("o/c.py", "1")]);
        let there = sources(&[("o/a.py", "1"), ("o/b.py", "2")]);
        let members = ["a", "b", "c"].map(|name| format!("o/__pycache__/{name}.x.pyc"));
        let members: Vec<_> = members
            .iter()
            .map(|at| (at.as_str(), Kind::File(1)))
            .collect();
        let found = made(&members, &here).unwrap();
        let expected = ["/o/__pycache__ 755", "/o/__pycache__/a.x.pyc 644"];
        assert_eq!(layer(found, &there, Some(&here)), expected);
    }
}
