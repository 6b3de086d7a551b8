//! What a file begins with, as the kernel looks at it before it starts a program.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};

/// Bytes of a file that the kernel looks at for `#!` (`BINPRM_BUF_SIZE`, Linux 5.1).
const LINE: usize = 256;
/// Bytes of a file in which the ELF header and, in what linkers make, the program headers are.
const ELF: usize = 4096;
/// `PT_INTERP` of the ELF specification.
const INTERPRETER: u32 = 3;
/// Longest path of an interpreter that is looked at (`PATH_MAX`).
const LONGEST_PATH: u64 = 4096;

/// How a program is started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Head {
    /// By a program that its first line names.
    Script {
        /// The program, up to the first blank; with a carriage return where the line ends in one.
        interpreter: String,
        /// The rest of the line.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        argument: String,
        /// Whether the line goes on after what the kernel reads of it.
        #[serde(default, skip_serializing_if = "is_false")]
        cut: bool,
    },
    /// As machine code.
    Elf {
        /// `e_machine` of the ELF header.
        machine: u16,
        /// The dynamic loader; empty where it is static, or where the header does not tell.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        loader: String,
    },
    /// Not at all: it has no bytes.
    Empty,
    /// The kernel does not know it.
    Other,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "what serde calls takes a reference"
)]
fn is_false(value: &bool) -> bool {
    !*value
}

impl Head {
    /// Reads as much of a file of `size` bytes as tells what it is.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn read(file: &mut impl Read, size: u64) -> io::Result<Self> {
        if size == 0 {
            return Ok(Self::Empty);
        }
        let mut bytes = Vec::new();
        file.by_ref().take(4).read_to_end(&mut bytes)?;
        if bytes.starts_with(b"#!") {
            let rest = (LINE - bytes.len()) as u64;
            file.by_ref().take(rest).read_to_end(&mut bytes)?;
            return Ok(Self::script(&bytes));
        }
        if bytes != b"\x7fELF" {
            return Ok(Self::Other);
        }
        let rest = (ELF - bytes.len()) as u64;
        file.by_ref().take(rest).read_to_end(&mut bytes)?;
        let Some(elf) = Elf::of(&bytes) else {
            return Ok(Self::Other);
        };
        let loader = match elf.interpreter() {
            Some((offset, length)) if length <= LONGEST_PATH => {
                text_at(file, &bytes, offset, length)?
            }
            _ => Vec::new(),
        };
        let end = loader.iter().position(|byte| *byte == 0);
        let loader = loader.get(..end.unwrap_or(loader.len()));
        Ok(Self::Elf {
            machine: elf.machine(),
            loader: String::from_utf8_lossy(loader.unwrap_or_default()).into_owned(),
        })
    }

    /// As `load_script` of Linux reads the line.
    fn script(bytes: &[u8]) -> Self {
        let line = bytes.get(2..).unwrap_or_default();
        let end = line.iter().position(|byte| *byte == b'\n');
        let line = line.get(..end.unwrap_or(line.len())).unwrap_or_default();
        let text = String::from_utf8_lossy(line);
        let text = text.trim_matches([' ', '\t', '\0']);
        let (interpreter, argument) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        Self::Script {
            interpreter: interpreter.to_owned(),
            argument: argument.trim_matches([' ', '\t']).to_owned(),
            cut: end.is_none() && bytes.len() >= LINE,
        }
    }
}

/// Bytes of a file that was read up to the end of `read`, wherever they stand: before, behind or
/// across that end.
fn text_at(file: &mut impl Read, read: &[u8], offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let at = usize::try_from(offset).unwrap_or(usize::MAX);
    let count = usize::try_from(length).unwrap_or(usize::MAX);
    let mut found = read.get(at..).unwrap_or_default().to_vec();
    found.truncate(count);
    let skip = offset.saturating_sub(read.len() as u64);
    io::copy(&mut file.by_ref().take(skip), &mut io::sink())?;
    let rest = length.saturating_sub(found.len() as u64);
    file.by_ref().take(rest).read_to_end(&mut found)?;
    Ok(found)
}

/// An ELF header with the program headers behind it.
struct Elf<'a> {
    bytes: &'a [u8],
    is_64: bool,
    is_big: bool,
}

