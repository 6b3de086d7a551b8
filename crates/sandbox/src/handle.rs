//! Reaches a program that runs in a sandbox, from outside.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::open_files::with_descendants;

/// The number of the program in the process namespace of its sandbox: the first there is bubblewrap's,
/// which waits for all others.
const NUMBER_INSIDE: &str = "2";

/// Reaches the program of a run, while it runs; see [`Bubblewrap::reached_by`](super::Bubblewrap::reached_by).
#[derive(Clone, Debug, Default)]
pub struct ProgramHandle {
    /// The first process of the sandbox, 0 where nothing runs.
    first: Arc<AtomicI32>,
}

impl ProgramHandle {
    /// Sends a signal to the program itself, as `docker kill` does. Gives whether there was one.
    ///
    /// # Errors
    /// When it may not be sent.
    pub fn send(&self, signal: Signal) -> Result<bool, Errno> {
        let Some(first) = Pid::from_raw(self.first.load(Ordering::Relaxed)) else {
            return Ok(false);
        };
        let found = with_descendants(first.as_raw_pid())
            .into_iter()
            .filter_map(|number| Some((level(number)?, number)))
            // Deeper namespaces are the program's own.
            .min()
            .and_then(|(_, number)| Pid::from_raw(number));
        let Some(program) = found else {
            return Ok(false);
        };
        let sent = pidfd_open(program, PidfdFlags::empty()).and_then(|opened| {
            // Another process could have its number by now.
            match level(program.as_raw_pid()) {
                Some(_) => pidfd_send_signal(opened, signal),
                None => Err(Errno::SRCH),
            }
        });
        match sent {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    pub(super) fn is_of(&self, first: Option<Pid>) {
        self.first.store(Pid::as_raw(first), Ordering::Relaxed);
    }
}

/// In how many process namespaces a process is, if it is the program in the innermost of them.
fn level(number: i32) -> Option<usize> {
    let status = Path::new("/proc").join(number.to_string()).join("status");
    level_in(&fs_err::read_to_string(status).ok()?)
}

fn level_in(status: &str) -> Option<usize> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?;
    let numbers: Vec<&str> = line.split_ascii_whitespace().collect();
    let is_program = numbers.len() > 1 && numbers.last() == Some(&NUMBER_INSIDE);
    is_program.then_some(numbers.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_the_second_in_its_namespace() {
        let level = |numbers: &str| level_in(&format!("Name:\tsh\nNSpid:\t{numbers}\nVmPeak: 1"));
        assert_eq!(level("4711\t3\t2"), Some(3));
        for others in ["4711\t3\t1", "2", "4711\t2\t12", ""] {
            assert_eq!(level(others), None, "{others}");
        }
        assert_eq!(ProgramHandle::default().send(Signal::TERM), Ok(false));
    }
}
