//! What is made from an image's files and stands over its layers, once for all who need the same.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use ohoci_image::Digest;
use ohoci_layer::LayerPath;

use super::adjust::Adjustment;
use super::index::Index;
use super::lock::Hold;
use super::record::{Record, VERSION};
use super::stack::Stack;
use super::store::{Asked, Held, Kind, LayerStore, Making};

/// Files that stand over a [`Stack`], and cannot be removed as long as this lasts.
#[derive(Debug)]
pub struct Addition {
    digest: Digest,
    held: Held,
}

/// What was found when an addition was asked for.
#[derive(Debug)]
pub enum Added {
    /// It is there.
    There(Addition),
    /// It is to be made, by whoever has this; other processes wait for it.
    Missing(Adding),
}

/// The right to make an addition.
#[derive(Debug)]
pub struct Adding {
    digest: Digest,
    making: Making,
    layers: Vec<PathBuf>,
}

/// A file of an addition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddedFile {
    /// Where it stands in the image.
    pub path: LayerPath,
    /// What is in it.
    pub content: Vec<u8>,
    /// Its permissions.
    pub mode: u32,
}

impl Addition {
    /// The directory to be put over the stack, unless there is nothing to be added.
    #[must_use]
    pub fn directory(&self) -> Option<PathBuf> {
        (self.held.record.entries > 0).then(|| self.held.files())
    }

    /// Removes it, unless something else uses it. Blocks.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(self, store: &LayerStore) -> io::Result<()> {
        let Self { digest, held } = self;
        drop(held);
        if let Some(_lock) = store.lock(Kind::Adjustment, &digest, Hold::Alone)? {
            store.discard(&store.place(Kind::Adjustment, &digest))?;
            store.remove_lock(Kind::Adjustment, &digest);
        }
        Ok(())
    }
}

impl Adding {
    /// Keeps what was made: a file, or that there is nothing to be added. The directories above the file
    /// look as the layers have them. Blocks.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(self, store: &LayerStore, file: Option<&AddedFile>) -> io::Result<Addition> {
        let made = store.unfinished()?;
        let target = made.path().join("files");
        fs_err::create_dir(&target)?;
        let index = Index::create(made.path())?;
        let mut adjustment = Adjustment::over(self.layers, index, &target)?;
        if let Some(file) = file {
            adjustment.file(&file.path, &file.content, file.mode)?;
        }
        let (bytes, entries) = adjustment.finish()?;
        let record = Record {
            version: VERSION,
            bytes,
            entries,
            root_mode: None,
        };
        Ok(Addition {
            held: store.finish(self.making, made, &record)?,
            digest: self.digest,
        })
    }
}

impl LayerStore {
    /// What is kept of this name over a stack, waiting for another process that makes it.
    ///
    /// It counts for the layers as they lie on the disk now: where one is unpacked anew, its files have
    /// other numbers and dates, on which an addition may depend.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn addition(&self, stack: &Stack, name: &str) -> io::Result<Added> {
        let mut key = format!("{name}\n");
        for directory in stack.directories() {
            let found = fs_err::metadata(directory)?;
            let (inode, seconds, rest) = (found.ino(), found.ctime(), found.ctime_nsec());
            key.push_str(&format!("{inode} {seconds}.{rest:09}\n"));
        }
        let digest = Digest::of(key.as_bytes());
        Ok(match self.asked(Kind::Adjustment, &digest).await? {
            Asked::There(held) => Added::There(Addition { digest, held }),
            Asked::Missing(making) => Added::Missing(Adding {
                digest,
                making,
                layers: stack.directories().to_vec(),
            }),
        })
    }
}
