//! Which members of an archive are taken, and where they go.

use std::fmt;

use ohoci_layer::tree::TreeError;
use ohoci_layer::whiteout;
use ohoci_layer::{Entry, Kind, LayerPath, Rules, Tree};

use super::ArchiveError;

/// Decides whether a path, as it is after stripping, is taken.
pub type Keep<'a> = dyn Fn(&LayerPath) -> bool + 'a;

/// What is taken of an archive, and where it goes.
#[derive(Default)]
pub struct Selection<'a> {
    /// How many names to take off the front of every path. Members with fewer names are left out,
    /// as GNU tar's `--strip-components` does.
    pub strip: usize,
    /// Which paths are taken; all, unless given. Directories above what is taken come along.
    pub keep: Option<&'a Keep<'a>>,
    /// Where the content goes; the root by default.
    pub to: LayerPath,
}

impl fmt::Debug for Selection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selection")
            .field("strip", &self.strip)
            .field("keep", &self.keep.map(|_| ".."))
            .field("to", &self.to)
            .finish()
    }
}

impl Selection<'_> {
    /// The tree of what is selected: everything belongs to root and is dated 1970, and every
    /// directory down from [`Selection::to`] has an entry.
    ///
    /// # Errors
    /// When a link leads to what is not taken, or something cannot be in a layer.
    pub fn apply(&self, tree: &Tree) -> Result<Tree, ArchiveError> {
        let mut selected = Tree::new();
        for (path, entry) in tree {
            let Some(path) = self.place(path)? else {
                continue;
            };
            let kind = match &entry.kind {
                Kind::Hardlink(target) => match self.place(target)? {
                    Some(target) => Kind::Hardlink(target),
                    None => {
                        let reason =
                            format!("it is a hard link to {target}, which is not taken along");
                        return Err(ArchiveError::member(path.as_bytes(), reason));
                    }
                },
                kind => kind.clone(),
            };
            check_kind(&path, entry)?;
            add_directories(&mut selected, &path)?;
            // Implied directories may be there already, without the mode that they have here.
            let known = selected.get(&path).is_some() && entry.is_directory();
            let rules = if known { Rules::Foreign } else { Rules::Strict };
            let entry = Entry {
                xattrs: entry.xattrs.clone(),
                ..Entry::new(kind, entry.mode)
            };
            selected.insert(path, entry, rules)?;
        }
        selected.resolve_links()?;
        Ok(selected)
    }

    /// Where a member goes, if it is taken.
    fn place(&self, path: &LayerPath) -> Result<Option<LayerPath>, ArchiveError> {
        let names: Vec<&[u8]> = path.names().skip(self.strip).collect();
        if names.is_empty() {
            return Ok(None);
        }
        let fail = |error: ohoci_layer::path::PathError| {
            ArchiveError::member(path.as_bytes(), error.to_string())
        };
        let stripped = LayerPath::parse(&names.join(&b'/')).map_err(fail)?;
        if whiteout::is_reserved(&stripped) {
            return Err(ArchiveError::member(
                path.as_bytes(),
                "a name that begins with `.wh.` would remove files instead of adding one",
            ));
        }
        if self.keep.is_some_and(|keep| !keep(&stripped)) {
            return Ok(None);
        }
        self.to.join(&stripped).map(Some).map_err(fail)
    }
}

fn check_kind(path: &LayerPath, entry: &Entry) -> Result<(), ArchiveError> {
    let fail = |reason: String| Err(ArchiveError::member(path.as_bytes(), reason));
    match entry.kind {
        Kind::CharDevice(_) | Kind::BlockDevice(_) | Kind::Fifo => {
            fail(format!("a {} cannot be packed", entry.kind.noun()))
        }
        // A sticky bit grants no rights.
        _ if entry.mode & 0o6000 != 0 => fail("it is setuid or setgid".to_owned()),
        _ => Ok(()),
    }
}

/// Gives every directory above `path` an entry, as far as it has none.
///
/// # Errors
/// When something else stands above it.
pub(crate) fn add_directories(tree: &mut Tree, path: &LayerPath) -> Result<(), TreeError> {
    let mut missing = Vec::new();
    let mut above = path.parent();
    while let Some(directory) = above.filter(|above| !above.is_root()) {
        if tree.get(&directory).is_some() {
            break;
        }
        above = directory.parent();
        missing.push(directory);
    }
    for directory in missing.into_iter().rev() {
        tree.insert(directory, Entry::new(Kind::Directory, 0o755), Rules::Strict)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use ohoci_layer::Content;

    fn path(raw: &str) -> LayerPath {
        LayerPath::parse(raw.as_bytes()).unwrap()
    }

    fn file() -> Kind {
        Kind::File(Content::Memory(Bytes::new()))
    }

    fn tree(entries: Vec<(&str, Kind)>) -> Tree {
        let mut tree = Tree::new();
        for (at, kind) in entries {
            tree.insert(path(at), Entry::new(kind, 0o644), Rules::Strict)
                .unwrap();
        }
        tree
    }

    fn paths(tree: &Tree) -> Vec<String> {
        tree.iter().map(|(path, _)| path.to_string()).collect()
    }

    #[test]
    fn what_is_taken_goes_where_it_should() {
        let keep = |path: &LayerPath| path.name() != b"README";
        let selection = Selection {
            strip: 1,
            keep: Some(&keep),
            to: path("opt/tool"),
        };
        let found = tree(vec![
            ("x-1", Kind::Directory),
            ("x-1/README", file()),
            ("x-1/bin/tool", file()),
            ("x-1/bin/alias", Kind::Hardlink(path("x-1/bin/tool"))),
        ]);
        let selected = selection.apply(&found).unwrap();
        assert_eq!(
            paths(&selected),
            [
                "/opt",
                "/opt/tool",
                "/opt/tool/bin",
                "/opt/tool/bin/alias",
                "/opt/tool/bin/tool"
            ]
        );
        assert_eq!(
            selected
                .get(&path("opt/tool/bin/tool"))
                .unwrap()
                .kind
                .noun(),
            "hard link"
        );
    }

    #[test]
    fn what_no_layer_of_ours_may_hold_is_refused() {
        let apply = |kind, mode| {
            let mut tree = Tree::new();
            tree.insert(path("a/b"), Entry::new(kind, mode), Rules::Strict)
                .unwrap();
            Selection::default().apply(&tree).unwrap_err().to_string()
        };
        assert!(apply(Kind::Fifo, 0o644).contains("named pipe"));
        assert!(apply(file(), 0o4755).contains("setuid"));
        assert!(apply(file(), 0o2755).contains("setgid"));
        let whiteout = tree(vec![("a/.wh.b", file())]);
        assert!(Selection::default().apply(&whiteout).is_err());
        let keep = |path: &LayerPath| path.name() == b"link";
        let selection = Selection {
            keep: Some(&keep),
            ..Selection::default()
        };
        let cut = tree(vec![("a", file()), ("link", Kind::Hardlink(path("a")))]);
        let error = selection.apply(&cut).unwrap_err().to_string();
        assert!(error.contains("not taken along"), "{error}");
    }
}
