//! Blobs that lie in files, as bodies whose content is checked while it is read.

use std::fmt::Debug;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use ohoci_image::digest::Hasher;
use ohoci_image::{Descriptor, Digest};
use ohoci_layout::region::{Region, check_digest};

use super::{Body, BodyError, ByteStream};

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
                    // Checked before the last piece is handed out, so that no reader can take
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
    use bytes::Bytes;
    use fs_err::File;
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
