//! What `--layer PATH[:DEST]` says.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::path::{LayerPath, printable};
use super::whiteout;

/// Something on disk that becomes a layer, and where its content goes in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerSource {
    /// A directory, a tar, compressed or not, or another file.
    pub path: PathBuf,
    /// The directory in the image that stands for the source's root; for a file that is no tar, its
    /// path there, or the directory that it goes into.
    pub destination: LayerPath,
    /// Whether a file that is no tar goes into the destination, under its own name: DEST ended with
    /// a slash.
    pub into_destination: bool,
}

/// Why `PATH[:DEST]` cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid layer {text:?}: {reason}")]
pub struct LayerSourceError {
    text: String,
    reason: String,
}

impl LayerSource {
    /// Reads `PATH[:DEST]`; DEST is `/` unless given.
    ///
    /// Colons may be in both: what exists on disk as it stands is the path, with no DEST. Else
    /// the last `:/` behind something that exists divides the two.
    ///
    /// # Errors
    /// No path, or a DEST that is not absolute, leads upwards, or could be taken for a whiteout.
    pub fn parse(text: impl AsRef<OsStr>) -> Result<Self, LayerSourceError> {
        let text = text.as_ref();
        let fail = |reason: &str| LayerSourceError {
            text: printable(text.as_bytes()),
            reason: reason.to_owned(),
        };
        if exists(text.as_bytes()) {
            return Ok(Self::everywhere(text.into()));
        }
        let divided = |divider: &[u8]| {
            let bytes = text.as_bytes();
            let mut splits = (0..bytes.len()).rev().filter_map(|at| {
                let (path, rest) = bytes.split_at_checked(at)?;
                (rest.starts_with(divider)).then_some((path, rest.get(1..)?))
            });
            let last = splits.next();
            last.into_iter()
                .chain(splits)
                .find(|(path, _)| exists(path))
                .or(last)
        };
        let Some((path, destination)) = divided(b":/") else {
            if divided(b":").is_some_and(|(path, _)| exists(path)) {
                return Err(fail("the destination behind the colon must begin with `/`"));
            }
            return match text.as_bytes() {
                b"" => Err(fail("it is empty")),
                _ => Ok(Self::everywhere(text.into())),
            };
        };
        if path.is_empty() {
            return Err(fail("there is no path before the colon"));
        }
        let into_destination = destination.ends_with(b"/");
        let destination =
            LayerPath::parse(destination).map_err(|error| fail(&format!("the {error}")))?;
        if whiteout::is_reserved(&destination) {
            return Err(fail("the destination has a name that begins with `.wh.`"));
        }
        Ok(Self {
            path: OsStr::from_bytes(path).into(),
            destination,
            into_destination,
        })
    }

    /// What goes to `/`.
    #[must_use]
    pub fn everywhere(path: PathBuf) -> Self {
        Self {
            path,
            destination: LayerPath::root(),
            into_destination: false,
        }
    }
}

fn exists(path: &[u8]) -> bool {
    !path.is_empty()
        && Path::new(OsStr::from_bytes(path))
            .symlink_metadata()
            .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (String, String) {
        let source = LayerSource::parse(text).unwrap();
        (
            source.path.display().to_string(),
            source.destination.to_string(),
        )
    }

    #[test]
    fn path_and_destination() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().display().to_string();
        let pair =
            |path: &str, destination: &str| (format!("{base}/{path}"), destination.to_owned());
        for name in ["a", "a:b", "c:", "d:/opt"] {
            fs_err::create_dir_all(directory.path().join(name)).unwrap();
        }
        for (text, path, destination) in [
            ("a", "a", "/"),
            ("a:/", "a", "/"),
            ("a:/opt//tool/", "a", "/opt/tool"),
            ("a:b", "a:b", "/"),
            ("a:b:/opt", "a:b", "/opt"),
            ("a:/opt:/x", "a", "/opt:/x"),
            ("d:/opt", "d:/opt", "/"),
            ("missing", "missing", "/"),
            ("missing:/opt", "missing", "/opt"),
        ] {
            assert_eq!(
                parse(&format!("{base}/{text}")),
                pair(path, destination),
                "{text}"
            );
        }
        for text in ["a:opt", "a:/../etc", "a:/opt/.wh.x", "a:/\0"] {
            assert!(
                LayerSource::parse(format!("{base}/{text}")).is_err(),
                "{text}"
            );
        }
        assert!(LayerSource::parse("").is_err());
        assert!(LayerSource::parse(":/opt").is_err());
    }
}
