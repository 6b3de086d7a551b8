//! One repository: a layout on disk and its index in memory.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use ohoci_image::{Algorithm, Digest, Manifest, Pointer, manifest};

use super::index::{Facts, Found, Index};
use super::upload::Sink;
use ohoci_layout::layout::{BLOBS, INDEX_FILE, VERSION_CONTENT, VERSION_FILE};
use ohoci_layout::staging::remove_unfinished;
use ohoci_layout::{MAX_INDEX, Staging, blob_path, file_size};

/// A repository.
#[derive(Debug)]
pub(crate) struct Repository {
    path: PathBuf,
    staging: Staging,
    state: RwLock<State>,
    /// The change that `index.json` has on disk. Held while it is written.
    written: Mutex<u64>,
    /// Held alone while a manifest's file is removed, so that none is removed that is being put
    /// again.
    removal: RwLock<()>,
}

#[derive(Debug, Default)]
struct State {
    index: Index,
    /// Counts changes.
    change: u64,
}

/// A blob on disk.
#[derive(Debug)]
pub(crate) struct Stored {
    /// Its file.
    pub(crate) path: PathBuf,
    /// Its size in bytes.
    pub(crate) size: u64,
}

impl Repository {
    /// Reads the repository in `path`, or makes an empty one there. What a killed server was still
    /// copying is removed.
    pub(super) fn open(path: PathBuf, staging: Staging) -> io::Result<Self> {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            remove_unfinished(&path.join(BLOBS).join(algorithm.name()));
        }
        let index = path.join(INDEX_FILE);
        let index = match file_size(&index)? {
            None => Index::default(),
            Some(size) if size > MAX_INDEX => {
                return Err(io::Error::other(format!(
                    "{} has {size} bytes, more than the {MAX_INDEX} that are read",
                    index.display()
                )));
            }
            Some(_) => Index::read(&fs_err::read(&index)?, |digest, announced| {
                let announced = Some(announced).filter(|text| !text.is_empty());
                look(&path, digest, announced)
            })
            .map_err(|reason| io::Error::other(format!("{}: {reason}", index.display())))?,
        };
        Ok(Self {
            path,
            staging,
            state: RwLock::new(State { index, change: 0 }),
            written: Mutex::new(0),
            removal: RwLock::new(()),
        })
    }

    /// Makes the directories and files that every layout has.
    pub(super) fn furnish(&self) -> io::Result<()> {
        fs_err::create_dir_all(self.path.join(BLOBS).join(Algorithm::Sha256.name()))?;
        let marker = self.path.join(VERSION_FILE);
        if file_size(&marker)?.is_none() {
            self.staging.replace(&marker, VERSION_CONTENT.as_bytes())?;
        }
        if file_size(&self.path.join(INDEX_FILE))?.is_none() {
            let _written = self.written.lock();
            let text = self.read(Index::text);
            self.write_index(&text)?;
        }
        Ok(())
    }

    /// Looks at the index.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Index) -> T) -> T {
        let state = self.state.read();
        look(&state.index)
    }

    /// Changes the index; returns when the change is on disk. Nothing is written when `change`
    /// gives `None`.
    fn write<T>(&self, change: impl FnOnce(&mut Index) -> Option<T>) -> io::Result<Option<T>> {
        let (result, mine) = {
            let mut state = self.state.write();
            let Some(result) = change(&mut state.index) else {
                return Ok(None);
            };
            state.change += 1;
            (result, state.change)
        };
        let mut written = self.written.lock();
        // Whoever held the lock before may have written this change along with its own.
        if *written < mine {
            let (text, latest) = {
                let state = self.state.read();
                (state.index.text(), state.change)
            };
            self.write_index(&text)?;
            *written = latest;
        }
        Ok(Some(result))
    }

    /// Writes `index.json`, unless it would be too large to be read again.
    fn write_index(&self, text: &str) -> io::Result<()> {
        if text.len() as u64 > MAX_INDEX {
            return Err(io::Error::other(format!(
                "{INDEX_FILE} would have more than {MAX_INDEX} bytes"
            )));
        }
        self.staging
            .replace(&self.path.join(INDEX_FILE), text.as_bytes())
    }

    /// The manifest that a tag or digest names.
    pub(crate) fn find(&self, pointer: &Pointer) -> Option<Found> {
        self.read(|index| match pointer {
            Pointer::Tag(tag) => index.tagged(tag),
            Pointer::Digest(digest) => index.found(digest),
        })
    }

    /// A blob; `None` when it is not there.
    pub(crate) fn blob(&self, digest: &Digest) -> io::Result<Option<Stored>> {
        let path = blob_path(&self.path, digest);
        Ok(file_size(&path)?.map(|size| Stored { path, size }))
    }

    /// A manifest's bytes; `None` when they are not there.
    pub(crate) fn manifest(&self, digest: &Digest) -> io::Result<Option<Bytes>> {
        read_manifest(&blob_path(&self.path, digest))
    }

    /// The place for a blob, in a directory that is there.
    pub(super) fn place(&self, digest: &Digest) -> io::Result<PathBuf> {
        let path = blob_path(&self.path, digest);
        if let Some(directory) = path.parent() {
            fs_err::create_dir_all(directory)?;
        }
        Ok(path)
    }

    /// Puts a verified upload in its place.
    pub(crate) fn admit(&self, sink: &mut Sink, digest: &Digest) -> io::Result<()> {
        let place = self.place(digest)?;
        // What is there already may be shared with other repositories, so that it stays.
        if file_size(&place)? == Some(sink.size()) {
            return Ok(());
        }
        sink.publish(&place, &self.staging)
    }

    /// Stores a manifest and names it.
    pub(crate) fn put_manifest(
        &self,
        digest: &Digest,
        bytes: &[u8],
        facts: Facts,
        tags: &[String],
    ) -> io::Result<()> {
        let _shared = self.removal.read();
        let place = self.place(digest)?;
        if read_manifest(&place)?.is_none_or(|there| there != bytes) {
            self.staging.replace(&place, bytes)?;
        }
        self.write(|index| {
            index.put(digest, facts, tags);
            Some(())
        })?;
        Ok(())
    }

    /// Takes a tag away, or a manifest with all its tags; whether it was there.
    pub(crate) fn delete(&self, pointer: &Pointer) -> io::Result<bool> {
        let _alone = self.removal.write();
        let gone = self.write(|index| {
            let gone = match pointer {
                Pointer::Tag(tag) => index.remove_tag(tag),
                Pointer::Digest(digest) => index.remove_manifest(digest),
            };
            gone.then_some(())
        })?;
        if gone.is_some()
            && let Pointer::Digest(digest) = pointer
        {
            self.delete_blob(digest)?;
        }
        Ok(gone.is_some())
    }

    /// Removes a blob's file; whether it was there.
    pub(crate) fn delete_blob(&self, digest: &Digest) -> io::Result<bool> {
        match fs_err::remove_file(blob_path(&self.path, digest)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn read_manifest(path: &Path) -> io::Result<Option<Bytes>> {
    match file_size(path)? {
        Some(size) if size <= manifest::MAX_SIZE => match fs_err::read(path) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        },
        _ => Ok(None),
    }
}

fn look(layout: &Path, digest: &Digest, announced: Option<&str>) -> Option<Facts> {
    let bytes = read_manifest(&blob_path(layout, digest)).ok()??;
    if !digest.matches(&bytes) {
        return None;
    }
    let manifest = Manifest::parse(bytes, announced).ok()?;
    Some(Facts::of(&manifest))
}
