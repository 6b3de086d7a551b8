//! What a stage changed, as a layer's tree.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::FileType;
use rustix::io::Errno;

use super::stage::is_passing;
use ohoci_layer::beneath::Found;
use ohoci_layer::path::LayerPath;
use ohoci_layer::{Content, Directory, Entry, Kind, Rules, Tree};
use ohoci_sandbox::merged::{Merged, Node};

/// The date of everything in our layers: the first day that a ZIP can hold in every time zone, since
/// old build tools put files into wheels by their dates.
pub(crate) const DATE: i64 = 315_619_200;

/// The attribute by which a directory hides the one below.
const OPAQUE: &str = "user.overlay.opaque";

/// The first magic number of byte code that says how it is validated (CPython 3.7,
/// `Lib/importlib/_bootstrap_external.py`).
const FLAGS_SINCE: u16 = 3390;

/// What was changed.
#[derive(Debug)]
pub(crate) struct Changes {
    /// The layer's tree, whiteouts included.
    pub tree: Tree,
    /// What it removes of the levels below.
    pub removed: Vec<LayerPath>,
}

/// Reads what a level consists of, as the directories of an overlay that a user mounted, topmost first (kernel
/// documentation, `filesystems/overlayfs.rst`): a device 0/0 removes what has its name, and an attribute makes a
/// directory hide the one below. Several give the same as one in which all of it was changed.
///
/// Everything belongs to root and has one date, in byte code too, so that Python goes on taking it
/// for that of its source. A directory that is as below is not in the tree.
///
/// # Errors
/// When something cannot be read or cannot be in a layer.
pub(crate) fn changes(own: &[PathBuf], below: &[PathBuf]) -> io::Result<Changes> {
    let own = own.iter().map(|path| Directory::open(path).map(Arc::new));
    let mut reader = Reader {
        own: own.collect::<io::Result<_>>()?,
        below: Merged::open(below.iter().cloned())?,
        found: Changes {
            tree: Tree::new(),
            removed: Vec::new(),
        },
        inodes: HashMap::new(),
    };
    reader.read()?;
    Ok(reader.found)
}

struct Reader {
    /// Topmost first.
    own: Vec<Arc<Directory>>,
    below: Merged,
    found: Changes,
    inodes: HashMap<(u64, u64), LayerPath>,
}

/// What the level's directories have at a path.
struct Own {
    /// The topmost, and what it is.
    top: Found,
    /// The directories that have it; of a directory all that it is merged of, topmost first.
    from: Vec<Arc<Directory>>,
    /// Whether it is a directory that hides what lies below.
    is_opaque: bool,
}

impl Own {
    /// Looks into directories, topmost first.
    fn find(path: &LayerPath, directories: &[Arc<Directory>]) -> io::Result<Self> {
        let mut own: Option<Self> = None;
        for directory in directories {
            let Some(found) = directory.find(on_disk(path))? else {
                continue;
            };
            if own.is_some() && !found.is_directory() {
                break;
            }
            let top = own.get_or_insert_with(|| Self {
                top: found,
                from: Vec::new(),
                is_opaque: false,
            });
            top.from.push(Arc::clone(directory));
            if !found.is_directory() {
                break;
            }
            let opaque = directory.attribute(on_disk(path), OPAQUE)?;
            top.is_opaque = opaque.is_some_and(|value| value == b"y");
            if top.is_opaque {
                break;
            }
        }
        own.ok_or_else(|| unfit(path, "it went away while it was read"))
    }
}

