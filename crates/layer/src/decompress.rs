//! Reads layers whatever their compression, and no further than a limit.

use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;

use super::limits::Budget;
use ohoci_image::media_type::Compression;

/// The largest window that a zstd frame may want, as a power of two: 128 MiB, which is all that
/// `zstd` itself takes unless it is told to (`--long=31` makes larger ones).
pub const MAX_WINDOW_LOG: u32 = 27;

const SNIFFED: usize = 6;
const BUFFER: usize = 128 << 10;

/// A layer's bytes, decompressed. By what its first bytes say, not by any name or media type.
///
/// Takes gzip of several members and zstd of several frames, skippable ones included, as image
/// clients do. Whatever follows the last of them is an error, and so is an end in the middle.
pub struct Decompressor<R: Read> {
    compression: Compression,
    decoder: Decoder<BufReader<Sniffed<R>>>,
    allowance: Allowance,
}

/// How much may come out.
enum Allowance {
    Own { limit: u64, left: u64 },
    Shared(Arc<Budget>),
}

impl Allowance {
    fn left(&self) -> u64 {
        match self {
            Self::Own { left, .. } => *left,
            Self::Shared(budget) => budget.bytes_left(),
        }
    }

    fn take(&mut self, count: u64) -> io::Result<()> {
        match self {
            Self::Shared(budget) => budget.take_bytes(count),
            Self::Own { limit, left } => {
                *left = left.checked_sub(count).ok_or_else(|| {
                    io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!("it has more than the {limit} bytes that are allowed"),
                    )
                })?;
                Ok(())
            }
        }
    }
}

/// A reader whose first bytes have been looked at.
pub type Sniffed<R> = Chain<Cursor<Vec<u8>>, R>;

enum Decoder<R: BufRead> {
    None(R),
    Gzip(Box<MultiGzDecoder<R>>),
    Zstd(Box<zstd::Decoder<'static, R>>),
}

/// A compression that no layer can have, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is compressed with {0}; layers can be compressed with gzip or zstd, or not at all")]
pub struct ForeignCompression(&'static str);

/// What the first bytes of content say about its compression.
///
/// # Errors
/// [`ForeignCompression`] for other well-known ones.
pub(crate) fn sniff(start: &[u8]) -> Result<Compression, ForeignCompression> {
    // RFC 1952; RFC 8878, "Zstandard Frames" and "Skippable Frames".
    match start {
        [0x1f, 0x8b, ..] => Ok(Compression::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Compression::Zstd),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Err(ForeignCompression("xz")),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Err(ForeignCompression("bzip2")),
        [0x04, 0x22, 0x4d, 0x18, ..] => Err(ForeignCompression("lz4")),
        [b'P', b'K', 3, 4, ..] => Err(ForeignCompression("zip")),
        _ => Ok(Compression::None),
    }
}

impl<R: Read> Decompressor<R> {
    /// Looks at the first bytes of `input` and prepares to read at most `limit` bytes out of it.
    ///
    /// # Errors
    /// When reading fails or the compression is one that no layer can have.
    pub fn new(input: R, limit: u64) -> io::Result<Self> {
        Self::open(input, Allowance::Own { limit, left: limit })
    }

    /// The same with what is left of an image's limits.
    ///
    /// # Errors
    /// As [`Decompressor::new`].
    pub fn within(input: R, budget: &Arc<Budget>) -> io::Result<Self> {
        Self::open(input, Allowance::Shared(Arc::clone(budget)))
    }

    fn open(mut input: R, allowance: Allowance) -> io::Result<Self> {
        let mut start = Vec::with_capacity(SNIFFED);
        input
            .by_ref()
            .take(SNIFFED as u64)
            .read_to_end(&mut start)?;
        let compression =
            sniff(&start).map_err(|error| io::Error::new(io::ErrorKind::Unsupported, error))?;
        let input = BufReader::with_capacity(BUFFER, Cursor::new(start).chain(input));
        let decoder = match compression {
            Compression::None => Decoder::None(input),
            Compression::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(input))),
            Compression::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(input)?;
                decoder.window_log_max(MAX_WINDOW_LOG)?;
                Decoder::Zstd(Box::new(decoder))
            }
        };
        Ok(Self {
            compression,
            decoder,
            allowance,
        })
    }

    /// What the first bytes said.
    #[must_use]
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// The input, to be asked about what was read.
    pub fn into_inner(self) -> R {
        let buffered = match self.decoder {
            Decoder::None(input) => input,
            Decoder::Gzip(decoder) => decoder.into_inner(),
            Decoder::Zstd(decoder) => decoder.finish(),
        };
        buffered.into_inner().into_inner().1
    }
}

