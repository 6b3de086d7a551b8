//! Control groups, of either version, as far as this process may make some (cgroups(7)).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::control_group::new_name;
use super::limits::Limits;

/// Where they are mounted.
const MOUNT: &str = "sys/fs/cgroup";

/// Over which time the use of processors is counted, in microseconds.
const PERIOD: u64 = 100_000;

/// What a control group controls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Controller {
    /// Memory.
    Memory,
    /// The number of processes.
    Processes,
    /// Processors' time.
    Cpu,
}

impl Controller {
    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Processes => "pids",
            Self::Cpu => "cpu",
        }
    }
}

/// The groups in which this process can make others, by what they control.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Controllers {
    /// Of version 2: one group for everything.
    unified: Option<(PathBuf, Vec<Controller>)>,
    /// Of version 1: a group in each controller's own tree.
    separate: BTreeMap<Controller, PathBuf>,
}

impl Controllers {
    /// Looks for them below a root directory, which is `/` but in tests.
    #[must_use]
    pub(crate) fn find(wanted: &[Controller], root: &Path) -> Self {
        let mut found = Self::default();
        let Ok(own) = fs_err::read_to_string(root.join("proc/self/cgroup")) else {
            return found;
        };
        let mount = root.join(MOUNT);
        for line in own.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(names), Some(path)) = (fields.next(), fields.next()) else {
                continue;
            };
            let path = path.trim_start_matches('/');
            if names.is_empty() {
                found.unified = unified(&mount, &mount.join(path), wanted);
                continue;
            }
            for controller in wanted {
                if !names.split(',').any(|name| name == controller.name()) {
                    continue;
                }
                let tree = mount.join(controller.name());
                // In a container the path may be the host's, of which the root is all there is.
                let group = [tree.join(path), tree]
                    .into_iter()
                    .find(|group| can_make_groups(group));
                // Controllers that share a tree have one path.
                if let Some(group) = group.and_then(|group| fs_err::canonicalize(group).ok()) {
                    found.separate.insert(*controller, group);
                }
            }
        }
        found
    }

    /// Whether there is a group for it.
    #[must_use]
    pub(crate) fn has(&self, controller: Controller) -> bool {
        self.separate.contains_key(&controller)
            || self
                .unified
                .as_ref()
                .is_some_and(|(_, controllers)| controllers.contains(&controller))
    }

    /// The groups in which others are made.
    pub(super) fn parents(&self) -> BTreeSet<&Path> {
        let unified = self.unified.iter().map(|(group, _)| group.as_path());
        unified
            .chain(self.separate.values().map(PathBuf::as_path))
            .collect()
    }

    /// Which of the groups that were made counts memory.
    pub(super) fn memory_group<'a>(&self, made: &'a [PathBuf]) -> Option<&'a Path> {
        let parent = match self.separate.get(&Controller::Memory) {
            Some(parent) => parent,
            None if self.has(Controller::Memory) => &self.unified.as_ref()?.0,
            None => return None,
        };
        let mut made = made.iter().map(PathBuf::as_path);
        made.find(|group| group.parent() == Some(parent))
    }

    /// Makes groups of that name with these limits.
    ///
    /// # Errors
    /// When one is there already, with whatever limits, or cannot be made or
    /// limited; those that were made are removed.
    pub(crate) fn make(&self, name: &str, limits: &Limits) -> io::Result<Vec<PathBuf>> {
        let mut made = Vec::new();
        let done = self.try_make(name, limits, &mut made);
        if done.is_err() {
            for directory in &made {
                // They are empty; what cannot be removed does no harm.
                let _ = fs_err::remove_dir(directory);
            }
        }
        done.map(|()| made)
    }

    fn try_make(&self, name: &str, limits: &Limits, made: &mut Vec<PathBuf>) -> io::Result<()> {
        if let Some((parent, controllers)) = &self.unified {
            let group = parent.join(name);
            create(&group)?;
            made.push(group.clone());
            for controller in controllers {
                set_unified(*controller, &group, limits)?;
            }
        }
        for (controller, parent) in &self.separate {
            let group = parent.join(name);
            // Controllers may share a tree.
            if !made.contains(&group) {
                create(&group)?;
                made.push(group.clone());
            }
            set_separate(*controller, &group, limits)?;
        }
        Ok(())
    }
}

/// Makes a group that is not there yet.
fn create(group: &Path) -> io::Result<()> {
    fs_err::create_dir(group).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            let group = group.display();
            io::Error::other(format!(
                "the control group {group} is there already, and its limits may be others"
            ))
        }
        _ => error,
    })
}

