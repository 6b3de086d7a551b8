//! Gives programs the prefix's loader.

use super::elf::{Elf, ElfError};
use crate::place::{LOADER, Machine, Prefix};

/// What was found where a program names its interpreter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// None: a library, or a static program.
    None,
    /// The machine's glibc loader; these bytes go there instead.
    Replace { offset: usize, bytes: Vec<u8> },
    /// The prefix's loader already.
    Done,
    /// Another one, such as musl's.
    Other(String),
}

/// The interpreter that programs name below the prefix.
pub(super) fn interpreter(prefix: &Prefix) -> String {
    format!("{prefix}/{LOADER}")
}

/// What has to change in a program for it to name the prefix's loader.
///
/// The new path is not longer than the old one, since prefixes are as short as that; what is left
/// of the old one becomes NULs, which `execve` and loaders ignore.
pub(super) fn find(elf: &Elf<'_>, machine: Machine, prefix: &Prefix) -> Result<Found, ElfError> {
    let Some((text, room)) = elf.interpreter()? else {
        return Ok(Found::None);
    };
    let new = interpreter(prefix);
    if text.bytes == new.as_bytes() {
        return Ok(Found::Done);
    }
    if text.bytes != machine.interpreter().as_bytes() || new.len() >= room {
        return Ok(Found::Other(text.show()));
    }
    let mut bytes = new.into_bytes();
    bytes.resize(room, 0);
    Ok(Found::Replace {
        offset: text.offset,
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::ElfBuilder;
    use super::*;

    fn find_in(builder: &ElfBuilder, machine: Machine) -> Found {
        let bytes = builder.build();
        find(&Elf::parse(&bytes).unwrap(), machine, &Prefix::default()).unwrap()
    }

    #[test]
    fn the_longest_prefix_fits_every_machine() {
        for machine in [Machine::Amd64, Machine::Arm64] {
            let prefix: Prefix = "/123456789".parse().unwrap();
            assert_eq!(prefix.as_str().len(), Prefix::LONGEST);
            assert!(interpreter(&prefix).len() <= machine.interpreter().len());
            let elf = ElfBuilder::amd64().interpreter(machine.interpreter());
            let Found::Replace { bytes, .. } = find_in(&elf, machine) else {
                panic!("{machine:?}");
            };
            assert_eq!(bytes.len(), machine.interpreter().len() + 1);
            assert!(bytes.starts_with(b"/openhands/lib/ld-linux-oh\0"));
        }
    }

    #[test]
    fn other_interpreters_are_left_alone() {
        let musl = ElfBuilder::amd64().interpreter("/lib/ld-musl-x86_64.so.1");
        let found = find_in(&musl, Machine::Amd64);
        assert_eq!(found, Found::Other("/lib/ld-musl-x86_64.so.1".to_owned()));
        assert_eq!(find_in(&ElfBuilder::amd64(), Machine::Amd64), Found::None);
        let done = ElfBuilder::amd64().interpreter("/openhands/lib/ld-linux-oh");
        assert_eq!(find_in(&done, Machine::Amd64), Found::Done);
    }
}
