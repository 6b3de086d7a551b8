//! Reads ELF files of 64-bit little-endian machines, by their program headers alone.
//!
//! Sections are not looked at: loaders do not, and stripped files may have none. The layout
//! follows the System V gABI, versions and notes the LSB ("Symbol Versioning", "ABI note tag").
//! Every offset is checked; a file that lies is an error, never a panic.

use ohoci_layer::path::printable;

/// Most entries of a table in a file (program headers, dynamic entries, versions).
const MOST: usize = 1 << 16;

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const PT_NOTE: u32 = 4;
const PT_GNU_STACK: u32 = 0x6474_e551;
const PF_X: u32 = 1;

const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_STRSZ: u64 = 10;
const DT_SONAME: u64 = 14;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;
const DT_VERDEF: u64 = 0x6fff_fffc;
const DT_VERDEFNUM: u64 = 0x6fff_fffd;
const DT_VERNEED: u64 = 0x6fff_fffe;
const DT_VERNEEDNUM: u64 = 0x6fff_ffff;

const NT_GNU_ABI_TAG: u32 = 1;
const NT_GNU_BUILD_ID: u32 = 3;

/// Why a file with ELF's magic cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ElfError {
    /// It is for 32-bit or big-endian machines.
    #[error("it is an ELF file for a 32-bit or big-endian machine")]
    OtherClass,
    /// It contradicts itself.
    #[error("it is a broken ELF file: {0}")]
    Broken(&'static str),
}

use ElfError::Broken;

/// A parsed ELF file.
#[derive(Debug)]
pub(crate) struct Elf<'a> {
    bytes: &'a [u8],
    /// `e_type`.
    pub(crate) kind: Kind,
    /// `e_machine`.
    pub(crate) machine: u16,
    segments: Vec<Segment>,
}

/// What kind of ELF file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A program (`ET_EXEC`), or a program or library (`ET_DYN`).
    Loadable,
    /// An object file or a core dump, which no loader loads.
    Other,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    size: u64,
    align: u64,
}

/// A NUL-terminated string and where it stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text<'a> {
    /// Offset in the file.
    pub(crate) offset: usize,
    /// Without the NUL.
    pub(crate) bytes: &'a [u8],
}

/// A symbol version that a file needs of a library.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version<'a> {
    /// The library's name.
    pub(crate) library: &'a [u8],
    /// The version.
    pub(crate) name: &'a [u8],
    /// Whether the loader starts the program without it (`VER_FLG_WEAK`).
    pub(crate) weak: bool,
}

/// The dynamic section.
#[derive(Debug, Default)]
pub(crate) struct Dynamic<'a> {
    /// `DT_NEEDED`, in order.
    pub(crate) needed: Vec<&'a [u8]>,
    /// `DT_SONAME`.
    pub(crate) soname: Option<&'a [u8]>,
    /// `DT_RPATH`.
    pub(crate) rpath: Option<Text<'a>>,
    /// `DT_RUNPATH`.
    pub(crate) runpath: Option<Text<'a>>,
    /// The versions that it needs.
    pub(crate) needs: Vec<Version<'a>>,
    /// The versions that it defines.
    pub(crate) defines: Vec<&'a [u8]>,
}

impl<'a> Elf<'a> {
    /// Whether bytes begin as ELF files do.
    pub(crate) fn has_magic(bytes: &[u8]) -> bool {
        bytes.starts_with(b"\x7fELF")
    }

