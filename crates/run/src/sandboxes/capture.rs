//! What a program writes, as far as it is to be kept.

use std::io::{self, Write};
use std::sync::Arc;

use parking_lot::Mutex;

/// Takes everything and keeps so many bytes from its beginning.
#[derive(Clone, Debug)]
pub(super) struct Capture {
    kept: Arc<Mutex<Kept>>,
    most: usize,
}

#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    is_cut: bool,
}

impl Capture {
    pub(super) fn of(most: usize) -> Self {
        Self {
            kept: Arc::default(),
            most,
        }
    }

    /// What was kept, and whether more was written.
    pub(super) fn take(&self) -> (Vec<u8>, bool) {
        let kept = std::mem::take(&mut *self.kept.lock());
        (kept.bytes, kept.is_cut)
    }
}

impl Write for Capture {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kept = self.kept.lock();
        let room = self.most.saturating_sub(kept.bytes.len());
        let start = bytes.get(..room).unwrap_or(bytes);
        kept.bytes.extend_from_slice(start);
        kept.is_cut |= start.len() < bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_is_kept_and_the_cut_is_told() {
        let mut capture = Capture::of(5);
        let other = capture.clone();
        capture.write_all(b"abc").unwrap();
        capture.write_all(b"de").unwrap();
        assert_eq!(other.take(), (b"abcde".to_vec(), false));
        capture.write_all(b"abcdefg").unwrap();
        assert_eq!(other.take(), (b"abcde".to_vec(), true));
    }
}
