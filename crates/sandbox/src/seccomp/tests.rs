//! The filter, by an interpreter of the instructions that it has.

use super::*;

const X86_64: u32 = 0xc000_003e;
const AARCH64: u32 = 0xc000_00b7;

/// What the kernel would answer.
fn answer(program: &[u8], architecture: u32, number: u32, arguments: [u32; 4]) -> u32 {
    let (mut at, mut loaded) = (0, 0);
    loop {
        let one = &program[at * 8..at * 8 + 8];
        let code = u16::from_ne_bytes([one[0], one[1]]);
        let value = u32::from_ne_bytes([one[4], one[5], one[6], one[7]]);
        let jump = |holds: bool| usize::from(if holds { one[2] } else { one[3] });
        at += 1;
        match code {
            LOAD => {
                loaded = match value {
                    NUMBER => number,
                    ARCHITECTURE => architecture,
                    argument => arguments[(argument as usize - 16) / 8],
                }
            }
            EQUAL => at += jump(loaded == value),
            GREATER => at += jump(loaded > value),
            ANY_BIT => at += jump(loaded & value != 0),
            JUMP => at += value as usize,
            RETURN => return value,
            other => panic!("{other:#x}"),
        }
    }
}

fn on_x86(calls: Calls, set_id: bool, number: u32, arguments: [u32; 4]) -> u32 {
    answer(&filter(calls, set_id), X86_64, number, arguments)
}

#[test]
fn what_reaches_beyond_a_sandbox_is_refused() {
    // keyctl, bpf, io_uring_setup, mount, unshare, setns, open_by_handle_at.
    for (architecture, numbers) in [
        (X86_64, [250, 321, 425, 165, 272, 308, 304]),
        (AARCH64, [219, 280, 425, 40, 97, 268, 265]),
    ] {
        let program = filter(Calls::default(), false);
        for number in numbers {
            let found = answer(&program, architecture, number, [0; 4]);
            assert_eq!(found, EPERM, "{number}");
        }
    }
}

#[test]
fn namespaces_are_made_only_where_that_is_allowed() {
    let nested = Calls {
        nested_namespaces: true,
        ..Calls::default()
    };
    let new_user = 0x1000_0011;
    assert_eq!(on_x86(Calls::default(), false, 56, [new_user; 4]), EPERM);
    assert_eq!(on_x86(Calls::default(), false, 56, [17; 4]), ALLOW);
    assert_eq!(on_x86(Calls::default(), false, 435, [0; 4]), ENOSYS);
    assert_eq!(on_x86(nested, false, 56, [new_user; 4]), ALLOW);
    assert_eq!(on_x86(nested, false, 272, [0; 4]), ALLOW);
    assert_eq!(on_x86(nested, false, 250, [0; 4]), EPERM);
}

#[test]
fn other_architectures_and_later_calls_are_told_that_there_are_none() {
    let program = filter(Calls::default(), false);
    assert_eq!(answer(&program, 0x4000_0003, 1, [0; 4]), ENOSYS);
    assert_eq!(answer(&program, X86_64, 0x4000_0001, [0; 4]), ENOSYS);
    assert_eq!(answer(&program, X86_64, 470, [0; 4]), ENOSYS);
}

#[test]
fn set_id_bits_are_refused_where_others_could_use_them() {
    let none = Calls::default();
    for (number, arguments, is_refused) in [
        (90, [0, 0o4755, 0, 0], true),
        (91, [0, 0o2755, 0, 0], true),
        (91, [0, 0o1755, 0, 0], false),
        (268, [0, 0, 0o4755, 0], true),
        (257, [0, 0, 0o100, 0o4755], true),
        (257, [0, 0, 0, 0o4755], false),
        (2, [0, 0o101, 0o6755, 0], true),
        (133, [0, 0o104_755, 0, 0], true),
    ] {
        let expected = if is_refused { EPERM } else { ALLOW };
        assert_eq!(on_x86(none, true, number, arguments), expected, "{number}");
        assert_eq!(on_x86(none, false, number, arguments), ALLOW, "{number}");
    }
    assert_eq!(on_x86(none, true, 437, [0; 4]), ENOSYS);
}

#[test]
fn nobody_types_into_terminals_or_reaches_the_machine_below() {
    let none = Calls::default();
    assert_eq!(on_x86(none, false, 16, [0, 0x5412, 0, 0]), EPERM);
    assert_eq!(on_x86(none, false, 16, [0, 0x5413, 0, 0]), ALLOW);
    assert_eq!(on_x86(none, false, 41, [40, 0, 0, 0]), EAFNOSUPPORT);
    assert_eq!(on_x86(none, false, 41, [1, 0, 0, 0]), ALLOW);
    assert_eq!(on_x86(none, false, 135, [0x0040_0000, 0, 0, 0]), EPERM);
    assert_eq!(on_x86(none, false, 135, [u32::MAX, 0, 0, 0]), ALLOW);
}

#[test]
fn giving_files_away_seems_to_succeed_only_where_that_is_wanted() {
    let generous = Calls {
        gives_files_away: true,
        ..Calls::default()
    };
    for (architecture, numbers) in [(X86_64, &[92, 93, 94, 260][..]), (AARCH64, &[54, 55])] {
        for number in numbers {
            let answer = |calls| answer(&filter(calls, false), architecture, *number, [0; 4]);
            assert_eq!(answer(generous), SUCCEED);
            assert_eq!(answer(Calls::default()), ALLOW);
        }
    }
}
