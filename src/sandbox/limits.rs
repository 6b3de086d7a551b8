//! What a run may use of this machine, as far as this machine lets whoever runs it say so.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::cgroup::{Controller, Controllers};

/// Puts itself into control groups and turns into what stands behind `--`.
const JOIN: &str = r#"while [ "$1" != -- ]; do echo 0 > "$1/cgroup.procs" || exit 125; shift; done
shift; exec "$@""#;

/// Limits itself, within the sandbox, and turns into what stands behind.
///
/// Linux counts the processes of each user namespace for itself since 5.14.
const ULIMIT: &str = r#"[ -z "$1" ] || ulimit -u "$1"; [ -z "$2" ] || ulimit -d "$2"
shift 2; exec "$@""#;

/// What a run may use.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Processes and threads.
    pub processes: Option<u64>,
    /// Processors' time, in seconds of it a second.
    pub cpus: Option<f64>,
}

/// How far a limit holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enforced {
    /// For all of a run together.
    Whole,
    /// For each of its processes by itself.
    EachProcess,
    /// Not at all.
    Not,
}

/// What this machine can enforce for whoever runs this.
#[derive(Debug)]
pub struct Limiter {
    limits: Limits,
    controllers: Controllers,
    is_root: bool,
    counts_by_namespace: bool,
    made: AtomicU64,
}

/// The control groups of one run, which go with it.
#[derive(Debug)]
pub struct LimitGroup {
    limiter: Arc<Limiter>,
    directories: Vec<PathBuf>,
}

impl Limiter {
    /// Looks for what can be enforced here.
    #[must_use]
    pub fn find(limits: Limits) -> Self {
        let release = rustix::system::uname();
        let release = release.release().to_string_lossy().into_owned();
        Self {
            limits,
            controllers: Controllers::find(&wanted(&limits), Path::new("/")),
            is_root: rustix::process::geteuid().is_root(),
            counts_by_namespace: is_at_least(&release, (5, 14)),
            made: AtomicU64::new(0),
        }
    }

    /// How far the limit on memory holds.
    #[must_use]
    pub fn memory(&self) -> Enforced {
        if self.controllers.has(Controller::Memory) {
            Enforced::Whole
        } else {
            Enforced::EachProcess
        }
    }

    /// How far the limit on processes holds.
    #[must_use]
    pub fn processes(&self) -> Enforced {
        if self.controllers.has(Controller::Processes) || self.limits_processes_inside() {
            Enforced::Whole
        } else {
            Enforced::Not
        }
    }

    /// How far the limit on processors holds.
    #[must_use]
    pub fn cpus(&self) -> Enforced {
        if self.controllers.has(Controller::Cpu) {
            Enforced::Whole
        } else {
            Enforced::Not
        }
    }

    /// What is asked for and does not hold as it should, in words.
    #[must_use]
    pub fn shortcomings(&self) -> Vec<&'static str> {
        let mut all = Vec::new();
        if self.limits.memory.is_some() && self.memory() != Enforced::Whole {
            all.push("the limit on memory holds for each process, not for a whole run");
        }
        if self.limits.processes.is_some() && self.processes() != Enforced::Whole {
            all.push("the limit on processes is not enforced");
        }
        if self.limits.cpus.is_some() && self.cpus() != Enforced::Whole {
            all.push("the limit on processors is not enforced");
        }
        all
    }

    /// Linux does not count the processes of the machine's own root.
    fn limits_processes_inside(&self) -> bool {
        self.counts_by_namespace && !self.is_root
    }

    /// Makes the control groups for one run.
    ///
    /// # Errors
    /// When the machine refuses, which it did not promise by what was found.
    pub fn group(self: &Arc<Self>) -> std::io::Result<LimitGroup> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let name = format!("ohoci-{}-{number}", std::process::id());
        Ok(LimitGroup {
            directories: self.controllers.make(&name, &self.limits)?,
            limiter: Arc::clone(self),
        })
    }
}

