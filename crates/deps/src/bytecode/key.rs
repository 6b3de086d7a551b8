//! What compiled modules depend on, as digests.

use std::io::{self, Read as _};

use super::Job;
use super::shown::Shown;
use super::sources::Chunk;
use super::{COMPILE, LIST};
use ohoci_image::Digest;
use ohoci_image::digest::{Algorithm, Hasher};
use ohoci_layer::{Kind, LayerPath, Tree};

/// Counted up when the same inputs come to other modules.
const VERSION: u32 = 2;

/// What decides which modules there are: all that the interpreter sees while it imports, what it
/// is asked for, and how.
///
/// # Errors
/// When a file of a layer cannot be read.
pub(super) fn of_list(job: &Job<'_>, shown: &Shown) -> io::Result<Digest> {
    let mut hash = started("list", LIST, &shown.python);
    let asked = (&job.table.imports, job.environment);
    text(&mut hash, serde_json::json!(asked).to_string().as_bytes());
    text(&mut hash, job.prefix.as_bytes());
    add(&mut hash, &shown.importing)?;
    Ok(hash.finish())
}

/// What decides how sources are compiled: all that the interpreter sees besides the sources.
///
/// # Errors
/// When a file of a layer cannot be read.
pub(super) fn of_compiler(shown: &Shown) -> io::Result<Digest> {
    let mut hash = started("compile", COMPILE, &shown.program);
    add(&mut hash, &shown.compiling)?;
    Ok(hash.finish())
}

/// What decides what a chunk of sources comes to.
///
/// # Errors
/// When a source cannot be read.
pub(super) fn of_chunk(compiler: &Digest, chunk: &Chunk) -> io::Result<Digest> {
    let mut hash = Hasher::new(Algorithm::Sha256);
    text(&mut hash, compiler.to_string().as_bytes());
    text(&mut hash, &chunk.content()?);
    Ok(hash.finish())
}

/// What tells lists of the same recipe from those of others, whatever is in its layers.
pub(super) fn of_recipe(job: &Job<'_>) -> Digest {
    let asked = (&job.table.python, &job.table.imports);
    let asked = serde_json::json!([VERSION, job.prefix.to_string(), asked]);
    Digest::of(asked.to_string().as_bytes())
}

fn started(what: &str, script: &str, python: &LayerPath) -> Hasher {
    let mut hash = Hasher::new(Algorithm::Sha256);
    length(&mut hash, u64::from(VERSION));
    for part in [what.as_bytes(), script.as_bytes(), python.as_bytes()] {
        text(&mut hash, part);
    }
    hash
}

fn add(hash: &mut Hasher, tree: &Tree) -> io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    length(hash, tree.len() as u64);
    for (path, entry) in tree {
        text(hash, path.as_bytes());
        text(hash, entry.kind.noun().as_bytes());
        length(hash, u64::from(entry.mode));
        match &entry.kind {
            Kind::File(content) => {
                length(hash, content.size());
                let mut content = content.open()?;
                loop {
                    let count = content.read(&mut buffer)?;
                    match buffer.get(..count) {
                        Some(piece) if !piece.is_empty() => hash.update(piece),
                        _ => break,
                    }
                }
            }
            Kind::Symlink(target) => text(hash, target),
            Kind::Hardlink(target) => text(hash, target.as_bytes()),
            _ => {}
        }
    }
    Ok(())
}

/// Lengths stand in front of everything, so that no two inputs look the same in a row.
fn length(hash: &mut Hasher, length: u64) {
    hash.update(&length.to_le_bytes());
}

fn text(hash: &mut Hasher, bytes: &[u8]) {
    length(hash, bytes.len() as u64);
    hash.update(bytes);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::bytecode::shown::shown;
    use crate::recipe::Bytecode;
    use ohoci_layer::{Content, Entry, Rules};

    fn tree(content: &'static str, mode: u32) -> Tree {
        let mut tree = Tree::new();
        let entry = Entry::new(Kind::File(Content::Memory(content.into())), mode);
        let path = LayerPath::parse(b"openhands/bin/python").unwrap();
        tree.insert(path, entry, Rules::Strict).unwrap();
        tree
    }

    fn of(layers: &[&Tree], imports: &[&str]) -> [String; 2] {
        let table = Bytecode {
            python: "bin/python".to_owned(),
            imports: imports.iter().map(ToString::to_string).collect(),
            shown: Vec::new(),
        };
        let prefix = LayerPath::parse(b"openhands").unwrap();
        let job = Job {
            table: &table,
            environment: &BTreeMap::new(),
            prefix: &prefix,
            layers,
        };
        let shown = shown(&job).unwrap();
        let compiler = of_compiler(&shown).unwrap();
        [of_list(&job, &shown).unwrap(), compiler].map(|digest| digest.to_string())
    }

    #[test]
    fn everything_that_matters_is_in_it() {
        let (one, other) = (tree("a", 0o644), tree("b", 0o644));
        let executable = tree("a", 0o755);
        let first = of(&[&one], &["a"]);
        assert_eq!(first, of(&[&tree("a", 0o644)], &["a"]));
        for different in [of(&[&other], &["a"]), of(&[&executable], &["a"])] {
            assert_ne!(first[0], different[0]);
            assert_ne!(first[1], different[1]);
        }
        for asked in [["b"].as_slice(), &["a", "b"]] {
            let different = of(&[&one], asked);
            assert_ne!(first[0], different[0]);
            assert_eq!(first[1], different[1]);
        }
    }
}
