//! Reads a user name and a password, without showing the password.
//!
//! Reading blocks, and not even a signal ends it. So it has a thread of its own: an interrupted
//! command leaves it behind, and the terminal as it was.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, StdinLock};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::failure::Failure;
use super::output;
use ohoci_registry::Secret;

/// Longest password that is read, in bytes: identity tokens are a few kilobytes.
const MAX_LENGTH: u64 = 1 << 20;

/// Reads a password from stdin up to its end, without the line end.
pub(super) async fn from_stdin() -> Result<Secret, Failure> {
    let text = read(|stdin, text| stdin.take(MAX_LENGTH).read_to_string(text))
        .await
        .map_err(|error| Failure::new("cannot read the password from stdin", error.to_string()))?;
    checked(&text)
}

/// What `work` reads from stdin.
async fn read(
    work: impl FnOnce(StdinLock<'static>, &mut String) -> io::Result<usize> + Send + 'static,
) -> io::Result<String> {
    tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        work(io::stdin().lock(), &mut text).map(|_| text)
    })
    .await
    .map_err(io::Error::other)?
}

/// Asks at the terminal.
pub(super) async fn asked(prompt: &str) -> Result<Secret, Failure> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(
            Failure::usage("there is no terminal to ask for the password at")
                .hinted("--password-stdin reads it from stdin"),
        );
    }
    // Going silent throws away what was typed so far, so it comes before the prompt: an answer to the
    // prompt, however quick, must not be lost.
    let hidden = Hidden::start(&stdin)?;
    output::prompt(prompt);
    let outcome = read(|stdin, text| stdin.take(MAX_LENGTH).read_line(text)).await;
    drop(hidden);
    output::note("");
    let text =
        outcome.map_err(|error| Failure::new("cannot read the password", error.to_string()))?;
    checked(&text)
}

/// Asks for a line that may be seen.
pub(super) async fn line(prompt: &str) -> Result<String, Failure> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(
            Failure::usage("there is no terminal to ask for the user name at")
                .hinted("--username NAME"),
        );
    }
    output::prompt(prompt);
    let text = read(|stdin, text| stdin.take(MAX_LENGTH).read_line(text))
        .await
        .map_err(|error| Failure::new("cannot read the user name", error.to_string()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn checked(text: &str) -> Result<Secret, Failure> {
    let text = text.trim_start_matches('\u{feff}');
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(Failure::usage("the password is empty"));
    }
    Ok(Secret::new(text))
}

/// A terminal that does not show what is typed, until this is dropped.
struct Hidden<'a> {
    terminal: &'a io::Stdin,
    before: Termios,
}

impl<'a> Hidden<'a> {
    fn start(terminal: &'a io::Stdin) -> Result<Self, Failure> {
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
