//! Where text leaves the process: results to stdout, everything for people to stderr.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::exit_code;
use super::failure::Failure;
use super::printable;

/// Writes a result to stdout. A reader that has gone away is no error.
pub(crate) fn result(text: &str) {
    print(&printable::lines(text));
}

fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}

/// Writes a JSON document to stdout as it is, byte for byte; a terminal gets it with a line end and
/// without what it would obey.
pub(crate) fn document(bytes: &[u8]) {
    let mut stdout = std::io::stdout().lock();
    let _ = if stdout.is_terminal() {
        writeln!(
            stdout,
            "{}",
            printable::json(&String::from_utf8_lossy(bytes))
        )
    } else {
        stdout.write_all(bytes)
    }
    .and_then(|()| stdout.flush());
}

/// Writes one JSON document to stdout.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new("cannot write the result as JSON", error.to_string()))?;
    print(&printable::json(&text));
    Ok(())
}

/// Tells the person something that is no result.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", printable::lines(text));
}

/// Asks for input on the same line.
pub(crate) fn prompt(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = write!(stderr, "{text}").and_then(|()| stderr.flush());
}

/// Tells the person something that deserves a second look.
pub(crate) fn warning(text: &str) {
    note(&format!("warning: {}", printable::line(text)));
}

/// Shows a failure and says how the process ends.
pub(crate) fn failure(failure: &Failure) -> ExitCode {
    note(&failure.to_string());
    ExitCode::from(failure.exit_code())
}

/// Shows clap's answer to a wrong command line, or the help that was asked for.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if error.use_stderr() {
        ExitCode::from(exit_code::USAGE)
    } else {
        ExitCode::from(exit_code::DONE)
    }
}

/// Whether a person watches stderr.
pub(crate) fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}

/// With `verbose`, shows each request on stderr.
pub(crate) fn start_log(verbose: bool) {
    if verbose {
        // A second start in one process (tests) keeps the first.
        let _ = tracing_subscriber::registry()
            .with(Targets::new().with_target("ohoci", tracing::Level::DEBUG))
            .with(
                tracing_subscriber::fmt::layer()
                    .with_writer(std::io::stderr)
                    .with_ansi(is_watched())
                    .without_time()
                    .with_level(false)
                    .with_target(false),
            )
            .try_init();
    }
}
