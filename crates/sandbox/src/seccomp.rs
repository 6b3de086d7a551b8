//! A filter of the kernel's calls (seccomp(2)): what no program in a sandbox needs and what would
//! reach beyond it is refused. The default profile of Docker (moby `profiles/seccomp/default.json`)
//! is the reference for what that is.

mod numbers;

use numbers::{ARCHITECTURES, Architecture};

/// `LD|W|ABS`: load a word of what is known of the call.
const LOAD: u16 = 0x20;
/// `JMP|JEQ|K`: compare with a constant.
const EQUAL: u16 = 0x15;
/// `JMP|JGT|K`: the same for greater numbers.
const GREATER: u16 = 0x25;
/// `JMP|JSET|K`: whether one of these bits is set.
const ANY_BIT: u16 = 0x45;
/// `RET|K`: end.
const RETURN: u16 = 0x06;
/// Where the number of the call, its architecture and its arguments stand (`struct seccomp_data`):
/// of the arguments the lower half, which is all of those that are looked at.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;
/// `SECCOMP_RET_ALLOW`: the call goes on.
const ALLOW: u32 = 0x7fff_0000;
/// `SECCOMP_RET_ERRNO`: the call fails with the error in the lower bits; 0 is none, and the call
/// seems to have succeeded.
const ERROR: u32 = 0x0005_0000;
const SUCCEED: u32 = ERROR;
const EPERM: u32 = ERROR | 1;
const ENOSYS: u32 = ERROR | 38;
const EAFNOSUPPORT: u32 = ERROR | 97;

/// `CLONE_NEW*` in clone(2): new namespaces, of whatever kind.
const NEW_NAMESPACES: u32 = 0x7e02_0000;
/// `O_CREAT` and `__O_TMPFILE`: only with them the mode means something.
const CREATING: u32 = 0o20_000_100;
/// `S_ISUID` and `S_ISGID`.
const SET_ID: u32 = 0o6000;
/// `TIOCSTI` and `TIOCLINUX`: typing into a terminal.
const TYPING: [u32; 2] = [0x5412, 0x541c];
/// `AF_VSOCK`: to the machine that this one runs on, whatever the network.
const VSOCK: u32 = 40;
/// Values of personality(2): Linux, 32-bit Linux, both with an old version's number, and asking.
const PERSONALITIES: [u32; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// What a filter is to do beyond what all do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Whether programs may make namespaces of their own, and mounts in them.
    pub nested_namespaces: bool,
    /// Whether giving files to other users seems to succeed: a sandbox has one user, and programs
    /// that set up a system give files to many.
    pub gives_files_away: bool,
}

/// The filter, in the form in which the kernel takes it (`struct sock_filter`). Programs for other
/// architectures, 32-bit x86 among them, are told that there are no calls.
///
/// `refuses_set_id` has it refuse to set the bits that let a program run as its owner: for files that
/// others on this machine can reach.
#[must_use]
pub(crate) fn filter(calls: Calls, refuses_set_id: bool) -> Vec<u8> {
    let mut program = Vec::new();
    for architecture in &ARCHITECTURES {
        let body = rules(architecture, calls, refuses_set_id);
        put(&mut program, LOAD, 0, 0, ARCHITECTURE);
        // A jump reaches 255 instructions; the body may be longer.
        put(&mut program, EQUAL, 1, 0, architecture.audit);
        let behind = u32::try_from(body.len() / 8).unwrap_or_default();
        put(&mut program, JUMP, 0, 0, behind);
        program.extend(body);
    }
    put(&mut program, RETURN, 0, 0, ENOSYS);
    program
}

/// `JMP|JA`: go on so many instructions later.
const JUMP: u16 = 0x05;

