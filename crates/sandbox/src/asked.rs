//! Limits as a person asks for them, and what they come to on this machine.

use std::path::Path;
use std::time::Duration;

use super::defaults;
use super::limits::Limits;

/// A limit that was asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Asked<T> {
    /// None.
    Unlimited,
    /// This.
    At(T),
}

/// What each run may use; `None` for what this machine can bear.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AskedLimits {
    /// Bytes of memory.
    pub memory: Option<Asked<u64>>,
    /// Processes and threads.
    pub processes: Option<Asked<u64>>,
    /// Processors.
    pub cpus: Option<Asked<f64>>,
    /// Bytes on disk.
    pub disk: Option<Asked<u64>>,
    /// Files and directories.
    pub inodes: Option<Asked<u64>>,
    /// How long it may take.
    pub time: Option<Asked<Duration>>,
}

impl AskedLimits {
    /// The limits: those that were asked for, and for the others what keeps this machine usable with
    /// so many runs side by side that write to the disk of this directory.
    #[must_use]
    pub fn limits(&self, written: &Path, side_by_side: usize, time: Option<Duration>) -> Limits {
        self.over(Limits {
            time,
            ..defaults::limits(written, side_by_side)
        })
    }

    /// Only those that were asked for.
    #[must_use]
    pub fn only(&self) -> Limits {
        self.over(Limits::default())
    }

    fn over(&self, usual: Limits) -> Limits {
        Limits {
            memory: or(self.memory, usual.memory),
            processes: or(self.processes, usual.processes),
            cpus: or(self.cpus, usual.cpus),
            disk: or(self.disk, usual.disk),
            inodes: or(self.inodes, usual.inodes),
            time: or(self.time, usual.time),
        }
    }
}

fn or<T>(asked: Option<Asked<T>>, usual: Option<T>) -> Option<T> {
    match asked {
        None => usual,
        Some(Asked::Unlimited) => None,
        Some(Asked::At(limit)) => Some(limit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_goes_before_what_is_usual() {
        let asked = AskedLimits {
            memory: Some(Asked::Unlimited),
            processes: Some(Asked::At(7)),
            ..AskedLimits::default()
        };
        let limits = asked.limits(&std::env::temp_dir(), 1, Some(Duration::from_secs(9)));
        assert_eq!((limits.memory, limits.processes), (None, Some(7)));
        assert!(limits.disk.is_some() && limits.inodes.is_some());
        assert_eq!(limits.time, Some(Duration::from_secs(9)));
        assert_eq!(asked.only().disk, None);
        assert_eq!(asked.only().processes, Some(7));
    }
}
