//! How layers are packed.

use std::num::NonZeroUsize;

use super::compress::Settings;
use super::limits::UnpackLimits;
use super::owner::Owner;
use ohoci_image::media_type::Compression;

/// How to pack.
#[derive(Clone, Copy, Debug)]
pub struct PackOptions {
    /// How to compress what is not compressed yet.
    pub compression: Compression,
    /// The level; see [`Settings::level`].
    pub level: Option<u32>,
    /// Make it eStargz, of which snapshotters can read single files from the registry; for gzip only.
    /// The tar has one member more, `/stargz.index.json`.
    pub seekable: bool,
    /// The date of everything that comes from a directory, in seconds since 1970:
    /// `SOURCE_DATE_EPOCH`, or 0.
    pub mtime: i64,
    /// How many threads compress. Has no influence on the result.
    pub threads: NonZeroUsize,
    /// How large a layer may be when it is decompressed.
    pub limits: UnpackLimits,
    /// Who owns everything; `None` is root, and whoever a tar names.
    pub owner: Option<Owner>,
}

impl Default for PackOptions {
    /// gzip, which every client takes, with as many threads as there are processors.
    fn default() -> Self {
        Self {
            compression: Compression::Gzip,
            level: None,
            seekable: false,
            mtime: 0,
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            limits: UnpackLimits::default(),
            owner: None,
        }
    }
}

impl PackOptions {
    pub(super) fn settings(&self) -> Settings {
        Settings {
            compression: self.compression,
            level: self.level,
            threads: self.threads,
        }
    }
}
