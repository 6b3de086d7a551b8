//! Where text leaves the process: results to stdout, everything for people to stderr.

use std::io::{self, IsTerminal as _, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::OnceLock;

use ohoci_server::RequestRecord;
use serde_json::json;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::arguments::ProgressFormat;
use super::colour::{Colour, Paint};
use super::exit_code;
use super::failure::Failure;
use super::printable;
use ohoci_image::Digest;

/// What is told beside results; whoever asks before it is set gets everything.
static TOLD: OnceLock<Told> = OnceLock::new();

/// How much is told.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    quiet: bool,
    progress: ProgressFormat,
}

/// Sets what is told beside results, once for the process.
pub(crate) fn start(quiet: bool, progress: ProgressFormat) {
    // A second start in one process (tests) keeps the first.
    let _ = TOLD.set(Told { quiet, progress });
}

fn told() -> Told {
    TOLD.get().copied().unwrap_or_default()
}

/// Writes a result to stdout. A reader that has gone away, such as `head`, has what it wanted: that
/// is no error, and the exit code stays that of the work.
///
/// # Errors
/// When stdout takes no more, as on a full disk.
pub(crate) fn result(text: &str) -> Result<(), Failure> {
    print(&printable::lines(text))
}

/// Writes references to stdout, each once, in their order.
///
/// # Errors
/// As [`result`].
pub(crate) fn references<'a>(
    references: impl IntoIterator<Item = &'a String>,
) -> Result<(), Failure> {
    let mut lines: Vec<&str> = Vec::new();
    for reference in references {
        if !lines.contains(&reference.as_str()) {
            lines.push(reference);
        }
    }
    match lines.as_slice() {
        [] => Ok(()),
        lines => result(&lines.join("\n")),
    }
}

/// Writes a digest, and nothing else, to a file that the user named.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn digest_file(path: &Path, digest: &Digest) -> Result<(), Failure> {
    fs_err::write(path, digest.to_string()).map_err(|error| {
        Failure::new(
            "cannot write the digest, though the image is there",
            error.to_string(),
        )
    })
}

fn print(text: &str) -> Result<(), Failure> {
    written(&mut io::stdout().lock(), format!("{text}\n").as_bytes())
}

/// Writes a JSON document to stdout as it is, byte for byte; a terminal gets it with a line end and
/// without what it would obey.
///
/// # Errors
/// As [`result`].
pub(crate) fn document(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    if stdout.is_terminal() {
        let text = printable::json(&String::from_utf8_lossy(bytes));
        written(&mut stdout, format!("{text}\n").as_bytes())
    } else {
        written(&mut stdout, bytes)
    }
}

/// Writes text of our own to stdout, byte for byte.
///
/// # Errors
/// As [`result`].
pub(crate) fn plain(text: &[u8]) -> Result<(), Failure> {
    written(&mut io::stdout().lock(), text)
}

/// Writes a file to stdout, byte for byte.
///
/// # Errors
/// As [`result`], and when the file cannot be read.
pub(crate) fn stream(from: &mut impl io::Read) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match io::copy(from, &mut stdout).and_then(|_| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(unwritten(&error)),
        _ => Ok(()),
    }
}

/// Writes all of it, to the end of every buffer.
fn written(stdout: &mut impl Write, bytes: &[u8]) -> Result<(), Failure> {
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(unwritten(&error)),
        _ => Ok(()),
    }
}

fn unwritten(error: &io::Error) -> Failure {
    Failure::new("cannot write to standard output", error.to_string())
}

/// Writes one JSON document to stdout.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new("cannot write the result as JSON", error.to_string()))?;
    print(&printable::json(&text))
}

/// Tells the person something that is no result, unless `--quiet` is given.
pub(crate) fn note(text: &str) {
    if !told().quiet {
        unfiltered(&printable::lines(text));
    }
}

/// Tells the person what failed while others went on.
pub(crate) fn partial_failure(text: &str) {
    unfiltered(&printable::lines(text));
}

