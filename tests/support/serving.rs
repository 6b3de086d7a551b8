//! `ohoci registry serve` as a process.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::command::{Ohoci, Outcome};

/// A running `ohoci registry serve`.
pub(crate) struct Serving {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
    pub(crate) address: SocketAddr,
}

impl Serving {
    /// Starts it and reads the address that it prints.
    pub(crate) fn start(ohoci: &Ohoci, arguments: &[&str]) -> Self {
        let mut command = ohoci.command();
        command.args(["registry", "serve"]).args(arguments);
        Self::spawn(&mut command)
    }

    /// Starts a command that becomes such a server.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.trim_end().parse();
        Self {
            address: address.unwrap_or_else(|error| {
                let mut said = String::new();
                let _ = stderr.read_to_string(&mut said);
                panic!("{error}: {line:?}\n{said}")
            }),
            child,
            stdout,
            stderr,
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the next line on standard error.
    pub(crate) fn line_on_stderr(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).unwrap();
        line.trim_end_matches('\n').to_owned()
    }

    /// Waits for the end; what it printed after the address is in the outcome.
    pub(crate) fn end(mut self) -> Outcome {
        let mut outcome = Outcome {
            code: None,
            stdout: String::new(),
            stderr: String::new(),
        };
        self.stdout.read_to_string(&mut outcome.stdout).unwrap();
        self.stderr.read_to_string(&mut outcome.stderr).unwrap();
        outcome.code = self.child.wait().unwrap().code();
        outcome
    }

    /// Asks it to end, which it must do well and without a word.
    pub(crate) fn terminate(self, signal: Signal) {
        self.signal(signal);
        let outcome = self.end().exits(0);
        assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""));
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Already gone is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
