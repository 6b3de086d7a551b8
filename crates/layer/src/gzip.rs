//! Writes gzip on several threads, with the same bytes for any number of them.
//!
//! Like pigz, and unlike a concatenation of members: one member, whose deflate stream is cut into
//! blocks that are compressed independently, each with the 32 KiB before it as dictionary, and
//! joined at byte boundaries by a flush. Every gzip decoder takes it, also those that stop at the
//! end of the first member, and the dictionaries make the cuts cost next to nothing.
//!
//! Whoever wants to read from the middle cuts the content into members ([`GzipWriter::cut`]).

use std::collections::VecDeque;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use parking_lot::Mutex;

/// How much content one block holds in bytes. Part of the output: changing it changes digests.
const BLOCK: usize = 512 << 10;
/// How far back deflate can refer.
const WINDOW: usize = 32 << 10;
/// Room for a block that does not compress: the fastest level codes some bytes with nine bits.
const ROOM: usize = BLOCK + BLOCK / 4;
/// RFC 1952: magic, deflate, no flags, no time, no extra flags, unknown operating system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// RFC 1951: an empty final block with fixed codes.
const LAST: [u8; 2] = [3, 0];

/// Where a block stands in its member.
#[derive(Clone, Copy, Debug)]
struct Edges {
    is_first: bool,
    is_last: bool,
}

/// A block to compress.
struct Job {
    dictionary: Vec<u8>,
    content: Vec<u8>,
    reply: SyncSender<io::Result<Block>>,
}

/// A compressed block.
struct Block {
    bytes: Vec<u8>,
    checksum: Crc,
}

/// Compresses what is written to it. [`GzipWriter::finish`] must be called: what was written
/// before is useless otherwise.
///
/// Flushing does nothing: it would put block boundaries, and with them the digest, into the hands
/// of whoever happens to flush.
#[derive(Debug)]
pub(crate) struct GzipWriter<W: Write> {
    output: W,
    block: Vec<u8>,
    dictionary: Vec<u8>,
    jobs: Sender<Job>,
    pending: VecDeque<(Edges, Receiver<io::Result<Block>>)>,
    most_pending: usize,
    checksum: Crc,
    /// Whether the next block begins a member.
    is_between_members: bool,
    /// How many members have begun, as far as blocks are on their way to threads.
    begun: usize,
    written: u64,
    /// Where members begin in the output.
    offsets: Vec<u64>,
}

