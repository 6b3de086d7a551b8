//! Opening a file of which only the name is known.
//!
//! A name may stand for a named pipe without a writer, a terminal, a device without an end, or
//! a file that the kernel makes up as it is read. Whoever opens those waits or reads for ever.

use std::fs::FileType;
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use fs_err::os::unix::fs::OpenOptionsExt as _;
use rustix::fs::OFlags;

/// What file systems that the kernel makes up are called, by their magic number (statfs(2)).
const MADE_UP: [(i128, &str); 8] = [
    (0x9fa0, "/proc"),
    (0x6265_6572, "/sys"),
    (0x6367_7270, "cgroup2"),
    (0x0027_e0eb, "cgroup"),
    (0x6462_6720, "debugfs"),
    (0x7472_6163, "tracefs"),
    (0x7363_6673, "securityfs"),
    (0x6165_676c, "pstore"),
];

/// Opens a regular file for reading; of a symlink, what it leads to.
///
/// # Errors
/// When it cannot be opened, or is something else than a regular file on a real file system: then
/// of the kind [`ErrorKind::InvalidInput`], or [`ErrorKind::IsADirectory`].
pub fn open(path: impl AsRef<Path>) -> io::Result<fs_err::File> {
    let path = path.as_ref();
    // Some devices act when they are opened, so they are not even that.
    check(path, fs_err::metadata(path)?.file_type())?;
    // Who puts a pipe there meanwhile has it opened without a wait, and refused all the same.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = fs_err::OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    check(path, file.metadata()?.file_type())?;
    // Its type differs from one architecture to the next.
    let magic: i128 = rustix::fs::fstatfs(&file)?.f_type.into();
    match MADE_UP.iter().find(|(known, _)| *known == magic) {
        Some((_, name)) => Err(refused(
            path,
            ErrorKind::InvalidInput,
            &format!("made up by the kernel ({name})"),
        )),
        None => Ok(file),
    }
}

/// The content of a regular file.
///
/// # Errors
/// As [`open`], and when it cannot be read.
pub fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    open(path)?.read_to_end(&mut content)?;
    Ok(content)
}

/// The content of a regular file that is text.
///
/// # Errors
/// As [`read`], and when it is not UTF-8.
pub fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    let mut content = String::new();
    open(path)?.read_to_string(&mut content)?;
    Ok(content)
}

/// Whether that is a regular file.
fn check(path: &Path, kind: FileType) -> io::Result<()> {
    let what = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => return Err(refused(path, ErrorKind::IsADirectory, "a directory")),
        () if kind.is_fifo() => "a pipe",
        () if kind.is_socket() => "a socket",
        () if kind.is_char_device() || kind.is_block_device() => "a device",
        () => "something else",
    };
    Err(refused(path, ErrorKind::InvalidInput, what))
}

fn refused(path: &Path, kind: ErrorKind, what: &str) -> io::Error {
    io::Error::new(
        kind,
        format!("{} is {what}, and not a file", path.display()),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use rustix::fs::{CWD, Mode, mknodat};

    use super::*;

    fn complaint(path: impl AsRef<Path>) -> String {
        open(path).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        mknodat(
            CWD,
            at("pipe"),
            rustix::fs::FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .unwrap();
        let _listener = UnixListener::bind(at("socket")).unwrap();
        fs_err::os::unix::fs::symlink(at("pipe"), at("link")).unwrap();
        for (path, words) in [
            (at("pipe"), "is a pipe"),
            (at("link"), "is a pipe"),
            (at("socket"), "is a socket"),
            (at("."), "is a directory"),
            ("/dev/zero".into(), "is a device"),
            ("/proc/self/status".into(), "made up by the kernel"),
        ] {
            let complaint = complaint(&path);
            assert!(complaint.contains(words), "{}: {complaint}", path.display());
        }
        assert_eq!(open(at("none")).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_file_is_read_also_behind_a_symlink() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs_err::write(&file, "content").unwrap();
        let link = directory.path().join("link");
        fs_err::os::unix::fs::symlink(&file, &link).unwrap();
        for path in [file, link] {
            assert_eq!(io::read_to_string(open(path).unwrap()).unwrap(), "content");
        }
    }
}