/// The names in a directory of these, sorted.
fn names_in(path: &LayerPath, from: &[Arc<Directory>]) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for directory in from {
        names.extend(directory.list(on_disk(path))?);
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

impl Reader {
    /// Reads everything, a directory's content right behind it: which of two hard links holds the
    /// content depends on the order. Not by recursion, because a build may nest deeper than a
    /// thread's stack.
    fn read(&mut self) -> io::Result<()> {
        let root = LayerPath::root();
        let names = names_in(&root, &self.own)?;
        let mut open = vec![(names.into_iter(), root, self.own.clone())];
        while let Some((names, at, from)) = open.last_mut() {
            let Some(name) = names.next() else {
                open.pop();
                continue;
            };
            let path = LayerPath::parse(name.as_bytes())
                .and_then(|name| at.join(&name))
                .map_err(io::Error::other)?;
            if is_passing(&String::from_utf8_lossy(path.as_bytes())) {
                continue;
            }
            let own = Own::find(&path, from)?;
            self.entry(path.clone(), &own)?;
            if own.top.is_directory() {
                let names = names_in(&path, &own.from)?;
                open.push((names.into_iter(), path, own.from));
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: LayerPath, own: &Own) -> io::Result<()> {
        let Own { top, from, .. } = own;
        let Some(directory) = from.first() else {
            return Ok(());
        };
        if top.kind == FileType::CharacterDevice && top.device == 0 {
            // What hides something of the level's own need not hide anything of those below.
            if self.own.len() > 1 && self.found_below(&path)?.is_none() {
                return Ok(());
            }
            self.found.removed.push(path.clone());
            let name = [b".wh.", path.name()].concat();
            return self.put(sibling(&path, &name)?, whiteout());
        }
        if ohoci_layer::whiteout::is_reserved(&path) {
            return Err(unfit(
                &path,
                "its name begins with `.wh.`, which would remove files",
            ));
        }
        match top.kind {
            FileType::Directory => return self.directory_entry(&path, own),
            FileType::Socket => return Ok(()),
            FileType::CharacterDevice | FileType::BlockDevice => {
                return Err(unfit(&path, "devices cannot be in a layer"));
            }
            _ => {}
        }
        // git touches packs that have what it would write, which copies them up.
        if top.is_regular_file() && self.is_same(&path, top, directory)? {
            return Ok(());
        }
        let kind = match (self.inodes.get(&top.inode), top.kind) {
            (Some(first), _) if top.links > 1 => Kind::Hardlink(first.clone()),
            (_, FileType::Symlink) => Kind::Symlink(directory.read_link(on_disk(&path))?),
            (_, FileType::Fifo) => Kind::Fifo,
            _ => Kind::File(content(&path, top.size, directory)?),
        };
        if top.links > 1 {
            self.inodes.entry(top.inode).or_insert_with(|| path.clone());
        }
        self.put(path, dated(kind, top.mode))
    }

    fn directory_entry(&mut self, path: &LayerPath, own: &Own) -> io::Result<()> {
        let found = self.found_below(path)?;
        // What an ordinary user unpacked has no setuid and no setgid.
        let is_there = found.is_some();
        let mode = own.top.mode;
        let is_as_below = match found {
            Some(node @ Node::Directory(_)) => node.stat()?.st_mode & 0o1777 == mode & 0o1777,
            _ => false,
        };
        if own.is_opaque || !is_as_below {
            self.put(path.clone(), dated(Kind::Directory, mode))?;
        }
        if own.is_opaque && is_there {
            self.found.removed.push(path.clone());
            let mark = LayerPath::parse(b".wh..wh..opq").map_err(io::Error::other)?;
            self.put(path.join(&mark).map_err(io::Error::other)?, whiteout())?;
        }
        Ok(())
    }

    fn put(&mut self, path: LayerPath, entry: Entry) -> io::Result<()> {
        self.found
            .tree
            .insert(path, entry, Rules::Strict)
            .map_err(io::Error::other)
    }

    /// Whether a file is the same as below, but for its date.
    fn is_same(&self, path: &LayerPath, own: &Found, directory: &Directory) -> io::Result<bool> {
        let Some(node) = self.found_below(path)? else {
            return Ok(false);
        };
        let found = node.stat()?;
        let is_alike = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile
            && u64::try_from(found.st_size) == Ok(own.size)
            && found.st_mode & 0o1777 == own.mode & 0o1777;
        Ok(is_alike && {
            let below = std::fs::File::from(node.open()?);
            same_content(directory.open_file(on_disk(path))?, below)?
        })
    }

    /// What the levels below show at a path. What lies behind a symlink of theirs is not there: the
    /// directory in the upper one hides the link.
    fn found_below(&self, path: &LayerPath) -> io::Result<Option<Node>> {
        match self.below.find(on_disk(path)) {
            Ok(node) => Ok(Some(node)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// A file's content; byte code with the date of what it was made of, as it is in the layer.
fn content(path: &LayerPath, size: u64, directory: &Arc<Directory>) -> io::Result<Content> {
    if path.name().ends_with(b".pyc") && path.name() != b".pyc" {
        let mut code = Vec::new();
        directory.open_file(on_disk(path))?.read_to_end(&mut code)?;
        date_byte_code(&mut code);
        return Ok(Content::Memory(code.into()));
    }
    Ok(Content::File {
        directory: Arc::clone(directory),
        path: on_disk(path).to_owned(),
        size,
    })
}

/// A path in a layer as one below a directory.
fn on_disk(path: &LayerPath) -> &Path {
    Path::new(OsStr::from_bytes(path.as_bytes()))
}

fn same_content(one: impl io::Read, other: impl io::Read) -> io::Result<bool> {
    let mut one = BufReader::with_capacity(64 << 10, one);
    let mut other = BufReader::with_capacity(64 << 10, other);
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

fn unfit(path: &LayerPath, why: &str) -> io::Error {
    io::Error::other(format!("{path}: {why}"))
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
        let found = changes(&[upper.path().to_owned()], &[below.path().to_owned()]).unwrap();
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
    fn what_hides_a_levels_own_files_hides_nothing_below() {
        use rustix::fs::{CWD, Mode, XattrFlags, mknodat, setxattr};
        let [upper, linked, below] = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let write = |root: &tempfile::TempDir, path: &str| {
            let path = root.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, root.path().to_str().unwrap()).unwrap();
        };
        for path in ["gone", "gone-both", "anew/old", "over/x", "kept"] {
            write(&linked, path);
        }
        for path in ["gone-both", "below/x"] {
            write(&below, path);
        }
        for path in ["anew/new", "over/y"] {
            write(&upper, path);
        }
        for path in ["gone", "gone-both"] {
            let path = upper.path().join(path);
            mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0).unwrap();
        }
        setxattr(upper.path().join("anew"), OPAQUE, b"y", XattrFlags::empty()).unwrap();
        let own = [&upper, &linked].map(|root| root.path().to_owned());
        let found = changes(&own, &[below.path().to_owned()]).unwrap();
        let paths = found.tree.iter().map(|(path, _)| path.to_string());
        let expected = [
            "/.wh.gone-both",
            "/anew",
            "/anew/new",
            "/kept",
            "/over",
            "/over/x",
            "/over/y",
        ];
        assert_eq!(paths.collect::<Vec<_>>(), expected);
        assert_eq!(found.removed.len(), 1);
    }

    #[test]
    fn a_symlink_of_a_level_below_leads_to_nothing_of_this_machine() {
        let [upper, below, outside] = [(); 3].map(|()| tempfile::tempdir().unwrap());
        fs_err::os::unix::fs::symlink(outside.path(), below.path().join("etc")).unwrap();
        fs_err::create_dir(upper.path().join("etc")).unwrap();
        for root in [upper.path().join("etc"), outside.path().to_owned()] {
            fs_err::write(root.join("passwd"), "same").unwrap();
        }
        let found = changes(&[upper.path().to_owned()], &[below.path().to_owned()]).unwrap();
        let passwd = LayerPath::parse(b"etc/passwd").unwrap();
        assert!(found.tree.get(&passwd).is_some(), "it is not below");
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
