//! Runs a program in a sandbox, to its end or to the end of its time.

use std::ffi::{OsStr, OsString};
use std::io;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::unix::pipe;
use tokio::time::Instant;

use super::answers::Answers;
use super::denial;
use super::description::Sandbox;
use super::handle::ProgramHandle;
use super::launch::Launch;
use super::launched::Launched;
use super::limiter::LimitGroup;
use super::limits::Exceeded;
use super::overlay::{Overlay, Tools};
use super::set_up::SharedRoot;
use super::staging::PrepareError;
use super::streams::{self, Passed, Streams};
use super::workspace::Workspace;

/// What the program is called.
const PROGRAM: &str = "bwrap";

/// An installed bubblewrap.
#[derive(Clone, Debug)]
pub struct Bubblewrap {
    program: PathBuf,
    overlay: Option<Overlay>,
    fuse: Option<Tools>,
    /// What everything that it runs is limited by.
    limits: Option<Arc<LimitGroup>>,
    /// By what the program is reached while it runs.
    handle: ProgramHandle,
    /// Who answers on ports of its network.
    answers: Option<Answers>,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this exit code; when a signal ended it, 128 and the signal's number.
    Exited(u8),
    /// It was killed because its time was over.
    TimedOut,
    /// It wrote more than it may, and was killed where it had not ended before that was noticed.
    Exceeded(Exceeded),
}

/// Why a program could not be run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no bubblewrap.
    #[error("the program bwrap is not installed")]
    Missing,
    /// This machine does not let it set up a sandbox.
    #[error("bwrap could not set up the sandbox: {0}")]
    Denied(&'static str),
    /// It could not set up the sandbox or start the program; it told why where the program's
    /// standard error goes.
    #[error(
        "bwrap could not set up the sandbox or start the program ({0}); what it wrote to standard error says why"
    )]
    NotStarted(ExitStatus),
    /// Something outside of it killed what the program runs in.
    #[error("something on this machine has killed the sandbox ({0})")]
    Killed(ExitStatus),
    /// The terminal that a program's own one was shown on is gone; the program was killed.
    #[error("the terminal is gone")]
    HungUp,
    /// Something before that failed.
    #[error(transparent)]
    Unprepared(#[from] PrepareError),
    /// Talking to bubblewrap failed.
    #[error("cannot {action}: {error}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// Why it failed.
        #[source]
        error: io::Error,
    },
}

impl RunError {
    /// What may help.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Missing => Some("install it: on Debian and Ubuntu, the package bubblewrap"),
            Self::Denied(_) => Some(denial::HINT),
            Self::Unprepared(error) => error.hint,
            Self::NotStarted(_) | Self::Killed(_) | Self::HungUp | Self::Io { .. } => None,
        }
    }

    fn io(action: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| Self::Io { action, error }
    }
}

