//! What a file of machine code asks of whoever starts it: the machine, the loader, the libraries.

use std::io::{self, Read, Seek as _, SeekFrom, Write as _};

use object::elf::{
    DT_NEEDED, DT_NULL, DT_RPATH, DT_RUNPATH, DT_STRTAB, DynamicTag, EV_CURRENT, FileHeader32,
    FileHeader64,
};
use object::read::elf::{Dyn as _, FileHeader, ProgramHeader as _};
use object::read::{ReadCache, ReadRef};
use object::{Endianness, FileKind};
use serde::{Deserialize, Serialize};

/// As much of a file is read into memory; the rest waits in a nameless file, since what is looked for
/// may stand anywhere.
const IN_MEMORY: usize = 16 << 20;
/// Where the version of the format stands.
const VERSION: u64 = 6;
/// Most entries of a dynamic section that are looked at.
const MOST_ENTRIES: usize = 1 << 16;
/// Most libraries that one file may need.
const MOST_NEEDED: usize = 4096;

/// The libraries that a file needs, and where it wants them to be looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Libraries {
    /// `DT_NEEDED`, in order.
    #[serde(rename = "n", default, skip_serializing_if = "Vec::is_empty")]
    pub needed: Vec<String>,
    /// `DT_RPATH`, as it is written.
    #[serde(rename = "r", default, skip_serializing_if = "String::is_empty")]
    pub rpath: String,
    /// `DT_RUNPATH`, as it is written.
    #[serde(rename = "u", default, skip_serializing_if = "String::is_empty")]
    pub runpath: String,
}

/// What a program asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MachineCode {
    /// `e_machine` of the ELF header.
    pub(super) machine: u16,
    /// The dynamic loader; empty where it is static, or where the header does not tell.
    pub(super) loader: String,
    /// What the loader loads beside it.
    pub(super) libraries: Libraries,
}

impl Libraries {
    /// Whether there is nothing to load.
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Reads a file that begins as machine code does; `None` where it is none after all. One that
/// contradicts itself tells as much as can be read of it.
///
/// # Errors
/// When it cannot be read, or there is no room for it.
pub(super) fn read(mut file: impl Read) -> io::Result<Option<MachineCode>> {
    let mut kept = tempfile::spooled_tempfile(IN_MEMORY);
    let length = io::copy(&mut file, &mut kept)?;
    if length > VERSION {
        // Linux does not look at it.
        kept.seek(SeekFrom::Start(VERSION))?;
        kept.write_all(&[EV_CURRENT.0])?;
    }
    kept.seek(SeekFrom::Start(0))?;
    let cache = ReadCache::new(kept);
    Ok(match FileKind::parse(&cache) {
        Ok(FileKind::Elf32) => of::<FileHeader32<Endianness>, _>(&cache),
        Ok(FileKind::Elf64) => of::<FileHeader64<Endianness>, _>(&cache),
        _ => None,
    })
}

fn of<'a, E, R>(data: R) -> Option<MachineCode>
where
    E: FileHeader<Endian = Endianness>,
    R: ReadRef<'a>,
{
    let header = E::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, data).unwrap_or_default();
    let mut interpreters = segments
        .iter()
        .filter_map(|segment| segment.interpreter(endian, data).ok().flatten());
    let loader = interpreters.next().map(text).unwrap_or_default();
    let mut libraries = Libraries::default();
    let mut offsets: Vec<(DynamicTag, u64)> = Vec::new();
    let mut table = None;
    let dynamic = segments
        .iter()
        .find_map(|segment| segment.dynamic(endian, data).ok().flatten());
    for entry in dynamic.unwrap_or_default().iter().take(MOST_ENTRIES) {
        let value: u64 = entry.d_val(endian).into();
        let tag = entry.d_tag(endian);
        if tag == DT_NULL {
            break;
        } else if tag == DT_STRTAB {
            table = Some(value);
        } else if [DT_NEEDED, DT_RPATH, DT_RUNPATH].contains(&tag) && offsets.len() < MOST_NEEDED {
            offsets.push((tag, value));
        }
    }
    // Where the strings are is said by their address in memory.
    let place = table.and_then(|address| {
        segments.iter().find_map(|segment| {
            let start: u64 = segment.p_vaddr(endian).into();
            let (offset, size) = segment.file_range(endian);
            let inside = address.checked_sub(start).filter(|inside| *inside < size)?;
            (segment.p_type(endian) == object::elf::PT_LOAD).then(|| offset.checked_add(inside))?
        })
    });
    for (tag, offset) in offsets {
        let at = place.and_then(|place| place.checked_add(offset));
        let Some(found) = at.and_then(|at| {
            let end = data.len().ok()?;
            data.read_bytes_at_until(at..end, 0).ok()
        }) else {
            continue;
        };
        if tag == DT_NEEDED {
            libraries.needed.push(text(found));
        } else if tag == DT_RPATH {
            libraries.rpath = text(found);
        } else {
            libraries.runpath = text(found);
        }
    }
    Some(MachineCode {
        machine: header.e_machine(endian).0,
        loader,
        libraries,
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A 64-bit little-endian program for x86-64 whose loader's path stands at `offset`.
    fn elf(offset: usize) -> Vec<u8> {
        let mut bytes = vec![0; offset];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[16] = 3;
        bytes[18] = 62;
        bytes[20] = 1;
        bytes[32] = 64;
        bytes[52] = 64;
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
        for offset in [120, 4090, 9000, IN_MEMORY + 1] {
            let expected = MachineCode {
                machine: 62,
                loader: "/lib/ld".to_owned(),
                libraries: Libraries::default(),
            };
            assert_eq!(
                read(elf(offset).as_slice()).unwrap(),
                Some(expected),
                "{offset}"
            );
        }
    }

    #[test]
    fn libraries_of_a_program_of_this_machine_are_those_that_its_linker_named() {
        let own = fs_err::read("/proc/self/exe").unwrap();
        let found = read(own.as_slice()).unwrap().unwrap();
        assert_ne!(found.machine, 0);
        let needed = &found.libraries.needed;
        assert!(
            needed.iter().any(|name| name.starts_with("libc.")),
            "{needed:?}"
        );
    }

    #[test]
    fn headers_that_lead_nowhere_are_no_loader() {
        let mut bytes = elf(120);
        bytes[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
        let nothing = MachineCode {
            machine: 62,
            loader: String::new(),
            libraries: Libraries::default(),
        };
        assert_eq!(read(bytes.as_slice()).unwrap().as_ref(), Some(&nothing));
        let mut bytes = elf(120);
        bytes[72..80].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(read(bytes.as_slice()).unwrap(), Some(nothing));
        assert_eq!(read(b"\x7fELF".as_slice()).unwrap(), None);
    }
}
