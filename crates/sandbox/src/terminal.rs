//! A terminal of a program's own (pty(7)), shown on this process's standard streams.
//!
//! The program never has the terminal that this process runs in: what it types into its own
//! (`TIOCSTI`), or sets there, reaches no shell of this machine.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{Errno, write};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, Winsize, isatty, tcgetattr,
    tcgetwinsize, tcsetattr, tcsetwinsize,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use super::standard_input::{self, Passed as PassedInput};

/// The size of a terminal that is shown on none.
const SIZE: Winsize = Winsize {
    ws_row: 24,
    ws_col: 80,
    ws_xpixel: 0,
    ws_ypixel: 0,
};

/// Both ends of a new terminal.
#[derive(Debug)]
pub(super) struct Terminal {
    /// What is typed goes in here, and what is shown comes out.
    controller: OwnedFd,
    /// What the program has.
    pub(super) programs: OwnedFd,
}

impl Terminal {
    /// Makes one, as large as the one that this process has.
    ///
    /// # Errors
    /// When this machine gives none.
    pub(super) fn create() -> io::Result<Self> {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&controller)?;
        unlockpt(&controller)?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        // By no path: another file system may be mounted where it would be.
        let programs = ioctl_tiocgptpeer(&controller, flags)?;
        tcsetwinsize(&controller, own_size().unwrap_or(SIZE))?;
        Ok(Self {
            controller,
            programs,
        })
    }

    /// Its other end, and what comes out of that.
    pub(super) fn split(self) -> io::Result<(OwnedFd, Shown, File)> {
        let output = self.controller.try_clone()?;
        let shown = Shown {
            controller: self.controller,
        };
        Ok((self.programs, shown, output.into()))
    }
}

/// A terminal that is to be shown.
#[derive(Debug)]
pub(super) struct Shown {
    controller: OwnedFd,
}

impl Shown {
    /// Begins to pass on what is typed, and every change of size. What this process's terminal makes of
    /// keys is left to the program's from now on. Tells when this process's terminal is gone.
    ///
    /// # Errors
    /// When the terminal cannot be set so, or there is no thread.
    pub(super) fn start(self, hung_up: Arc<Notify>) -> io::Result<Typing> {
        let raw = Raw::set()?;
        let resizing = resizing(self.controller.try_clone()?)?;
        let (ended, running) = io::pipe()?;
        let input = rustix::stdio::stdin().try_clone_to_owned();
        let thread = match input {
            Ok(input) => {
                let thread = std::thread::Builder::new().name("terminal".to_owned());
                let type_in = move || {
                    let typed = type_in(&input, &self.controller, &ended)?;
                    if typed == Typed::HungUp {
                        hung_up.notify_one();
                    }
                    Ok(())
                };
                Some(thread.spawn(type_in)?)
            }
            // There is no standard input.
            Err(_) => None,
        };
        Ok(Typing {
            thread,
            running: Some(running),
            resizing,
            _raw: raw,
        })
    }
}

/// What passes on while a program runs. Dropping it ends that, and gives this process's terminal back
/// as it was.
#[derive(Debug)]
pub(super) struct Typing {
    thread: Option<JoinHandle<io::Result<()>>>,
    /// Typing ends when this is closed.
    running: Option<PipeWriter>,
    resizing: tokio::task::JoinHandle<()>,
    _raw: Option<Raw>,
}

impl Drop for Typing {
    fn drop(&mut self) {
        self.resizing.abort();
        drop(self.running.take());
        if let Some(thread) = self.thread.take() {
            // What could not be typed in any more is of no use to a program that has ended.
            let _ = thread.join();
        }
    }
}

/// This process's terminal, which hands on every key as it is.
#[derive(Debug)]
struct Raw {
    terminal: OwnedFd,
    before: Termios,
}

impl Raw {
    /// `None` where standard input is no terminal.
    fn set() -> io::Result<Option<Self>> {
        let input = rustix::stdio::stdin();
        if !isatty(input) {
            return Ok(None);
        }
        let before = tcgetattr(input)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(input, OptionalActions::Drain, &raw)?;
        Ok(Some(Self {
            terminal: input.try_clone_to_owned()?,
            before,
        }))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(&self.terminal, OptionalActions::Drain, &self.before);
    }
}

/// The size of the terminal that this process is shown on.
fn own_size() -> Option<Winsize> {
    let streams: [BorrowedFd<'static>; 3] = [
        rustix::stdio::stdin(),
        rustix::stdio::stdout(),
        rustix::stdio::stderr(),
    ];
    let sizes = streams
        .into_iter()
        .filter_map(|stream| tcgetwinsize(stream).ok());
    sizes.into_iter().find(|size| size.ws_row > 0)
}

/// Gives the program's terminal the size of this process's whenever that changes.
fn resizing(controller: OwnedFd) -> io::Result<tokio::task::JoinHandle<()>> {
    let mut changes = signal(SignalKind::window_change())?;
    Ok(tokio::spawn(async move {
        loop {
            // The first time at once: it may have changed before changes were listened for.
            if let Some(size) = own_size() {
                let _ = tcsetwinsize(&controller, size);
            }
            if changes.recv().await.is_none() {
                return;
            }
        }
    }))
}

/// How typing in came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Typed {
    /// With what is read, or with the run.
    Ended,
    /// The terminal that it is read from is gone.
    HungUp,
}

/// Types in what comes from a stream, until it or the run has ended. At its end the program is told so,
/// as by the key for that; but a terminal that hands on every key only ends when it is gone.
fn type_in(input: &OwnedFd, controller: &OwnedFd, ended: &PipeReader) -> io::Result<Typed> {
    fcntl_setfl(controller, fcntl_getfl(controller)? | OFlags::NONBLOCK)?;
    // Nothing can be asked of it any more when it is gone.
    let is_terminal = isatty(input);
    let passed = standard_input::pass(input, controller, ended);
    match passed {
        PassedInput::Stopped { .. } => Ok(Typed::Ended),
        PassedInput::Ended { .. } | PassedInput::Failed { .. } if is_terminal => Ok(Typed::HungUp),
        PassedInput::Ended { last } => {
            end_input(controller.as_fd(), last, ended).map(|()| Typed::Ended)
        }
        PassedInput::Failed { error, .. } => Err(error),
    }
}

/// Has the program read the end of its input, if it reads by lines. In the middle of a line that takes
/// the key for it twice.
fn end_input(controller: BorrowedFd<'_>, last: Option<u8>, ended: &PipeReader) -> io::Result<()> {
    let modes = tcgetattr(controller)?;
    if !modes.local_modes.contains(LocalModes::ICANON) {
        return Ok(());
    }
    let key = modes.special_codes[SpecialCodeIndex::VEOF];
    let is_within_line = last.is_some_and(|byte| byte != b'\n');
    for _ in 0..if is_within_line { 2 } else { 1 } {
        loop {
            if !standard_input::is_ready(controller, rustix::event::PollFlags::OUT, ended) {
                return Ok(());
            }
            match write(controller, &[key]) {
                Err(Errno::INTR | Errno::AGAIN) => {}
                written => break written.map(drop)?,
            }
        }
    }
    Ok(())
}