/// Of this process's own group and those above it, the first in which groups can be made that have
/// controllers.
fn unified(mount: &Path, own: &Path, wanted: &[Controller]) -> Option<(PathBuf, Vec<Controller>)> {
    let mut best: Option<(PathBuf, Vec<Controller>)> = None;
    for group in own.ancestors().take_while(|group| group.starts_with(mount)) {
        if !can_make_groups(group) {
            continue;
        }
        let enabled = || {
            let list = fs_err::read_to_string(group.join("cgroup.subtree_control"));
            let list = list.unwrap_or_default();
            let names: Vec<&str> = list.split_whitespace().collect();
            wanted
                .iter()
                .copied()
                .filter(|controller| names.contains(&controller.name()))
                .collect::<Vec<_>>()
        };
        let mut controllers = enabled();
        if controllers.len() < wanted.len() {
            // Refused as long as processes are in the group itself, unless it is the topmost.
            for controller in wanted {
                let enable = format!("+{}", controller.name());
                let _ = fs_err::write(group.join("cgroup.subtree_control"), enable);
            }
            controllers = enabled();
        }
        let is_better = best
            .as_ref()
            .is_none_or(|(_, known)| controllers.len() > known.len());
        if !controllers.is_empty() && is_better {
            best = Some((group.to_owned(), controllers));
        }
    }
    best
}

/// Whether groups can be made in a group, found out by making one.
fn can_make_groups(group: &Path) -> bool {
    let probe = group.join(new_name());
    group.join("cgroup.procs").exists()
        && fs_err::create_dir(&probe).is_ok()
        && fs_err::remove_dir(&probe).is_ok()
}

fn set_unified(controller: Controller, group: &Path, limits: &Limits) -> io::Result<()> {
    match controller {
        Controller::Memory => {
            if let Some(bytes) = limits.memory {
                fs_err::write(group.join("memory.max"), bytes.to_string())?;
                // What swapping would add.
                set_if_there(&group.join("memory.swap.max"), "0")?;
                // A run that has lost some of its processes proves nothing.
                set_if_there(&group.join("memory.oom.group"), "1")?;
            }
        }
        Controller::Processes => set_processes(group, limits)?,
        Controller::Cpu => {
            if let Some(cpus) = limits.cpus {
                let line = format!("{} {PERIOD}", quota(cpus));
                fs_err::write(group.join("cpu.max"), line)?;
            }
        }
    }
    Ok(())
}

fn set_separate(controller: Controller, group: &Path, limits: &Limits) -> io::Result<()> {
    match controller {
        Controller::Memory => {
            if let Some(bytes) = limits.memory {
                fs_err::write(group.join("memory.limit_in_bytes"), bytes.to_string())?;
                let both = group.join("memory.memsw.limit_in_bytes");
                set_if_there(&both, &bytes.to_string())?;
            }
        }
        Controller::Processes => set_processes(group, limits)?,
        Controller::Cpu => {
            if let Some(cpus) = limits.cpus {
                fs_err::write(group.join("cpu.cfs_period_us"), PERIOD.to_string())?;
                fs_err::write(group.join("cpu.cfs_quota_us"), quota(cpus).to_string())?;
            }
        }
    }
    Ok(())
}

/// Sets what not every kernel has.
fn set_if_there(file: &Path, value: &str) -> io::Result<()> {
    match file.exists() {
        true => fs_err::write(file, value),
        false => Ok(()),
    }
}

fn set_processes(group: &Path, limits: &Limits) -> io::Result<()> {
    match limits.processes {
        Some(count) => fs_err::write(group.join("pids.max"), count.to_string()),
        None => Ok(()),
    }
}