/// The controllers that limits need.
fn wanted(limits: &Limits) -> Vec<Controller> {
    [
        (limits.memory.is_some(), Controller::Memory),
        (limits.processes.is_some(), Controller::Processes),
        (limits.cpus.is_some(), Controller::Cpu),
    ]
    .into_iter()
    .filter_map(|(wanted, controller)| wanted.then_some(controller))
    .collect()
}

impl LimitGroup {
    /// The command line that a sandbox has to be started by; empty where there is nothing to join.
    #[must_use]
    pub fn before(&self) -> Vec<OsString> {
        if self.directories.is_empty() {
            return Vec::new();
        }
        let mut words: Vec<OsString> = ["/bin/sh", "-c", JOIN, "sh"].map(OsString::from).into();
        words.extend(self.directories.iter().map(Into::into));
        words.push("--".into());
        words
    }

    /// A command line for within the sandbox, in which a shell limits itself as far as that is
    /// needed. `shell` has to be one whose `ulimit` knows `-u` and `-d`, such as bash.
    #[must_use]
    pub fn inside(&self, shell: &str, command: &[OsString]) -> Vec<OsString> {
        let limits = &self.limiter.limits;
        let controllers = &self.limiter.controllers;
        let processes = limits.processes.filter(|_| {
            !controllers.has(Controller::Processes) && self.limiter.limits_processes_inside()
        });
        let memory = limits
            .memory
            .filter(|_| !controllers.has(Controller::Memory));
        if processes.is_none() && memory.is_none() {
            return command.to_vec();
        }
        let text = |number: Option<u64>| number.map_or_else(String::new, |n| n.to_string());
        let mut words: Vec<OsString> = [shell, "-c", ULIMIT, "limits"].map(OsString::from).into();
        words.push(text(processes).into());
        // Counted in KiB.
        words.push(text(memory.map(|bytes| bytes >> 10)).into());
        words.extend_from_slice(command);
        words
    }

    /// Whether something in it was killed because its memory was used up.
    #[must_use]
    pub fn ran_out_of_memory(&self) -> bool {
        self.limiter
            .controllers
            .ran_out_of_memory(&self.directories)
    }
}

impl Drop for LimitGroup {
    fn drop(&mut self) {
        for directory in &self.directories {
            // Processes that are gone may be counted for another moment; what then stays is empty.
            for _ in 0..20 {
                match fs_err::remove_dir(directory) {
                    Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                        std::thread::sleep(std::time::Duration::from_millis(5));
                    }
                    _ => break,
                }
            }
        }
    }
}

/// Whether a kernel's release is at least that version.
fn is_at_least(release: &str, version: (u32, u32)) -> bool {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|number| number.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) => (major, minor) >= version,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_compared_by_their_numbers() {
        assert!(is_at_least("6.1.0-18-amd64", (5, 14)));
        assert!(is_at_least("5.14.0", (5, 14)));
        assert!(!is_at_least("5.4.0-150-generic", (5, 14)));
        assert!(!is_at_least("odd", (5, 14)));
    }

    fn limiter(is_root: bool) -> Arc<Limiter> {
        Arc::new(Limiter {
            limits: Limits {
                memory: Some(1 << 20),
                processes: Some(10),
                cpus: Some(1.0),
            },
            controllers: Controllers::default(),
            is_root,
            counts_by_namespace: true,
            made: AtomicU64::new(0),
        })
    }

    #[test]
    fn what_control_groups_do_not_limit_a_shell_does_as_far_as_it_can() {
        let words: Vec<OsString> = vec!["run".into()];
        let user = limiter(false).group().unwrap();
        let line = user.inside("/bin/bash", &words);
        assert_eq!(line[4..], ["10", "1024", "run"].map(OsString::from));
        assert!(user.before().is_empty());
        let root = limiter(true).group().unwrap();
        assert_eq!(root.inside("/bin/bash", &words)[4..6], ["", "1024"]);
    }

    #[test]
    fn what_is_not_enforced_is_said() {
        assert_eq!(limiter(false).shortcomings().len(), 2);
        assert_eq!(limiter(true).shortcomings().len(), 3);
    }
}
