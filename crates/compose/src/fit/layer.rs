//! The layer of what a base lacks.

use super::detail::Detail;
use super::listing::Listing;
use ohoci_layer::path::PathError;
use ohoci_layer::tree::TreeError;
use ohoci_layer::{Content, Entry, Kind, LayerPath, Rules, Tree};

const PASSWD: &str =
    "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n";
const GROUP: &str = "root:x:0:\nnogroup:x:65534:\n";

/// Why there is no layer.
#[derive(Debug, thiserror::Error)]
pub(super) enum LayerError {
    /// A path that cannot be in a layer.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A tree that contradicts itself.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The base's symlinks.
    #[error("the base's symlinks on the way to {0} never end")]
    Circle(&'static str),
}

/// The layer. Where the base has symlinks for directories (merged `/usr`), entries stand where they
/// lead; directories that the base has get no entry, since it would override their mode and owner.
pub(super) fn tree(details: &[Detail], base: &Listing) -> Result<Tree, LayerError> {
    let mut tree = Tree::new();
    for detail in details {
        let target = detail.target().unwrap_or_default();
        match detail {
            Detail::Sh => link(&mut tree, base, "/bin/sh", target)?,
            Detail::Bash => link(&mut tree, base, "/bin/bash", target)?,
            Detail::Env => link(&mut tree, base, "/usr/bin/env", target)?,
            Detail::Users => {
                file(&mut tree, base, "/etc/passwd", PASSWD)?;
                if !base.has("/etc/group") {
                    file(&mut tree, base, "/etc/group", GROUP)?;
                }
            }
            Detail::Tmp => {
                let entry = Entry::new(Kind::Directory, 0o1777);
                put(&mut tree, base, "/tmp", entry)?;
            }
            Detail::Certificates => {
                link(
                    &mut tree,
                    base,
                    "/etc/ssl/certs/ca-certificates.crt",
                    target,
                )?;
            }
        }
    }
    Ok(tree)
}

fn link(tree: &mut Tree, base: &Listing, at: &'static str, to: &str) -> Result<(), LayerError> {
    let entry = Entry::new(Kind::Symlink(to.as_bytes().to_vec()), 0o777);
    put(tree, base, at, entry)
}

fn file(tree: &mut Tree, base: &Listing, at: &'static str, text: &str) -> Result<(), LayerError> {
    let content = Content::Memory(text.as_bytes().to_vec().into());
    put(tree, base, at, Entry::new(Kind::File(content), 0o644))
}

fn put(tree: &mut Tree, base: &Listing, at: &'static str, entry: Entry) -> Result<(), LayerError> {
    let at = base.real(at).ok_or(LayerError::Circle(at))?;
    let at = LayerPath::parse(at.as_bytes())?;
    let above: Vec<Vec<u8>> = at.ancestors().map(<[u8]>::to_vec).collect();
    for directory in above {
        let directory = LayerPath::parse(&directory)?;
        let text = directory.to_string();
        if tree.get(&directory).is_none() && !directory.is_root() && !base.has(&text) {
            let entry = Entry::new(Kind::Directory, 0o755);
            tree.insert(directory, entry, Rules::Foreign)?;
        }
    }
    tree.insert(at, entry, Rules::Foreign)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_base_gets_directories_too() {
        let tree = tree(&Detail::ALL, &Listing::default()).unwrap();
        let paths: Vec<String> = tree.iter().map(|(path, _)| path.to_string()).collect();
        assert_eq!(
            paths,
            [
                "/bin",
                "/bin/bash",
                "/bin/sh",
                "/etc",
                "/etc/group",
                "/etc/passwd",
                "/etc/ssl",
                "/etc/ssl/certs",
                "/etc/ssl/certs/ca-certificates.crt",
                "/tmp",
                "/usr",
                "/usr/bin",
                "/usr/bin/env",
            ]
        );
    }
}
