//! Content that lies in a file, or in a part of one: reading it, checked against its digest.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use fs_err::File;
use fs_err::os::unix::fs::FileExt as _;

use ohoci_image::digest::Hasher;
use ohoci_image::{Descriptor, Digest};

/// How much is read at once.
const PIECE: u64 = 1 << 20;

/// A stretch of an open file.
///
/// Reads are positional, so that any number of readers share one file.
#[derive(Clone, Debug)]
pub struct Region {
    file: Arc<File>,
    offset: u64,
    length: u64,
}

/// Why content is not what a descriptor says.
#[derive(Debug, thiserror::Error)]
pub enum Mismatch {
    /// Too many or too few bytes.
    #[error("it has {found} bytes where the descriptor says {expected}")]
    Size {
        /// Size in the descriptor.
        expected: u64,
        /// Size of the content.
        found: u64,
    },
    /// Other bytes.
    #[error("its digest is {found} where the descriptor says {expected}")]
    Digest {
        /// Digest in the descriptor.
        expected: Digest,
        /// Digest of the content.
        found: Digest,
    },
}

impl From<Mismatch> for io::Error {
    fn from(mismatch: Mismatch) -> Self {
        Self::new(io::ErrorKind::InvalidData, mismatch)
    }
}

impl Region {
    /// `length` bytes of a file, `offset` bytes behind its start.
    #[must_use]
    pub fn new(file: Arc<File>, offset: u64, length: u64) -> Self {
        Self {
            file,
            offset,
            length,
        }
    }

    /// The whole of a file.
    ///
    /// # Errors
    /// When its length cannot be had.
    pub fn whole(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self::new(Arc::new(file), 0, length))
    }

    /// How many bytes there are.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Fills as much of `buffer` as there is behind `at`.
    fn fill(&self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.length.saturating_sub(at);
        let wanted = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let Some(buffer) = buffer.get_mut(..wanted) else {
            return Ok(0);
        };
        let start = self
            .offset
            .checked_add(at)
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        self.file.read_exact_at(buffer, start)?;
        Ok(wanted)
    }

    /// The piece that starts at `at`; empty at the end.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn piece(&self, at: u64) -> io::Result<Bytes> {
        let wanted = self.length.saturating_sub(at).min(PIECE);
        let mut buffer = vec![0; usize::try_from(wanted).unwrap_or(0)];
        self.fill(at, &mut buffer)?;
        Ok(buffer.into())
    }

    /// Everything, in memory. The caller has looked at [`Region::length`].
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_all(&self) -> io::Result<Bytes> {
        let length = usize::try_from(self.length)
            .map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let mut buffer = vec![0; length];
        self.fill(0, &mut buffer)?;
        Ok(buffer.into())
    }

    /// Everything, in memory, when it is what the descriptor says.
    ///
    /// # Errors
    /// When it cannot be read, or is something else.
    pub fn read_checked(&self, descriptor: &Descriptor) -> io::Result<Bytes> {
        self.check_size(descriptor)?;
        let content = self.read_all()?;
        let mut hasher = Hasher::new(descriptor.digest.algorithm());
        hasher.update(&content);
        check_digest(hasher, &descriptor.digest)?;
        Ok(content)
    }

    /// Whether the length is the descriptor's.
    ///
    /// # Errors
    /// When it is not.
    pub fn check_size(&self, descriptor: &Descriptor) -> Result<(), Mismatch> {
        if self.length == descriptor.size {
            Ok(())
        } else {
            Err(Mismatch::Size {
                expected: descriptor.size,
                found: self.length,
            })
        }
    }

    /// The bytes as a reader.
    #[must_use]
    pub fn reader(&self) -> RegionReader {
        RegionReader {
            region: self.clone(),
            at: 0,
        }
    }
}

/// Checks that what was hashed is what a digest names.
///
/// # Errors
/// When it is not.
pub fn check_digest(hasher: Hasher, expected: &Digest) -> Result<(), Mismatch> {
    let found = hasher.finish();
    if found == *expected {
        Ok(())
    } else {
        Err(Mismatch::Digest {
            expected: expected.clone(),
            found,
        })
    }
}

/// Reads a region from its start.
#[derive(Debug)]
pub struct RegionReader {
    region: Region,
    at: u64,
}

impl Read for RegionReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.region.fill(self.at, buffer)?;
        self.at += count as u64;
        Ok(count)
    }
}