    /// Reads the header and the program headers.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, ElfError> {
        let short = Broken("it ends within its header");
        let ident = bytes.get(..16).ok_or(short.clone())?;
        if !Self::has_magic(ident) {
            return Err(Broken("it has another magic"));
        }
        if ident.get(4..6) != Some(&[2, 1]) {
            return Err(ElfError::OtherClass);
        }
        let half = |at| read_u16(bytes, at).ok_or(short.clone());
        let kind = match half(16)? {
            2 | 3 => Kind::Loadable,
            _ => Kind::Other,
        };
        let machine = half(18)?;
        let start = read_u64(bytes, 32).ok_or(short.clone())?;
        let (size, count) = (half(54)?, half(56)?);
        if count > 0 && size != 56 {
            return Err(Broken("its program headers have an odd size"));
        }
        let mut segments = Vec::with_capacity(usize::from(count));
        for index in 0..u64::from(count) {
            let at = index
                .checked_mul(56)
                .and_then(|offset| offset.checked_add(start))
                .and_then(|at| usize::try_from(at).ok());
            let segment = at.and_then(|at| Segment::read(bytes, at));
            segments.push(segment.ok_or(Broken("its program headers are outside of it"))?);
        }
        Ok(Self {
            bytes,
            kind,
            machine,
            segments,
        })
    }

    fn segments(&self, kind: u32) -> impl Iterator<Item = &Segment> {
        self.segments
            .iter()
            .filter(move |segment| segment.kind == kind)
    }

    /// The file's bytes that a segment has.
    fn content(&self, segment: &Segment) -> Option<&'a [u8]> {
        let start = usize::try_from(segment.offset).ok()?;
        let size = usize::try_from(segment.size).ok()?;
        self.bytes.get(start..start.checked_add(size)?)
    }

    /// The interpreter, and how many bytes there are for it with its NUL.
    pub(crate) fn interpreter(&self) -> Result<Option<(Text<'a>, usize)>, ElfError> {
        let Some(segment) = self.segments(PT_INTERP).next() else {
            return Ok(None);
        };
        let broken = Broken("its interpreter is outside of it, or has no end");
        let content = self.content(segment).ok_or(broken.clone())?;
        let end = content.iter().position(|byte| *byte == 0).ok_or(broken)?;
        let text = Text {
            offset: usize::try_from(segment.offset).unwrap_or(usize::MAX),
            bytes: content.get(..end).unwrap_or_default(),
        };
        Ok(Some((text, content.len())))
    }

    /// Whether it asks for an executable stack; `None` when it says nothing, which loaders take
    /// for a yes.
    pub(crate) fn executable_stack(&self) -> Option<bool> {
        let segment = self.segments(PT_GNU_STACK).next()?;
        Some(segment.flags & PF_X != 0)
    }

    /// Where an address of the running program stands in the file.
    fn offset_of(&self, address: u64) -> Option<usize> {
        self.segments(PT_LOAD).find_map(|segment| {
            let inside = address.checked_sub(segment.address)?;
            if inside >= segment.size {
                return None;
            }
            usize::try_from(segment.offset.checked_add(inside)?).ok()
        })
    }

    /// The dynamic section; `None` for a static program.
    pub(crate) fn dynamic(&self) -> Result<Option<Dynamic<'a>>, ElfError> {
        let Some(segment) = self.segments(PT_DYNAMIC).next() else {
            return Ok(None);
        };
        let content = self
            .content(segment)
            .ok_or(Broken("its dynamic section is outside of it"))?;
        let mut entries = Vec::new();
        for index in 0..content.len() / 16 {
            let (Some(tag), Some(value)) = (
                read_u64(content, index * 16),
                read_u64(content, index * 16 + 8),
            ) else {
                break;
            };
            if tag == DT_NULL || entries.len() > MOST {
                break;
            }
            entries.push((tag, value));
        }
        let value = |wanted| {
            entries
                .iter()
                .find(|(tag, _)| *tag == wanted)
                .map(|(_, value)| *value)
        };
        let strings = match (value(DT_STRTAB), value(DT_STRSZ)) {
            (Some(address), Some(size)) => self.strings(address, size)?,
            // A static position-independent program has a dynamic section without names.
            _ => return Ok(Some(Dynamic::default())),
        };
        let mut dynamic = Dynamic::default();
        for (tag, value) in &entries {
            match *tag {
                DT_NEEDED => dynamic.needed.push(strings.get(*value)?.bytes),
                DT_SONAME => dynamic.soname = Some(strings.get(*value)?.bytes),
                DT_RPATH => dynamic.rpath = Some(strings.get(*value)?),
                DT_RUNPATH => dynamic.runpath = Some(strings.get(*value)?),
                _ => {}
            }
        }
        if let (Some(address), Some(count)) = (value(DT_VERNEED), value(DT_VERNEEDNUM)) {
            dynamic.needs = self.needs(address, count, strings)?;
        }
        if let (Some(address), Some(count)) = (value(DT_VERDEF), value(DT_VERDEFNUM)) {
            dynamic.defines = self.defines(address, count, strings)?;
        }
        Ok(Some(dynamic))
    }

    fn strings(&self, address: u64, size: u64) -> Result<Strings<'a>, ElfError> {
        let broken = Broken("its dynamic strings are outside of it");
        let start = self.offset_of(address).ok_or(broken.clone())?;
        let end = usize::try_from(size)
            .ok()
            .and_then(|size| start.checked_add(size))
            .ok_or(broken.clone())?;
        let bytes = self.bytes.get(start..end).ok_or(broken)?;
        Ok(Strings { start, bytes })
    }

    fn needs(
        &self,
        address: u64,
        count: u64,
        strings: Strings<'a>,
    ) -> Result<Vec<Version<'a>>, ElfError> {
        const OUTSIDE: ElfError = Broken("the versions that it needs are outside of it");
        let mut needs = Vec::new();
        let mut at = self.offset_of(address).ok_or(OUTSIDE)?;
        for _ in 0..count.min(MOST as u64) {
            let auxiliaries = read_u16(self.bytes, after(at, 2)).ok_or(OUTSIDE)?;
            let library = strings.at(self.bytes, after(at, 4)).ok_or(OUTSIDE)??;
            let first = read_u32(self.bytes, after(at, 8)).ok_or(OUTSIDE)?;
            let next = read_u32(self.bytes, after(at, 12)).ok_or(OUTSIDE)?;
            let mut auxiliary = after(at, first as usize);
            for _ in 0..auxiliaries {
                if needs.len() > MOST {
                    return Err(Broken("it needs too many versions"));
                }
                let flags = read_u16(self.bytes, after(auxiliary, 4)).ok_or(OUTSIDE)?;
                let name = strings
                    .at(self.bytes, after(auxiliary, 8))
                    .ok_or(OUTSIDE)??;
                needs.push(Version {
                    library: library.bytes,
                    name: name.bytes,
                    weak: flags & 2 != 0,
                });
                let next = read_u32(self.bytes, after(auxiliary, 12)).ok_or(OUTSIDE)?;
                auxiliary = after(auxiliary, next as usize);
            }
            if next == 0 {
                break;
            }
            at = after(at, next as usize);
        }
        Ok(needs)
    }

    fn defines(
        &self,
        address: u64,
        count: u64,
        strings: Strings<'a>,
    ) -> Result<Vec<&'a [u8]>, ElfError> {
        const OUTSIDE: ElfError = Broken("the versions that it defines are outside of it");
        let mut defines = Vec::new();
        let mut at = self.offset_of(address).ok_or(OUTSIDE)?;
        for _ in 0..count.min(MOST as u64) {
            let first = read_u32(self.bytes, after(at, 12)).ok_or(OUTSIDE)?;
            let next = read_u32(self.bytes, after(at, 16)).ok_or(OUTSIDE)?;
            let name = strings
                .at(self.bytes, after(at, first as usize))
                .ok_or(OUTSIDE)??;
            defines.push(name.bytes);
            if next == 0 {
                break;
            }
            at = after(at, next as usize);
        }
        Ok(defines)
    }

    /// The oldest Linux that it says it runs on.
    pub(crate) fn kernel(&self) -> Option<[u32; 3]> {
        let note = self.note(NT_GNU_ABI_TAG)?;
        // The first word names the kernel; Linux is 0.
        if read_u32(note, 0)? != 0 {
            return None;
        }
        Some([read_u32(note, 4)?, read_u32(note, 8)?, read_u32(note, 12)?])
    }

    /// The build ID in hexadecimal.
    pub(crate) fn build_id(&self) -> Option<String> {
        let note = self.note(NT_GNU_BUILD_ID)?;
        Some(hex::encode(note))
    }

    /// The content of a note of GNU's.
    fn note(&self, wanted: u32) -> Option<&'a [u8]> {
        for segment in self.segments(PT_NOTE) {
            let content = self.content(segment).unwrap_or_default();
            let align = if segment.align == 8 { 8 } else { 4 };
            let mut at = 0;
            while let (Some(name), Some(size), Some(kind)) = (
                read_u32(content, at),
                read_u32(content, after(at, 4)),
                read_u32(content, after(at, 8)),
            ) {
                let name_at = after(at, 12);
                let start = after(name_at, name as usize).checked_next_multiple_of(align)?;
                let end = after(start, size as usize);
                if content.get(name_at..after(name_at, name as usize)) == Some(b"GNU\0")
                    && kind == wanted
                {
                    return content.get(start..end);
                }
                at = end.checked_next_multiple_of(align)?;
            }
        }
        None
    }
}