impl<'a> Elf<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let is_64 = match bytes.get(4)? {
            1 => false,
            2 => true,
            _ => return None,
        };
        let is_big = match bytes.get(5)? {
            1 => false,
            2 => true,
            _ => return None,
        };
        bytes.get(..52)?;
        Some(Self {
            bytes,
            is_64,
            is_big,
        })
    }

    /// The number of `count` bytes at an offset.
    fn number(&self, at: u64, count: usize) -> Option<u64> {
        let at = usize::try_from(at).ok()?;
        let bytes = self.bytes.get(at..at.checked_add(count)?)?;
        let fold = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        Some(match self.is_big {
            true => bytes.iter().fold(0, fold),
            false => bytes.iter().rev().fold(0, fold),
        })
    }

    fn machine(&self) -> u16 {
        let machine = self.number(18, 2).and_then(|value| value.try_into().ok());
        machine.unwrap_or_default()
    }

    /// Where the path of the dynamic loader stands, and how long it is.
    fn interpreter(&self) -> Option<(u64, u64)> {
        let word = if self.is_64 { 8 } else { 4 };
        let (table, sizes) = if self.is_64 { (32, 54) } else { (28, 42) };
        let start = self.number(table, word)?;
        let size = self.number(sizes, 2)?;
        let count = self.number(sizes + 2, 2)?;
        let (offset, length) = if self.is_64 { (8, 32) } else { (4, 16) };
        (0..count)
            .filter_map(|index| start.checked_add(index.checked_mul(size)?))
            .find(|at| self.number(*at, 4) == Some(u64::from(INTERPRETER)))
            .and_then(|at| {
                let offset = self.number(at.checked_add(offset)?, word)?;
                let length = self.number(at.checked_add(length)?, word)?;
                Some((offset, length))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(bytes: &[u8]) -> Head {
        Head::read(&mut &*bytes, bytes.len() as u64).unwrap()
    }

    fn script(interpreter: &str, argument: &str, cut: bool) -> Head {
        Head::Script {
            interpreter: interpreter.to_owned(),
            argument: argument.to_owned(),
            cut,
        }
    }

    #[test]
    fn a_first_line_is_read_as_the_kernel_does() {
        assert_eq!(head(b"#!/bin/sh\necho"), script("/bin/sh", "", false));
        assert_eq!(
            head(b"#! /usr/bin/env  -S python3 -u \n"),
            script("/usr/bin/env", "-S python3 -u", false)
        );
        assert_eq!(head(b"#!/bin/sh\r\n"), script("/bin/sh\r", "", false));
        assert_eq!(head(b"#!/bin/sh"), script("/bin/sh", "", false));
        let long = [b"#!/".as_slice(), &[b'a'; 300], b"\n"].concat();
        assert_eq!(
            head(&long),
            script(&format!("/{}", "a".repeat(253)), "", true)
        );
        assert_eq!(head(b""), Head::Empty);
        assert_eq!(head(b"text"), Head::Other);
        assert_eq!(head(b"\x7fELF"), Head::Other);
    }

    /// A 64-bit little-endian program for x86-64 whose loader's path stands at `offset`.
    fn elf(offset: usize) -> Vec<u8> {
        let mut bytes = vec![0; offset];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[18] = 62;
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = 1;
        bytes[64] = 3;
        bytes[72..80].copy_from_slice(&(offset as u64).to_le_bytes());
        bytes[96] = 8;
        bytes.extend(b"/lib/ld\0more");
        bytes
    }

    #[test]
    fn a_loader_is_found_near_and_far() {
        for offset in [120, 4090, 9000] {
            let expected = Head::Elf {
                machine: 62,
                loader: "/lib/ld".to_owned(),
            };
            assert_eq!(head(&elf(offset)), expected, "{offset}");
        }
        let own = fs_err::read("/proc/self/exe").unwrap();
        assert!(matches!(head(&own), Head::Elf { machine, .. } if machine != 0));
    }

    #[test]
    fn headers_that_lead_nowhere_are_no_loader() {
        let mut bytes = elf(120);
        bytes[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(
            head(&bytes),
            Head::Elf {
                machine: 62,
                loader: String::new()
            }
        );
        let mut bytes = elf(120);
        bytes[72..80].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(matches!(head(&bytes), Head::Elf { .. }));
    }
}
