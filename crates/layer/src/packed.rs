//! Layer blobs on disk.

use std::path::{Path, PathBuf};

use tempfile::TempPath;

use super::path::LayerPath;
use ohoci_image::{Descriptor, Digest};

/// A layer blob on disk.
#[derive(Debug)]
pub struct PackedLayer {
    /// The blob, by its OCI media type.
    pub descriptor: Descriptor,
    /// The digest of the tar in it.
    pub diff_id: Digest,
    /// Where the blob is.
    pub file: LayerFile,
    /// How many members the tar has.
    pub entries: u64,
    /// The size of the tar in bytes.
    pub uncompressed_size: u64,
    /// What made it, for the image's history. Says nothing about this machine.
    pub created_by: String,
    /// What was left out, and why, for a person.
    pub notes: Vec<String>,
    /// Its directories, those that it only implies among them, as far as bases have symlinks in
    /// their places: of three names at most.
    pub directories: Vec<LayerPath>,
}

/// The file that a blob is in.
#[derive(Debug)]
pub enum LayerFile {
    /// The file that was given, which is the blob as it stands.
    Given(PathBuf),
    /// A file that is removed when this is dropped.
    Temporary(TempPath),
}

impl LayerFile {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Temporary(path) => path,
        }
    }
}
