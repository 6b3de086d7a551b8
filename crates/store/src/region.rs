//! Content that lies in a file, or in a part of one: reading it, checked against its digest.

use std::fmt::Debug;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use fs_err::File;
use fs_err::os::unix::fs::FileExt as _;

use ohoci_image::digest::Hasher;
use ohoci_image::{Descriptor, Digest};

use super::{Body, BodyError, ByteStream};

/// How much is read at once.
const PIECE: u64 = 1 << 20;

/// A stretch of an open file.
///
/// Reads are positional, so that any number of readers share one file.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    file: Arc<File>,
    offset: u64,
    length: u64,
}

/// Why content is not what a descriptor says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Mismatch {
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
    pub(crate) fn new(file: Arc<File>, offset: u64, length: u64) -> Self {
        Self {
            file,
            offset,
            length,
        }
    }

    /// The whole of a file.
    pub(crate) fn whole(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self::new(Arc::new(file), 0, length))
    }

    /// How many bytes there are.
    pub(crate) fn length(&self) -> u64 {
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
    fn piece(&self, at: u64) -> io::Result<Bytes> {
        let wanted = self.length.saturating_sub(at).min(PIECE);
        let mut buffer = vec![0; usize::try_from(wanted).unwrap_or(0)];
        self.fill(at, &mut buffer)?;
        Ok(buffer.into())
    }

    /// Everything, in memory. The caller has looked at [`Region::length`].
    pub(crate) fn read_all(&self) -> io::Result<Bytes> {
        let length = usize::try_from(self.length)
            .map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let mut buffer = vec![0; length];
        self.fill(0, &mut buffer)?;
        Ok(buffer.into())
    }

    /// Everything, in memory, when it is what the descriptor says.
    pub(crate) fn read_checked(&self, descriptor: &Descriptor) -> io::Result<Bytes> {
        self.check_size(descriptor)?;
        let content = self.read_all()?;
        let mut hasher = Hasher::new(descriptor.digest.algorithm());
        hasher.update(&content);
        check_digest(hasher, &descriptor.digest)?;
        Ok(content)
    }

    /// Whether the length is the descriptor's.
    pub(crate) fn check_size(&self, descriptor: &Descriptor) -> Result<(), Mismatch> {
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
    pub(crate) fn reader(&self) -> RegionReader {
        RegionReader {
            region: self.clone(),
            at: 0,
        }
    }
}

fn check_digest(hasher: Hasher, expected: &Digest) -> Result<(), Mismatch> {
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
pub(crate) struct RegionReader {
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

/// A place that keeps blobs in files, by digest.
pub(crate) trait BlobFiles: Debug + Send + Sync {
    /// Opens a blob; `None` when it is not there.
    fn find(&self, digest: &Digest) -> io::Result<Option<Region>>;

    /// The blob's own file, when it is one of which [`Body::file`] may tell.
    fn own_file(&self, _digest: &Digest) -> Option<PathBuf> {
        None
    }
}

/// A blob in a file; the file is opened when the content is.
#[derive(Debug)]
pub(crate) struct FileBody {
    place: Arc<dyn BlobFiles>,
    descriptor: Descriptor,
}

impl FileBody {
    /// The blob that `descriptor` names in `place`.
    pub(crate) fn new(place: Arc<dyn BlobFiles>, descriptor: Descriptor) -> Self {
        Self { place, descriptor }
    }
}

#[async_trait]
impl Body for FileBody {
    async fn open(&self, offset: u64) -> Result<ByteStream, BodyError> {
        let region = self.place.find(&self.descriptor.digest)?.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("blob {} is not there", self.descriptor.digest),
            )
        })?;
        region
            .check_size(&self.descriptor)
            .map_err(io::Error::from)?;
        if offset > region.length() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("offset {offset} is behind the end of the blob"),
            )
            .into());
        }
        let digest = self.descriptor.digest.clone();
        // Only who reads from the start sees all that the digest covers.
        let hasher = (offset == 0).then(|| Hasher::new(digest.algorithm()));
        let state = Some((region, offset, hasher));
        let pieces = futures_util::stream::try_unfold(state, move |state| {
            let digest = digest.clone();
            async move {
                let Some((region, at, mut hasher)) = state else {
                    return Ok(None);
                };
                tokio::task::spawn_blocking(move || {
                    let piece = region.piece(at)?;
                    let at = at + piece.len() as u64;
                    if let Some(hasher) = &mut hasher {
                        hasher.update(&piece);
                    }
                    if at < region.length() {
                        return Ok(Some((piece, Some((region, at, hasher)))));
                    }
                    // Checked before the last piece is handed out, so that nobody can take
                    // wrong content for complete.
                    if let Some(hasher) = hasher {
                        check_digest(hasher, &digest)?;
                    }
                    Ok((!piece.is_empty()).then_some((piece, None)))
                })
                .await
                .map_err(io::Error::other)?
                .map_err(|error: io::Error| error.into())
            }
        });
        Ok(Box::pin(pieces))
    }

    fn file(&self) -> Option<PathBuf> {
        self.place.own_file(&self.descriptor.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::TryStreamExt as _;
    use std::io::Write as _;

    #[derive(Debug)]
    struct OneBlob(Region);

    impl BlobFiles for OneBlob {
        fn find(&self, _: &Digest) -> io::Result<Option<Region>> {
            Ok(Some(self.0.clone()))
        }
    }

    fn region(content: &[u8]) -> Region {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"before").unwrap();
        file.write_all(content).unwrap();
        file.write_all(b"behind").unwrap();
        Region::new(
            Arc::new(File::from_parts(file, "test")),
            6,
            content.len() as u64,
        )
    }

    async fn drain(body: &FileBody, offset: u64) -> io::Result<Vec<u8>> {
        let pieces: Vec<Bytes> = body.open(offset).await?.try_collect().await?;
        Ok(pieces.concat())
    }

    #[tokio::test]
    async fn content_comes_from_any_offset_and_again() {
        let content: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
        let place = Arc::new(OneBlob(region(&content)));
        let body = FileBody::new(place, Descriptor::of("a/b", &content));
        for offset in [0, 1, 1 << 20, 2_999_999, 3_000_000, 0] {
            let rest = drain(&body, offset as u64).await.unwrap();
            assert!(rest == content[offset..], "offset {offset}");
        }
        assert!(drain(&body, 3_000_001).await.is_err());
    }

    #[tokio::test]
    async fn wrong_content_never_arrives_whole() {
        let place = Arc::new(OneBlob(region(b"abd")));
        let body = FileBody::new(place.clone(), Descriptor::of("a/b", b"abc"));
        let error = drain(&body, 0).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let body = FileBody::new(place, Descriptor::of("a/b", b"abcd"));
        assert!(drain(&body, 0).await.is_err());
        let empty = Arc::new(OneBlob(region(b"")));
        let mut descriptor = Descriptor::of("a/b", b"x");
        descriptor.size = 0;
        assert!(
            drain(&FileBody::new(empty.clone(), descriptor), 0)
                .await
                .is_err()
        );
        let nothing = FileBody::new(empty, Descriptor::of("a/b", b""));
        assert_eq!(drain(&nothing, 0).await.unwrap(), b"");
    }
}