/// The microseconds of a period that so many processors have.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a number of processors is small and not negative"
)]
fn quota(cpus: f64) -> u64 {
    ((cpus * PERIOD as f64) as u64).max(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Controller; 3] = [Controller::Memory, Controller::Processes, Controller::Cpu];

    const LIMITS: Limits = Limits {
        memory: Some(1 << 30),
        processes: Some(99),
        cpus: Some(1.5),
        disk: None,
        inodes: None,
        time: None,
    };

    fn scene(own: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let write = |path: String, text: &str| {
            let path = root.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        };
        write("proc/self/cgroup".to_owned(), own);
        for (path, text) in files {
            write(format!("{MOUNT}/{path}"), text);
        }
        root
    }

    fn limits_of(group: &Path, name: &str) -> String {
        fs_err::read_to_string(group.join(name)).unwrap()
    }

    #[test]
    fn in_version_2_the_group_with_most_controllers_is_taken() {
        let root = scene(
            "0::/user/session\n",
            &[
                ("cgroup.procs", ""),
                ("cgroup.subtree_control", "memory"),
                ("user/cgroup.procs", ""),
                ("user/cgroup.subtree_control", "cpu memory pids io"),
                ("user/session/cgroup.procs", "7"),
            ],
        );
        let found = Controllers::find(&ALL, root.path());
        assert!(ALL.iter().all(|controller| found.has(*controller)));
        let made = found.make("run", &LIMITS).unwrap();
        assert_eq!(made, [root.path().join(MOUNT).join("user/run")]);
        assert_eq!(limits_of(&made[0], "memory.max"), "1073741824");
        assert_eq!(limits_of(&made[0], "pids.max"), "99");
        assert_eq!(limits_of(&made[0], "cpu.max"), "150000 100000");
        assert_eq!(found.memory_group(&made), Some(made[0].as_path()));
    }

    #[test]
    fn in_version_1_each_controller_has_a_tree() {
        let root = scene(
            "4:memory:/a\n3:cpu,cpuacct:/\n2:pids:/gone\n0::/\n",
            &[
                ("memory/a/cgroup.procs", ""),
                ("cpu/cgroup.procs", ""),
                ("pids/cgroup.procs", ""),
            ],
        );
        let found = Controllers::find(&ALL, root.path());
        let made = found.make("run", &LIMITS).unwrap();
        let at = |path: &str| root.path().join(MOUNT).join(path);
        assert_eq!(made, [at("memory/a/run"), at("pids/run"), at("cpu/run")]);
        assert_eq!(limits_of(&made[0], "memory.limit_in_bytes"), "1073741824");
        assert_eq!(limits_of(&made[2], "cpu.cfs_quota_us"), "150000");
        assert_eq!(found.memory_group(&made), Some(made[0].as_path()));
    }

    #[test]
    fn controllers_that_share_a_tree_share_a_group() {
        let root = scene("2:cpu,pids:/\n", &[("cpu,pids/cgroup.procs", "")]);
        for name in ["cpu", "pids"] {
            let link = root.path().join(MOUNT).join(name);
            fs_err::os::unix::fs::symlink("cpu,pids", link).unwrap();
        }
        let found = Controllers::find(&ALL, root.path());
        let made = found.make("run", &LIMITS).unwrap();
        assert_eq!(made.len(), 1);
        assert_eq!(limits_of(&made[0], "pids.max"), "99");
        assert_eq!(limits_of(&made[0], "cpu.cfs_quota_us"), "150000");
    }

    #[test]
    fn a_group_that_is_there_already_is_refused() {
        for (own, file) in [
            ("0::/\n", "cgroup.procs"),
            ("4:memory:/\n", "memory/cgroup.procs"),
        ] {
            let enabled = ("cgroup.subtree_control", "memory pids cpu");
            let root = scene(own, &[(file, ""), enabled]);
            let found = Controllers::find(&ALL, root.path());
            let made = found.make("run", &LIMITS).unwrap();
            let refused = found.make("run", &LIMITS).unwrap_err().to_string();
            assert!(refused.contains("is there already"), "{refused}");
            assert!(made[0].exists(), "what others have made stays");
        }
    }

    #[test]
    fn a_limit_that_cannot_be_set_is_an_error() {
        let root = scene("4:memory:/\n", &[("memory/cgroup.procs", "")]);
        let found = Controllers::find(&ALL, root.path());
        let group = root.path().join(MOUNT).join("memory/run");
        fs_err::create_dir(&group).unwrap();
        fs_err::create_dir(group.join("memory.memsw.limit_in_bytes")).unwrap();
        assert!(set_separate(Controller::Memory, &group, &LIMITS).is_err());
        fs_err::remove_dir_all(&group).unwrap();
        assert!(found.make("run", &LIMITS).is_ok());
    }

    #[test]
    fn where_nothing_can_be_made_nothing_is_found() {
        for own in ["", "0::/\n", "1:memory:/\nodd\n"] {
            let found = Controllers::find(&ALL, scene(own, &[]).path());
            assert_eq!(found, Controllers::default());
            assert!(found.make("run", &LIMITS).unwrap().is_empty());
        }
    }
}
