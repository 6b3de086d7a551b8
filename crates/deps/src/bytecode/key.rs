//! What the compiled modules depend on, as one digest.

use std::io::{self, Read as _};

use super::Job;
use super::compile::SCRIPT;
use ohoci_image::Digest;
use ohoci_image::digest::{Algorithm, Hasher};
use ohoci_layer::{Kind, Tree};

/// Counted up when the same inputs come to other modules.
const VERSION: u32 = 1;

/// A digest over everything that decides what is made: the layers' files, the recipe's table, and
/// how we go about it. Reads all of the layers.
///
/// # Errors
/// When a file of a layer cannot be read.
pub(crate) fn key(job: &Job<'_>) -> io::Result<Digest> {
    let mut hash = Hasher::new(Algorithm::Sha256);
    let table = (&job.table.python, &job.table.imports, job.environment);
    let head = serde_json::json!([VERSION, SCRIPT, job.prefix.to_string(), table]).to_string();
    length(&mut hash, head.len() as u64);
    hash.update(head.as_bytes());
    for tree in job.layers {
        length(&mut hash, tree.len() as u64);
        add(&mut hash, tree)?;
    }
    Ok(hash.finish())
}

fn add(hash: &mut Hasher, tree: &Tree) -> io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
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
    use crate::recipe::Bytecode;
    use ohoci_layer::{Content, Entry, LayerPath, Rules};

    fn tree(content: &'static str, mode: u32) -> Tree {
        let mut tree = Tree::new();
        let entry = Entry::new(Kind::File(Content::Memory(content.into())), mode);
        let path = LayerPath::parse(b"openhands/a.py").unwrap();
        tree.insert(path, entry, Rules::Strict).unwrap();
        tree
    }

    fn of(layers: &[&Tree], imports: &[&str]) -> String {
        let table = Bytecode {
            python: "bin/python".to_owned(),
            imports: imports.iter().map(ToString::to_string).collect(),
        };
        let prefix = LayerPath::parse(b"openhands").unwrap();
        let job = Job {
            table: &table,
            environment: &BTreeMap::new(),
            prefix: &prefix,
            layers,
        };
        key(&job).unwrap().to_string()
    }

    #[test]
    fn everything_that_matters_is_in_it() {
        let (one, other) = (tree("a", 0o644), tree("b", 0o644));
        let executable = tree("a", 0o755);
        let first = of(&[&one], &["a"]);
        assert_eq!(first, of(&[&tree("a", 0o644)], &["a"]));
        for different in [
            of(&[&other], &["a"]),
            of(&[&executable], &["a"]),
            of(&[&one, &one], &["a"]),
            of(&[&one], &["b"]),
            of(&[&one], &["a", "b"]),
        ] {
            assert_ne!(first, different);
        }
    }
}
