//! Finds where the loader's code compares the name of an environment variable.
//!
//! `process_envvars` in glibc's `elf/rtld.c` compares names behind `LD_` with short constants.
//! Compilers turn that into comparisons of four or eight bytes with a number, so the names stand
//! in the instructions.

use crate::place::Machine;

/// Where four or eight bytes of a name are compared: the places of the bytes to change.
pub(super) fn comparisons(bytes: &[u8], name: &[u8], machine: Machine) -> Vec<Occurrence> {
    match (machine, name.len()) {
        (Machine::Amd64, 4) => amd64_compare(bytes, name),
        (Machine::Amd64, _) => amd64_load(bytes, name),
        (Machine::Arm64, 4) => arm64_load(bytes, name),
        (Machine::Arm64, _) => arm64_pool(bytes, name),
    }
}

/// Bytes to change, which make the comparison one with the name in lower case: with a name that
/// unused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Occurrence {
    pub(super) offset: usize,
    pub(super) bytes: Vec<u8>,
}

/// `cmpl $imm32, (%reg)`: 81 /7 id, without displacement.
fn amd64_compare(bytes: &[u8], name: &[u8]) -> Vec<Occurrence> {
    occurrences(bytes, name)
        .filter(|at| {
            let before = at.checked_sub(2).and_then(|start| bytes.get(start..*at));
            matches!(before, Some([0x81, 0x38..=0x3b | 0x3e | 0x3f]))
        })
        .map(|offset| lower(offset, name))
        .collect()
}

/// `movabs $imm64, %reg`: REX.W b8+r io.
fn amd64_load(bytes: &[u8], name: &[u8]) -> Vec<Occurrence> {
    occurrences(bytes, name)
        .filter(|at| {
            let before = at.checked_sub(2).and_then(|start| bytes.get(start..*at));
            matches!(before, Some([0x48 | 0x49, 0xb8..=0xbf]))
        })
        .map(|offset| lower(offset, name))
        .collect()
}

/// `mov w, #low` and, within a few instructions, `movk w, #high, lsl #16`; the high half changes.
fn arm64_load(bytes: &[u8], name: &[u8]) -> Vec<Occurrence> {
    const WITHIN: usize = 8;
    let half = |at: usize| match name.get(at..at + 2) {
        Some(&[one, other]) => u32::from(u16::from_le_bytes([one, other])),
        _ => 0,
    };
    let (low, high) = (half(0), half(2));
    let quiet = name.to_ascii_lowercase();
    let quiet_high = match quiet.get(2..4) {
        Some(&[one, other]) => u32::from(u16::from_le_bytes([one, other])),
        _ => high,
    };
    let word = |index: usize| {
        let at = index.checked_mul(4)?;
        let word = bytes.get(at..at.checked_add(4)?)?;
        Some(u32::from_le_bytes(word.try_into().ok()?))
    };
    let mut places = Vec::new();
    for index in 0..bytes.len() / 4 {
        // MOVZ Wd, #imm16 (C6.2.254 of the Arm ARM), whose register the MOVK has to share.
        let Some(load) = word(index).filter(|word| word & !0x1f == 0x5280_0000 | low << 5) else {
            continue;
        };
        let register = load & 0x1f;
        let keep = |imm: u32| 0x72a0_0000 | imm << 5 | register;
        let found = (index + 1..=index + WITHIN).find(|next| word(*next) == Some(keep(high)));
        if let Some(next) = found {
            places.push(Occurrence {
                offset: next * 4,
                bytes: keep(quiet_high).to_le_bytes().to_vec(),
            });
        }
    }
    places
}

/// An eight-byte constant among others, as the compiler pools them; not the text `NAMEPATH` in
/// the list of variables that matter to setuid programs.
fn arm64_pool(bytes: &[u8], name: &[u8]) -> Vec<Occurrence> {
    occurrences(bytes, name)
        .filter(|at| {
            let behind = at.checked_add(name.len()).and_then(|end| bytes.get(end..));
            at.is_multiple_of(name.len()) && !behind.unwrap_or_default().starts_with(b"PATH")
        })
        .map(|offset| lower(offset, name))
        .collect()
}

fn lower(offset: usize, name: &[u8]) -> Occurrence {
    Occurrence {
        offset,
        bytes: name.to_ascii_lowercase(),
    }
}

fn occurrences<'a>(bytes: &'a [u8], needle: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    memchr::memmem::find_iter(bytes, needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amd64_comparisons_are_told_from_text() {
        let code = b"\x81\x39PREL\x0f\x84PRELOAD\0\x81\x78\x03PREL\x48\xb8LIBRARY_LIBRARY_PATH\0";
        let found = comparisons(code, b"PREL", Machine::Amd64);
        assert_eq!(
            found,
            [Occurrence {
                offset: 2,
                bytes: b"prel".to_vec()
            }]
        );
        let found = comparisons(code, b"LIBRARY_", Machine::Amd64);
        assert_eq!(found.len(), 1);
        assert!(comparisons(b"PREL", b"PREL", Machine::Amd64).is_empty());
    }

    #[test]
    fn arm64_comparisons_may_have_other_instructions_in_between() {
        // mov w19, #0x5250; add x23, x29, #0xf0; movk w20, ..; movk w19, #0x4c45, lsl #16
        let words = [0x528a_4a13u32, 0x9103_c3b7, 0x72a9_2894, 0x72a9_88b3];
        let mut code: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let found = comparisons(&code, b"PREL", Machine::Arm64);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].offset, 12);
        code[12..16].copy_from_slice(&found[0].bytes);
        assert_eq!(
            u32::from_le_bytes(code[12..16].try_into().unwrap()),
            0x72ad_8cb3
        );
        assert!(comparisons(&code, b"PREL", Machine::Arm64).is_empty());

        let pool = b"ORIGIN_PLIBRARY_DEBUG_OULIBRARY_PATH\0";
        let found = comparisons(pool, b"LIBRARY_", Machine::Arm64);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].offset, 8);
    }
}
