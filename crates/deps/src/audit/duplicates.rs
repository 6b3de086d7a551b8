//! What is there twice: the same path in two layers, the same content in two files.

use std::collections::BTreeMap;
use std::io::{self, Read};

use serde::{Deserialize, Serialize};

use super::audited::Layer;
use super::finding::{Finding, Rule, Severity};
use ohoci_image::Digest;
use ohoci_image::digest::{Algorithm, Hasher};
use ohoci_layer::{Content, Entry, Kind, LayerPath};

/// Files smaller than this may be there twice: every one costs less than it is worth to say so.
const WORTH_SAYING: u64 = 256 << 10;
/// Files smaller than this are not looked at: compressed, they are next to nothing.
const WORTH_COUNTING: u64 = 4 << 10;

/// How much is there more than once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repeated {
    /// Files of some size whose content is in another file, too.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

pub(super) fn check(layers: &[Layer<'_>], findings: &mut Vec<Finding>) -> io::Result<Repeated> {
    let mut first: BTreeMap<&LayerPath, (&str, &Entry<Content>)> = BTreeMap::new();
    let mut by_size: BTreeMap<u64, Vec<(&str, &LayerPath, &Content)>> = BTreeMap::new();
    for layer in layers {
        for (path, entry) in layer.tree {
            if let Some((other, before)) = first.insert(path, (layer.name, entry)) {
                findings.extend(same_path(path, layer.name, entry, other, before)?);
                continue;
            }
            if let Kind::File(content) = &entry.kind
                && content.size() >= WORTH_COUNTING
            {
                let same = by_size.entry(content.size()).or_default();
                same.push((layer.name, path, content));
            }
        }
    }
    let mut repeated = Repeated::default();
    for (size, files) in by_size.into_iter().filter(|(_, files)| files.len() > 1) {
        let mut by_digest: BTreeMap<Digest, &LayerPath> = BTreeMap::new();
        for (layer, path, content) in files {
            let digest = digest(content)?;
            let Some(other) = by_digest.get(&digest) else {
                by_digest.insert(digest, path);
                continue;
            };
            repeated.files += 1;
            repeated.bytes += size;
            if size >= WORTH_SAYING {
                findings.push(Finding {
                    severity: Severity::Note,
                    rule: Rule::DuplicateContent,
                    file: path.to_string(),
                    layer: layer.to_owned(),
                    what: format!("has the same {size} bytes as {other}"),
                    why: "a link would save them".to_owned(),
                });
            }
        }
    }
    Ok(repeated)
}

fn same_path(
    path: &LayerPath,
    layer: &str,
    entry: &Entry<Content>,
    other: &str,
    before: &Entry<Content>,
) -> io::Result<Option<Finding>> {
    let attributes = |entry: &Entry<Content>| {
        let links = matches!(entry.kind, Kind::Symlink(_));
        (if links { 0 } else { entry.mode }, entry.uid, entry.gid)
    };
    let alike = attributes(entry) == attributes(before);
    let same = alike
        && match (&entry.kind, &before.kind) {
            (Kind::Directory, Kind::Directory) if alike => return Ok(None),
            (Kind::File(one), Kind::File(two)) => {
                one.size() == two.size() && digest(one)? == digest(two)?
            }
            (Kind::Symlink(one), Kind::Symlink(two)) => one == two,
            (Kind::Hardlink(one), Kind::Hardlink(two)) => one == two,
            _ => false,
        };
    let (severity, what, why) = match same {
        true => (
            Severity::Warning,
            format!("is in {other} too"),
            "it is stored and fetched twice",
        ),
        false => (
            Severity::Error,
            format!("is in {other} too, but differs"),
            "which one counts depends on the order of the layers",
        ),
    };
    Ok(Some(Finding {
        severity,
        rule: Rule::DuplicatePath,
        file: path.to_string(),
        layer: layer.to_owned(),
        what,
        why: why.to_owned(),
    }))
}

fn digest(content: &Content) -> io::Result<Digest> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut reader = content.open()?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            return Ok(hasher.finish());
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ohoci_layer::{Rules, Tree};

    fn tree(entries: &[(&str, Kind<Content>, u32)]) -> Tree {
        let mut tree = Tree::new();
        for (at, kind, mode) in entries {
            let path = LayerPath::parse(at.as_bytes()).unwrap();
            tree.insert(path, Entry::new(kind.clone(), *mode), Rules::Strict)
                .unwrap();
        }
        tree
    }

    fn file(byte: u8, size: u64) -> Kind<Content> {
        Kind::File(Content::Memory(vec![byte; size as usize].into()))
    }

    fn found(one: &Tree, two: &Tree) -> Vec<(Severity, Rule)> {
        let layers = [
            Layer {
                name: "one",
                tree: one,
            },
            Layer {
                name: "two",
                tree: two,
            },
        ];
        let mut findings = Vec::new();
        check(&layers, &mut findings).unwrap();
        let pairs = findings.iter();
        pairs
            .map(|finding| (finding.severity, finding.rule))
            .collect()
    }

    #[test]
    fn small_files_are_counted_and_tiny_ones_are_not() {
        let one = tree(&[
            ("oh/x", file(1, WORTH_COUNTING), 0o644),
            ("oh/y", file(1, WORTH_COUNTING), 0o644),
            ("oh/z", file(1, WORTH_COUNTING - 1), 0o644),
            ("oh/zz", file(1, WORTH_COUNTING - 1), 0o644),
        ]);
        let layer = Layer {
            name: "one",
            tree: &one,
        };
        let mut findings = Vec::new();
        let repeated = check(&[layer], &mut findings).unwrap();
        assert_eq!((repeated.files, repeated.bytes), (1, WORTH_COUNTING));
        assert_eq!(findings, []);
    }

    #[test]
    fn the_same_path_in_two_layers_is_told() {
        let one = tree(&[
            ("oh/x", file(1, 3), 0o644),
            ("oh/d", Kind::Directory, 0o755),
        ]);
        for (other, expected) in [
            (("oh/x", file(1, 3), 0o644), vec![Severity::Warning]),
            (("oh/x", file(1, 3), 0o755), vec![Severity::Error]),
            (("oh/x", file(2, 3), 0o644), vec![Severity::Error]),
            (("oh/x", Kind::Directory, 0o755), vec![Severity::Error]),
            (("oh/d", Kind::Directory, 0o755), vec![]),
            (("oh/d", Kind::Directory, 0o700), vec![Severity::Error]),
            (("oh/y", file(1, 3), 0o644), vec![]),
        ] {
            let expected: Vec<_> = expected
                .into_iter()
                .map(|severity| (severity, Rule::DuplicatePath))
                .collect();
            assert_eq!(found(&one, &tree(&[other])), expected);
        }
    }

    #[test]
    fn large_files_with_the_same_content_are_told() {
        let one = tree(&[("oh/x", file(1, WORTH_SAYING), 0o644)]);
        let two = tree(&[
            ("oh/y", file(1, WORTH_SAYING), 0o644),
            ("oh/z", file(2, WORTH_SAYING), 0o644),
        ]);
        assert_eq!(
            found(&one, &two),
            [(Severity::Note, Rule::DuplicateContent)]
        );
    }
}
