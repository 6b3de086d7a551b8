//! What is mounted where a process is.

use std::io;
use std::path::Path;

/// A line of `/proc/PID/mountinfo` (proc_pid_mountinfo(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) number: u64,
    /// The mount that it is mounted on.
    pub(super) on: u64,
    /// `MAJOR:MINOR`.
    pub(super) device: String,
    /// Where, seen from the process's root.
    pub(super) point: String,
    /// The kind of the file system.
    pub(super) kind: String,
}

impl Mount {
    /// All that a process sees, given its directory below `/proc`.
    pub(super) fn all_of(process: &Path) -> io::Result<Vec<Self>> {
        let text = fs_err::read(process.join("mountinfo"))?;
        let text = String::from_utf8_lossy(&text);
        Ok(text.lines().filter_map(Self::parse).collect())
    }

    pub(super) fn parse(line: &str) -> Option<Self> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ');
        Some(Self {
            number: fields.next()?.parse().ok()?,
            on: fields.next()?.parse().ok()?,
            device: fields.next()?.to_owned(),
            point: unescaped(fields.nth(1)?),
            kind: file_system.split(' ').next()?.to_owned(),
        })
    }
}

/// The kernel writes white space and backslashes as three octal digits.
fn unescaped(text: &str) -> String {
    let spaces = text.replace("\\040", " ").replace("\\011", "\t");
    spaces.replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let line = "14 10 254:0 /x /a\\040b rw,nosuid master:1 - ext4 /dev/vda rw";
        let expected = Mount {
            number: 14,
            on: 10,
            device: "254:0".to_owned(),
            point: "/a b".to_owned(),
            kind: "ext4".to_owned(),
        };
        assert_eq!(Mount::parse(line), Some(expected));
        assert_eq!(Mount::parse("14 10"), None);
    }
}
