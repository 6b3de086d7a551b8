//! What a stage changed, as a layer's tree.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::stage::is_passing;
use crate::layer::directory::sorted_children;
use crate::layer::path::LayerPath;
use crate::layer::{Content, Entry, Kind, Rules, Tree};

/// The date of everything in our layers: the first day that a ZIP can hold in every time zone, since
/// old build tools put files into wheels by their dates.
pub const DATE: i64 = 315_619_200;

/// The first magic number of byte code that says how it is validated (CPython 3.7,
/// `Lib/importlib/_bootstrap_external.py`).
const FLAGS_SINCE: u16 = 3390;

/// What was changed.
#[derive(Debug)]
pub struct Changes {
    /// The layer's tree, whiteouts included.
    pub tree: Tree,
    /// What it removes of the levels below.
    pub removed: Vec<LayerPath>,
}

/// Reads the upper directory of an overlay that a user mounted (kernel documentation,
/// `filesystems/overlayfs.rst`): a device 0/0 removes what has its name, and an attribute makes a
/// directory hide the one below.
///
/// Everything belongs to root and has one date, in byte code too, so that Python goes on taking it
/// for that of its source. A directory that is as below is not in the tree.
///
/// # Errors
/// When something cannot be read or cannot be in a layer.
pub fn changes(upper: &Path, below: &[PathBuf]) -> io::Result<Changes> {
    let mut reader = Reader {
        below,
        found: Changes {
            tree: Tree::new(),
            removed: Vec::new(),
        },
        inodes: HashMap::new(),
    };
    reader.directory(upper, &LayerPath::root())?;
    Ok(reader.found)
}

struct Reader<'a> {
    below: &'a [PathBuf],
    found: Changes,
    inodes: HashMap<(u64, u64), LayerPath>,
}

impl Reader<'_> {
    fn directory(&mut self, on_disk: &Path, in_layer: &LayerPath) -> io::Result<()> {
        for child in sorted_children(on_disk)? {
            let name = child
                .file_name()
                .map(OsStrExt::as_bytes)
                .unwrap_or_default();
            let path = LayerPath::parse(name)
                .and_then(|name| in_layer.join(&name))
                .map_err(io::Error::other)?;
            let text = String::from_utf8_lossy(path.as_bytes()).into_owned();
            if is_passing(&text) {
                continue;
            }
            self.entry(&child, path)?;
        }
        Ok(())
    }

    fn entry(&mut self, on_disk: &Path, path: LayerPath) -> io::Result<()> {
        let metadata = fs_err::symlink_metadata(on_disk)?;
        let kind = metadata.file_type();
        let mode = metadata.mode() & 0o7777;
        if kind.is_char_device() && metadata.rdev() == 0 {
            self.found.removed.push(path.clone());
            let name = [b".wh.", path.name()].concat();
            return self.put(sibling(&path, &name)?, whiteout());
        }
        if crate::layer::whiteout::is_reserved(&path) {
            return Err(unfit(
                on_disk,
                "its name begins with `.wh.`, which would remove files",
            ));
        }
        if kind.is_dir() {
            let opaque = is_opaque(on_disk)?;
            if opaque || !self.is_below(&path, mode) {
                self.put(path.clone(), dated(Kind::Directory, mode))?;
            }
            if opaque && self.is_there(&path) {
                self.found.removed.push(path.clone());
                let mark = LayerPath::parse(b".wh..wh..opq").map_err(io::Error::other)?;
                self.put(path.join(&mark).map_err(io::Error::other)?, whiteout())?;
            }
            return self.directory(on_disk, &path);
        }
        if kind.is_socket() {
            return Ok(());
        }
        if kind.is_char_device() || kind.is_block_device() {
            return Err(unfit(on_disk, "devices cannot be in a layer"));
        }
        // git touches packs that have what it would write, which copies them up.
        if kind.is_file() && self.is_same(on_disk, &path, &metadata)? {
            return Ok(());
        }
        let inode = (metadata.dev(), metadata.ino());
        let kind = if metadata.nlink() > 1 && self.inodes.contains_key(&inode) {
            let first = self.inodes.get(&inode).cloned().unwrap_or_default();
            Kind::Hardlink(first)
        } else if kind.is_symlink() {
            Kind::Symlink(fs_err::read_link(on_disk)?.into_os_string().into_vec())
        } else if kind.is_fifo() {
            Kind::Fifo
        } else {
            Kind::File(content(on_disk, metadata.len())?)
        };
        if metadata.nlink() > 1 {
            self.inodes.entry(inode).or_insert_with(|| path.clone());
        }
        self.put(path, dated(kind, mode))
    }

    fn put(&mut self, path: LayerPath, entry: Entry) -> io::Result<()> {
        self.found
            .tree
            .insert(path, entry, Rules::Strict)
            .map_err(io::Error::other)
    }

    /// Whether the same directory stands below already.
    fn is_below(&self, path: &LayerPath, mode: u32) -> bool {
        self.found_below(path).is_some_and(|found| {
            // What an ordinary user unpacked has no setuid and no setgid.
            found.is_dir() && found.mode() & 0o1777 == mode & 0o1777
        })
    }

    /// Whether a file is the same as below, but for its date.
    fn is_same(&self, on_disk: &Path, path: &LayerPath, own: &Metadata) -> io::Result<bool> {
        let name = Path::new(OsStr::from_bytes(path.as_bytes()));
        for below in self.below {
            let Ok(found) = fs_err::symlink_metadata(below.join(name)) else {
                continue;
            };
            return Ok(found.is_file()
                && found.len() == own.len()
                && found.mode() & 0o1777 == own.mode() & 0o1777
                && same_content(on_disk, &below.join(name))?);
        }
        Ok(false)
    }

    fn is_there(&self, path: &LayerPath) -> bool {
        self.found_below(path).is_some()
    }

    fn found_below(&self, path: &LayerPath) -> Option<Metadata> {
        let path = Path::new(OsStr::from_bytes(path.as_bytes()));
        self.below
            .iter()
            .find_map(|below| fs_err::symlink_metadata(below.join(path)).ok())
    }
}

