//! git, told to start no program that a repository names: the machine's own, and that of an image.
//!
//! A repository's settings, of which whoever made it or has run in it is the author, name programs
//! for many occasions. Every git that ohoci starts is started with what is written here, which
//! counts for more than they do. What cannot be set for all names is not used at all: filters,
//! drivers and helpers of a name that the repository chooses belong to commands that ohoci gives
//! only to repositories whose settings it wrote itself, or inside of a sandbox.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use ohoci_config::secrets::without_secrets;

/// An installed git.
#[derive(Clone, Debug)]
pub struct Git {
    program: PathBuf,
}

/// Why git did not do what it was told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("git {command}: {why}")]
pub struct GitError {
    command: String,
    why: String,
}

/// Settings for every git (git-config(1)): nothing that runs on some occasion, no clean-up at some
/// time, no other repository within.
const EVERYWHERE: [&str; 7] = [
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.ext.allow=never",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
];

/// Settings for every git that needs nothing of the user's own: no program that shows, asks, signs,
/// checks or connects, and no questions about who owns a repository.
const OFFLINE: [&str; 17] = [
    "safe.directory=*",
    "core.pager=cat",
    "core.editor=false",
    "sequence.editor=false",
    "core.askPass=false",
    "core.sshCommand=false",
    "core.alternateRefsCommand=false",
    "credential.helper=",
    "interactive.diffFilter=cat",
    "log.showSignature=false",
    "commit.gpgSign=false",
    "tag.gpgSign=false",
    "gpg.program=false",
    "gpg.openpgp.program=false",
    "gpg.ssh.program=false",
    "gpg.x509.program=false",
    "protocol.allow=never",
];

/// Settings for the machine's git besides: files come out as they are in the repository.
const AS_STORED: [&str; 2] = ["core.autocrlf=false", "core.attributesFile=/dev/null"];

/// Variables for every git.
const VARIABLES: [(&str, &str); 1] = [("GIT_TERMINAL_PROMPT", "0")];

/// Variables for the machine's git where it needs nothing of the user's: neither settings nor a
/// network.
const OWN_VARIABLES: [(&str, &str); 9] = [
    ("LC_ALL", "C"),
    ("HOME", "/nonexistent"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_ATTR_NOSYSTEM", "1"),
    ("GIT_ALLOW_PROTOCOL", "none"),
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    ("GIT_NO_LAZY_FETCH", "1"),
    ("GIT_OPTIONAL_LOCKS", "0"),
];

/// How git is started in a sandbox, of whose repository nothing is known: what its command stands
/// behind.
pub fn words<'a>() -> impl Iterator<Item = &'a str> {
    std::iter::once("git").chain(options())
}

/// A command line for a shell in a sandbox, with each git in it started so.
#[must_use]
pub fn in_shell(line: &str) -> String {
    let options: Vec<String> = options().map(|word| format!("'{word}'")).collect();
    let git = format!("git {} ", options.join(" "));
    let words: Vec<&str> = line.split("git ").collect();
    words.join(&git)
}

fn options<'a>() -> impl Iterator<Item = &'a str> {
    let settings = EVERYWHERE.iter().chain(&OFFLINE);
    settings.flat_map(|setting| ["-c", *setting])
}

/// How slow a server of repositories may be: less than a kilobyte per second, for a minute.
const NOT_FOR_EVER: [&str; 2] = ["http.lowSpeedLimit=1024", "http.lowSpeedTime=60"];

/// How long it may take to fetch from a network, whatever comes.
const LONGEST: Duration = Duration::from_secs(3600);

impl Git {
    /// Looks for it in the directories of a `PATH`.
    #[must_use]
    pub fn find(path: Option<&OsStr>) -> Option<Self> {
        std::env::split_paths(path?)
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join("git"))
            .find(|program| program.is_file())
            .map(|program| Self { program })
    }

    /// Runs it without the user's settings and without a network, and returns what it writes.
    ///
    /// # Errors
    /// When it cannot be run or fails; with its own last words.
    pub fn run<A: AsRef<OsStr>>(&self, words: &[A], input: &[u8]) -> Result<Vec<u8>, GitError> {
        self.run_with(words, input, &[])
    }

    /// The same with further environment variables.
    ///
    /// # Errors
    /// As [`Git::run`].
    pub fn run_with<A: AsRef<OsStr>>(
        &self,
        words: &[A],
        input: &[u8],
        environment: &[(&str, &OsStr)],
    ) -> Result<Vec<u8>, GitError> {
        let mut command = Command::new(&self.program);
        for setting in EVERYWHERE.iter().chain(&OFFLINE).chain(&AS_STORED) {
            command.arg("-c").arg(setting);
        }
        command
            .args(words)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(VARIABLES)
            .envs(OWN_VARIABLES)
            .envs(environment.iter().copied());
        outcome(command, words, input, None)
    }

    /// Runs it with the user's settings, for what is on a network.
    ///
    /// # Errors
    /// As [`Git::run`].
    pub(crate) fn run_as_user<A: AsRef<OsStr>>(&self, words: &[A]) -> Result<Vec<u8>, GitError> {
        let mut command = Command::new(&self.program);
        for setting in EVERYWHERE.iter().chain(&NOT_FOR_EVER) {
            command.arg("-c").arg(setting);
        }
        command.args(words).envs(VARIABLES).env("LC_ALL", "C");
        outcome(command, words, b"", Some(LONGEST))
    }
}

fn outcome<A: AsRef<OsStr>>(
    mut command: Command,
    words: &[A],
    input: &[u8],
    limit: Option<Duration>,
) -> Result<Vec<u8>, GitError> {
    // Its first words tell enough; behind them stand paths of this machine.
    let name = || {
        let words: Vec<OsString> = words.iter().map(|word| word.as_ref().to_owned()).collect();
        let verb = words
            .iter()
            .find(|word| !word.to_string_lossy().starts_with('-'));
        verb.map_or_else(String::new, |verb| verb.to_string_lossy().into_owned())
    };
    let fail = |why: String| GitError {
        command: name(),
        why,
    };
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| fail(error.to_string()))?;
    let stdin = child.stdin.take();
    let handle = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())
        .map_err(|error| fail(io::Error::from(error).to_string()))?;
    let (ended, waits) = mpsc::channel::<()>();
    let is_late = AtomicBool::new(false);
    let output = std::thread::scope(|scope| {
        if let Some(limit) = limit {
            let (handle, is_late) = (&handle, &is_late);
            scope.spawn(move || {
                if waits.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
                    is_late.store(true, Ordering::Relaxed);
                    let _ = pidfd_send_signal(handle, Signal::KILL);
                }
            });
        }
        // git may write before it has read everything.
        scope.spawn(move || {
            if let Some(mut stdin) = stdin {
                let _ = stdin.write_all(input);
            }
        });
        let output = child.wait_with_output();
        drop(ended);
        output
    })
    .map_err(|error| fail(error.to_string()))?;
    if let Some(limit) = limit.filter(|_| is_late.load(Ordering::Relaxed)) {
        return Err(fail(format!("it took longer than {} s", limit.as_secs())));
    }
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.trim().lines().collect();
    let last = lines
        .iter()
        .rev()
        .take(3)
        .rev()
        .copied()
        .collect::<Vec<_>>();
    Err(fail(if last.is_empty() {
        output.status.to_string()
    } else {
        without_secrets(&last.join("; "))
    }))
}

#[cfg(test)]
mod tests;
