//! The machines that layers are made for, as Debian and ELF name them.

use serde::Serialize;

use ohoci_image::Platform;

/// A 64-bit little-endian machine with a glibc port in Debian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Machine {
    /// `x86_64`.
    Amd64,
    /// `aarch64`.
    Arm64,
}

impl Machine {
    /// The machine of a platform; `None` for one that no layer can be made for.
    #[must_use]
    pub fn of(platform: &Platform) -> Option<Self> {
        match (platform.os.as_str(), platform.architecture.as_str()) {
            ("linux", "amd64") => Some(Self::Amd64),
            ("linux", "arm64") => Some(Self::Arm64),
            _ => None,
        }
    }

    /// The directory below `/usr/lib` that holds its libraries (Debian's multiarch triplet).
    #[must_use]
    pub(crate) fn triplet(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-linux-gnu",
            Self::Arm64 => "aarch64-linux-gnu",
        }
    }

    /// The file name of glibc's loader.
    #[must_use]
    pub fn loader(self) -> &'static str {
        match self {
            Self::Amd64 => "ld-linux-x86-64.so.2",
            Self::Arm64 => "ld-linux-aarch64.so.1",
        }
    }

    /// The interpreter that programs built for it name (their psABI's).
    #[must_use]
    pub fn interpreter(self) -> &'static str {
        match self {
            Self::Amd64 => "/lib64/ld-linux-x86-64.so.2",
            Self::Arm64 => "/lib/ld-linux-aarch64.so.1",
        }
    }

    /// `e_machine` in its ELF files (`EM_X86_64`, `EM_AARCH64`).
    #[must_use]
    pub fn elf(self) -> u16 {
        match self {
            Self::Amd64 => 62,
            Self::Arm64 => 183,
        }
    }
}
