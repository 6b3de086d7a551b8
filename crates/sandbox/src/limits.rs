//! What a run may use, and what it came up against.

use std::fmt;
use std::time::Duration;

/// What a run may use. `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Bytes of memory, with what lies in file systems in memory.
    pub memory: Option<u64>,
    /// Processes and threads.
    pub processes: Option<u64>,
    /// Processors' time, in seconds of it a second.
    pub cpus: Option<f64>,
    /// Bytes that its root file system may grow by.
    pub disk: Option<u64>,
    /// Files and directories that its root file system may grow by.
    pub inodes: Option<u64>,
    /// How long it may take.
    pub time: Option<Duration>,
}

/// A limit that a run came up against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exceeded {
    /// Its time was over.
    Time(Duration),
    /// Something in it was killed because it used more bytes of memory than this.
    Memory(u64),
    /// Something in it was killed because the machine, or a control group around ohoci, had no
    /// memory left.
    MachineMemory,
    /// It wrote more bytes than this.
    Disk(u64),
    /// It made more files and directories than this.
    Inodes(u64),
    /// The file system that it writes to was about to be full.
    Space,
}

impl Exceeded {
    /// Whether it is the run's own limit, rather than something that this machine lacks.
    #[must_use]
    pub fn is_own(self) -> bool {
        !matches!(self, Self::MachineMemory | Self::Space)
    }

    /// What may help.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::Time(_) => "--timeout raises it",
            Self::Memory(_) => "--memory raises it",
            Self::MachineMemory => {
                "run less at once, or give each run less with --memory, so that the limit is reached before the machine's end"
            }
            Self::Disk(_) => "--disk raises it",
            Self::Inodes(_) => "--inodes raises it",
            Self::Space => "make room there, or set TMPDIR to a directory on a disk that has some",
        }
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(limit) => write!(f, "the time limit of {limit:?} was exceeded"),
            Self::Memory(limit) => {
                write!(
                    f,
                    "out of memory: the memory limit of {} was reached",
                    size(*limit)
                )
            }
            Self::MachineMemory => f.write_str("out of memory: the machine had none left"),
            Self::Disk(limit) => write!(f, "the disk limit of {} was exceeded", size(*limit)),
            Self::Inodes(limit) => {
                write!(f, "the limit of {limit} files and directories was exceeded")
            }
            Self::Space => f.write_str("the disk that it writes to is almost full"),
        }
    }
}

/// Bytes in powers of 1024, as limits are written: `4 GiB`, `1.5 MiB`.
#[must_use]
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    for (unit, shift) in UNITS {
        if let Some(tenths) = bytes.checked_mul(10).map(|tenths| tenths >> shift)
            && tenths >= 10
        {
            return match (tenths / 10, tenths % 10) {
                (whole, 0) => format!("{whole} {unit}"),
                (whole, tenth) => format!("{whole}.{tenth} {unit}"),
            };
        }
    }
    format!("{bytes} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_they_are_given() {
        for (bytes, text) in [
            (1000, "1000 bytes"),
            (1 << 20, "1 MiB"),
            (3 << 29, "1.5 GiB"),
            (1 << 44, "16 TiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