impl Segment {
    fn read(bytes: &[u8], at: usize) -> Option<Self> {
        Some(Self {
            kind: read_u32(bytes, at)?,
            flags: read_u32(bytes, after(at, 4))?,
            offset: read_u64(bytes, after(at, 8))?,
            address: read_u64(bytes, after(at, 16))?,
            size: read_u64(bytes, after(at, 32))?,
            align: read_u64(bytes, after(at, 48))?,
        })
    }
}

#[derive(Clone, Copy)]
struct Strings<'a> {
    start: usize,
    bytes: &'a [u8],
}

impl<'a> Strings<'a> {
    fn get(self, index: u64) -> Result<Text<'a>, ElfError> {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let rest = self.bytes.get(index..).unwrap_or_default();
        let end = rest
            .iter()
            .position(|byte| *byte == 0)
            .ok_or(Broken("a dynamic string is outside of its table"))?;
        Ok(Text {
            offset: after(self.start, index),
            bytes: rest.get(..end).unwrap_or_default(),
        })
    }

    /// The string whose index stands at `offset` in `bytes`.
    fn at(self, bytes: &[u8], offset: usize) -> Option<Result<Text<'a>, ElfError>> {
        read_u32(bytes, offset).map(|index| self.get(u64::from(index)))
    }
}

