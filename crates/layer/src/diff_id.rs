//! Layers that are checked against the diff ID that the image's config gives them (image-spec
//! `config.md`, "Layer DiffID").

use std::io::{self, Read};

use ohoci_image::{Digest, Hasher};

/// A layer, decompressed, and its digest taken on the way.
#[derive(Debug)]
pub struct Hashed<R> {
    inner: R,
    hasher: Option<Hasher>,
}

/// A layer that is not what its diff ID says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "its content has the digest {found}, but the image's config gives it the diff ID {expected}"
)]
pub struct WrongDiffId {
    /// The diff ID.
    pub expected: Digest,
    /// What it is.
    pub found: Digest,
}

impl<R: Read> Hashed<R> {
    /// Takes the digest of what is read from `inner`, as `expected` has it; none without one.
    pub fn new(inner: R, expected: Option<&Digest>) -> Self {
        Self {
            inner,
            hasher: expected.map(|expected| Hasher::new(expected.algorithm())),
        }
    }

    /// Reads the rest, and compares.
    ///
    /// # Errors
    /// When reading fails.
    pub fn compare(mut self, expected: &Digest) -> io::Result<Result<(), WrongDiffId>> {
        io::copy(&mut self, &mut io::sink())?;
        let found = self.hasher.map(Hasher::finish);
        Ok(match found {
            Some(found) if found != *expected => Err(WrongDiffId {
                expected: expected.clone(),
                found,
            }),
            _ => Ok(()),
        })
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(buffer.get(..count).unwrap_or_default());
        }
        Ok(count)
    }
}
