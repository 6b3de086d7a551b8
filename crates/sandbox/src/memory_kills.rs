//! The kernel's own records of processes that it killed because memory was used up.

use std::path::{Path, PathBuf};

/// A record, and what it said before a run.
#[derive(Debug)]
pub(super) struct MemoryKills {
    record: Record,
    before: u64,
}

/// Where kills are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Record {
    /// By a run's own control group: those of its processes, whatever ran out of memory.
    Own(PathBuf),
    /// By a file with lines of a name and a number: those of a group around, or of the machine.
    Around(PathBuf),
    /// Nowhere that can be read.
    Nowhere,
}

/// A kill that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kill {
    /// Whether the run came up against its own limit, and not the machine against its end.
    pub(super) is_own: bool,
}

/// What all records call it (cgroups(7), `Documentation/admin-guide/cgroup-v2.rst`, vmstat).
const NAME: &str = "oom_kill";

impl MemoryKills {
    /// The records of a group that is of a run only.
    pub(super) fn of_group(group: &Path) -> Self {
        Self::new(Record::Own(group.to_owned()))
    }

    /// The nearest record of processes in this process's own groups: that of its group for memory,
    /// or of one above it that counts for those below, or the machine's. `root` is `/` but in tests.
    pub(super) fn around(root: &Path) -> Self {
        let own = fs_err::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
        let mount = root.join("sys/fs/cgroup");
        let mut candidates = Vec::new();
        for line in own.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(names), Some(path)) = (fields.next(), fields.next()) else {
                continue;
            };
            let path = path.trim_start_matches('/');
            if names.is_empty() {
                let group = mount.join(path);
                let groups = group.ancestors().take_while(|one| one.starts_with(&mount));
                candidates.extend(groups.map(|one| one.join("memory.events")));
            } else if names.split(',').any(|name| name == "memory") {
                // Version 1 counts for the group itself only. In a container the path may be the
                // host's, of which the root is all there is.
                let tree = mount.join("memory");
                let groups = [tree.join(path), tree];
                let records = groups.map(|group| group.join("memory.oom_control"));
                candidates.extend(records.into_iter().find(|record| record.exists()));
            }
        }
        candidates.push(root.join("proc/vmstat"));
        let found = candidates
            .into_iter()
            .find(|path| number(path, NAME).is_some());
        Self::new(found.map_or(Record::Nowhere, Record::Around))
    }

    fn new(record: Record) -> Self {
        let before = record.count();
        Self { record, before }
    }

    /// Whether there was one since.
    pub(super) fn found(&self) -> Option<Kill> {
        if self.record.count() <= self.before {
            return None;
        }
        // A group around, or the machine, counts whatever ran out.
        let is_own = match &self.record {
            Record::Own(group) => has_reached_its_limit(group),
            Record::Around(_) | Record::Nowhere => false,
        };
        Some(Kill { is_own })
    }
}

impl Record {
    fn count(&self) -> u64 {
        let count = match self {
            Self::Own(group) => ["memory.events", "memory.oom_control"]
                .into_iter()
                .find_map(|name| number(&group.join(name), NAME)),
            Self::Around(path) => number(path, NAME),
            Self::Nowhere => None,
        };
        count.unwrap_or_default()
    }
}

/// Whether a group has come up against its own limit: version 2 counts that; of version 1 the most
/// that was used is known, which what could not be had is missing from.
fn has_reached_its_limit(group: &Path) -> bool {
    let read = |name: &str| {
        let text = fs_err::read_to_string(group.join(name)).ok()?;
        text.trim().parse::<u64>().ok()
    };
    match number(&group.join("memory.events"), "oom") {
        Some(count) => count > 0,
        None => {
            let used = read("memory.max_usage_in_bytes").unwrap_or_default();
            read("memory.limit_in_bytes").is_some_and(|limit| used >= limit - limit / 16)
        }
    }
}

/// The number behind a name, in a file with one of each in every line.
fn number(path: &Path, name: &str) -> Option<u64> {
    let text = fs_err::read_to_string(path).ok()?;
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let (_, number) = lines.find(|(key, _)| *key == name)?;
    number.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }

    #[test]
    fn a_kill_by_the_machine_is_told_from_one_by_the_own_limit() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path();
        write(group, "memory.events", "oom 0\noom_kill 0\n");
        let kills = MemoryKills::of_group(group);
        assert_eq!(kills.found(), None);
        write(group, "memory.events", "oom 0\noom_kill 1\n");
        assert_eq!(kills.found(), Some(Kill { is_own: false }));
        write(group, "memory.events", "oom 2\noom_kill 1\n");
        assert_eq!(kills.found(), Some(Kill { is_own: true }));
    }

    #[test]
    fn version_1_is_read_too() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path();
        let control = "oom_kill_disable 0\nunder_oom 0\noom_kill ";
        write(group, "memory.oom_control", &format!("{control}0\n"));
        write(group, "memory.limit_in_bytes", "104857600\n");
        write(group, "memory.max_usage_in_bytes", "4096\n");
        let kills = MemoryKills::of_group(group);
        write(group, "memory.oom_control", &format!("{control}1\n"));
        assert_eq!(kills.found(), Some(Kill { is_own: false }));
        write(group, "memory.max_usage_in_bytes", "104853504\n");
        assert_eq!(kills.found(), Some(Kill { is_own: true }));
    }

    #[test]
    fn without_an_own_group_the_nearest_record_around_is_read() {
        for (own, record) in [
            ("0::/user/session\n", "sys/fs/cgroup/user/memory.events"),
            (
                "4:memory:/a\n0::/\n",
                "sys/fs/cgroup/memory/a/memory.oom_control",
            ),
            (
                "4:memory:/of/host\n",
                "sys/fs/cgroup/memory/memory.oom_control",
            ),
            ("", "proc/vmstat"),
        ] {
            let root = tempfile::tempdir().unwrap();
            write(root.path(), "proc/self/cgroup", own);
            write(root.path(), "proc/vmstat", "nr_free_pages 9\noom_kill 5\n");
            write(root.path(), record, "oom 5\noom_kill 5\n");
            let kills = MemoryKills::around(root.path());
            assert_eq!(kills.found(), None, "{own}");
            write(root.path(), record, "oom 5\noom_kill 6\n");
            assert_eq!(kills.found(), Some(Kill { is_own: false }), "{own}");
        }
    }
}
