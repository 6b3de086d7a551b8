//! What a layer needs over it because of the layers that it stands on.
//!
//! A layer may put a file into a directory without an entry for that directory, which then stays as
//! the layers below have it; an overlay would show the directory that had to be made for the file. And
//! a hard link may lead to a file of a layer below. Neither can be in the layer's own directory, which
//! every image shares that has the layer: it goes into a directory over it, which is kept by the chain
//! ID (image-spec `config.md`, "Layer ChainID").

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Stat, chmodat, fchmod, futimens, mkdirat, mknodat,
    openat, readlinkat, symlinkat, utimensat,
};
use rustix::io::Errno;

use ohoci_image::Digest;
use ohoci_layer::LayerPath;
use ohoci_sandbox::merged::{Merged, Node, dates};

use super::failure::Failure;
use super::index::{Index, ListedKind};
use super::record::{Dependent, Record, VERSION, as_path};
use super::store::{Asked, Held, Kind, LayerStore, Making};
use super::write;

/// What a layer needs over it, made now if it is not there yet. `files` is the layer, `below` what it
/// stands on, topmost first.
pub(crate) fn find(
    store: &LayerStore,
    chain: &Digest,
    files: &Path,
    below: &[PathBuf],
    dependent: &Dependent,
) -> Result<Option<Held>, Failure> {
    if below.is_empty() && dependent.links.is_empty() {
        return Ok(None);
    }
    match store.wait_for(Kind::Adjustment, chain)? {
        Asked::There(held) => Ok(Some(held)),
        Asked::Missing(making) => make(store, making, files, below, dependent).map(Some),
    }
}

fn make(
    store: &LayerStore,
    making: Making,
    files: &Path,
    below: &[PathBuf],
    dependent: &Dependent,
) -> Result<Held, Failure> {
    let made = store.unfinished()?;
    let target = made.path().join("files");
    fs_err::create_dir(&target)?;
    let with_layer = std::iter::once(files.to_owned()).chain(below.iter().cloned());
    let mut adjustment = Adjustment {
        below: Merged::open(below.iter().cloned())?,
        implied: dependent.implied.iter().collect(),
        ..Adjustment::over(with_layer, Index::create(made.path())?, &target)?
    };
    for path in &dependent.implied {
        if adjustment.hidden_directory(path)?.is_some() {
            adjustment.directory(path)?;
        }
    }
    for (path, linked) in &dependent.links {
        adjustment.link(path, linked)?;
    }
    let (bytes, entries) = adjustment.finish()?;
    let record = Record {
        version: VERSION,
        bytes,
        entries,
        root_mode: None,
    };
    Ok(store.finish(making, made, &record)?)
}

/// A directory in the making that is put over layers.
pub(crate) struct Adjustment<'a> {
    with_layer: Merged,
    below: Merged,
    implied: BTreeSet<&'a LayerPath>,
    index: Index,
    target: &'a Path,
    /// Those that were made.
    directories: BTreeSet<LayerPath>,
    bytes: u64,
    entries: u64,
}

impl<'a> Adjustment<'a> {
    /// One over directories, topmost first, in the empty directory `target`.
    pub(crate) fn over(
        layers: impl IntoIterator<Item = PathBuf>,
        index: Index,
        target: &'a Path,
    ) -> io::Result<Self> {
        Ok(Self {
            with_layer: Merged::open(layers)?,
            below: Merged::open([])?,
            implied: BTreeSet::new(),
            index,
            target,
            directories: BTreeSet::new(),
            bytes: 0,
            entries: 0,
        })
    }

    /// A file of its own; the directories above it are as the layers have them.
    pub(crate) fn file(&mut self, path: &LayerPath, content: &[u8], mode: u32) -> io::Result<()> {
        self.directory(&path.parent().unwrap_or_default())?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let place = self.target.join(as_path(path));
        let mut file = std::fs::File::from(openat(CWD, &place, flags, Mode::RUSR | Mode::WUSR)?);
        file.write_all(content)?;
        fchmod(&file, Mode::from_raw_mode(mode))?;
        let size = content.len() as u64;
        self.bytes += size.next_multiple_of(4096);
        self.entries += 1;
        let checksum = write::checksum_of(content);
        self.index.add(
            path,
            &ListedKind::File {
                size,
                mode,
                checksum,
            },
        )
    }

