//! What a file begins with, as the kernel looks at it before it starts a program.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};

use super::machine_code::{self, Libraries};

/// Bytes of a file that the kernel looks at for `#!` (`BINPRM_BUF_SIZE`, Linux 5.1).
const LINE: usize = 256;
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
        /// What the loader loads beside it.
        #[serde(default, skip_serializing_if = "Libraries::is_none")]
        libraries: Libraries,
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
        let found = machine_code::read(io::Cursor::new(bytes).chain(file))?;
        Ok(found.map_or(Self::Other, |found| Self::Elf {
            machine: found.machine,
            loader: found.loader,
            libraries: found.libraries,
        }))
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
}