impl<W: Write> GzipWriter<W> {
    /// Starts the threads.
    ///
    /// # Errors
    /// A level above 9, or when writing or starting a thread fails.
    pub(crate) fn new(output: W, level: u32, threads: NonZeroUsize) -> io::Result<Self> {
        if level > 9 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("gzip has levels 0 to 9, not {level}"),
            ));
        }
        let (jobs, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads.get() {
            let queue = Arc::clone(&queue);
            thread::Builder::new()
                .name("gzip".to_owned())
                .spawn(move || work(&queue, level))?;
        }
        Ok(Self {
            output,
            block: Vec::new(),
            dictionary: Vec::new(),
            jobs,
            pending: VecDeque::new(),
            most_pending: threads.get().saturating_mul(2),
            checksum: Crc::new(),
            is_between_members: true,
            begun: 0,
            written: 0,
            offsets: Vec::new(),
        })
    }

    /// Ends the member; what is written next begins another. Returns the number of that one, by which
    /// [`GzipWriter::offsets`] has it.
    ///
    /// # Errors
    /// When writing fails.
    pub(crate) fn cut(&mut self) -> io::Result<usize> {
        if !self.block.is_empty() {
            self.submit(true)?;
        }
        Ok(self.begun)
    }

    /// Ends the member, and says where each begins in the output, and where the next one will.
    ///
    /// # Errors
    /// When writing fails.
    pub(crate) fn offsets(&mut self) -> io::Result<(&[u64], u64)> {
        self.cut()?;
        while !self.pending.is_empty() {
            self.collect()?;
        }
        Ok((&self.offsets, self.written))
    }

    /// Compresses and writes what is left, and returns the output.
    ///
    /// # Errors
    /// When writing fails.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.cut()?;
        while !self.pending.is_empty() {
            self.collect()?;
        }
        // No content is one empty member, and no empty file.
        if self.begun == 0 {
            self.put(&HEADER)?;
            self.end_member()?;
        }
        Ok(self.output)
    }

    fn submit(&mut self, is_last: bool) -> io::Result<()> {
        if self.pending.len() >= self.most_pending {
            self.collect()?;
        }
        let edges = Edges {
            is_first: self.is_between_members,
            is_last,
        };
        if edges.is_first {
            self.begun += 1;
            self.dictionary = Vec::new();
        }
        self.is_between_members = is_last;
        let content = std::mem::take(&mut self.block);
        let window = content.len().saturating_sub(WINDOW);
        let next = content.get(window..).unwrap_or_default().to_vec();
        let dictionary = std::mem::replace(&mut self.dictionary, next);
        let (reply, answer) = sync_channel(1);
        self.jobs
            .send(Job {
                dictionary,
                content,
                reply,
            })
            .map_err(|_| stopped())?;
        self.pending.push_back((edges, answer));
        Ok(())
    }

    fn collect(&mut self) -> io::Result<()> {
        let Some((edges, answer)) = self.pending.pop_front() else {
            return Ok(());
        };
        let block = answer.recv().map_err(|_| stopped())??;
        if edges.is_first {
            self.offsets.push(self.written);
            self.checksum = Crc::new();
            self.put(&HEADER)?;
        }
        self.checksum.combine(&block.checksum);
        self.put(&block.bytes)?;
        if edges.is_last {
            self.end_member()?;
        }
        Ok(())
    }

    fn end_member(&mut self) -> io::Result<()> {
        self.put(&LAST)?;
        self.put(&self.checksum.sum().to_le_bytes())?;
        self.put(&self.checksum.amount().to_le_bytes())
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

impl<W: Write> Write for GzipWriter<W> {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        if self.block.len() >= BLOCK {
            self.submit(false)?;
        }
        let taken = content.len().min(BLOCK.saturating_sub(self.block.len()));
        self.block
            .extend_from_slice(content.get(..taken).unwrap_or_default());
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn stopped() -> io::Error {
    io::Error::other("a compressing thread has stopped")
}

/// Takes jobs until the writer is gone.
fn work(queue: &Mutex<Receiver<Job>>, level: u32) {
    loop {
        let job = queue.lock().recv();
        let Ok(job) = job else { return };
        // The writer may have given up meanwhile.
        let _ = job
            .reply
            .send(compress(&job.dictionary, &job.content, level));
    }
}

fn compress(dictionary: &[u8], content: &[u8], level: u32) -> io::Result<Block> {
    let mut checksum = Crc::new();
    checksum.update(content);
    let mut deflate = Compress::new(Compression::new(level), false);
    if !dictionary.is_empty() {
        deflate
            .set_dictionary(dictionary)
            .map_err(io::Error::other)?;
    }
    let mut bytes = vec![0; ROOM];
    let status = deflate
        .compress(content, &mut bytes, FlushCompress::Sync)
        .map_err(io::Error::other)?;
    let length = usize::try_from(deflate.total_out()).unwrap_or(usize::MAX);
    // A full output would mean that the flush is incomplete.
    if status != Status::Ok || deflate.total_in() != content.len() as u64 || length >= bytes.len() {
        return Err(io::Error::other("deflate did not take a whole block"));
    }
    bytes.truncate(length);
    Ok(Block { bytes, checksum })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u64;
        std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        })
        .take(length)
        .collect()
    }

    fn gzip(content: &[u8], level: u32, threads: usize, piece: usize) -> Vec<u8> {
        let threads = NonZeroUsize::new(threads).unwrap();
        let mut writer = GzipWriter::new(Vec::new(), level, threads).unwrap();
        for piece in content.chunks(piece) {
            writer.write_all(piece).unwrap();
            writer.flush().unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn one_member_holds_everything_at_every_level() {
        let text = b"the same words again and again ".repeat(60_000);
        for content in [
            Vec::new(),
            b"x".to_vec(),
            noise(BLOCK),
            noise(BLOCK * 2 + 1),
            text,
        ] {
            for level in [0, 1, 6, 9] {
                let packed = gzip(&content, level, 2, 1 << 16);
                let mut read = Vec::new();
                let mut decoder = flate2::bufread::GzDecoder::new(packed.as_slice());
                decoder.read_to_end(&mut read).unwrap();
                assert!(read == content, "level {level}, {} bytes", content.len());
                assert!(decoder.into_inner().is_empty(), "a second member");
            }
        }
    }

    #[test]
    fn members_can_be_read_from_where_they_begin() {
        let parts = [noise(10), noise(BLOCK), noise(BLOCK * 2 + 1), noise(1)];
        let mut writer = GzipWriter::new(Vec::new(), 6, NonZeroUsize::MIN).unwrap();
        let mut numbers = Vec::new();
        for part in &parts {
            numbers.push(writer.cut().unwrap());
            // A cut where nothing was written since the last one is none.
            assert_eq!(writer.cut().unwrap(), *numbers.last().unwrap());
            writer.write_all(part).unwrap();
        }
        let (offsets, end) = writer.offsets().unwrap();
        let offsets = offsets.to_vec();
        let packed = writer.finish().unwrap();
        assert_eq!(packed.len() as u64, end);
        for (part, number) in parts.iter().zip(numbers) {
            let start = usize::try_from(offsets[number]).unwrap();
            let mut read = Vec::new();
            let mut decoder = flate2::bufread::GzDecoder::new(&packed[start..]);
            decoder.read_to_end(&mut read).unwrap();
            assert!(read == *part, "member {number}");
        }
        let mut read = Vec::new();
        let mut decoder = flate2::bufread::MultiGzDecoder::new(packed.as_slice());
        decoder.read_to_end(&mut read).unwrap();
        assert!(read == parts.concat());
    }

    #[test]
    fn threads_and_pieces_do_not_show() {
        let content: Vec<u8> = noise(BLOCK * 5 / 2).iter().map(|byte| byte % 7).collect();
        let one = gzip(&content, 6, 1, content.len());
        assert!(one == gzip(&content, 6, 2, 1000));
        assert!(one == gzip(&content, 6, 5, BLOCK));
    }

    #[test]
    fn cutting_into_blocks_costs_next_to_nothing() {
        let content: Vec<u8> = (0..600_000_u32)
            .flat_map(|n| (n / 9).to_be_bytes())
            .collect();
        let mut whole = flate2::write::GzEncoder::new(Vec::new(), Compression::new(6));
        whole.write_all(&content).unwrap();
        let whole = whole.finish().unwrap().len();
        let cut = gzip(&content, 6, 2, 1 << 16).len();
        assert!(cut < whole + whole / 50, "{cut} {whole}");
    }

    #[test]
    fn a_writer_that_fails_fails_the_packing() {
        struct Full(usize);
        impl Write for Full {
            fn write(&mut self, content: &[u8]) -> io::Result<usize> {
                self.0 = self
                    .0
                    .checked_sub(content.len())
                    .ok_or(io::ErrorKind::StorageFull)?;
                Ok(content.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut writer = GzipWriter::new(Full(100), 6, NonZeroUsize::MIN).unwrap();
        let result = writer
            .write_all(&noise(BLOCK * 9))
            .and_then(|()| writer.finish().map(drop));
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
