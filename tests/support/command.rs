//! The `ohoci` binary, run with a home, a cache and a working directory of its own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::schema;

/// A place from which `ohoci` is run; what it keeps there lasts from one run to the next.
pub(crate) struct Ohoci {
    root: TempDir,
}

/// What a run did.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ohoci {
    pub(crate) fn new() -> Self {
        let root = TempDir::new().unwrap();
        for name in ["home", "config", "cache", "runtime", "work"] {
            fs_err::create_dir(root.path().join(name)).unwrap();
        }
        Self { root }
    }

    /// Runs it to its end. What it prints as JSON has to satisfy its command's schema.
    #[track_caller]
    pub(crate) fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Outcome {
        let arguments: Vec<A> = arguments.into_iter().collect();
        let outcome = Outcome::of(self.command().args(&arguments));
        schema::check(&arguments, &outcome.stdout);
        outcome
    }

    /// The command itself, for tests that add to its environment or talk to it while it runs.
    ///
    /// Nothing of the caller's environment is in it except PATH, which leads to credential helpers.
    pub(crate) fn command(&self) -> Command {
        self.program(env!("CARGO_BIN_EXE_ohoci"))
    }

    /// The command, started by a shell that has run `first`, such as `ulimit -n 128`.
    pub(crate) fn command_after(&self, first: &str) -> Command {
        let mut command = self.program("sh");
        command.args(["-c", &format!("{first}; exec \"$0\" \"$@\"")]);
        command.arg(env!("CARGO_BIN_EXE_ohoci"));
        command
    }

    fn program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.root.path().join("home"))
            .env("XDG_CONFIG_HOME", self.root.path().join("config"))
            .env("XDG_CACHE_HOME", self.root.path().join("cache"))
            .env("XDG_RUNTIME_DIR", self.root.path().join("runtime"))
            .current_dir(self.work())
            .stdin(Stdio::null());
        command
    }

    /// The working directory.
    pub(crate) fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    /// Writes a file below the home, the configuration (`config/…`) or the working directory
    /// (`work/…`).
    pub(crate) fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let file = self.root.path().join(path);
        fs_err::create_dir_all(file.parent().unwrap()).unwrap();
        fs_err::write(&file, content).unwrap();
        file
    }

    /// Gives it the user and password for a host, as `docker login` would.
    pub(crate) fn log_in(&self, host: &str, user: &str, password: &str) {
        use base64::Engine;
        let auth = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        let document = serde_json::json!({"auths": {host: {"auth": auth}}});
        self.write("home/.docker/config.json", document.to_string());
    }
}

impl Outcome {
    /// Runs a command to its end.
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Fails the test unless the run ended with this code; returns itself.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "stdout:\n{}stderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// Standard output as the one JSON document it should be.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error} in {:?}", self.stdout))
    }
}
