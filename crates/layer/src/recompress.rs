//! Compresses a layer anew without changing a byte of its tar: another blob with the same diff ID.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::blob::Blob;
use super::compress::Settings;
use super::decompress::Decompressor;
use super::diff_id::{Hashed, WrongDiffId};
use super::limits::Budget;
use super::packed::PackedLayer;
use ohoci_image::Digest;

/// Reads a layer, whatever its compression, and writes its tar into a new file in `out_dir`. It is
/// not looked at as a tar: an image that runs today is not refused for an odd member.
///
/// All of `input` is read, so that a reader that checks digests has checked this one.
///
/// # Errors
/// When reading, decompressing or writing fails, or it comes to more than `budget` allows. Inside, when
/// the tar is not what `diff_id` says.
pub fn recompress(
    mut input: impl Read,
    diff_id: &Digest,
    budget: &Arc<Budget>,
    settings: Settings,
    out_dir: &Path,
) -> io::Result<Result<PackedLayer, WrongDiffId>> {
    let content = Decompressor::within(&mut input, budget)?;
    let mut content = Hashed::new(content, Some(diff_id));
    let mut blob = Blob::create(settings, out_dir)?;
    io::copy(&mut content, &mut blob)?;
    let compared = content.compare(diff_id)?;
    io::copy(&mut input, &mut io::sink())?;
    match compared {
        Ok(()) => Ok(Ok(blob.finish(0)?)),
        Err(wrong) => Ok(Err(wrong)),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::limits::UnpackLimits;
    use ohoci_image::media_type::{Compression, OCI_LAYER_GZIP};

    const GZIP: Settings = Settings {
        compression: Compression::Gzip,
        level: None,
        threads: NonZeroUsize::MIN,
    };

    fn budget(bytes: u64) -> Arc<Budget> {
        Arc::new(Budget::new(UnpackLimits {
            bytes,
            ..UnpackLimits::default()
        }))
    }

    #[test]
    fn the_tar_stays_byte_for_byte() {
        let directory = tempfile::tempdir().unwrap();
        let tar = b"as it is, a tar or not".repeat(1000);
        let diff_id = Digest::of(&tar);
        let packed = zstd::encode_all(tar.as_slice(), 3).unwrap();
        let new = recompress(
            packed.as_slice(),
            &diff_id,
            &budget(1 << 20),
            GZIP,
            directory.path(),
        );
        let new = new.unwrap().unwrap();
        assert_eq!(new.descriptor.media_type, OCI_LAYER_GZIP);
        assert_eq!(new.diff_id, diff_id);
        let bytes = fs_err::read(new.file.path()).unwrap();
        assert_eq!(Digest::of(&bytes), new.descriptor.digest);
        let mut read = Vec::new();
        let mut reader = Decompressor::new(bytes.as_slice(), u64::MAX).unwrap();
        reader.read_to_end(&mut read).unwrap();
        assert!(read == tar);
    }

    #[test]
    fn another_diff_id_and_more_than_is_allowed_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let run = |tar: &[u8], diff_id: &Digest, bytes| {
            recompress(tar, diff_id, &budget(bytes), GZIP, directory.path())
        };
        let other = Digest::of(b"other");
        let wrong = run(b"content", &other, 100).unwrap().unwrap_err();
        assert_eq!(wrong.expected, other);
        let error = run(b"content", &Digest::of(b"content"), 3).unwrap_err();
        assert!(error.to_string().contains("unpacked-bytes"), "{error}");
    }
}
