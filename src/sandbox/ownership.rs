//! A filter that lets giving files to other users seem to succeed (seccomp(2)): a sandbox has one
//! user, and programs that set up a system give files to many.

/// `LD|W|ABS`: load a word of what is known of the call.
const LOAD: u16 = 0x20;
/// `JMP|JEQ|K`: compare with a constant.
const EQUAL: u16 = 0x15;
/// `RET|K`: end.
const RETURN: u16 = 0x06;
/// Where the number of the call and its architecture stand (`struct seccomp_data`).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
/// `SECCOMP_RET_ALLOW`: the call goes on.
const ALLOW: u32 = 0x7fff_0000;
/// `SECCOMP_RET_ERRNO` with the error 0: the call is over, and has succeeded.
const SUCCEED: u32 = 0x0005_0000;

/// The calls by architecture (`linux/audit.h`): `chown`, `fchown`, `lchown` and `fchownat`, as far as
/// it has them.
const CALLS: [(u32, &[u32]); 2] = [(0xc000_003e, &[92, 93, 94, 260]), (0xc000_00b7, &[54, 55])];

/// The filter, in the form in which the kernel takes it (`struct sock_filter`). Calls of programs for
/// other architectures are not touched.
#[must_use]
pub fn filter() -> Vec<u8> {
    let mut program = Vec::new();
    for (architecture, calls) in CALLS {
        let count = u8::try_from(calls.len()).unwrap_or_default();
        put(&mut program, LOAD, 0, 0, ARCHITECTURE);
        // Past the number's loading, the comparisons and both ends.
        put(&mut program, EQUAL, 0, count + 3, architecture);
        put(&mut program, LOAD, 0, 0, NUMBER);
        for (behind, call) in (1..=count).rev().zip(calls) {
            put(&mut program, EQUAL, behind, 0, *call);
        }
        put(&mut program, RETURN, 0, 0, ALLOW);
        put(&mut program, RETURN, 0, 0, SUCCEED);
    }
    put(&mut program, RETURN, 0, 0, ALLOW);
    program
}

fn put(program: &mut Vec<u8>, code: u16, if_true: u8, if_false: u8, value: u32) {
    program.extend(code.to_ne_bytes());
    program.extend([if_true, if_false]);
    program.extend(value.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would answer: an interpreter of the instructions that are used.
    fn answer(architecture: u32, number: u32) -> u32 {
        let program = filter();
        let (mut at, mut loaded) = (0, 0);
        loop {
            let one = &program[at * 8..at * 8 + 8];
            let code = u16::from_ne_bytes([one[0], one[1]]);
            let value = u32::from_ne_bytes([one[4], one[5], one[6], one[7]]);
            at += 1;
            match code {
                LOAD => {
                    loaded = match value {
                        NUMBER => number,
                        _ => architecture,
                    }
                }
                EQUAL if loaded == value => at += usize::from(one[2]),
                EQUAL => at += usize::from(one[3]),
                _ => return value,
            }
        }
    }

    #[test]
    fn only_giving_files_away_seems_to_succeed() {
        for (architecture, calls) in CALLS {
            for number in 0..500 {
                let expected = match calls.contains(&number) {
                    true => SUCCEED,
                    false => ALLOW,
                };
                assert_eq!(answer(architecture, number), expected, "{number}");
            }
        }
        // 182 is chown of 32-bit x86, 92 something else there.
        assert_eq!(answer(0x4000_0003, 92), ALLOW);
    }
}