impl Bubblewrap {
    /// Looks for it in the directories of a `PATH`.
    ///
    /// # Errors
    /// [`RunError::Missing`].
    pub fn find(path: Option<&OsStr>) -> Result<Self, RunError> {
        std::env::split_paths(path.unwrap_or_default())
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join(PROGRAM))
            .find(|program| program.is_file())
            .map(|program| Self {
                program,
                overlay: None,
                fuse: None,
                limits: None,
                handle: ProgramHandle::default(),
                answers: None,
            })
            .ok_or(RunError::Missing)
    }

    /// Where the program is.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The same, with everything that it runs under these limits.
    #[must_use]
    pub fn limited_by(&self, limits: Arc<LimitGroup>) -> Self {
        Self {
            limits: Some(limits),
            ..self.clone()
        }
    }

    /// The same, with the program reached by this handle as long as it runs. A handle is for one run at a
    /// time.
    #[must_use]
    pub fn reached_by(&self, handle: &ProgramHandle) -> Self {
        Self {
            handle: handle.clone(),
            ..self.clone()
        }
    }

    /// The same, for sandboxes with [`Network::DeadEnd`](super::Network::DeadEnd): before the program
    /// starts, `take` is given a socket that listens on 127.0.0.1 for each of these ports, which are no
    /// more than four. The sockets are the sandbox's network's, and whoever has them answers there from
    /// outside; connections wait until that is done.
    #[must_use]
    pub fn answered_on(
        &self,
        ports: &[u16],
        take: impl Fn(Vec<TcpListener>) + Send + Sync + 'static,
    ) -> Self {
        Self {
            answers: Some(Answers::new(ports, take)),
            ..self.clone()
        }
    }

    /// The same, for sandboxes whose root file system is that of a workspace.
    #[must_use]
    pub fn over(&self, workspace: &Workspace) -> Self {
        let (overlay, fuse) = workspace.mounted_from();
        Self {
            overlay: overlay.cloned(),
            fuse: fuse.cloned(),
            ..self.clone()
        }
    }

    /// The same, for sandboxes whose root file system is an overlay.
    #[must_use]
    pub fn mounting(&self, overlay: &Overlay) -> Self {
        Self {
            overlay: Some(overlay.clone()),
            fuse: None,
            ..self.clone()
        }
    }

    /// Runs a command line in a sandbox, and waits until it and everything that it started are
    /// gone; when its time is over, all of that is killed. Dropping the future kills it, too, and so
    /// does the end of this process, whatever its cause.
    ///
    /// # Errors
    /// When the sandbox cannot be set up, the program cannot be started, or what it writes cannot
    /// be passed on.
    pub async fn run(
        &self,
        sandbox: &Sandbox,
        command: &[OsString],
        streams: Streams,
        limit: Option<Duration>,
    ) -> Result<Ended, RunError> {
        let deadline = limit.map(|limit| Instant::now() + limit);
        let (mut running, passed) = self.start(sandbox, command, streams)?;
        let ended = tokio::select! {
            ended = running.until(deadline) => ended,
            exceeded = overrun(self.limits.as_deref()) => Ok(Some(Ended::Exceeded(exceeded))),
            () = passed.hung_up() => Err(RunError::HungUp),
        };
        let failed = RunError::io("wait for bwrap");
        let limits = self.limits.clone();
        let (gone, overrun) = tokio::task::spawn_blocking(move || {
            let gone = running.end();
            (gone, limits.and_then(|limits| limits.has_overrun()))
        })
        .await
        .map_err(|error| failed(io::Error::other(error)))?;
        let passed = passed.end().await;
        let ended = match (ended?, overrun) {
            // It was over before that was noticed.
            (Some(Ended::Exited(_)), Some(exceeded)) => Some(Ended::Exceeded(exceeded)),
            (ended, _) => ended,
        };
        passed.map_err(|(action, error)| RunError::Io { action, error })?;
        match ended {
            Some(ended) => Ok(ended),
            None => Err(refusal(&gone.map_err(failed)?)),
        }
    }

    fn start(
        &self,
        sandbox: &Sandbox,
        command: &[OsString],
        streams: Streams,
    ) -> Result<(Running, Passed), RunError> {
        let failed = RunError::io("start bwrap");
        let prepared = streams::prepare(streams).map_err(&failed)?;
        let shared = match self.overlay {
            Some(_) => None,
            None => SharedRoot::find(&sandbox.root),
        };
        let launched = Launch {
            bubblewrap: self.program.clone(),
            sandbox: sandbox.clone(),
            command: command.to_vec(),
            overlay: self.overlay.clone(),
            fuse: self.fuse.clone(),
            limits: self.limits.clone(),
            // No program writes to a file of this machine but by its root file system.
            limits_files: true,
            streams: prepared.streams,
            has_terminal: prepared.is_terminal,
            ports: self
                .answers
                .as_ref()
                .map_or_else(Vec::new, |answers| answers.ports.clone()),
            script: None,
        }
        .start()?;
        let mut running = Running {
            launched,
            limits: self.limits.clone(),
            handle: self.handle.clone(),
            shared,
            status: None,
            had_namespaces: false,
            has_begun: false,
        };
        if let Some(status) = running.launched.status.take() {
            let status = pipe::Receiver::from_owned_fd(status.into()).map_err(&failed)?;
            running.status = Some(BufReader::new(status).lines());
        }
        if let Some(answers) = &self.answers {
            answers.take(std::mem::take(&mut running.launched.listeners));
        }
        let passed = prepared.passing.start().map_err(&failed)?;
        Ok((running, passed))
    }
}

