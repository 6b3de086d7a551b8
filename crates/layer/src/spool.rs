//! File contents on their way from an archive into a tree.

use std::io::{self, BufWriter, Read, Write as _};
use std::path::Path;
use std::sync::Arc;

use super::entry::{Content, Entry, Kind};

/// File contents, one behind the other in an unnamed file, which lasts as long as anything that
/// was taken into it.
#[derive(Debug)]
pub struct Spool {
    file: Arc<fs_err::File>,
    output: BufWriter<fs_err::File>,
    end: u64,
}

/// Why content could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// It cannot be read.
    #[error(transparent)]
    Read(io::Error),
    /// It cannot be kept.
    #[error("cannot spool file contents: {0}")]
    Write(io::Error),
}

impl Spool {
    /// An empty spool in a directory.
    ///
    /// # Errors
    /// When no file can be made there.
    pub fn create(directory: &Path) -> io::Result<Self> {
        let file = tempfile::tempfile_in(directory)?;
        let file = fs_err::File::from_parts(file, directory.join("(spool)"));
        Ok(Self {
            output: BufWriter::with_capacity(256 << 10, file.try_clone()?),
            file: Arc::new(file),
            end: 0,
        })
    }

    /// The entry with its content, which is read from `input`. The content can be read once the
    /// spool is [finished](Self::finish).
    ///
    /// # Errors
    /// When reading or writing fails, or `input` ends early.
    pub fn take(&mut self, entry: &Entry<u64>, input: &mut impl Read) -> Result<Entry, SpoolError> {
        let offset = self.end;
        if let Kind::File(size) = entry.kind {
            let mut left = size;
            let mut buffer = [0; 64 << 10];
            while left > 0 {
                let wanted = usize::try_from(left)
                    .unwrap_or(usize::MAX)
                    .min(buffer.len());
                let count = match input.read(buffer.get_mut(..wanted).unwrap_or_default()) {
                    Ok(0) => {
                        return Err(SpoolError::Read(io::ErrorKind::UnexpectedEof.into()));
                    }
                    Ok(count) => count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(SpoolError::Read(error)),
                };
                self.output
                    .write_all(buffer.get(..count).unwrap_or_default())
                    .map_err(SpoolError::Write)?;
                left = left.saturating_sub(count as u64);
            }
            self.end += size;
        }
        let content = |size| Content::Region {
            file: Arc::clone(&self.file),
            offset,
            size,
        };
        Ok(entry.clone().map_content(content))
    }

    /// Makes readable what was taken.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_come_out_as_they_went_in() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = Spool::create(directory.path()).unwrap();
        let mut input = b"onetwothree".as_slice();
        let mut take = |kind| spool.take(&Entry::new(kind, 0o644), &mut input).unwrap();
        let entries = [
            take(Kind::File(3)),
            take(Kind::Directory),
            take(Kind::File(0)),
            take(Kind::File(8)),
        ];
        spool.finish().unwrap();
        let contents: Vec<String> = entries
            .iter()
            .filter_map(|entry| match &entry.kind {
                Kind::File(content) => Some(io::read_to_string(content.open().unwrap()).unwrap()),
                _ => None,
            })
            .collect();
        assert_eq!(contents, ["one", "", "twothree"]);
        let more = spool.take(&Entry::new(Kind::File(1), 0), &mut io::empty());
        assert!(matches!(more, Err(SpoolError::Read(_))));
    }
}