impl<R: Read> std::fmt::Debug for Decompressor<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decompressor")
            .field("compression", &self.compression)
            .field("left", &self.allowance.left())
            .finish_non_exhaustive()
    }
}

impl<R: Read> Read for Decompressor<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // One byte more than allowed is asked for, to tell a layer that ends at the limit from one
        // that does not.
        let allowed = self.allowance.left().saturating_add(1);
        let allowed = usize::try_from(allowed).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(allowed);
        let buffer = buffer.get_mut(..wanted).unwrap_or_default();
        let count = match &mut self.decoder {
            Decoder::None(input) => input.read(buffer),
            Decoder::Gzip(decoder) => decoder.read(buffer).map_err(|error| broken("gzip", &error)),
            Decoder::Zstd(decoder) => decoder.read(buffer).map_err(|error| broken("zstd", &error)),
        }?;
        self.allowance.take(count as u64)?;
        Ok(count)
    }
}

fn broken(format: &str, error: &io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("the {format} data ends early: cut off?"),
        ),
        // The decoders report broken data so; anything else comes from the input.
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::Other => {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("broken {format} data: {error}"),
            )
        }
        kind => io::Error::new(kind, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(content: &[u8]) -> Vec<u8> {
        zstd::encode_all(content, 1).unwrap()
    }

    fn read(input: &[u8], limit: u64) -> io::Result<Vec<u8>> {
        let mut output = Vec::new();
        Decompressor::new(input, limit)?.read_to_end(&mut output)?;
        Ok(output)
    }

    #[test]
    fn every_member_and_frame_is_read() {
        // RFC 8878: a skippable frame is its magic, a little-endian size, and that many bytes.
        let skippable = b"\x5a\x2a\x4d\x18\x03\0\0\0xyz".to_vec();
        for input in [
            b"onetwo".to_vec(),
            [gzip(b"one"), gzip(b""), gzip(b"two")].concat(),
            [
                zstd(b"one"),
                skippable.clone(),
                zstd(b"two"),
                skippable.clone(),
            ]
            .concat(),
            [skippable, zstd(b"onetwo")].concat(),
        ] {
            assert_eq!(read(&input, 6).unwrap(), b"onetwo");
        }
    }

    #[test]
    fn content_beyond_the_limit_is_an_error() {
        let bomb = vec![0; 1 << 20];
        for input in [bomb.clone(), gzip(&bomb), zstd(&bomb)] {
            assert_eq!(read(&input, 1 << 20).unwrap().len(), 1 << 20);
            let error = read(&input, (1 << 20) - 1).unwrap_err();
            assert!(error.to_string().contains("1048575 bytes"), "{error}");
        }
    }

    #[test]
    fn layers_share_what_an_image_may_unpack_to() {
        use super::super::limits::UnpackLimits;
        let budget = Arc::new(Budget::new(UnpackLimits {
            bytes: (3 << 20) + 1,
            ..UnpackLimits::default()
        }));
        let bomb = gzip(&vec![0; 1 << 20]);
        let read = || {
            let mut layer = Decompressor::within(bomb.as_slice(), &budget)?;
            io::copy(&mut layer, &mut io::sink())
        };
        for _ in 0..3 {
            assert_eq!(read().unwrap(), 1 << 20);
        }
        let error = read().unwrap_err().to_string();
        assert!(error.contains("unpacked-bytes"), "{error}");
    }

    #[test]
    fn a_window_that_would_take_a_machines_memory_is_refused() {
        let frame = |log| {
            let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
            encoder.window_log(log).unwrap();
            encoder.include_contentsize(false).unwrap();
            encoder.write_all(b"content").unwrap();
            encoder.finish().unwrap()
        };
        assert_eq!(read(&frame(MAX_WINDOW_LOG), 100).unwrap(), b"content");
        let error = read(&frame(MAX_WINDOW_LOG + 1), 100).unwrap_err();
        assert!(error.to_string().contains("memory"), "{error}");
    }

    #[test]
    fn cut_off_and_followed_by_garbage_are_errors() {
        let content: Vec<u8> = (0..50_000_u32).flat_map(u32::to_le_bytes).collect();
        for whole in [gzip(&content), zstd(&content)] {
            for length in [7, 10, whole.len() / 2, whole.len() - 1] {
                assert!(read(&whole[..length], u64::MAX).is_err(), "{length}");
            }
            for garbage in [b"\0".as_slice(), b"garbage", b"\x1f\x8b"] {
                assert!(read(&[&whole, garbage].concat(), u64::MAX).is_err());
            }
        }
    }

    #[test]
    fn compressions_that_no_layer_can_have_are_named() {
        let error = read(b"\xfd7zXZ\0rest", 100).unwrap_err();
        assert!(error.to_string().contains("xz"), "{error}");
    }
}
