//! Compresses layers: the same bytes for any number of threads, on any machine.
//!
//! The bytes do depend on the versions of the compressing libraries, as everywhere; the identity
//! that never changes is the diff ID.

use std::io::{self, Write};
use std::num::NonZeroUsize;

use zstd::zstd_safe::CParameter;

use super::gzip::GzipWriter;
use ohoci_image::media_type::Compression;

/// gzip's highest.
const MAX_GZIP_LEVEL: u32 = 9;
/// gzip's own default.
pub(crate) const DEFAULT_GZIP_LEVEL: u32 = 6;
/// zstd's own default.
const DEFAULT_ZSTD_LEVEL: i32 = 3;
/// Above it zstd uses windows of more than 8 MiB, which decoders need not support (RFC 8878,
/// "Window Descriptor").
const MAX_ZSTD_LEVEL: i32 = 19;
/// How much content one zstd job holds in bytes. Part of the output: changing it changes digests.
const ZSTD_JOB: u32 = 4 << 20;
/// More threads than this wait for the one that reads; each costs some 10 MB.
const MAX_THREADS: usize = 32;

/// How to compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The format.
    pub compression: Compression,
    /// The level: 0 to 9 for gzip (6 unless given), 1 to 19 for zstd (3 unless given).
    pub level: Option<u32>,
    /// How many threads compress. Has no influence on the result.
    pub threads: NonZeroUsize,
}

/// Compresses what is written to it. [`Compressor::finish`] must be called.
///
/// Flushing does nothing, because the result must not depend on it.
pub struct Compressor<W: Write>(Encoder<W>);

enum Encoder<W: Write> {
    None(W),
    Gzip(Box<GzipWriter<W>>),
    Zstd(Box<zstd::Encoder<'static, W>>),
}

impl<W: Write> Compressor<W> {
    /// Prepares compression into `output`.
    ///
    /// # Errors
    /// A level that the format does not have, or when writing or starting a thread fails.
    pub fn new(output: W, settings: Settings) -> io::Result<Self> {
        let threads = settings
            .threads
            .min(NonZeroUsize::MIN.saturating_add(MAX_THREADS - 1));
        let encoder = match settings.compression {
            Compression::None => Encoder::None(output),
            Compression::Gzip => {
                let level = settings.level.unwrap_or(DEFAULT_GZIP_LEVEL);
                Encoder::Gzip(Box::new(GzipWriter::new(output, level, threads)?))
            }
            Compression::Zstd => {
                let level = match settings.level {
                    None => DEFAULT_ZSTD_LEVEL,
                    Some(level) => i32::try_from(level)
                        .ok()
                        .filter(|level| (1..=MAX_ZSTD_LEVEL).contains(level))
                        .ok_or_else(|| no_such_level(level))?,
                };
                let mut encoder = zstd::Encoder::new(output, level)?;
                encoder.include_checksum(true)?;
                // With one worker or more, jobs of a fixed size alone decide the output; without
                // workers it is different.
                encoder.multithread(u32::try_from(threads.get()).unwrap_or(1))?;
                encoder.set_parameter(CParameter::JobSize(ZSTD_JOB))?;
                Encoder::Zstd(Box::new(encoder))
            }
        };
        Ok(Self(encoder))
    }

    /// Compresses and writes what is left, and returns the output.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(self) -> io::Result<W> {
        match self.0 {
            Encoder::None(output) => Ok(output),
            Encoder::Gzip(encoder) => encoder.finish(),
            Encoder::Zstd(encoder) => encoder.finish(),
        }
    }
}

/// Refuses a level that a format does not have.
///
/// # Errors
/// When it does not have it.
pub fn expect_level(compression: Compression, level: u32) -> io::Result<()> {
    let (name, first, last) = match compression {
        Compression::None => return Ok(()),
        Compression::Gzip => ("gzip", 0, MAX_GZIP_LEVEL),
        Compression::Zstd => ("zstd", 1, MAX_ZSTD_LEVEL.unsigned_abs()),
    };
    if (first..=last).contains(&level) {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{name} has levels {first} to {last}"),
    ))
}

fn no_such_level(level: u32) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("layers can have zstd levels 1 to {MAX_ZSTD_LEVEL}, not {level}"),
    )
}

impl<W: Write> std::fmt::Debug for Compressor<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let compression = match self.0 {
            Encoder::None(_) => Compression::None,
            Encoder::Gzip(_) => Compression::Gzip,
            Encoder::Zstd(_) => Compression::Zstd,
        };
        f.debug_tuple("Compressor").field(&compression).finish()
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Encoder::None(output) => output.write(content),
            Encoder::Gzip(encoder) => encoder.write(content),
            Encoder::Zstd(encoder) => encoder.write(content),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decompress::Decompressor;
    use std::io::Read;

    const ALL: [Compression; 3] = [Compression::None, Compression::Gzip, Compression::Zstd];

    fn content() -> Vec<u8> {
        // Several zstd jobs, and not the same everywhere.
        (0..2_500_000_u32)
            .flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 20).to_le_bytes())
            .collect()
    }

    /// A layer that was packed before must come out the same, or it is another blob. When this
    /// fails, a compressor library has changed what it makes: a matter for the change log.
    #[test]
    fn the_compressors_make_what_they_always_made() {
        for (compression, expected) in [
            (Compression::Gzip, "43744b96a01d"),
            (Compression::Zstd, "bf613713b38c"),
        ] {
            let settings = Settings {
                compression,
                level: None,
                threads: NonZeroUsize::MIN,
            };
            let mut compressor = Compressor::new(Vec::new(), settings).unwrap();
            compressor.write_all(&content()).unwrap();
            let digest = ohoci_image::Digest::of(&compressor.finish().unwrap());
            assert_eq!(digest.short(), expected, "{compression:?}");
        }
    }

    fn pack(content: &[u8], compression: Compression, threads: usize, piece: usize) -> Vec<u8> {
        let settings = Settings {
            compression,
            level: None,
            threads: NonZeroUsize::new(threads).unwrap(),
        };
        let mut compressor = Compressor::new(Vec::new(), settings).unwrap();
        for piece in content.chunks(piece) {
            compressor.write_all(piece).unwrap();
            compressor.flush().unwrap();
        }
        compressor.finish().unwrap()
    }

    #[test]
    fn what_was_packed_comes_out_again() {
        for content in [Vec::new(), content()] {
            for compression in ALL {
                let packed = pack(&content, compression, 2, 1 << 16);
                let mut reader = Decompressor::new(packed.as_slice(), u64::MAX).unwrap();
                assert_eq!(reader.compression(), compression);
                let mut read = Vec::new();
                reader.read_to_end(&mut read).unwrap();
                assert!(read == content, "{compression:?}");
            }
        }
    }

    #[test]
    fn threads_pieces_and_flushes_do_not_show() {
        let content = content();
        for compression in ALL {
            let one = pack(&content, compression, 1, content.len());
            for (threads, piece) in [(1, 1 << 10), (2, 1 << 16), (3, 1 << 22), (64, 99_999)] {
                let other = pack(&content, compression, threads, piece);
                assert!(one == other, "{compression:?} {threads} {piece}");
            }
        }
    }

    #[test]
    fn levels_that_do_not_exist_are_refused() {
        for (compression, level) in [
            (Compression::Gzip, 10),
            (Compression::Zstd, 0),
            (Compression::Zstd, 20),
        ] {
            let settings = Settings {
                compression,
                level: Some(level),
                threads: NonZeroUsize::MIN,
            };
            assert!(Compressor::new(Vec::new(), settings).is_err());
        }
    }
}
