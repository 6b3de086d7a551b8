//! A sandbox that was started.

use std::io::{self, PipeReader, PipeWriter, Write as _};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Child, ExitStatus};
use std::sync::mpsc;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, pidfd_send_signal};

use super::open_files::with_living_descendants;

/// Takes a process into a control group, given the file of that which takes numbers of processes; one that
/// has ended needs no limits.
pub(super) fn take(mut group: &fs_err::File, process: Pid) -> io::Result<()> {
    let number = process.as_raw_pid().to_string();
    match group.write_all(number.as_bytes()) {
        Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Ok(()),
        written => written,
    }
}

/// What was started. Dropping it kills it, and waits until it is gone.
#[derive(Debug)]
pub(crate) struct Launched {
    /// The control group that takes processes in from outside, where they could not be made in it. That
    /// takes the kernel milliseconds, so bubblewrap is taken in while it sets up what it can before the gate
    /// is opened, and is not kept waiting.
    pub(super) group: Option<fs_err::File>,
    pub(super) child: Child,
    /// With the first process of a process namespace all others in it die, before it is gone.
    pub(crate) first: Option<OwnedFd>,
    /// Its number, which means nothing once it is gone.
    pub(crate) first_number: Option<Pid>,
    /// Where bubblewrap tells how it is getting on.
    pub(crate) status: Option<PipeReader>,
    /// Nothing of the sandbox is started until something is written here.
    pub(crate) gate: Option<PipeWriter>,
    /// What listens in its network, for whoever answers there.
    pub(crate) listeners: Vec<TcpListener>,
    /// The thread that started it lasts as long as this: with it all of it would die.
    pub(super) _thread: mpsc::Sender<()>,
}

impl Launched {
    /// Takes in what bubblewrap may have started before it was taken in itself: all else comes from
    /// that.
    ///
    /// # Errors
    /// When a control group takes no process.
    pub(crate) fn is_limited(&self) -> io::Result<()> {
        let Some(group) = &self.group else {
            return Ok(());
        };
        let own = Pid::from_child(&self.child);
        for number in with_living_descendants(self.first_number.unwrap_or(own).as_raw_pid()) {
            if let Some(process) = Pid::from_raw(number) {
                take(group, process)?;
            }
        }
        Ok(())
    }

    /// Lets the sandbox begin.
    pub(crate) fn open_gate(&mut self) {
        if let Some(mut gate) = self.gate.take() {
            // Where it has died meanwhile, the status tells.
            let _ = gate.write_all(b"\n");
        }
    }

    /// Kills everything in the sandbox, and with it bubblewrap.
    fn kill(&mut self) {
        // What is no longer there need not be killed.
        let _ = match &self.first {
            Some(first) => pidfd_send_signal(first, Signal::KILL).map_err(io::Error::from),
            None => self.child.kill(),
        };
    }

    /// Waits until everything has ended by itself, and is gone.
    pub(crate) fn wait(&mut self) -> io::Result<ExitStatus> {
        if let Some(first) = &self.first {
            // Readable when it is gone, and it goes last of those in its namespace.
            while let Err(errno) = poll(&mut [PollFd::new(first, PollFlags::IN)], None) {
                if errno != Errno::INTR {
                    return Err(errno.into());
                }
            }
        }
        self.child.wait()
    }

    /// Kills what is left, and waits until all of it is gone. Blocks, but not for long.
    pub(crate) fn end(&mut self) -> io::Result<ExitStatus> {
        self.kill();
        self.wait()
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        // Where it has ended before, this does nothing; and there is no one to tell.
        let _ = self.end();
    }
}
