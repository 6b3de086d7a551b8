//! What stands before a program with a terminal: it leads a session whose terminal that is, and then
//! becomes the program.
//!
//! Bubblewrap can begin a session, but not give it a terminal; and the session of a process outside has no
//! number inside, so that a shell finds itself in process group 0 and cannot go back to that at its end. So
//! the first steps have to be taken in the program's own process. No file of the image can be counted on
//! for them, nor its C library: they are a program of a few instructions, in a file in memory.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use super::description::Sandbox;

/// The number under which bubblewrap, and so the program, finds it open. It closes that itself.
pub(super) const NUMBER: i32 = 7;

/// What it does, in the instructions of `x86_64`:
/// `execve` of each path that it is given, up to an empty one, with the words behind that; a script that
/// names no interpreter is the shell's, as execvp(3) has it.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const CODE: &[u8] = &[
    0xbf, 0x07, 0x00, 0x00, 0x00,             // mov edi, NUMBER
    0xb8, 0x03, 0x00, 0x00, 0x00, 0x0f, 0x05, // close
    0xb8, 0x70, 0x00, 0x00, 0x00, 0x0f, 0x05, // setsid
    0x31, 0xff,                               // xor edi, edi
    0xbe, 0x0e, 0x54, 0x00, 0x00,             // mov esi, TIOCSCTTY
    0x31, 0xd2,                               // xor edx, edx
    0xb8, 0x10, 0x00, 0x00, 0x00, 0x0f, 0x05, // ioctl
    0x48, 0x8b, 0x04, 0x24,                   // mov rax, [rsp]: how many words
    0x4c, 0x8d, 0x6c, 0x24, 0x10,             // lea r13, [rsp+16]: the first path
    0x4c, 0x8d, 0x74, 0xc4, 0x10,             // lea r14, [rsp+rax*8+16]: the environment
    0x4c, 0x89, 0xeb,                         // mov rbx, r13
    0x48, 0x8b, 0x03,                         // words: mov rax, [rbx]
    0x48, 0x83, 0xc3, 0x08,                   // add rbx, 8
    0x80, 0x38, 0x00,                         // cmp byte ptr [rax], 0
    0x75, 0xf4,                               // jne words
    0x49, 0x8b, 0x7d, 0x00,                   // next: mov rdi, [r13]
    0x80, 0x3f, 0x00,                         // cmp byte ptr [rdi], 0
    0x74, 0x2f,                               // je none
    0x48, 0x89, 0xde,                         // mov rsi, rbx
    0x4c, 0x89, 0xf2,                         // mov rdx, r14
    0xb8, 0x3b, 0x00, 0x00, 0x00, 0x0f, 0x05, // execve
    0x49, 0x83, 0xc5, 0x08,                   // add r13, 8
    0x83, 0xf8, 0xf8,                         // cmp eax, -ENOEXEC
    0x75, 0xe1,                               // jne next
    0x48, 0x89, 0x3b,                         // mov [rbx], rdi: the script in place of its name
    0x48, 0x8d, 0x3d, 0x33, 0x00, 0x00, 0x00, // lea rdi, shell
    0x48, 0x89, 0x7b, 0xf8,                   // mov [rbx-8], rdi
    0x48, 0x8d, 0x73, 0xf8,                   // lea rsi, [rbx-8]
    0xb8, 0x3b, 0x00, 0x00, 0x00, 0x0f, 0x05, // execve
    0xbf, 0x02, 0x00, 0x00, 0x00,             // none: mov edi, 2
    0x48, 0x8d, 0x35, 0x20, 0x00, 0x00, 0x00, // lea rsi, text
    0xba, 0x25, 0x00, 0x00, 0x00,             // mov edx, its length
    0xb8, 0x01, 0x00, 0x00, 0x00, 0x0f, 0x05, // write
    0xbf, 0x7f, 0x00, 0x00, 0x00,             // mov edi, 127
    0xb8, 0xe7, 0x00, 0x00, 0x00, 0x0f, 0x05, // exit_group
];

