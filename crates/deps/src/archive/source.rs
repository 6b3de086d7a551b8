//! Archives, directories and paths in images, whatever they are made of.

use std::io::Read as _;
use std::path::Path;

use rawzip::FileReader;

use super::selection::Selection;
use super::zip::{Limits, Zip};
use super::{ArchiveError, Spool, growth, tar};
use ohoci_layer::directory::read_directory;
use ohoci_layer::{FlattenError, LayerPath, Tree};

/// The tree of an archive: a zip, or a tar that is compressed with gzip or zstd or not at all, by
/// what its first bytes say. It may have `limit` bytes when decompressed, and no more than what
/// something of its size can be expected to become.
///
/// # Errors
/// See [`ArchiveError`].
pub fn from_archive(
    mut file: fs_err::File,
    selection: &Selection<'_>,
    limit: u64,
    spool: &Spool,
) -> Result<Tree, ArchiveError> {
    let length = file.metadata()?.len();
    let limit = growth::largest(length, limit);
    let mut start = Vec::new();
    (&mut file).take(4).read_to_end(&mut start)?;
    let tree = if start == b"PK\x03\x04" {
        let limits = Limits {
            total: limit,
            ..Limits::default()
        };
        let (file, _) = file.into_parts();
        Zip::open(FileReader::from(file), length, limits)?.tree(spool)?
    } else {
        tar::read_tar(start.chain(file), limit, spool)?
    };
    selection.apply(&tree)
}

/// The tree of a directory on this machine, with what was left out, in words.
///
/// # Errors
/// See [`ArchiveError`].
pub(crate) fn from_directory(
    root: &Path,
    selection: &Selection<'_>,
) -> Result<(Tree, Vec<String>), ArchiveError> {
    let found = read_directory(root, 0)?;
    Ok((selection.apply(&found.tree)?, found.notes))
}

/// The tree of a path in an image. `flatten` finds what stands there, as `layer::flatten` does,
/// and says it with its full path; here the path is taken off.
///
/// # Errors
/// See [`ArchiveError`].
pub(crate) fn from_image(
    path: &LayerPath,
    selection: &Selection<'_>,
    flatten: impl FnOnce(&LayerPath) -> Result<Tree, FlattenError>,
) -> Result<Tree, ArchiveError> {
    let tree = flatten(path).map_err(|error| ArchiveError::Malformed(error.to_string()))?;
    // A path that is a file keeps its name, as with a Dockerfile's COPY.
    let directory = match tree.get(path) {
        Some(entry) if !entry.is_directory() => path.names().count().saturating_sub(1),
        _ => path.names().count(),
    };
    let below = Selection {
        strip: directory + selection.strip,
        keep: selection.keep,
        to: selection.to.clone(),
    };
    below.apply(&tree)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use ohoci_layer::{Content, Entry, Kind, Rules};

    fn path(raw: &str) -> LayerPath {
        LayerPath::parse(raw.as_bytes()).unwrap()
    }

    fn paths(tree: &Tree) -> Vec<String> {
        tree.iter().map(|(path, _)| path.to_string()).collect()
    }

    #[test]
    fn content_decides_what_an_archive_is() {
        let directory = tempfile::tempdir().unwrap();
        let spool = Spool::create(directory.path()).unwrap();
        let selection = Selection {
            to: path("opt"),
            ..Selection::default()
        };
        let mut writer = ohoci_layer::tar_write::TarWriter::new(Vec::new());
        writer
            .append(
                &path("x"),
                &Entry::new(Kind::File(3), 0o755),
                &mut &b"abc"[..],
            )
            .unwrap();
        let tar = writer.finish().unwrap();
        let zip = super::super::zip::tests::zip(&[("x", b"abc")]);
        let zstd = zstd::encode_all(tar.as_slice(), 1).unwrap();
        for content in [tar, zip, zstd] {
            let at = directory.path().join("archive");
            fs_err::write(&at, content).unwrap();
            let file = fs_err::File::open(&at).unwrap();
            let tree = from_archive(file, &selection, 1 << 20, &spool).unwrap();
            assert_eq!(paths(&tree), ["/opt", "/opt/x"]);
        }
        fs_err::write(directory.path().join("archive"), b"BZh9xxxx").unwrap();
        let file = fs_err::File::open(directory.path().join("archive")).unwrap();
        let error = from_archive(file, &selection, 1 << 20, &spool).unwrap_err();
        assert!(error.to_string().contains("bzip2"), "{error}");
    }

    #[test]
    fn a_path_in_an_image_is_taken_like_copy_does() {
        let selection = Selection {
            to: path("opt"),
            ..Selection::default()
        };
        let flatten = |prefix: &LayerPath| {
            let mut tree = Tree::new();
            for at in ["usr/lib/tool/a", "usr/lib/tool/b/c"] {
                let at = path(at);
                if at.is_within(prefix) {
                    let kind = Kind::File(Content::Memory(Bytes::new()));
                    tree.insert(at, Entry::new(kind, 0o644), Rules::Strict)?;
                }
            }
            Ok(tree)
        };
        let tree = from_image(&path("usr/lib/tool"), &selection, flatten).unwrap();
        assert_eq!(paths(&tree), ["/opt", "/opt/a", "/opt/b", "/opt/b/c"]);
        let tree = from_image(&path("usr/lib/tool/a"), &selection, flatten).unwrap();
        assert_eq!(paths(&tree), ["/opt", "/opt/a"]);
    }
}
