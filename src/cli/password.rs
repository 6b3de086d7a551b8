//! Reads a password without showing it.

use std::io::{BufRead as _, IsTerminal as _, Read as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::failure::Failure;
use super::output;
use crate::registry::Secret;

/// Longest password that is read, in bytes: identity tokens are a few kilobytes.
const MAX_LENGTH: u64 = 1 << 20;

/// Reads a password from stdin up to its end, without the line end.
pub(super) fn from_stdin() -> Result<Secret, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(MAX_LENGTH)
        .read_to_string(&mut text)
        .map_err(|error| Failure::new("cannot read the password from stdin", error.to_string()))?;
    checked(&text)
}

/// Asks at the terminal.
pub(super) fn asked(prompt: &str) -> Result<Secret, Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(
            Failure::usage("there is no terminal to ask for the password at")
                .hinted("--password-stdin reads it from stdin"),
        );
    }
    output::prompt(prompt);
    let hidden = Hidden::start(&stdin)?;
    let mut text = String::new();
    let outcome = stdin.lock().take(MAX_LENGTH).read_line(&mut text);
    drop(hidden);
    output::note("");
    outcome.map_err(|error| Failure::new("cannot read the password", error.to_string()))?;
    checked(&text)
}

/// Asks for a line that may be seen.
pub(super) fn line(prompt: &str) -> Result<String, Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(
            Failure::usage("there is no terminal to ask for the user name at")
                .hinted("--username NAME"),
        );
    }
    output::prompt(prompt);
    let mut text = String::new();
    stdin
        .lock()
        .take(MAX_LENGTH)
        .read_line(&mut text)
        .map_err(|error| Failure::new("cannot read the user name", error.to_string()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn checked(text: &str) -> Result<Secret, Failure> {
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(Failure::usage("the password is empty"));
    }
    Ok(Secret::new(text))
}

/// A terminal that does not show what is typed, until this is dropped.
struct Hidden<'a> {
    terminal: &'a std::io::Stdin,
    before: Termios,
}

impl<'a> Hidden<'a> {
    fn start(terminal: &'a std::io::Stdin) -> Result<Self, Failure> {
        let fail = |error: rustix::io::Errno| {
            Failure::new(
                "cannot hide the password at this terminal",
                error.to_string(),
            )
        };
        let before = tcgetattr(terminal).map_err(fail)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &silent).map_err(fail)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that has gone away.
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}
