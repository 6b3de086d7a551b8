//! The layer of what a base lacks.

use super::detail::{Detail, Wanted};
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
    Circle(String),
}

/// The layer. Where the base has symlinks for directories (merged `/usr`), entries stand where they
/// lead; directories that the base has get no entry, since it would override their mode and owner.
pub(super) fn tree(
    details: &[Detail],
    base: &Listing,
    wanted: &Wanted<'_>,
) -> Result<Tree, LayerError> {
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
            Detail::Account => {
                if let Some(account) = wanted.account {
                    let has_bash = base.has("/bin/bash") || details.contains(&Detail::Bash);
                    let shell = if has_bash { "/bin/bash" } else { "/bin/sh" };
                    let users = |text: &str| account.in_users(text, shell);
                    merged(&mut tree, base, "/etc/passwd", PASSWD, users)?;
                    let groups = |text: &str| account.in_groups(text);
                    merged(&mut tree, base, "/etc/group", GROUP, groups)?;
                }
            }
            Detail::Trust => {
                if let Some((at, bundle)) = &wanted.bundle {
                    // Not below the base's links: the prefix is that of the deps.
                    let content = Content::Memory(bundle.clone().into_bytes().into());
                    let at = LayerPath::parse(at.as_bytes())?;
                    tree.insert(at, Entry::new(Kind::File(content), 0o644), Rules::Foreign)?;
                }
            }
            Detail::Tmp => {
                let entry = Entry::new(Kind::Directory, 0o1777);
                // Where the base's link leads, if it has one.
                let end = base.end("/tmp");
                let end = end.ok_or_else(|| LayerError::Circle("/tmp".to_owned()))?;
                put(&mut tree, base, &format!("/{end}"), entry)?;
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

/// A file of the base's with something added; `new` is what it is where the base has none.
fn merged(
    tree: &mut Tree,
    base: &Listing,
    at: &str,
    new: &str,
    with: impl Fn(&str) -> String,
) -> Result<(), LayerError> {
    let circle = || LayerError::Circle(at.to_owned());
    let end = format!("/{}", base.end(at).ok_or_else(circle)?);
    let Some(known) = base.text(at) else {
        return file(tree, base, &end, &with(new));
    };
    let text = with(&known.text);
    if text == known.text {
        return Ok(());
    }
    let content = Content::Memory(text.into_bytes().into());
    let entry = Entry {
        uid: known.uid,
        gid: known.gid,
        ..Entry::new(Kind::File(content), known.mode)
    };
    put(tree, base, &end, entry)
}

/// A tree that was made without knowing the base, laid out as the base's symlinks have it: what is
/// put into a directory that is a link stands where that leads. `None` where no link is in the way.
pub(super) fn laid_out(tree: &Tree, base: &Listing) -> Result<Option<Tree>, LayerError> {
    let mut out = Tree::new();
    let mut moved = false;
    for (path, entry) in tree.iter() {
        let text = path.to_string();
        let real = if entry.is_directory() {
            base.end(&text)
        } else {
            base.real(&text)
        };
        let real = real.ok_or_else(|| LayerError::Circle(text.clone()))?;
        moved |= text.trim_start_matches('/') != real;
        out.insert(
            LayerPath::parse(real.as_bytes())?,
            entry.clone(),
            Rules::Foreign,
        )?;
    }
    Ok(moved.then_some(out))
}

fn link(tree: &mut Tree, base: &Listing, at: &str, to: &str) -> Result<(), LayerError> {
    let entry = Entry::new(Kind::Symlink(to.as_bytes().to_vec()), 0o777);
    put(tree, base, at, entry)
}

fn file(tree: &mut Tree, base: &Listing, at: &str, text: &str) -> Result<(), LayerError> {
    let content = Content::Memory(text.as_bytes().to_vec().into());
    put(tree, base, at, Entry::new(Kind::File(content), 0o644))
}

fn put(tree: &mut Tree, base: &Listing, at: &str, entry: Entry) -> Result<(), LayerError> {
    let circle = || LayerError::Circle(at.to_owned());
    let at = base.real(at).ok_or_else(circle)?;
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
        let tree = tree(&Detail::ALL, &Listing::default(), &Wanted::default()).unwrap();
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
