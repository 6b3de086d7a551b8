//! What a run may use of this machine, as far as this machine lets whoever runs it say so.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Instant;

use rustix::process::{Pid, Resource, Rlimit, getrlimit};

use super::cgroup::{Controller, Controllers};
use super::control_group;
use super::limits::{Exceeded, Limits};
use super::memory_kills::MemoryKills;
use super::memory_use;
use super::usage::Written;

/// How many processes of a run are not its own: the one that waits for all others, and bubblewrap.
const OWN_PROCESSES: u64 = 2;

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
    /// Linux counts the processes of each user namespace for itself since 5.14.
    counts_by_namespace: bool,
}

/// The limits of one run; its control groups go with it.
#[derive(Debug)]
pub struct LimitGroup {
    limiter: Arc<Limiter>,
    directories: Vec<PathBuf>,
    kills: MemoryKills,
    written: Option<Arc<Written>>,
    /// The first process of what runs now, 0 where nothing does.
    first: Arc<AtomicI32>,
}

impl Limiter {
    /// Looks for what can be enforced here, and removes the control groups of runs that are dead.
    #[must_use]
    pub fn find(limits: Limits) -> Self {
        let controllers = Controllers::find(&wanted(&limits), Path::new("/"));
        for parent in controllers.parents() {
            control_group::remove_leftovers(parent);
        }
        Self {
            limits,
            controllers,
            counts_by_namespace: kernel_is_at_least((5, 14)),
        }
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
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
        if self.controllers.has(Controller::Processes) || self.counts_processes() {
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

    /// Which of these limits do not hold as they should, in words.
    #[must_use]
    pub fn shortcomings(&self, of: &Limits) -> Vec<&'static str> {
        let mut all = Vec::new();
        if of.memory.is_some() && self.memory() != Enforced::Whole {
            all.push("the limit on memory is held for each process by the kernel, but for the whole run only by looking ten times a second");
        }
        if of.processes.is_some() && self.processes() != Enforced::Whole {
            all.push("the limit on processes is not enforced");
        }
        if of.cpus.is_some() && self.cpus() != Enforced::Whole {
            all.push("the limit on processors is not enforced");
        }
        all
    }

    fn counts_processes(&self) -> bool {
        self.counts_by_namespace
    }

    /// Makes what limits one run, which writes to that directory; `None` where it can write nothing
    /// but file systems in memory.
    ///
    /// # Errors
    /// When the machine refuses, which it did not promise by what was found, a control group of the
    /// same name is there, or the directory cannot be looked at.
    pub fn group(self: &Arc<Self>, written: Option<&Path>) -> io::Result<LimitGroup> {
        let watches = self.limits.disk.is_some() || self.limits.inodes.is_some();
        let written = written
            .filter(|_| watches)
            .map(|path| Written::open(path, self.limits.disk, self.limits.inodes))
            .transpose()?;
        let limits = Limits {
            processes: (self.limits.processes).map(|count| count.saturating_add(OWN_PROCESSES)),
            ..self.limits
        };
        let directories = self.controllers.make(&control_group::new_name(), &limits)?;
        let kills = match self.controllers.memory_group(&directories) {
            Some(own) => MemoryKills::of_group(own),
            None => MemoryKills::around(Path::new("/")),
        };
        Ok(LimitGroup {
            directories,
            kills,
            written: written.map(Arc::new),
            first: Arc::new(AtomicI32::new(0)),
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
    /// The directories of its control groups.
    #[must_use]
    pub fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// The limits that each process of the run is to have. `limits_files` says whether no file may
    /// grow beyond the limit on the disk, wherever it is.
    #[must_use]
    pub fn resources(&self, limits_files: bool) -> Vec<(Resource, Rlimit)> {
        let limits = self.of_each_process(limits_files).into_iter();
        let limits = limits.filter_map(|(resource, limit)| Some((resource, limit?)));
        limits
            .map(|(resource, limit)| {
                // A limit that is lower already stays.
                let highest = getrlimit(resource).maximum.unwrap_or(u64::MAX);
                let limit = Some(limit.min(highest));
                let limit = Rlimit {
                    current: limit,
                    maximum: limit,
                };
                (resource, limit)
            })
            .collect()
    }

    /// The limits that each process has by itself and hands on to those that it starts. That on the
    /// number of processes counts all of a user namespace.
    fn of_each_process(&self, limits_files: bool) -> [(Resource, Option<u64>); 3] {
        let limits = &self.limiter.limits;
        let controllers = &self.limiter.controllers;
        let counts = self.limiter.counts_by_namespace;
        [
            (
                Resource::Nproc,
                limits
                    .processes
                    .map(|count| count.saturating_add(OWN_PROCESSES))
                    .filter(|_| counts && !controllers.has(Controller::Processes)),
            ),
            (
                Resource::Data,
                limits
                    .memory
                    .filter(|_| !controllers.has(Controller::Memory)),
            ),
            (
                Resource::Fsize,
                limits
                    .disk
                    .filter(|_| limits_files)
                    // So that what is over the limit can be told from what just keeps it.
                    .map(|disk| disk.saturating_add(64 << 10)),
            ),
        ]
    }

    /// Most bytes of each file system in memory, so that those do not get around the limit on memory
    /// where that holds for each process only.
    #[must_use]
    pub(crate) fn temporary_size(&self) -> Option<u64> {
        // The kernel's own share of the machine's memory.
        self.limiter.limits.memory.map(|memory| (memory / 2).max(1))
    }

    /// Whose nameless files count as written, too, and whose memory counts: those of a process and of
    /// what it starts.
    pub(super) fn is_written_by(&self, first: Option<Pid>) {
        self.first.store(Pid::as_raw(first), Ordering::Relaxed);
        if let Some(written) = &self.written {
            written.is_written_by(first);
        }
    }

    /// Waits until the run has written more than it may, or takes more memory than it may where it has
    /// no control group; forever, where that is not watched.
    pub(crate) async fn overrun(&self) -> Exceeded {
        tokio::select! {
            exceeded = self.written_too_much() => exceeded,
            exceeded = self.takes_too_much() => exceeded,
        }
    }

    async fn takes_too_much(&self) -> Exceeded {
        let is_counted = self.limiter.controllers.has(Controller::Memory);
        let Some(limit) = self.limiter.limits.memory.filter(|_| !is_counted) else {
            return std::future::pending().await;
        };
        let mut pause = Written::PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            let Some(first) = Pid::from_raw(self.first.load(Ordering::Relaxed)) else {
                continue;
            };
            let looked = tokio::task::spawn_blocking(move || {
                let started = Instant::now();
                let taken = memory_use::of_processes(first, limit);
                (taken, started.elapsed())
            });
            match looked.await {
                Ok((taken, _)) if taken > limit => return Exceeded::Memory(limit),
                // A tenth of a processor's time at most.
                Ok((_, elapsed)) => pause = Written::PAUSE.max(elapsed.saturating_mul(10)),
                // The runtime is about to end.
                Err(_) => return std::future::pending().await,
            }
        }
    }

    async fn written_too_much(&self) -> Exceeded {
        let Some(written) = &self.written else {
            return std::future::pending().await;
        };
        let mut pause = Written::PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            let written = Arc::clone(written);
            let looked = tokio::task::spawn_blocking(move || written.look()).await;
            match looked {
                Ok((Some(exceeded), _)) => return exceeded,
                Ok((None, next)) => pause = next,
                // The runtime is about to end.
                Err(_) => return std::future::pending().await,
            }
        }
    }

    /// Whether the run, which is over, has written more than it may. Blocks.
    #[must_use]
    pub(crate) fn has_overrun(&self) -> Option<Exceeded> {
        self.written.as_ref()?.look().0
    }

    /// Whether something in it, or where it has no control group of its own, something around it, was
    /// killed because memory was used up.
    #[must_use]
    pub fn memory_kill(&self) -> Option<Exceeded> {
        match (self.kills.found()?, self.limiter.limits.memory) {
            (kill, Some(limit)) if kill.is_own => Some(Exceeded::Memory(limit)),
            _ => Some(Exceeded::MachineMemory),
        }
    }
}

impl Drop for LimitGroup {
    fn drop(&mut self) {
        for directory in &self.directories {
            control_group::remove(directory);
        }
    }
}

/// Whether this machine's kernel is at least of that version.
pub(super) fn kernel_is_at_least(version: (u32, u32)) -> bool {
    let name = rustix::system::uname();
    is_at_least(&name.release().to_string_lossy(), version)
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

    const LIMITS: Limits = Limits {
        memory: Some(1 << 20),
        processes: Some(10),
        cpus: Some(1.0),
        disk: Some(1 << 20),
        inodes: Some(10),
        time: None,
    };

    fn limiter(counts_by_namespace: bool) -> Arc<Limiter> {
        Arc::new(Limiter {
            limits: LIMITS,
            controllers: Controllers::default(),
            counts_by_namespace,
        })
    }

    #[test]
    fn what_control_groups_do_not_limit_processes_are_limited_in() {
        let of = |counts, limits_files| {
            let group = limiter(counts).group(None).unwrap();
            group
                .of_each_process(limits_files)
                .map(|(_, limit)| limit.is_some())
        };
        assert_eq!(of(true, true), [true, true, true]);
        assert_eq!(of(false, false), [false, true, false]);
    }

    #[test]
    fn what_is_not_enforced_is_said() {
        assert_eq!(limiter(true).shortcomings(&LIMITS).len(), 2);
        assert_eq!(limiter(false).shortcomings(&LIMITS).len(), 3);
        assert!(limiter(true).shortcomings(&Limits::default()).is_empty());
    }
}
