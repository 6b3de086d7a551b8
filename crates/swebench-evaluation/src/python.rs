//! A Python of this machine, asked by a script of ohoci's.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Starts a script with this on its standard input, and waits for its end.
///
/// # Errors
/// When the program cannot be started.
pub(crate) fn ask(python: &Path, script: &str, input: &str) -> io::Result<Output> {
    let mut child = Command::new(python)
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A script that ends early reads nothing; its answer says why.
        let _ = stdin.write_all(input.as_bytes());
    }
    child.wait_with_output()
}
