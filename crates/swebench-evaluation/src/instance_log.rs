//! `run_instance.log`: what was done with an instance, in the lines that upstream's logger writes.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use ohoci_image::timestamp::Timestamp;

/// The log of one instance.
#[derive(Debug)]
pub(super) struct InstanceLog {
    file: fs_err::File,
    clock: Clock,
}

/// Tells the time, since 1970 in UTC.
pub type Clock = fn() -> Duration;

impl InstanceLog {
    pub(super) fn create(path: &Path, clock: Clock) -> std::io::Result<Self> {
        Ok(Self {
            file: fs_err::File::create(path)?,
            clock,
        })
    }

    /// The log of an earlier run, to be continued.
    pub(super) fn append(path: &Path, clock: Clock) -> std::io::Result<Self> {
        let file = fs_err::OpenOptions::new().append(true).open(path)?;
        Ok(Self { file, clock })
    }

    /// Adds a line, or several. A disk that is full shows elsewhere.
    pub(super) fn say(&mut self, text: &str) {
        let since = (self.clock)();
        let line = line(since.as_secs(), since.subsec_millis(), text);
        let _ = self.file.write_all(line.as_bytes());
    }
}

/// As Python's `logging` with upstream's format `%(asctime)s - %(levelname)s - %(message)s`, in UTC.
fn line(seconds: u64, milliseconds: u32, text: &str) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    let time = Timestamp::from_epoch(seconds).to_string();
    let time = time.trim_end_matches('Z').replace('T', " ");
    format!("{time},{milliseconds:03} - INFO - {text}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_upstreams() {
        assert_eq!(
            line(1_763_675_636, 54, "Creating"),
            "2025-11-20 21:53:56,054 - INFO - Creating\n"
        );
    }
}
