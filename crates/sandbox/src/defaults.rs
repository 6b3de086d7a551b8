//! Default limits, which keep a machine usable.

use std::path::Path;

use rustix::fs::statvfs;

use super::limits::Limits;

/// Most processes and threads.
pub(crate) const PROCESSES: u64 = 4096;

/// The share of a machine's memory that all runs together may have: three of four parts.
const MEMORY: (u64, u64) = (3, 4);
/// What one of several runs has at least: it is counted with so much.
const LEAST_MEMORY: u64 = 2 << 30;

/// Half of what is free is for all runs together, and this much for one at most.
const MOST_DISK: u64 = 16 << 30;
const MOST_INODES: u64 = 1_000_000;

/// The limits of each of so many runs side by side, which write to the file system that a directory
/// is on: memory, processes, disk and files. Processors and time are not limited.
#[must_use]
pub(crate) fn limits(written: &Path, side_by_side: usize) -> Limits {
    let runs = u64::try_from(side_by_side).unwrap_or(u64::MAX).max(1);
    let free = statvfs(written).ok();
    let disk = free
        .as_ref()
        .map(|free| free.f_bavail.saturating_mul(free.f_frsize));
    // Some file systems make them as they are needed.
    let inodes = free.filter(|free| free.f_files > 0);
    Limits {
        memory: memory().map(|all| share_of_memory(all, runs)),
        processes: Some(PROCESSES),
        disk: Some(share_of_disk(disk, MOST_DISK, runs)),
        inodes: Some(share_of_disk(
            inodes.map(|free| free.f_favail),
            MOST_INODES,
            runs,
        )),
        cpus: None,
        time: None,
    }
}

fn share_of_memory(all: u64, runs: u64) -> u64 {
    let (part, of) = MEMORY;
    let together = (all / of).saturating_mul(part);
    (together / runs).max(LEAST_MEMORY).min(together)
}

fn share_of_disk(free: Option<u64>, most: u64, runs: u64) -> u64 {
    free.map_or(most, |free| (free / 2 / runs).min(most))
}

/// The bytes of memory that this machine has, or the control groups that this process is in.
fn memory() -> Option<u64> {
    let meminfo = fs_err::read_to_string("/proc/meminfo").ok()?;
    let machine = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok())?
        .checked_mul(1024)?;
    let groups = limit_of_groups(Path::new("/"));
    Some(groups.map_or(machine, |limit| limit.min(machine)))
}

/// The lowest limit on memory of the groups that this process is in; `root` is `/` but in tests.
fn limit_of_groups(root: &Path) -> Option<u64> {
    let own = fs_err::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let mount = root.join("sys/fs/cgroup");
    let mut lowest = None::<u64>;
    for line in own.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(names), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        let (tree, file) = match names {
            "" => (mount.clone(), "memory.max"),
            names if names.split(',').any(|name| name == "memory") => {
                (mount.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let group = tree.join(path.trim_start_matches('/'));
        for group in group.ancestors().take_while(|one| one.starts_with(&tree)) {
            let text = fs_err::read_to_string(group.join(file)).unwrap_or_default();
            if let Ok(limit) = text.trim().parse::<u64>() {
                lowest = Some(lowest.map_or(limit, |known| known.min(limit)));
            }
        }
    }
    lowest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_runs_together_leave_something_to_the_machine() {
        assert_eq!(share_of_memory(16 << 30, 1), 12 << 30);
        assert_eq!(share_of_memory(64 << 30, 8), 6 << 30);
        assert_eq!(share_of_memory(16 << 30, 24), 2 << 30);
        assert_eq!(share_of_memory(1 << 30, 24), 768 << 20);
        assert_eq!(share_of_disk(Some(200 << 30), MOST_DISK, 1), 16 << 30);
        assert_eq!(share_of_disk(Some(40 << 30), MOST_DISK, 4), 5 << 30);
        assert_eq!(share_of_disk(None, MOST_INODES, 4), MOST_INODES);
        let here = limits(&std::env::temp_dir(), 1);
        assert!(here.memory.is_some() && here.disk.is_some() && here.inodes.is_some());
    }

    #[test]
    fn a_container_has_what_its_group_has() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        };
        write("proc/self/cgroup", "0::/a/b\n");
        write("sys/fs/cgroup/a/b/memory.max", "max\n");
        write("sys/fs/cgroup/a/memory.max", "4096\n");
        assert_eq!(limit_of_groups(root.path()), Some(4096));
        write("proc/self/cgroup", "4:memory:/c\n");
        write("sys/fs/cgroup/memory/c/memory.limit_in_bytes", "8192\n");
        assert_eq!(limit_of_groups(root.path()), Some(8192));
    }
}
