//! What a layer's directory held when it was unpacked, to compare it with later.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use ohoci_layer::LayerPath;

/// The file with the list.
const INDEX: &str = "index";

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) path: LayerPath,
    pub(crate) kind: ListedKind,
}

/// What kind of thing that is, and what of it can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListedKind {
    /// A file, with its size in bytes, permissions, and the CRC-32 of its content.
    File {
        /// In bytes.
        size: u64,
        /// Its permissions.
        mode: u32,
        /// Over the content.
        checksum: u32,
    },
    /// A directory, with its permissions.
    Directory {
        /// Its permissions.
        mode: u32,
    },
    /// A symlink, with the CRC-32 of what it leads to.
    Symlink {
        /// Over its target.
        checksum: u32,
    },
    /// A named pipe.
    Fifo,
    /// A whiteout.
    Whiteout,
}

/// A list that is being written.
#[derive(Debug)]
pub(crate) struct Index {
    output: BufWriter<fs_err::File>,
}

impl Index {
    pub(crate) fn create(directory: &Path) -> io::Result<Self> {
        let file = fs_err::File::create(directory.join(INDEX))?;
        Ok(Self {
            output: BufWriter::new(file),
        })
    }

    /// One line: the kind's letter, numbers, and the path, which ends in a zero byte.
    pub(crate) fn add(&mut self, path: &LayerPath, kind: &ListedKind) -> io::Result<()> {
        match kind {
            ListedKind::File {
                size,
                mode,
                checksum,
            } => write!(self.output, "f {mode:o} {size} {checksum:08x} ")?,
            ListedKind::Directory { mode } => write!(self.output, "d {mode:o} ")?,
            ListedKind::Symlink { checksum } => write!(self.output, "l {checksum:08x} ")?,
            ListedKind::Fifo => self.output.write_all(b"p ")?,
            ListedKind::Whiteout => self.output.write_all(b"w ")?,
        }
        self.output.write_all(path.as_bytes())?;
        self.output.write_all(&[0])
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// Reads the list of what lies in a directory.
///
/// # Errors
/// When it is missing or damaged.
pub(crate) fn read(directory: &Path) -> io::Result<Vec<Listed>> {
    let content = fs_err::read(directory.join(INDEX))?;
    let damaged = || {
        let path = directory.join(INDEX);
        let message = format!("{} is damaged", path.display());
        io::Error::new(io::ErrorKind::InvalidData, message)
    };
    let mut lines: Vec<&[u8]> = content.split(|byte| *byte == 0).collect();
    if lines.pop() != Some(b"".as_slice()) {
        return Err(damaged());
    }
    lines
        .into_iter()
        .map(|line| parse(line).ok_or_else(damaged))
        .collect()
}

fn parse(line: &[u8]) -> Option<Listed> {
    let (kind, mut rest) = split(line)?;
    let mut number = |radix| {
        let (word, behind) = split(rest)?;
        rest = behind;
        u64::from_str_radix(std::str::from_utf8(word).ok()?, radix).ok()
    };
    let kind = match kind {
        b"f" => ListedKind::File {
            mode: u32::try_from(number(8)?).ok()?,
            size: number(10)?,
            checksum: u32::try_from(number(16)?).ok()?,
        },
        b"d" => ListedKind::Directory {
            mode: u32::try_from(number(8)?).ok()?,
        },
        b"l" => ListedKind::Symlink {
            checksum: u32::try_from(number(16)?).ok()?,
        },
        b"p" => ListedKind::Fifo,
        b"w" => ListedKind::Whiteout,
        _ => return None,
    };
    let path = match rest {
        b"" => LayerPath::root(),
        path => LayerPath::parse(path).ok()?,
    };
    Some(Listed { path, kind })
}

fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = line.iter().position(|byte| *byte == b' ')?;
    Some((line.get(..space)?, line.get(space + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_back_as_they_were_written_and_damage_is_seen() {
        let scratch = tempfile::tempdir().unwrap();
        let listed = |path: &[u8], kind| Listed {
            path: match path {
                b"" => LayerPath::root(),
                path => LayerPath::parse(path).unwrap(),
            },
            kind,
        };
        let all = vec![
            listed(b"", ListedKind::Directory { mode: 0o1777 }),
            listed(
                b"a b\n\xff",
                ListedKind::File {
                    size: 7,
                    mode: 0o640,
                    checksum: 0xdead_beef,
                },
            ),
            listed(b"l", ListedKind::Symlink { checksum: 7 }),
            listed(b"p", ListedKind::Fifo),
            listed(b"w", ListedKind::Whiteout),
        ];
        let mut index = Index::create(scratch.path()).unwrap();
        for listed in &all {
            index.add(&listed.path, &listed.kind).unwrap();
        }
        index.finish().unwrap();
        assert_eq!(read(scratch.path()).unwrap(), all);
        for damaged in ["f x", "q a\0", "f 644 1\0", "d 755 a"] {
            fs_err::write(scratch.path().join(INDEX), damaged).unwrap();
            assert!(read(scratch.path()).is_err(), "{damaged:?}");
        }
    }
}
