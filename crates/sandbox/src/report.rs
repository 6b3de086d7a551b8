//! What a process between fork and exec tells of itself, through a pipe.

use rustix::io::Errno;

/// What a new process tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// The number of the first process in the namespaces, and whether it was made in its control group.
    First(i32, bool),
    /// A step, the position of what it was about, and why it failed.
    Failed(Step, u8, Errno),
}

/// What may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Limiting what runs.
    Resource = 1,
    /// Becoming another user.
    User,
    /// Making namespaces.
    Namespaces,
    /// Making a network that leads nowhere.
    Network,
    /// Mounting the overlay.
    Overlay,
    /// Opening the root file system.
    Root,
    /// Finding or making a mount point.
    MountPoint,
    /// Opening what is to be mounted.
    Source,
    /// Mounting it.
    Mount,
    /// Starting the first process.
    Fork,
    /// Handing files on.
    Files,
    /// Having a terminal.
    Terminal,
    /// Joining control groups.
    Groups,
}

const STEPS: [Step; 13] = [
    Step::Resource,
    Step::User,
    Step::Namespaces,
    Step::Network,
    Step::Overlay,
    Step::Root,
    Step::MountPoint,
    Step::Source,
    Step::Mount,
    Step::Fork,
    Step::Files,
    Step::Terminal,
    Step::Groups,
];

/// The size of a report in its pipe.
pub(super) const REPORT: usize = 8;

impl Report {
    /// What goes into the pipe.
    pub(super) fn bytes(self) -> [u8; REPORT] {
        let (kind, at, value) = match self {
            Self::First(pid, is_in_group) => (0, u8::from(is_in_group), pid),
            Self::Failed(step, at, errno) => (step as u8, at, errno.raw_os_error()),
        };
        let [a, b, c, d] = value.to_ne_bytes();
        [kind, at, 0, 0, a, b, c, d]
    }

    /// Reads what [`bytes`](Self::bytes) made.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let [kind, at, _, _, value @ ..] = bytes else {
            return None;
        };
        let value = i32::from_ne_bytes(value.try_into().ok()?);
        if *kind == 0 {
            return Some(Self::First(value, *at != 0));
        }
        let step = STEPS.into_iter().find(|step| *step as u8 == *kind)?;
        Some(Self::Failed(step, *at, Errno::from_raw_os_error(value)))
    }
}

/// Why a step failed: which, at what, and why.
pub(super) type Failure = (Step, u8, Errno);

/// What a failed call makes of a step.
pub(super) fn at(step: Step) -> impl Fn(Errno) -> Failure {
    move |errno| (step, 0, errno)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read_as_they_were_written() {
        for report in [
            Report::First(4711, false),
            Report::First(4711, true),
            Report::Failed(Step::MountPoint, 3, Errno::LOOP),
            Report::Failed(Step::Files, 0, Errno::BADF),
        ] {
            assert_eq!(Report::parse(&report.bytes()), Some(report));
        }
        assert_eq!(Report::parse(&[99, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(Report::parse(b""), None);
    }
}
