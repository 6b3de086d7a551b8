//! Where the contents of unpacked files wait until they are packed.

use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use ohoci_layer::Content;

/// Contents up to this many bytes stay in memory: an entry of a tree costs about as much anyway.
const IN_MEMORY: u64 = 512;
const BUFFER: usize = 64 << 10;
/// The largest content that may stay in memory where there is some to spare.
const SMALL: u64 = 256 << 10;

/// File contents, one behind the other in an unnamed file. Several threads can fill it.
#[derive(Debug)]
pub struct Spool {
    file: Arc<fs_err::File>,
    end: AtomicU64,
    /// How many bytes of small contents may still stay in memory.
    memory: AtomicU64,
}

/// Why content could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// What it was read from failed, or has not as many bytes as it said.
    #[error("{0}")]
    Input(#[source] io::Error),
    /// The spool cannot be written.
    #[error("cannot spool file contents: {0}")]
    Output(#[source] io::Error),
}

impl Spool {
    /// An empty spool; its file is in `directory` and has no name there.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(directory: &Path) -> io::Result<Self> {
        Self::create_with_memory(directory, 0)
    }

    /// The same, where small contents stay in memory until there are `memory` bytes of them: what is used right away
    /// need not be written first.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub(crate) fn create_with_memory(directory: &Path, memory: u64) -> io::Result<Self> {
        let file = tempfile::tempfile_in(directory)?;
        Ok(Self {
            file: Arc::new(fs_err::File::from_parts(file, directory.join("(spool)"))),
            end: AtomicU64::new(0),
            memory: AtomicU64::new(memory),
        })
    }

    /// Takes exactly `size` bytes of `input`, which must end there.
    ///
    /// # Errors
    /// When `input` is shorter or longer, or when reading or writing fails.
    pub fn take(&self, mut input: impl Read, size: u64) -> Result<Content, SpoolError> {
        let content = match size <= IN_MEMORY || self.spares(size) {
            true => {
                // No more than was read is kept, whatever the size is said to be.
                let mut content = Vec::new();
                (&mut input)
                    .take(size)
                    .read_to_end(&mut content)
                    .map_err(SpoolError::Input)?;
                if content.len() as u64 != size {
                    return Err(shorter(size, content.len() as u64));
                }
                Content::Memory(Bytes::from(content))
            }
            false => {
                let offset = self.end.fetch_add(size, Ordering::Relaxed);
                self.copy(&mut input, offset, size)?;
                Content::Region {
                    file: Arc::clone(&self.file),
                    offset,
                    size,
                }
            }
        };
        let mut behind = [0];
        let count = read_some(&mut input, &mut behind).map_err(SpoolError::Input)?;
        if count > 0 {
            let why = format!("it has more than the {size} bytes that it should have");
            return Err(SpoolError::Input(io::Error::new(
                io::ErrorKind::InvalidData,
                why,
            )));
        }
        Ok(content)
    }

    /// Whether a content may stay in memory; then it is counted.
    fn spares(&self, size: u64) -> bool {
        let left = |memory: u64| memory.checked_sub(size);
        size <= SMALL
            && self
                .memory
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, left)
                .is_ok()
    }

    fn copy(&self, input: &mut impl Read, offset: u64, size: u64) -> Result<(), SpoolError> {
        let mut buffer = vec![0; usize::try_from(size).unwrap_or(BUFFER).min(BUFFER)];
        let mut done = 0;
        while done < size {
            let wanted = usize::try_from(size - done)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            let part = buffer.get_mut(..wanted).unwrap_or_default();
            let count = read_some(input, part).map_err(SpoolError::Input)?;
            if count == 0 {
                return Err(shorter(size, done));
            }
            self.file
                .file()
                .write_all_at(part.get(..count).unwrap_or_default(), offset + done)
                .map_err(SpoolError::Output)?;
            done += count as u64;
        }
        Ok(())
    }
}

fn shorter(size: u64, found: u64) -> SpoolError {
    let why = format!("it has {found} bytes in the place of {size}");
    SpoolError::Input(io::Error::new(io::ErrorKind::UnexpectedEof, why))
}

fn read_some(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &Content) -> Vec<u8> {
        let mut bytes = Vec::new();
        content.open().unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn contents_of_several_threads_do_not_mix() {
        let directory = tempfile::tempdir().unwrap();
        let spool = Spool::create(directory.path()).unwrap();
        std::thread::scope(|scope| {
            for number in 0..4_u8 {
                let spool = &spool;
                scope.spawn(move || {
                    for size in [0, 1, 512, 513, 200_000] {
                        let bytes = vec![number; size];
                        let content = spool.take(bytes.as_slice(), size as u64).unwrap();
                        assert!(read(&content) == bytes, "{number} {size}");
                    }
                });
            }
        });
    }

    #[test]
    fn small_contents_stay_in_memory_while_there_is_some() {
        let directory = tempfile::tempdir().unwrap();
        let spool = Spool::create_with_memory(directory.path(), 10_000).unwrap();
        let is_in_memory = |size: usize| {
            let bytes = vec![b'x'; size];
            let content = spool.take(bytes.as_slice(), size as u64).unwrap();
            assert!(read(&content) == bytes, "{size}");
            matches!(content, Content::Memory(_))
        };
        assert!(is_in_memory(6_000));
        assert!(!is_in_memory(6_000));
        assert!(is_in_memory(4_000) && is_in_memory(512));
        assert!(!is_in_memory(513));
    }

    #[test]
    fn false_sizes_are_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let spool = Spool::create_with_memory(directory.path(), 5000).unwrap();
        for (size, said) in [(0, 1), (1, 0), (5000, 5001), (5001, 5000)] {
            let error = spool.take(vec![0; size].as_slice(), said).unwrap_err();
            assert!(matches!(error, SpoolError::Input(_)), "{size} {said}");
        }
    }
}
