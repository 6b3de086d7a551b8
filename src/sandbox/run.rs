//! Runs a program in a sandbox, to its end or to the end of its time.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Seek as _, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use command_fds::{CommandFdExt as _, FdMapping};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, MemfdFlags, fstat, memfd_create};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::unix::pipe;
use tokio::time::Instant;

use super::bubblewrap::options;
use super::denial;
use super::description::Sandbox;
use super::limits::{Exceeded, LimitGroup};

/// What the program is called.
const PROGRAM: &str = "bwrap";

/// The numbers under which bubblewrap finds what it is handed.
const OPTIONS: i32 = 3;
const STATUS: i32 = 4;
const GATE: i32 = 5;
const FILTER: i32 = 6;

/// An installed bubblewrap.
#[derive(Clone, Debug)]
pub struct Bubblewrap {
    program: PathBuf,
    /// What is started in its place, and starts it.
    before: Vec<OsString>,
    /// What everything that it runs is limited by.
    limits: Option<Arc<LimitGroup>>,
    /// A seccomp filter for what it runs, if any.
    filter: Option<Vec<u8>>,
}

/// Where the program reads and writes.
pub enum Streams {
    /// Where this process does.
    Inherited,
    /// It reads nothing; what it writes to standard output and standard error comes through one
    /// pipe, in the order in which it is written.
    Into(Box<dyn Write + Send>),
}

impl std::fmt::Debug for Streams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Inherited => "Inherited",
            Self::Into(_) => "Into(…)",
        })
    }
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
            Self::NotStarted(_) | Self::Io { .. } => None,
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
                before: Vec::new(),
                limits: None,
                filter: None,
            })
            .ok_or(RunError::Missing)
    }

    /// The same, started by another command line to which bubblewrap's is added. It has to turn into
    /// it (by `exec`) or wait for it, and to hand it what it has open itself.
    #[must_use]
    pub fn started_by(&self, before: impl IntoIterator<Item = OsString>) -> Self {
        Self {
            before: before.into_iter().collect(),
            ..self.clone()
        }
    }

    /// The same, with everything that it runs under these limits.
    #[must_use]
    pub fn limited_by(&self, limits: Arc<LimitGroup>) -> Self {
        Self {
            limits: Some(limits),
            ..self.clone()
        }
    }

    /// The same, with a seccomp filter (seccomp(2)) for what it runs.
    #[must_use]
    pub fn filtered_by(&self, filter: Vec<u8>) -> Self {
        Self {
            filter: Some(filter),
            ..self.clone()
        }
    }

    /// Runs a command line in a sandbox, and waits until it and everything that it started are
    /// gone; when its time is over, all of that is killed. Dropping the future kills it, too.
    ///
    /// The calling thread has to last as long as the program, which dies with it: the thread of a
    /// runtime does, one of those for blocking work may not.
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
        let (mut running, pump) = self.start(sandbox, command, streams)?;
        let ended = tokio::select! {
            ended = running.until(deadline) => ended,
            exceeded = overrun(self.limits.as_deref()) => Ok(Some(Ended::Exceeded(exceeded))),
        };
        let failed = RunError::io("wait for bwrap");
        let limits = self.limits.clone();
        let (gone, overrun) = tokio::task::spawn_blocking(move || {
            let gone = running.end();
            (gone, limits.and_then(|limits| limits.has_overrun()))
        })
        .await
        .map_err(|error| failed(io::Error::other(error)))?;
        let ended = match (ended?, overrun) {
            // It was over before that was noticed.
            (Some(Ended::Exited(_)), Some(exceeded)) => Some(Ended::Exceeded(exceeded)),
            (ended, _) => ended,
        };
        if let Some(pump) = pump {
            let failed = RunError::io("pass on what the program wrote");
            match pump.await {
                Ok(done) => done.map_err(failed)?,
                Err(error) => return Err(failed(io::Error::other(error))),
            }
        }
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
    ) -> Result<(Running, Option<Pump>), RunError> {
        let failed = RunError::io("start bwrap");
        let (status, status_writer) = io::pipe().map_err(&failed)?;
        let (gate_reader, gate) = io::pipe().map_err(&failed)?;
        let mut bwrap = match self.before.split_first() {
            None => Command::new(&self.program),
            Some((first, words)) => {
                let mut command = Command::new(first);
                command.args(words).arg(&self.program);
                command
            }
        };
        // Nothing of ours is to be seen inside, and what the image sets is not to reach bubblewrap:
        // the loader of this machine would obey it.
        bwrap.env_clear().process_group(0);
        for (option, number) in [
            ("--args", OPTIONS),
            ("--json-status-fd", STATUS),
            ("--block-fd", GATE),
        ] {
            bwrap.arg(option).arg(number.to_string());
        }
        let size = self.limits.as_ref().and_then(|all| all.temporary_size());
        let mut handed = vec![
            mapping(options_in_memory(sandbox, size).map_err(&failed)?, OPTIONS),
            mapping(status_writer, STATUS),
            mapping(gate_reader, GATE),
        ];
        if let Some(filter) = &self.filter {
            bwrap.args(["--seccomp", &FILTER.to_string()]);
            let filter = in_memory("seccomp-filter", filter).map_err(&failed)?;
            handed.push(mapping(filter, FILTER));
        }
        bwrap.arg("--").args(command);
        bwrap
            .fd_mappings(handed)
            .map_err(|error| failed(io::Error::other(error)))?;
        let limits_files = match streams {
            Streams::Inherited => !writes_to_a_file(),
            Streams::Into(_) => true,
        };
        let pump = match streams {
            Streams::Inherited => None,
            Streams::Into(sink) => {
                let (output, writer) = io::pipe().map_err(&failed)?;
                bwrap
                    .stdin(Stdio::null())
                    .stdout(writer.try_clone().map_err(&failed)?)
                    .stderr(writer);
                Some((output, sink))
            }
        };
        let child = bwrap.spawn().map_err(&failed)?;
        // Our ends of what it was handed go with the command; or else no pipe would ever end.
        drop(bwrap);
        let mut running = Running {
            child,
            status: None,
            gate: Some(gate),
            first: None,
            limits: self.limits.clone(),
            limits_files,
        };
        let status = pipe::Receiver::from_owned_fd(status.into()).map_err(&failed)?;
        running.status = Some(BufReader::new(status).lines());
        let pump =
            pump.map(|(output, sink)| tokio::task::spawn_blocking(move || copy(output, sink)));
        Ok((running, pump))
    }
}

