//! A layer blob that is being written: a tar goes in; digests, sizes and a file come out.

use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::NamedTempFile;

use super::compress::{Compressor, Settings};
use super::packed::{LayerFile, PackedLayer};
use ohoci_image::media_type::{Compression, Family};
use ohoci_image::{Algorithm, Descriptor, Digest, Hasher};

/// Describes a layer by its OCI media type.
pub(super) fn descriptor(
    compression: Compression,
    digest: Digest,
    size: u64,
) -> io::Result<Descriptor> {
    let media_type = Family::Oci
        .layer(compression)
        .ok_or_else(|| io::Error::other("OCI has no media type for this compression"))?;
    Ok(Descriptor::new(media_type, digest, size))
}

/// A digest and a size, taken on the way.
#[derive(Debug)]
pub(super) struct Meter {
    hasher: Hasher,
    size: u64,
}

impl Meter {
    fn new() -> Self {
        Self {
            hasher: Hasher::new(Algorithm::Sha256),
            size: 0,
        }
    }

    fn take(&mut self, piece: &[u8]) {
        self.hasher.update(piece);
        self.size += piece.len() as u64;
    }

    pub(super) fn finish(self) -> (Digest, u64) {
        (self.hasher.finish(), self.size)
    }
}

/// A reader or writer with a meter in it.
#[derive(Debug)]
pub(super) struct Metered<T> {
    inner: T,
    meter: Meter,
}

impl<T> Metered<T> {
    pub(super) fn new(inner: T) -> Self {
        Self {
            inner,
            meter: Meter::new(),
        }
    }

    pub(super) fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    pub(super) fn into_parts(self) -> (T, Meter) {
        (self.inner, self.meter)
    }
}

impl<T: Read> Read for Metered<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.meter.take(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

impl<T: Write> Write for Metered<T> {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(content)?;
        self.meter.take(content.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Passes on what is read, and writes it into a blob.
pub(super) struct Tee<R> {
    input: R,
    blob: Blob,
}

impl<R> Tee<R> {
    pub(super) fn new(input: R, blob: Blob) -> Self {
        Self { input, blob }
    }

    pub(super) fn into_blob(self) -> Blob {
        self.blob
    }
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.blob
            .write_all(buffer.get(..count).unwrap_or_default())?;
        Ok(count)
    }
}

/// A blob that is being written: takes a tar, hashes it, compresses it, hashes that.
pub(super) struct Blob {
    tar: Metered<Compressor<Metered<BufWriter<NamedTempFile>>>>,
    compression: Compression,
}

/// A new file for a blob.
pub(super) fn create_file(out_dir: &Path) -> io::Result<BufWriter<NamedTempFile>> {
    let file = tempfile::Builder::new()
        .prefix(".layer-")
        // It may become a blob of a layout by getting its name there.
        .permissions(std::fs::Permissions::from_mode(0o666))
        .tempfile_in(out_dir)
        .map_err(|error| {
            let message = format!("cannot write into {}: {error}", out_dir.display());
            io::Error::new(error.kind(), message)
        })?;
    Ok(BufWriter::with_capacity(256 << 10, file))
}

impl Blob {
    pub(super) fn create(settings: Settings, out_dir: &Path) -> io::Result<Self> {
        let output = Metered::new(create_file(out_dir)?);
        let compressor = Compressor::new(output, settings)?;
        Ok(Self {
            tar: Metered::new(compressor),
            compression: settings.compression,
        })
    }

    pub(super) fn finish(self, entries: u64) -> io::Result<PackedLayer> {
        let (compressor, tar) = self.tar.into_parts();
        let (output, blob) = compressor.finish()?.into_parts();
        let file = output
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        let (diff_id, uncompressed_size) = tar.finish();
        let (digest, size) = blob.finish();
        Ok(PackedLayer {
            descriptor: descriptor(self.compression, digest, size)?,
            diff_id,
            file: LayerFile::Temporary(file.into_temp_path()),
            entries,
            uncompressed_size,
            created_by: String::new(),
            notes: Vec::new(),
            directories: Vec::new(),
        })
    }
}

impl Write for Blob {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        self.tar.write(content)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tar.flush()
    }
}
