//! The flags that limit what runs, for all commands that run anything.

use std::path::Path;
use std::time::Duration;

use clap::Args;

use super::output;
use ohoci_sandbox::{Asked, AskedLimits, Limiter, Limits};

/// What each run may use.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Limits of each run (`none` for no limit)")]
pub struct LimitArguments {
    /// Most memory, such as 4G
    /// [default: 3/4 of this machine's, shared by runs side by side, 2G at least]
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub memory: Option<Asked<u64>>,

    /// Most processes and threads [default: 4096]
    #[arg(
        long,
        visible_alias = "pids",
        value_name = "N",
        value_parser = processes,
        allow_hyphen_values = true
    )]
    pub pids_limit: Option<Asked<u64>>,

    /// Most processors, such as 1.5 [default: none]
    #[arg(long, value_name = "N", value_parser = processors)]
    pub cpus: Option<Asked<f64>>,

    /// Most that is written to disk, such as 10G
    /// [default: half of what is free, shared by runs side by side, 16G at most]
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub disk: Option<Asked<u64>>,

    /// Most files and directories that are made
    /// [default: half of what the disk has left, shared by runs side by side, 1000000 at most]
    #[arg(long, value_name = "N", value_parser = count)]
    pub inodes: Option<Asked<u64>>,

    /// Kill what runs, and all that it started, after so many seconds; also as 30m or 2h
    /// [default: none for `run`, 1800 for an instance's tests, 7200 for each program of a build]
    #[arg(long, value_name = "SECONDS", value_parser = time)]
    pub timeout: Option<Asked<Duration>>,
}

impl LimitArguments {
    /// What is asked for.
    pub(super) fn asked(&self) -> AskedLimits {
        AskedLimits {
            memory: self.memory,
            processes: self.pids_limit,
            cpus: self.cpus,
            disk: self.disk,
            inodes: self.inodes,
            time: self.timeout,
        }
    }

    /// What each of so many runs side by side may use that write to the disk of this directory.
    pub(super) fn limits(
        &self,
        written: &Path,
        side_by_side: usize,
        time: Option<Duration>,
    ) -> Limits {
        self.asked().limits(written, side_by_side, time)
    }

    /// Says which of the limits that were asked for do not hold here as they should.
    pub(super) fn tell(&self, limiter: &Limiter) {
        let shortcomings = limiter.shortcomings(&self.asked().only());
        if !shortcomings.is_empty() {
            output::note(&format!(
                "{}; start ohoci as root or by `systemd-run --user --scope -p Delegate=yes ohoci …` to have control groups",
                shortcomings.join("; ")
            ));
        }
    }
}

fn asked<T>(
    text: &str,
    read: impl FnOnce(&str) -> Option<T>,
    what: &str,
) -> Result<Asked<T>, String> {
    if text == "none" {
        return Ok(Asked::Unlimited);
    }
    read(text)
        .map(Asked::At)
        .ok_or_else(|| format!("it is neither {what} nor `none`"))
}

fn bytes(text: &str) -> Result<Asked<u64>, String> {
    asked(text, number_of_bytes, "a size such as 512M or 4G")
}

fn count(text: &str) -> Result<Asked<u64>, String> {
    let read = |text: &str| text.parse().ok().filter(|count| *count > 0);
    asked(text, read, "a number above 0")
}

/// 0 and -1 are Docker's and Podman's words for no limit.
fn processes(text: &str) -> Result<Asked<u64>, String> {
    match text {
        "0" | "-1" => Ok(Asked::Unlimited),
        _ => count(text),
    }
}

fn processors(text: &str) -> Result<Asked<f64>, String> {
    let read = |text: &str| {
        let cpus: f64 = text.parse().ok()?;
        (cpus.is_finite() && cpus > 0.0).then_some(cpus)
    };
    asked(text, read, "a number of processors")
}

fn time(text: &str) -> Result<Asked<Duration>, String> {
    asked(text, seconds, "a time to wait")
}

/// A time in seconds, or in minutes, hours or days with `m`, `h` or `d` behind it.
pub(super) fn seconds(text: &str) -> Option<Duration> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
        Some(number) if text.ends_with('m') => (number, 60.0),
        Some(number) if text.ends_with('h') => (number, 3600.0),
        Some(number) if text.ends_with('d') => (number, 86400.0),
        Some(number) => (number, 1.0),
        None => (text, 1.0),
    };
    let seconds = number.parse::<f64>().ok()? * unit;
    let time = Duration::try_from_secs_f64(seconds).ok()?;
    (!time.is_zero()).then_some(time)
}

/// A number of bytes, with K, M, G or T behind it for powers of 1024.
pub(crate) fn number_of_bytes(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_uppercase();
    let text = text.trim_end_matches("IB").trim_end_matches('B');
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text.strip_prefix(digits)? {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    let number: u64 = digits.parse().ok()?;
    number.checked_mul(1 << shift).filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, expected) in [
            ("1", Some(1)),
            ("4G", Some(4 << 30)),
            ("512m", Some(512 << 20)),
            ("2GiB", Some(2 << 30)),
            ("10kb", Some(10 << 10)),
            ("0", None),
            ("1.5G", None),
            ("99999999T", None),
            ("x", None),
        ] {
            assert_eq!(number_of_bytes(text), expected, "{text}");
        }
        assert_eq!(bytes("none"), Ok(Asked::Unlimited));
    }

    #[test]
    fn times_are_read() {
        for (text, seconds) in [
            ("0.5", 0.5),
            ("90s", 90.0),
            ("30m", 1800.0),
            ("2h", 7200.0),
            ("1d", 86400.0),
        ] {
            let expected = Duration::from_secs_f64(seconds);
            assert_eq!(time(text), Ok(Asked::At(expected)), "{text}");
        }
        for text in ["0", "-1", "", "m", "1w", "inf"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn docker_s_words_for_no_limit_are_known() {
        assert_eq!(processes("-1"), Ok(Asked::Unlimited));
        assert_eq!(processes("7"), Ok(Asked::At(7)));
    }
}
