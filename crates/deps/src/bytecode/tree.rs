//! From the archive of compiled modules to the tree of a layer.

use std::io;

use super::{BytecodeError, Wanted};
use crate::archive::{Spool, tar};
use ohoci_layer::{Entry, Kind, LayerPath, Rules, Tree};

/// Most that compiled modules may come to, in bytes.
const LIMIT: u64 = 1 << 30;

/// Where compiled modules are, beside their sources.
const DIRECTORY: &str = "__pycache__";

/// The compiled modules as a layer: those whose source stands in the layers that they are wanted
/// for. When other layers were compiled, only modules whose source is the same in both are taken:
/// what is compiled does not depend on the machine.
///
/// What the archive holds has been made by foreign code, and may be no module at all; so only what
/// stands where a module's own does is taken, and anything else is refused.
///
/// # Errors
/// When the archive holds anything but compiled modules, or something cannot be read.
pub(crate) fn tree(archive: fs_err::File, wanted: &Wanted<'_>) -> Result<Tree, BytecodeError> {
    let Wanted {
        sources,
        compiled_from,
        spool_dir,
    } = *wanted;
    let spool = Spool::create(spool_dir).map_err(BytecodeError::io("make a temporary file"))?;
    let found = tar::read_tar(archive, LIMIT, &spool)?;
    let mut tree = Tree::new();
    for (path, entry) in &found {
        let refused = |why: &str| BytecodeError::Unexpected(format!("{path}: {why}"));
        if !matches!(entry.kind, Kind::File(_)) {
            return Err(refused(&format!("it is a {}", entry.kind.noun())));
        }
        let source = source_of(path).ok_or_else(|| refused("it is no compiled module"))?;
        let compiled = found_at(compiled_from.unwrap_or(sources), &source)
            .ok_or_else(|| refused("there is no source for it"))?;
        if compiled_from.is_some() {
            match found_at(sources, &source) {
                Some(source) if is_same(source, compiled).map_err(failed)? => {}
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
    use super::*;
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

    fn made(
        members: &[(&str, Kind<u64>)],
        sources: &Tree,
        compiled_from: Option<&Tree>,
    ) -> Result<Vec<String>, String> {
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
        let from = compiled_from.map(|tree| [tree]);
        let from = from.as_ref().map(<[&Tree; 1]>::as_slice);
        let wanted = Wanted {
            sources: &[sources],
            compiled_from: from,
            spool_dir: directory.path(),
        };
        let tree = tree(file, &wanted).map_err(|error| error.to_string())?;
        let line = |(path, entry): (&LayerPath, &Entry)| format!("{path} {:o}", entry.mode);
        Ok(tree.iter().map(line).collect())
    }

    #[test]
    fn modules_stand_beside_their_sources() {
        let sources = sources(&[("o/a.py", "1"), ("o/b.c.py", "1")]);
        let members = [
            ("o/__pycache__/a.cpython-313.pyc", Kind::File(1)),
            ("o/__pycache__/b.c.cpython-313.pyc", Kind::File(1)),
        ];
        let found = made(&members, &sources, None).unwrap();
        let expected = [
            "/o/__pycache__ 755",
            "/o/__pycache__/a.cpython-313.pyc 644",
            "/o/__pycache__/b.c.cpython-313.pyc 644",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn anything_else_is_refused() {
        let sources = sources(&[("o/a.py", "1")]);
        for (at, kind, why) in [
            ("o/a.py", Kind::File(1), "no compiled module"),
            ("o/a.cpython-313.pyc", Kind::File(1), "no compiled module"),
            ("o/__pycache__/a.pyc", Kind::File(1), "no compiled module"),
            ("o/__pycache__/b.x.pyc", Kind::File(1), "no source"),
            (
                "o/__pycache__/a.x.pyc",
                Kind::Symlink(b"/etc/passwd".to_vec()),
                "symlink",
            ),
        ] {
            let error = made(&[(at, kind)], &sources, None).unwrap_err();
            assert!(error.contains(why) && error.contains(at), "{error}");
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
        let found = made(&members, &there, Some(&here)).unwrap();
        assert_eq!(found, ["/o/__pycache__ 755", "/o/__pycache__/a.x.pyc 644"]);
    }
}
