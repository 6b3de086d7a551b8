//! The machine's git, told not to read anybody's settings.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

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

/// Settings that no repository may change: no hooks, no clean-up at some time, no questions about
/// who owns a repository that is only read.
const SETTINGS: [&str; 5] = [
    "safe.directory=*",
    "gc.auto=0",
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.autocrlf=false",
];

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

    /// Runs it with nobody's settings, and gives what it writes.
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
        for setting in SETTINGS {
            command.arg("-c").arg(setting);
        }
        command
            .args(words)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LC_ALL", "C")
            .env("HOME", "/nonexistent")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_NO_LAZY_FETCH", "1")
            .envs(environment.iter().copied());
        outcome(command, words, input)
    }

    /// Runs it with the user's settings, for what is on a network.
    ///
    /// # Errors
    /// As [`Git::run`].
    pub fn run_as_user<A: AsRef<OsStr>>(&self, words: &[A]) -> Result<Vec<u8>, GitError> {
        let mut command = Command::new(&self.program);
        command
            .args(words)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("LC_ALL", "C");
        outcome(command, words, b"")
    }
}

fn outcome<A: AsRef<OsStr>>(
    mut command: Command,
    words: &[A],
    input: &[u8],
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
    let output = std::thread::scope(|scope| {
        // git may write before it has read everything.
        scope.spawn(move || {
            if let Some(mut stdin) = stdin {
                let _ = stdin.write_all(input);
            }
        });
        child.wait_with_output()
    })
    .map_err(|error| fail(error.to_string()))?;
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
        last.join("; ")
    }))
}
