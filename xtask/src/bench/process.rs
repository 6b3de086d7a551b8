//! Runs a program to its end and watches how much memory it takes.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// How often a running program is looked at.
const INTERVAL: Duration = Duration::from_millis(5);

/// Has everything written to disk that earlier work left for later, so that what is measured next does not wait
/// for it.
pub(crate) fn settle() -> Result<()> {
    crate::command::output(&mut Command::new("sync"))?;
    Ok(())
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) wall: Duration,
    /// Most bytes that were resident at once.
    pub(crate) memory: u64,
}

/// Runs it; what it writes goes through files in `directory`.
pub(crate) fn watched(command: &mut Command, directory: &Path) -> Result<Run> {
    let (stdout, stderr) = (directory.join("stdout"), directory.join("stderr"));
    command
        .stdin(Stdio::null())
        .stdout(fs_err::File::create(&stdout)?.into_parts().0)
        .stderr(fs_err::File::create(&stderr)?.into_parts().0);
    let start = Instant::now();
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let status = format!("/proc/{}/status", child.id());
    let mut memory = 0;
    let ended = loop {
        // The kernel keeps the peak itself (VmHWM, proc_pid_status(5)), so that only what happens
        // in the last few milliseconds can be missed.
        if let Ok(text) = fs_err::read_to_string(&status) {
            memory = memory.max(peak(&text).unwrap_or(0));
        }
        if let Some(ended) = child.try_wait()? {
            break ended;
        }
        thread::sleep(INTERVAL);
    };
    Ok(Run {
        wall: start.elapsed(),
        code: ended.code(),
        stdout: fs_err::read_to_string(&stdout)?,
        stderr: fs_err::read_to_string(&stderr)?,
        memory,
    })
}

fn peak(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_the_kernels() {
        assert_eq!(
            peak("VmPeak:\t 9 kB\nVmHWM:\t    5432 kB\n"),
            Some(5432 * 1024)
        );
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        let run = watched(
            command.args(["-c", "echo out; sleep 0.1; exit 3"]),
            directory.path(),
        )
        .unwrap();
        assert_eq!((run.code, run.stdout.as_str()), (Some(3), "out\n"));
        assert!(run.memory > 100_000, "{}", run.memory);
    }
}