/// An offset that reading refuses when it is beyond every file.
fn after(at: usize, distance: usize) -> usize {
    at.saturating_add(distance)
}

fn read<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    read(bytes, at).map(u16::from_le_bytes)
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    read(bytes, at).map(u32::from_le_bytes)
}

fn read_u64(bytes: &[u8], at: usize) -> Option<u64> {
    read(bytes, at).map(u64::from_le_bytes)
}

impl Text<'_> {
    /// For messages.
    pub(crate) fn show(&self) -> String {
        printable(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::ElfBuilder;
    use super::*;

    #[test]
    fn everything_that_matters_is_read() {
        let bytes = ElfBuilder::amd64()
            .interpreter("/lib64/ld-linux-x86-64.so.2")
            .needed(&["libz.so.1", "libc.so.6"])
            .soname("libx.so.1")
            .runpath("$ORIGIN/../lib")
            .needs("libc.so.6", &["GLIBC_2.2.5", "GLIBC_2.34"])
            .defines(&["libx.so.1", "X_1"])
            .stack(true)
            .kernel([3, 2, 0])
            .build();
        let elf = Elf::parse(&bytes).unwrap();
        assert_eq!((elf.kind, elf.machine), (Kind::Loadable, 62));
        let (text, room) = elf.interpreter().unwrap().unwrap();
        assert_eq!(
            (text.bytes, room),
            (b"/lib64/ld-linux-x86-64.so.2".as_slice(), 28)
        );
        assert_eq!(
            bytes.get(text.offset..text.offset + 4),
            Some(b"/lib".as_slice())
        );
        let dynamic = elf.dynamic().unwrap().unwrap();
        assert_eq!(dynamic.needed, [b"libz.so.1".as_slice(), b"libc.so.6"]);
        assert_eq!(dynamic.soname, Some(b"libx.so.1".as_slice()));
        assert_eq!(dynamic.runpath.unwrap().bytes, b"$ORIGIN/../lib");
        assert!(dynamic.rpath.is_none());
        let needs: Vec<_> = dynamic.needs.iter().map(|need| need.name).collect();
        assert_eq!(needs, [b"GLIBC_2.2.5".as_slice(), b"GLIBC_2.34"]);
        assert_eq!(dynamic.defines, [b"libx.so.1".as_slice(), b"X_1"]);
        assert_eq!(elf.executable_stack(), Some(true));
        assert_eq!(elf.kernel(), Some([3, 2, 0]));
    }

    #[test]
    fn files_that_lie_are_refused_and_never_panic() {
        let whole = ElfBuilder::amd64()
            .interpreter("/lib64/ld-linux-x86-64.so.2")
            .needed(&["libc.so.6"])
            .runpath("/usr/lib")
            .needs("libc.so.6", &["GLIBC_2.2.5"])
            .defines(&["a"])
            .kernel([3, 2, 0])
            .build();
        let read = |bytes: &[u8]| {
            if let Ok(elf) = Elf::parse(bytes) {
                let _ = elf.interpreter();
                let _ = elf.dynamic();
                let _ = (elf.kernel(), elf.build_id(), elf.executable_stack());
            }
        };
        for length in 0..whole.len() {
            read(&whole[..length]);
        }
        for at in 0..whole.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                read(&bytes);
            }
        }
        assert!(Elf::parse(&whole[..60]).is_err());
        let mut other = whole;
        other[4] = 1;
        assert_eq!(Elf::parse(&other).unwrap_err(), ElfError::OtherClass);
    }
}