/// Waits until a run writes more than it may.
async fn overrun(limits: Option<&LimitGroup>) -> Exceeded {
    match limits {
        Some(limits) => limits.overrun().await,
        None => std::future::pending().await,
    }
}

/// A bubblewrap that runs.
struct Running {
    launched: Launched,
    limits: Option<Arc<LimitGroup>>,
    handle: ProgramHandle,
    /// The root file system, where others could write to it.
    shared: Option<SharedRoot>,
    status: Option<Lines<BufReader<pipe::Receiver>>>,
    /// Whether it came as far as to start a process in namespaces of its own.
    had_namespaces: bool,
    /// Whether the program could begin.
    has_begun: bool,
}

impl Running {
    /// Waits for the end of bubblewrap or of the time; `None` when the program never ran.
    async fn until(&mut self, deadline: Option<Instant>) -> Result<Option<Ended>, RunError> {
        let failed = RunError::io("wait for bwrap");
        let out_of_time = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(out_of_time);
        loop {
            let line = match &mut self.status {
                Some(status) => tokio::select! {
                    biased;
                    () = &mut out_of_time => return Ok(Some(Ended::TimedOut)),
                    line = status.next_line() => line.map_err(&failed)?,
                },
                None => None,
            };
            // The pipe ends with bubblewrap.
            let Some(line) = line else {
                return Ok(None);
            };
            // Documents of one line each (bwrap(1), `--json-status-fd`); others are for others.
            let Ok(document) = serde_json::from_str::<Value>(&line) else {
                continue;
            };
            if let Some(first) = document.get("child-pid").and_then(Value::as_i64) {
                self.had_namespaces = true;
                if self.launched.first.is_none() {
                    let first = i32::try_from(first).ok().and_then(Pid::from_raw);
                    let first = first.ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))?;
                    self.launched.first_number = Some(first);
                    let first = pidfd_open(first, PidfdFlags::empty());
                    self.launched.first = Some(first.map_err(|errno| failed(errno.into()))?);
                }
                if let Some(limits) = &self.limits {
                    limits.is_written_by(self.launched.first_number);
                }
                self.handle.is_of(self.launched.first_number);
                if let (Some(shared), Some(first)) = (&self.shared, self.launched.first_number) {
                    shared.is_set_up(first).await?;
                }
                self.launched.is_limited().map_err(&failed)?;
                self.has_begun = true;
                // It cannot end before it is watched, or another process might have its number.
                self.launched.open_gate();
            }
            if let Some(code) = document.get("exit-code").and_then(Value::as_u64) {
                let code = u8::try_from(code).unwrap_or(u8::MAX);
                return Ok(Some(Ended::Exited(code)));
            }
        }
    }

    /// Kills what is left, and waits until all of it is gone. Blocks, but not for long.
    fn end(&mut self) -> io::Result<Gone> {
        if let Some(limits) = &self.limits {
            limits.is_written_by(None);
        }
        self.handle.is_of(None);
        Ok(Gone {
            status: self.launched.end()?,
            had_namespaces: self.had_namespaces,
            has_begun: self.has_begun,
        })
    }
}

/// A bubblewrap that has ended.
struct Gone {
    status: ExitStatus,
    /// Whether it came as far as to start a process in namespaces of its own.
    had_namespaces: bool,
    /// Whether the program could begin.
    has_begun: bool,
}

impl Gone {
    /// Whether a signal ended it, or the process in it that all others end with.
    fn was_killed(&self) -> bool {
        self.status.signal().is_some() || self.status.code() == Some(KILLED)
    }
}

/// How what waits for a process ends when that was killed: 128 and the signal's number.
const KILLED: i32 = 128 + 9;

/// Why nothing ran.
fn refusal(gone: &Gone) -> RunError {
    match denial::reason() {
        Some(reason) if !gone.had_namespaces => RunError::Denied(reason),
        _ if gone.has_begun && gone.was_killed() => RunError::Killed(gone.status),
        _ => RunError::NotStarted(gone.status),
    }
}