/// The same in those of `aarch64`.
#[cfg(target_arch = "aarch64")]
#[rustfmt::skip]
const CODE: &[u8] = &[
    0xe0, 0x00, 0x80, 0xd2, // mov x0, NUMBER
    0x28, 0x07, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4, // close
    0xa8, 0x13, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4, // setsid
    0x00, 0x00, 0x80, 0xd2, // mov x0, 0
    0xc1, 0x81, 0x8a, 0xd2, // mov x1, TIOCSCTTY
    0x02, 0x00, 0x80, 0xd2, // mov x2, 0
    0xa8, 0x03, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4, // ioctl
    0xe9, 0x03, 0x40, 0xf9, // ldr x9, [sp]: how many words
    0xf3, 0x43, 0x00, 0x91, // add x19, sp, 16: the first path
    0x74, 0x0e, 0x09, 0x8b, // add x20, x19, x9, lsl 3: the environment
    0xf5, 0x03, 0x13, 0xaa, // mov x21, x19
    0xa9, 0x86, 0x40, 0xf8, // words: ldr x9, [x21], 8
    0x29, 0x01, 0x40, 0x39, // ldrb w9, [x9]
    0xc9, 0xff, 0xff, 0x35, // cbnz w9, words
    0x76, 0x86, 0x40, 0xf8, // next: ldr x22, [x19], 8
    0xc9, 0x02, 0x40, 0x39, // ldrb w9, [x22]
    0xa9, 0x01, 0x00, 0x34, // cbz w9, none
    0xe0, 0x03, 0x16, 0xaa, // mov x0, x22
    0xe1, 0x03, 0x15, 0xaa, // mov x1, x21
    0xe2, 0x03, 0x14, 0xaa, // mov x2, x20
    0xa8, 0x1b, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4, // execve
    0x1f, 0x20, 0x00, 0xb1, // cmn x0, ENOEXEC
    0xe1, 0xfe, 0xff, 0x54, // b.ne next
    0xb6, 0x02, 0x00, 0xf9, // str x22, [x21]: the script in place of its name
    0x80, 0x01, 0x00, 0x10, // adr x0, shell
    0xa0, 0x8e, 0x1f, 0xf8, // str x0, [x21, -8]!
    0xe1, 0x03, 0x15, 0xaa, // mov x1, x21
    0x01, 0x00, 0x00, 0xd4, // execve
    0x40, 0x00, 0x80, 0xd2, // none: mov x0, 2
    0x21, 0x01, 0x00, 0x10, // adr x1, text
    0xa2, 0x04, 0x80, 0xd2, // mov x2, its length
    0x08, 0x08, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4, // write
    0xe0, 0x0f, 0x80, 0xd2, // mov x0, 127
    0xc8, 0x0b, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4, // exit_group
];

/// For other architectures there is none.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const CODE: &[u8] = &[];

/// What stands behind the instructions, which have its places in them.
const DATA: &[u8] = b"/bin/sh\0ohoci: the program cannot be started\n";

/// The kernel's number of the architecture (`linux/elf-em.h`).
const MACHINE: u16 = if cfg!(target_arch = "aarch64") {
    183
} else {
    62
};

/// Where it is in memory.
const ADDRESS: u64 = 0x40_0000;

/// The sizes of the two headers (elf(5)), behind which the instructions begin.
const HEADER: u16 = 64;
const SEGMENT: u16 = 56;

/// The program, open to be handed on. `None` where it cannot be made: the machine is of another
/// architecture, or lets no file in memory be executed.
pub(super) fn open() -> Option<OwnedFd> {
    if CODE.is_empty() {
        return None;
    }
    let name = "session-leader";
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Linux before 6.3 knows no files in memory that are not to be executed.
    let file = memfd_create(name, flags | MemfdFlags::EXEC).or_else(|_| memfd_create(name, flags));
    let mut file = std::fs::File::from(file.ok()?);
    file.write_all(&image()).ok()?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    fcntl_add_seals(&file, seals).ok()?;
    Some(file.into())
}

