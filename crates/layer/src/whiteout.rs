//! Whiteouts: names that say what a layer removes (image-spec `layer.md`, "Whiteouts").

use super::path::{LayerPath, printable};

const PREFIX: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
const AUFS: &[u8] = b".wh..wh.";

/// What an entry removes from the layers below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whiteout {
    /// This path and everything below it.
    Path(LayerPath),
    /// Everything below this directory, but not the directory.
    Below(LayerPath),
}

/// What a path says by the whiteout rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing: an ordinary entry.
    Entry,
    /// It removes something.
    Whiteout(Whiteout),
    /// Bookkeeping of aufs (`.wh..wh.plnk`, `.wh..wh.orph`), which old Docker versions left in
    /// layers and every runtime skips.
    Bookkeeping,
}

/// A name that begins like a whiteout and is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name {name:?} begins like a whiteout, but {reason}")]
pub struct WhiteoutError {
    name: String,
    reason: &'static str,
}

/// Reads a path by the whiteout rules.
///
/// # Errors
/// A whiteout of nothing (`.wh.`), of `.` or `..`, and entries below a whiteout.
pub fn meaning(path: &LayerPath) -> Result<Meaning, WhiteoutError> {
    let mut names = path.names().rev();
    let last = names.next().unwrap_or_default();
    if let Some(above) = names.find(|name| name.starts_with(PREFIX)) {
        if above.starts_with(AUFS) {
            return Ok(Meaning::Bookkeeping);
        }
        return Err(WhiteoutError {
            name: printable(above),
            reason: "other entries are below it",
        });
    }
    let Some(hidden) = last.strip_prefix(PREFIX) else {
        return Ok(Meaning::Entry);
    };
    let parent = path.parent().unwrap_or_default();
    if last == OPAQUE {
        return Ok(Meaning::Whiteout(Whiteout::Below(parent)));
    }
    if last.starts_with(AUFS) {
        return Ok(Meaning::Bookkeeping);
    }
    let fail = |reason| WhiteoutError {
        name: printable(last),
        reason,
    };
    if hidden.is_empty() {
        return Err(fail("names nothing to remove"));
    }
    if hidden == b"." || hidden == b".." {
        return Err(fail("removes a directory by `.` or `..`"));
    }
    LayerPath::parse(hidden)
        .and_then(|hidden| parent.join(&hidden))
        .map(|path| Meaning::Whiteout(Whiteout::Path(path)))
        .map_err(|_| fail("names nothing that can exist"))
}

/// Whether any name on the path would be taken for a whiteout, so that no file of that name can
/// be put into a layer.
#[must_use]
pub fn is_reserved(path: &LayerPath) -> bool {
    path.names().any(|name| name.starts_with(PREFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(raw: &str) -> LayerPath {
        LayerPath::parse(raw.as_bytes()).unwrap()
    }

    #[test]
    fn whiteouts_name_what_they_remove() {
        let cases = [
            ("a/.wh.b", Meaning::Whiteout(Whiteout::Path(path("a/b")))),
            (".wh.b", Meaning::Whiteout(Whiteout::Path(path("b")))),
            (
                "a/.wh..wh..opq",
                Meaning::Whiteout(Whiteout::Below(path("a"))),
            ),
            (
                ".wh..wh..opq",
                Meaning::Whiteout(Whiteout::Below(LayerPath::root())),
            ),
            ("a/.wh", Meaning::Entry),
            ("a/x.wh.y", Meaning::Entry),
            (".wh..wh.plnk", Meaning::Bookkeeping),
            (".wh..wh.plnk/7.8", Meaning::Bookkeeping),
        ];
        for (raw, expected) in cases {
            assert_eq!(meaning(&path(raw)), Ok(expected), "{raw}");
        }
    }

    #[test]
    fn names_that_only_look_like_whiteouts_are_errors() {
        for raw in ["a/.wh.", "a/.wh..", "a/.wh...", ".wh.a/b"] {
            assert!(meaning(&path(raw)).is_err(), "{raw}");
        }
    }
}