fn rules(architecture: &Architecture, calls: Calls, refuses_set_id: bool) -> Vec<u8> {
    let mut rules = Rules(Vec::new());
    let numbers = &architecture.numbers;
    put(&mut rules.0, LOAD, 0, 0, NUMBER);
    // Calls that came later than this list, and all of x32, which sets a high bit.
    put(&mut rules.0, GREATER, 0, 1, architecture.last);
    put(&mut rules.0, RETURN, 0, 0, ENOSYS);
    rules.all(architecture.refused, EPERM);
    // The C library goes on with clone(2), whose arguments can be looked at.
    rules.all(&[numbers.clone3], ENOSYS);
    if !calls.nested_namespaces {
        rules.all(architecture.namespaces, EPERM);
        rules.bits(numbers.clone, 0, NEW_NAMESPACES);
    }
    if calls.gives_files_away {
        rules.all(architecture.chown, SUCCEED);
    }
    if refuses_set_id {
        for (number, argument) in architecture.modes {
            rules.bits(*number, *argument, SET_ID);
        }
        for (number, flags) in architecture.opens {
            rules.creating(*number, *flags);
        }
        // Its arguments cannot be looked at.
        rules.all(&[numbers.openat2], ENOSYS);
    }
    rules.equal(numbers.ioctl, 1, &TYPING, EPERM);
    rules.equal(numbers.socket, 0, &[VSOCK], EAFNOSUPPORT);
    rules.unequal(numbers.personality, 0, &PERSONALITIES);
    put(&mut rules.0, RETURN, 0, 0, ALLOW);
    rules.0
}

/// Rules for calls; at the beginning of each the number of the call is loaded.
struct Rules(Vec<u8>);

impl Rules {
    /// For all of these calls.
    fn all(&mut self, numbers: &[u32], answer: u32) {
        for number in numbers {
            put(&mut self.0, EQUAL, 0, 1, *number);
            put(&mut self.0, RETURN, 0, 0, answer);
        }
    }

    /// Refuses a call where an argument has one of these bits.
    fn bits(&mut self, number: u32, argument: u32, bits: u32) {
        put(&mut self.0, EQUAL, 0, 4, number);
        self.load(argument);
        put(&mut self.0, ANY_BIT, 0, 1, bits);
        put(&mut self.0, RETURN, 0, 0, EPERM);
        put(&mut self.0, RETURN, 0, 0, ALLOW);
    }

    /// Refuses a call that makes a file of such a mode, which stands behind the flags.
    fn creating(&mut self, number: u32, flags: u32) {
        put(&mut self.0, EQUAL, 0, 6, number);
        self.load(flags);
        put(&mut self.0, ANY_BIT, 0, 3, CREATING);
        self.load(flags + 1);
        put(&mut self.0, ANY_BIT, 0, 1, SET_ID);
        put(&mut self.0, RETURN, 0, 0, EPERM);
        put(&mut self.0, RETURN, 0, 0, ALLOW);
    }

    /// Where an argument is one of these.
    fn equal(&mut self, number: u32, argument: u32, values: &[u32], answer: u32) {
        let count = u8::try_from(values.len()).unwrap_or_default();
        put(&mut self.0, EQUAL, 0, count * 2 + 2, number);
        self.load(argument);
        self.all(values, answer);
        put(&mut self.0, RETURN, 0, 0, ALLOW);
    }

    /// Refuses a call where an argument is none of these.
    fn unequal(&mut self, number: u32, argument: u32, values: &[u32]) {
        let count = u8::try_from(values.len()).unwrap_or_default();
        put(&mut self.0, EQUAL, 0, count * 2 + 2, number);
        self.load(argument);
        self.all(values, ALLOW);
        put(&mut self.0, RETURN, 0, 0, EPERM);
    }

    fn load(&mut self, argument: u32) {
        put(&mut self.0, LOAD, 0, 0, ARGUMENTS + 8 * argument);
    }
}

fn put(program: &mut Vec<u8>, code: u16, if_true: u8, if_false: u8, value: u32) {
    program.extend(code.to_ne_bytes());
    program.extend([if_true, if_false]);
    program.extend(value.to_ne_bytes());
}

#[cfg(test)]
mod tests;
