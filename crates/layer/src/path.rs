//! Paths inside a layer: bytes, relative to the root, without surprises.

use std::borrow::Borrow;
use std::fmt;

/// Longest path in bytes: Linux's `PATH_MAX`, which counts a final NUL.
pub const MAX_PATH: usize = 4095;
/// Longest name between two slashes in bytes: Linux's `NAME_MAX`.
pub const MAX_NAME: usize = 255;

/// A path below a layer's root: names joined by single slashes, none in front, none behind.
///
/// None of its names is empty, `.` or `..`, and it holds no NUL, so joining it to a directory
/// cannot lead out of that directory (unless through a symlink in it). It need not be UTF-8. The
/// root is the empty path. Paths order bytewise, which puts every directory before what it holds.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LayerPath(Vec<u8>);

/// Why bytes are no path inside a layer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("path {path} {reason}")]
pub struct PathError {
    path: String,
    reason: &'static str,
}

impl LayerPath {
    /// The layer's root directory.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// Normalises a path as it stands in a tar or on a command line.
    ///
    /// Slashes in front are dropped, because every runtime takes a layer's paths relative to the
    /// container's root (image-spec `layer.md`, "Creating"); so are repeated slashes, slashes
    /// behind, and `.`.
    ///
    /// # Errors
    /// An empty path, `..`, a NUL, a name longer than [`MAX_NAME`] or a path longer than
    /// [`MAX_PATH`].
    pub fn parse(raw: &[u8]) -> Result<Self, PathError> {
        let fail = |reason| PathError {
            path: printable(raw),
            reason,
        };
        if raw.is_empty() {
            return Err(fail("is empty"));
        }
        if raw.contains(&0) {
            return Err(fail("contains a NUL"));
        }
        let mut path = Vec::with_capacity(raw.len());
        for name in raw.split(|byte| *byte == b'/') {
            match name {
                b"" | b"." => continue,
                b".." => return Err(fail("leads out of the layer with `..`")),
                name if name.len() > MAX_NAME => {
                    return Err(fail("has a name of more than 255 bytes"));
                }
                name => {
                    if !path.is_empty() {
                        path.push(b'/');
                    }
                    path.extend_from_slice(name);
                }
            }
        }
        if path.len() > MAX_PATH {
            return Err(fail("has more than 4095 bytes"));
        }
        Ok(Self(path))
    }

    /// The bytes, without a slash in front.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The names from the root down.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0
            .split(|byte| *byte == b'/')
            .filter(|name| !name.is_empty())
    }

    /// The last name; empty for the root.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.names().next_back().unwrap_or_default()
    }

    /// The directory that holds it; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let end = self.0.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        self.0.get(..end).map(|bytes| Self(bytes.to_vec()))
    }

    /// The directories above it from the top down, without the root, as bytes that look up
    /// entries in maps of paths.
    pub fn ancestors(&self) -> impl Iterator<Item = &[u8]> {
        self.0
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'/')
            .filter_map(|(end, _)| self.0.get(..end))
    }

    /// `below`, seen from this directory.
    ///
    /// # Errors
    /// When the whole is longer than [`MAX_PATH`].
    pub fn join(&self, below: &Self) -> Result<Self, PathError> {
        if self.is_root() {
            return Ok(below.clone());
        }
        let mut path = self.0.clone();
        if !below.is_root() {
            path.push(b'/');
            path.extend_from_slice(&below.0);
        }
        if path.len() > MAX_PATH {
            return Err(PathError {
                path: printable(&path),
                reason: "has more than 4095 bytes",
            });
        }
        Ok(Self(path))
    }

    /// Whether it is `directory` or something below it.
    #[must_use]
    pub fn is_within(&self, directory: &Self) -> bool {
        match self.0.strip_prefix(directory.0.as_slice()) {
            Some(rest) => rest.is_empty() || directory.is_root() || rest.first() == Some(&b'/'),
            None => false,
        }
    }
}

impl Borrow<[u8]> for LayerPath {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for LayerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", printable(&self.0))
    }
}

impl fmt::Debug for LayerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Foreign bytes as text for a message: control characters and broken UTF-8 escaped, cut at a
/// few hundred characters.
#[must_use]
pub fn printable(bytes: &[u8]) -> String {
    const SHOWN: usize = 300;
    let shown = bytes.get(..SHOWN).unwrap_or(bytes);
    let mut text = String::with_capacity(shown.len());
    for chunk in shown.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        text.push_str(&chunk.invalid().escape_ascii().to_string());
    }
    if shown.len() < bytes.len() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(raw: &str) -> LayerPath {
        LayerPath::parse(raw.as_bytes()).unwrap()
    }

    #[test]
    fn spellings_of_one_path_are_one_path() {
        for raw in ["a/b", "./a/b", "/a/b", "//a//b/", "a/./b/.", "././a/b//"] {
            assert_eq!(path(raw).as_bytes(), b"a/b", "{raw}");
        }
        for raw in [".", "./", "/", "//."] {
            assert!(path(raw).is_root(), "{raw}");
        }
    }

    #[test]
    fn paths_that_escape_or_cannot_exist_are_refused() {
        let long_name = "n".repeat(256);
        let long_path = "n/".repeat(2049);
        for raw in ["", "..", "a/../b", "/..", "a\0b", &long_name, &long_path] {
            assert!(LayerPath::parse(raw.as_bytes()).is_err(), "{raw:?}");
        }
        assert!(path(&"n/".repeat(2047)).join(&path("abc")).is_err());
    }

    #[test]
    fn relations() {
        assert!(path("a/b").is_within(&path("a")));
        assert!(path("a").is_within(&path("a")));
        assert!(path("a").is_within(&LayerPath::root()));
        assert!(!path("ab").is_within(&path("a")));
        assert_eq!(path("a/b/c").parent(), Some(path("a/b")));
        assert_eq!(path("a").parent(), Some(LayerPath::root()));
        assert_eq!(LayerPath::root().parent(), None);
        assert_eq!(
            path("a/b/c").ancestors().collect::<Vec<_>>(),
            [b"a".as_slice(), b"a/b"]
        );
        assert_eq!(path("a/b").join(&LayerPath::root()).unwrap(), path("a/b"));
    }

    #[test]
    fn messages_show_no_control_characters() {
        assert_eq!(printable(b"a\x1b[2J\xff"), "a\\u{1b}[2J\\xff");
    }
}
