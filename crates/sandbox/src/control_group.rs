//! A control group's life: a unique name, and its removal, even after its run was killed.

use std::io;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// What all names begin with.
const PREFIX: &str = "ohoci";

/// How often a group that processes are leaving is tried to be removed, and the time between.
const ATTEMPTS: u32 = 40;
const BETWEEN: Duration = Duration::from_millis(5);

/// A new name. It tells the living from the dead: the process namespace, the process in it, and when
/// that started; and what follows is random.
pub(super) fn new_name() -> String {
    // What stays the same is looked at once.
    static OWN: OnceLock<String> = OnceLock::new();
    let own = OWN.get_or_init(|| {
        let id = std::process::id();
        let started = start_of(id).unwrap_or_default();
        let namespace = namespace().unwrap_or_default();
        format!("{PREFIX}-{namespace}-{id}-{started}")
    });
    format!("{own}-{:016x}", fastrand::u64(..))
}

/// Removes the groups in one whose processes were started by an ohoci that is dead; what still runs
/// in them is killed. Those of other process namespaces are left alone: who is dead there cannot be
/// known here.
pub(super) fn remove_leftovers(parent: &Path) {
    let Ok(entries) = fs_err::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_some_and(is_of_the_dead) {
            kill(&entry.path());
            remove(&entry.path());
        }
    }
}

fn is_of_the_dead(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else {
        return false;
    };
    let numbers: Vec<&str> = rest.split('-').skip(1).collect();
    let &[of, id, started, _] = numbers.as_slice() else {
        return false;
    };
    let (Ok(of), Ok(id), Ok(started)) = (of.parse(), id.parse(), started.parse::<u64>()) else {
        return false;
    };
    // Without `/proc` every process would look dead.
    namespace() == Some(of)
        && start_of(std::process::id()).is_some()
        && start_of(id) != Some(started)
}

/// Removes a group that nothing runs in any more.
pub(super) fn remove(group: &Path) {
    for _ in 0..ATTEMPTS {
        match fs_err::remove_dir(group) {
            // Processes that are gone may be counted for another moment. What stays even so the
            // next run removes.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                kill(group);
                std::thread::sleep(BETWEEN);
            }
            _ => return,
        }
    }
}

/// Kills everything in a group.
fn kill(group: &Path) {
    // Version 2 since Linux 5.14; all at once.
    let at_once = group.join("cgroup.kill");
    if at_once.exists() && fs_err::write(at_once, "1").is_ok() {
        return;
    }
    let list = group.join("cgroup.procs");
    let members = || fs_err::read_to_string(&list).unwrap_or_default();
    for number in members().lines() {
        let Some(id) = number.parse().ok().and_then(Pid::from_raw) else {
            continue;
        };
        let Ok(process) = pidfd_open(id, PidfdFlags::empty()) else {
            continue;
        };
        // The number may have gone to another process before that.
        if members().lines().any(|member| member == number) {
            let _ = pidfd_send_signal(process, Signal::KILL);
        }
    }
}

/// Which process namespace this is.
fn namespace() -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    Some(fs_err::metadata("/proc/self/ns/pid").ok()?.ino())
}

/// When a process started, in ticks since the machine did (proc_pid_stat(5), field 22).
fn start_of(id: u32) -> Option<u64> {
    let line = fs_err::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The program's name may hold anything, but nothing after it holds a parenthesis.
    let (_, fields) = line.rsplit_once(") ")?;
    fields.split(' ').nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_of_the_dead_are_removed_and_those_of_the_living_stay() {
        let parent = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let namespace = namespace().unwrap();
        let id = std::process::id();
        let living = new_name();
        let dead = [
            format!("ohoci-{namespace}-{}-1-0000000000000000", child.id()),
            // This process's number, when it was another's.
            format!("ohoci-{namespace}-{id}-1-0000000000000000"),
        ];
        let others = [
            living.clone(),
            "ohoci-1-2".to_owned(),
            format!("ohoci-1-{}-1-0000000000000000", child.id()),
            "user.slice".to_owned(),
        ];
        for name in dead.iter().chain(&others) {
            fs_err::create_dir(parent.path().join(name)).unwrap();
        }
        remove_leftovers(parent.path());
        for name in &dead {
            assert!(!parent.path().join(name).exists(), "{name}");
        }
        for name in &others {
            assert!(parent.path().join(name).exists(), "{name}");
        }
        assert_ne!(new_name(), living);
    }
}
