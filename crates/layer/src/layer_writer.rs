//! What a layer's members are written with: a tar that is compressed as a whole, or one of which single
//! files can be read.

use std::io::{self, Read};
use std::path::Path;

use super::blob::Blob;
use super::entry::Entry;
use super::estargz::EstargzWriter;
use super::pack_options::PackOptions;
use super::packed::PackedLayer;
use super::path::LayerPath;
use super::tar_write::{Append, TarWriter};

/// A layer that is being written. [`LayerWriter::finish`] must be called.
pub(super) enum LayerWriter {
    Whole(TarWriter<Blob>),
    Seekable(EstargzWriter),
}

impl LayerWriter {
    /// A layer in a new file in `out_dir`.
    ///
    /// # Errors
    /// Options that do not go together, or when the file cannot be made.
    pub(super) fn create(options: &PackOptions, out_dir: &Path) -> io::Result<Self> {
        let settings = options.settings();
        Ok(if options.seekable {
            Self::Seekable(EstargzWriter::create(settings, out_dir)?)
        } else {
            Self::Whole(TarWriter::new(Blob::create(settings, out_dir)?))
        })
    }

    /// How many members have been written.
    pub(super) fn entries(&self) -> u64 {
        match self {
            Self::Whole(writer) => writer.entries(),
            Self::Seekable(writer) => writer.entries(),
        }
    }

    /// Ends the tar, and says what came of it.
    ///
    /// # Errors
    /// When writing fails.
    pub(super) fn finish(self) -> io::Result<PackedLayer> {
        match self {
            Self::Whole(writer) => {
                let entries = writer.entries();
                writer.finish()?.finish(entries)
            }
            Self::Seekable(writer) => writer.finish(),
        }
    }
}

impl Append for LayerWriter {
    fn append(
        &mut self,
        path: &LayerPath,
        entry: &Entry<u64>,
        content: &mut dyn Read,
    ) -> io::Result<()> {
        match self {
            Self::Whole(writer) => writer.append(path, entry, content),
            Self::Seekable(writer) => writer.append(path, entry, content),
        }
    }
}