/// Tells a program of something that happens, as JSON in a line of stderr, if it wants to know.
pub(crate) fn event(event: &serde_json::Value) {
    if told().progress == ProgressFormat::Json {
        unfiltered(&printable::json(&event.to_string()));
    }
}

/// Whether a program wants to be told what happens.
pub(crate) fn tells_events() -> bool {
    told().progress == ProgressFormat::Json
}

/// Writes to stderr what has been made harmless already.
fn unfiltered(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Asks for input on the same line.
pub(crate) fn prompt(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "{text}").and_then(|()| stderr.flush());
}

/// Tells the person something that deserves a second look.
pub(crate) fn warning(text: &str) {
    let word = Paint::on_stderr().word("warning:", Colour::Yellow);
    unfiltered(&format!("{word} {}", printable::line(text)));
}

/// Shows a failure and says how the process ends.
pub(crate) fn failure(failure: &Failure) -> ExitCode {
    unfiltered(&failure.shown(Paint::on_stderr()));
    ExitCode::from(failure.exit_code())
}

/// Shows clap's answer to a wrong command line, or the help that was asked for.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let printed = error.print().and_then(|()| io::stdout().flush());
    match printed {
        _ if error.use_stderr() => ExitCode::from(exit_code::USAGE),
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => failure(&unwritten(&error)),
        _ => ExitCode::from(exit_code::DONE),
    }
}

/// Whether a person watches stderr, and wants to see how it goes.
pub(crate) fn is_watched() -> bool {
    let told = told();
    !told.quiet && told.progress == ProgressFormat::Auto && io::stderr().is_terminal()
}

/// With `verbose`, shows each request on stderr.
pub(crate) fn start_log(verbose: bool) {
    if verbose {
        // A second start in one process (tests) keeps the first.
        let _ = tracing_subscriber::registry()
            .with(Targets::new().with_target("ohoci", tracing::Level::DEBUG))
            .with(
                tracing_subscriber::fmt::layer()
                    .with_writer(io::stderr)
                    .with_ansi(Paint::on_stderr().is_on())
                    .without_time()
                    .with_level(false)
                    .with_target(false),
            )
            .try_init();
    }
}

/// Shows on stderr what whoever runs a server should know of requests that went wrong. With `verbose`,
/// the log that was started already shows it, too.
pub(crate) fn start_server_log() {
    let _ = tracing_subscriber::registry()
        .with(Targets::new().with_target("ohoci_gateway", tracing::Level::WARN))
        .with(
            tracing_subscriber::fmt::layer()
                .with_writer(io::stderr)
                .with_ansi(Paint::on_stderr().is_on())
                .without_time()
                .with_target(false),
        )
        .try_init();
}

/// Writes one request and its answer to stderr, as a line of JSON.
pub(crate) fn access(record: &RequestRecord) {
    let line = json!({
        "method": record.method,
        "path": record.target,
        "status": record.status,
        "receivedBytes": record.received,
        "sentBytes": record.sent,
        "milliseconds": u64::try_from(record.elapsed.as_millis()).unwrap_or(u64::MAX),
    });
    // A log that cannot be written stops no server.
    let _ = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes, then fails.
    struct Ending(usize, io::ErrorKind);

    impl Write for Ending {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            if taken == 0 {
                Err(self.1.into())
            } else {
                Ok(taken)
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            if self.0 == 0 {
                Err(self.1.into())
            } else {
                Ok(())
            }
        }
    }

    #[test]
    fn a_full_disk_is_an_error_and_a_reader_that_has_enough_is_none() {
        let write = |room, kind| written(&mut Ending(room, kind), b"result\n");
        for room in [0, 3, 7] {
            let failure = write(room, io::ErrorKind::StorageFull).unwrap_err();
            assert_eq!(failure.exit_code(), exit_code::FAILED);
            assert!(write(room, io::ErrorKind::BrokenPipe).is_ok());
        }
        assert!(write(8, io::ErrorKind::StorageFull).is_ok());
    }
}
