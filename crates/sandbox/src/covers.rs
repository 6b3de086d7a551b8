//! What of `/proc` is not a process's own, and is therefore hidden or read-only inside.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Hidden: what runtimes mask by default (runc's `maskedPaths` as podman and Docker write them,
/// containers/common `pkg/config` and moby `oci/defaults.go`).
const HIDDEN: [&str; 10] = [
    "acpi",
    "asound",
    "interrupts",
    "kcore",
    "keys",
    "latency_stats",
    "sched_debug",
    "scsi",
    "timer_list",
    "timer_stats",
];

/// Read-only: what runtimes make so by default, and whatever else any user could open for writing.
const READ_ONLY: [&str; 6] = ["bus", "fs", "irq", "pressure", "sys", "sysrq-trigger"];

/// What is put over something in `/proc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cover {
    /// What it is put over.
    pub path: PathBuf,
    /// How that is seen.
    pub kind: CoverKind,
}

/// How something in `/proc` is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CoverKind {
    /// As it is, but not to be written.
    ReadOnly,
    /// A file that cannot be opened.
    HiddenFile,
    /// A directory that is empty.
    HiddenDirectory,
}

/// What is covered on this machine: of what is there.
#[must_use]
pub(crate) fn covers() -> &'static [Cover] {
    static FOUND: OnceLock<Vec<Cover>> = OnceLock::new();
    FOUND.get_or_init(|| find(Path::new("/proc")))
}

fn find(proc: &Path) -> Vec<Cover> {
    let mut found = Vec::new();
    // A process may be gone by now; what is not one's is always there.
    let entries = fs_err::read_dir(proc).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let Ok(metadata) = fs_err::symlink_metadata(entry.path()) else {
            continue;
        };
        let is_writable = metadata.is_file() && metadata.mode() & 0o002 != 0;
        let kind = if HIDDEN.contains(&&*name) {
            match metadata.is_dir() {
                true => CoverKind::HiddenDirectory,
                false => CoverKind::HiddenFile,
            }
        } else if READ_ONLY.contains(&&*name) || is_writable {
            CoverKind::ReadOnly
        } else {
            continue;
        };
        found.push(Cover {
            path: Path::new("/proc").join(&*name),
            kind,
        });
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_there_and_no_processs_own_is_covered() {
        let proc = tempfile::tempdir().unwrap();
        let at = |name: &str| proc.path().join(name);
        for name in ["1", "sys", "acpi", "tty"] {
            fs_err::create_dir(at(name)).unwrap();
        }
        for (name, mode) in [("kcore", 0o400), ("version", 0o444), ("open", 0o666)] {
            fs_err::write(at(name), "").unwrap();
            fs_err::set_permissions(at(name), PermissionsExt::from_mode(mode)).unwrap();
        }
        let found: Vec<_> = find(proc.path())
            .into_iter()
            .map(|cover| (cover.path.display().to_string(), cover.kind))
            .collect();
        let expected = [
            ("/proc/acpi", CoverKind::HiddenDirectory),
            ("/proc/kcore", CoverKind::HiddenFile),
            ("/proc/open", CoverKind::ReadOnly),
            ("/proc/sys", CoverKind::ReadOnly),
        ];
        let expected = expected.map(|(path, kind)| (path.to_owned(), kind));
        assert_eq!(found, expected);
    }
}