    /// The directory of the layers below that an implied one of the layer covers.
    fn hidden_directory(&self, path: &LayerPath) -> io::Result<Option<Stat>> {
        match self.with_layer.find(as_path(path))? {
            Node::Directory(layers) => match layers.get(1) {
                Some(below) => Ok(Some(rustix::fs::fstat(below)?)),
                None => Ok(None),
            },
            Node::Other { .. } => Ok(None),
        }
    }

    /// Makes a directory and those above it.
    fn directory(&mut self, path: &LayerPath) -> io::Result<()> {
        if path.is_root() || !self.directories.insert(path.clone()) {
            return Ok(());
        }
        self.directory(&path.parent().unwrap_or_default())?;
        mkdirat(CWD, self.target.join(as_path(path)), Mode::RWXU)?;
        self.entries += 1;
        self.bytes += 4096;
        Ok(())
    }

    /// What a directory is to look like: as the layers below have it, or else as the layer has it.
    fn attributes(&self, path: &LayerPath) -> io::Result<Option<Stat>> {
        if self.implied.contains(path)
            && let Some(below) = self.hidden_directory(path)?
        {
            return Ok(Some(below));
        }
        match self.with_layer.find(as_path(path)) {
            Ok(node @ Node::Directory(_)) => Ok(Some(node.stat()?)),
            // It takes the place of something that is no directory.
            Ok(Node::Other { .. }) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// A copy of what a hard link leads to, in its place.
    fn link(&mut self, path: &LayerPath, linked: &LayerPath) -> Result<(), Failure> {
        let unfit = |reason: &str| {
            Failure::Unfit(format!("{path} is a hard link to {linked}, which {reason}"))
        };
        let above = linked.parent().unwrap_or_default();
        let (above, _) = self
            .below
            .resolve(as_path(&above))
            .map_err(|_| unfit("is not there"))?;
        let node = self
            .below
            .find(&above.join(OsStr::from_bytes(linked.name())))
            .map_err(|_| unfit("is not there"))?;
        let Node::Other { holder, name, stat } = &node else {
            return Err(unfit("is a directory"));
        };
        if let Ok(Node::Directory(_)) = self.with_layer.find(as_path(path))
            && self.directories.contains(path)
        {
            return Err(unfit("is below it"));
        }
        self.directory(&path.parent().unwrap_or_default())?;
        let place = self.target.join(as_path(path));
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let mut from = std::fs::File::from(node.open().map_err(io::Error::from)?);
                let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let to = openat(CWD, &place, flags, Mode::RUSR | Mode::WUSR);
                let mut to = std::fs::File::from(to.map_err(io::Error::from)?);
                let size = io::copy(&mut from, &mut to)?;
                let checksum = super::verify::checksum(&place)?;
                let mode = stat.st_mode & 0o7777;
                fchmod(&to, Mode::from_raw_mode(mode)).map_err(io::Error::from)?;
                self.bytes += size.next_multiple_of(4096);
                ListedKind::File {
                    size,
                    mode,
                    checksum,
                }
            }
            FileType::Symlink => {
                let target = readlinkat(holder, name, Vec::new()).map_err(io::Error::from)?;
                let checksum = write::checksum_of(target.to_bytes());
                symlinkat(target, CWD, &place).map_err(io::Error::from)?;
                ListedKind::Symlink { checksum }
            }
            FileType::Fifo => {
                let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
                mknodat(CWD, &place, FileType::Fifo, mode, 0)
                    .and_then(|()| chmodat(CWD, &place, mode, AtFlags::empty()))
                    .map_err(io::Error::from)?;
                ListedKind::Fifo
            }
            _ => return Ok(()),
        };
        utimensat(CWD, &place, &dates(stat), AtFlags::SYMLINK_NOFOLLOW).map_err(io::Error::from)?;
        self.entries += 1;
        Ok(self.index.add(path, &kind)?)
    }

    /// Gives the directories their permissions and dates, from the bottom up. Tells how many bytes it takes,
    /// and how many entries it has.
    pub(crate) fn finish(mut self) -> io::Result<(u64, u64)> {
        let directories = std::mem::take(&mut self.directories);
        for path in directories.iter().rev() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let directory = openat(CWD, self.target.join(as_path(path)), flags, Mode::empty())?;
            let (mode, dates) = match self.attributes(path)? {
                Some(stat) => (stat.st_mode & 0o7777, dates(&stat)),
                None => (0o755, write::dates(0)),
            };
            futimens(&directory, &dates)?;
            fchmod(directory.as_fd(), Mode::from_raw_mode(mode))?;
            self.index.add(path, &ListedKind::Directory { mode })?;
        }
        self.index.finish()?;
        Ok((self.bytes, self.entries))
    }
}