fn same_content(one: &Path, other: &Path) -> io::Result<bool> {
    let mut one = BufReader::with_capacity(64 << 10, fs_err::File::open(one)?);
    let mut other = BufReader::with_capacity(64 << 10, fs_err::File::open(other)?);
    loop {
        let (left, right) = (one.fill_buf()?, other.fill_buf()?);
        let count = left.len().min(right.len());
        if left.get(..count) != right.get(..count) {
            return Ok(false);
        }
        if count == 0 {
            return Ok(left.is_empty() && right.is_empty());
        }
        one.consume(count);
        other.consume(count);
    }
}

fn dated(kind: Kind, mode: u32) -> Entry {
    Entry {
        mtime: DATE,
        ..Entry::new(kind, mode)
    }
}

fn whiteout() -> Entry {
    dated(Kind::File(Content::Memory(Bytes::new())), 0o644)
}

fn sibling(path: &LayerPath, name: &[u8]) -> io::Result<LayerPath> {
    LayerPath::parse(name)
        .and_then(|name| path.parent().unwrap_or_default().join(&name))
        .map_err(io::Error::other)
}

fn unfit(path: &Path, why: &str) -> io::Error {
    io::Error::other(format!("{}: {why}", path.display()))
}

fn is_opaque(path: &Path) -> io::Result<bool> {
    let mut value = [0; 8];
    match rustix::fs::lgetxattr(path, "user.overlay.opaque", &mut value) {
        Ok(length) => Ok(value.get(..length).is_some_and(|value| value == b"y")),
        Err(_) => Ok(false),
    }
}

/// A file's content; byte code with the date of what it was made of, as it is in the layer.
fn content(path: &Path, size: u64) -> io::Result<Content> {
    if path.extension().is_some_and(|extension| extension == "pyc") {
        let mut code = Vec::new();
        fs_err::File::open(path)?.read_to_end(&mut code)?;
        date_byte_code(&mut code);
        return Ok(Content::Memory(code.into()));
    }
    Ok(Content::File {
        path: path.to_owned(),
        size,
    })
}

fn date_byte_code(code: &mut [u8]) {
    let Some(&[low, high]) = code
        .get(..2)
        .and_then(|magic| <&[u8; 2]>::try_from(magic).ok())
    else {
        return;
    };
    let has_flags = u16::from_le_bytes([low, high]) >= FLAGS_SINCE;
    // Byte code that goes by its source's hash needs no date.
    if has_flags && code.get(4..8) != Some(&[0; 4]) {
        return;
    }
    let start = if has_flags { 8 } else { 4 };
    let date = u32::try_from(DATE).unwrap_or_default().to_le_bytes();
    if let Some(place) = code.get_mut(start..start + 4) {
        place.copy_from_slice(&date);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_what_differs_is_in_the_tree() {
        let (upper, below) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for root in [&upper, &below] {
            for directory in ["usr/lib", "opt"] {
                fs_err::create_dir_all(root.path().join(directory)).unwrap();
            }
        }
        let mode = PermissionsExt::from_mode(0o777);
        fs_err::set_permissions(upper.path().join("opt"), mode).unwrap();
        for root in [&upper, &below] {
            for (path, own) in [
                ("usr/lib/touched", "same"),
                ("usr/lib/changed", root.path().to_str().unwrap()),
            ] {
                fs_err::write(root.path().join(path), own).unwrap();
            }
        }
        for path in ["usr/lib/new", "tmp/x", "new/file"] {
            let path = upper.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, "x").unwrap();
        }
        fs_err::hard_link(upper.path().join("new/file"), upper.path().join("new/same")).unwrap();
        let found = changes(upper.path(), &[below.path().to_owned()]).unwrap();
        let paths: Vec<String> = found
            .tree
            .iter()
            .map(|(path, _)| path.to_string())
            .collect();
        assert_eq!(
            paths,
            [
                "/new",
                "/new/file",
                "/new/same",
                "/opt",
                "/usr/lib/changed",
                "/usr/lib/new"
            ]
        );
        assert!(found.tree.iter().all(|(_, entry)| entry.mtime == DATE));
        let same = found
            .tree
            .get(&LayerPath::parse(b"new/same").unwrap())
            .unwrap();
        assert!(matches!(same.kind, Kind::Hardlink(_)));
        assert_eq!(found.removed, []);
    }

    #[test]
    fn byte_code_gets_the_date_of_its_source_in_the_layer() {
        let date = u32::try_from(DATE).unwrap().to_le_bytes();
        let mut new = [&[0xa7, 0x0d, 0x0d, 0x0a][..], &[0; 4], &[9; 8], b"code"].concat();
        date_byte_code(&mut new);
        assert_eq!(new[8..12], date);
        assert_eq!(new[12..16], [9; 4]);
        let mut hashed = [&[0xa7, 0x0d, 0x0d, 0x0a][..], &[3, 0, 0, 0], &[9; 8]].concat();
        date_byte_code(&mut hashed);
        assert_eq!(hashed[8..16], [9; 8]);
        let mut old = [&[0x33, 0x0d, 0x0d, 0x0a][..], &[9; 8]].concat();
        date_byte_code(&mut old);
        assert_eq!(old[4..8], date);
        date_byte_code(&mut [1]);
    }
}