/// An executable file of one segment.
fn image() -> Vec<u8> {
    let start = u64::from(HEADER) + u64::from(SEGMENT);
    let size = start + u64::try_from(CODE.len() + DATA.len()).unwrap_or_default();
    let mut image = Vec::new();
    // 64 bits, little-endian, version 1.
    image.extend(b"\x7fELF\x02\x01\x01");
    image.extend([0; 9]);
    // `ET_EXEC`
    image.extend(2_u16.to_le_bytes());
    image.extend(MACHINE.to_le_bytes());
    image.extend(1_u32.to_le_bytes());
    // Where it begins, and where the headers of segments and sections are: there are no sections.
    for value in [ADDRESS + start, u64::from(HEADER), 0] {
        image.extend(value.to_le_bytes());
    }
    image.extend(0_u32.to_le_bytes());
    for value in [HEADER, SEGMENT, 1, 0, 0, 0] {
        image.extend(value.to_le_bytes());
    }
    // `PT_LOAD`, to be read and executed: all of the file, on a page of its own.
    image.extend(1_u32.to_le_bytes());
    image.extend(5_u32.to_le_bytes());
    for value in [0, ADDRESS, ADDRESS, size, size, 0x1_0000] {
        image.extend(value.to_le_bytes());
    }
    image.extend(CODE);
    image.extend(DATA);
    image
}

/// The words that start it before a command: the paths that execvp(3) would try, and the command.
pub(super) fn command(sandbox: &Sandbox, command: &[OsString]) -> Vec<OsString> {
    let mut words = vec![OsString::from(format!("/proc/self/fd/{NUMBER}"))];
    if let Some(program) = command.first() {
        words.extend(paths(sandbox, program));
    }
    words.push(OsString::new());
    words.extend_from_slice(command);
    words
}

fn paths(sandbox: &Sandbox, program: &OsStr) -> Vec<OsString> {
    if program.as_bytes().contains(&b'/') {
        return vec![program.to_owned()];
    }
    let mut environment = sandbox.environment.iter();
    let path = environment.find(|(name, _)| name == "PATH");
    let path = path.map_or("/bin:/usr/bin", |(_, value)| value.as_str());
    path.split(':')
        .map(|directory| match directory {
            "" => Path::new(".").join(program),
            directory => Path::new(directory).join(program),
        })
        // Nothing is found by an empty name.
        .filter(|_| !program.is_empty())
        .map(Into::into)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    /// Runs it with these words.
    fn said(words: &[&OsStr]) -> (Option<i32>, String) {
        let file = open().unwrap();
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let copy = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        fs_err::write(&copy, fs_err::read(path).unwrap()).unwrap();
        fs_err::set_permissions(&copy, PermissionsExt::from_mode(0o755)).unwrap();
        let output = Command::new(&copy).args(words).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    }

    fn words<'a>(words: &'a [&'a str]) -> Vec<&'a OsStr> {
        words.iter().map(OsStr::new).collect()
    }

    #[test]
    fn the_first_path_that_can_be_executed_becomes_the_program() {
        let script = "echo \"$0 $1\"; [ \"$(cut -d' ' -f6 /proc/$$/stat)\" = $$ ] && exit 7";
        let given = [
            "/nowhere/sh",
            "/bin/sh",
            "",
            "name",
            "-c",
            script,
            "zero",
            "one",
        ];
        assert_eq!(said(&words(&given)), (Some(7), "zero one\n".to_owned()));
    }

    #[test]
    fn a_script_without_an_interpreter_is_the_shells() {
        let script = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        fs_err::write(&script, "echo \"$1\"; exit 3\n").unwrap();
        fs_err::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
        let path = script.as_os_str();
        let given = [path, OsStr::new(""), OsStr::new("name"), OsStr::new("one")];
        assert_eq!(said(&given), (Some(3), "one\n".to_owned()));
    }

    #[test]
    fn what_is_nowhere_is_told() {
        let (code, text) = said(&words(&["/nowhere/a", "/nowhere/b", "", "a"]));
        assert_eq!(code, Some(127));
        assert_eq!(text, "ohoci: the program cannot be started\n");
    }
}