/// Waits until a run writes more than it may.
async fn overrun(limits: Option<&LimitGroup>) -> Exceeded {
    match limits {
        Some(limits) => limits.overrun().await,
        None => std::future::pending().await,
    }
}

/// Whether what a program writes to this process's own streams ends in a file, which may be larger
/// than what it writes to its root file system.
fn writes_to_a_file() -> bool {
    let is_file = |status: Result<rustix::fs::Stat, Errno>| {
        status.is_ok_and(|status| FileType::from_raw_mode(status.st_mode).is_file())
    };
    is_file(fstat(io::stdout())) || is_file(fstat(io::stderr()))
}

type Pump = tokio::task::JoinHandle<io::Result<()>>;

fn mapping(parent: impl Into<OwnedFd>, child_fd: i32) -> FdMapping {
    FdMapping {
        parent_fd: parent.into(),
        child_fd,
    }
}

/// Bubblewrap's options in a file without a name: on the command line everybody on this machine
/// could read the environment.
fn options_in_memory(sandbox: &Sandbox, temporary_size: Option<u64>) -> io::Result<OwnedFd> {
    let mut words = Vec::new();
    for option in options(sandbox, temporary_size) {
        words.extend_from_slice(option.as_bytes());
        words.push(0);
    }
    in_memory("bwrap-options", &words)
}

/// A file without a name on any disk, to be read from its beginning.
fn in_memory(name: &str, content: &[u8]) -> io::Result<OwnedFd> {
    let file = memfd_create(name, MemfdFlags::CLOEXEC)?;
    let mut file = std::fs::File::from(file);
    file.write_all(content)?;
    file.rewind()?;
    Ok(file.into())
}

/// Passes on everything there is. When that fails the program is not held up by it: the rest is
/// read all the same.
fn copy(mut output: io::PipeReader, mut sink: Box<dyn Write + Send>) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let mut result = Ok(());
    loop {
        let count = match output.read(&mut buffer) {
            Ok(0) => return result.and_then(|()| sink.flush()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return result.and(Err(error)),
        };
        if result.is_ok() {
            result = sink.write_all(buffer.get(..count).unwrap_or_default());
        }
    }
}

/// A bubblewrap that runs, and the first process in its sandbox.
struct Running {
    child: Child,
    status: Option<Lines<BufReader<pipe::Receiver>>>,
    /// Bubblewrap starts nothing until something is written here.
    gate: Option<io::PipeWriter>,
    /// With the first process of a process namespace all others in it die, before it is gone.
    first: Option<OwnedFd>,
    limits: Option<Arc<LimitGroup>>,
    /// Whether its files are limited one by one, too.
    limits_files: bool,
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
                let first = i32::try_from(first).ok().and_then(Pid::from_raw);
                let first = first.ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))?;
                let handle = pidfd_open(first, PidfdFlags::empty());
                self.first = Some(handle.map_err(|errno| failed(errno.into()))?);
                if let Some(limits) = &self.limits {
                    limits
                        .admit(first, self.limits_files)
                        .map_err(RunError::io("limit what runs"))?;
                }
                // It cannot end before it is watched, or another process might have its number.
                if let Some(mut gate) = self.gate.take() {
                    // Where it has died meanwhile, the status tells.
                    let _ = gate.write_all(b"\n");
                }
            }
            if let Some(code) = document.get("exit-code").and_then(Value::as_u64) {
                let code = u8::try_from(code).unwrap_or(u8::MAX);
                return Ok(Some(Ended::Exited(code)));
            }
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

    /// Kills what is left, and waits until all of it is gone. Blocks, but not for long.
    fn end(&mut self) -> io::Result<Gone> {
        self.kill();
        if let Some(first) = &self.first {
            // Readable when it is gone, and it goes last of those in its namespace.
            while let Err(errno) = poll(&mut [PollFd::new(first, PollFlags::IN)], None) {
                if errno != Errno::INTR {
                    return Err(errno.into());
                }
            }
        }
        Ok(Gone {
            status: self.child.wait()?,
            had_namespaces: self.first.is_some(),
        })
    }
}

/// A bubblewrap that has ended.
struct Gone {
    status: ExitStatus,
    /// Whether it came as far as to start a process in namespaces of its own.
    had_namespaces: bool,
}

/// Why nothing ran.
fn refusal(gone: &Gone) -> RunError {
    match denial::reason() {
        Some(reason) if !gone.had_namespaces => RunError::Denied(reason),
        _ => RunError::NotStarted(gone.status),
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Where it has ended before, this does nothing; and there is nobody to tell.
        let _ = self.end();
    }
}
