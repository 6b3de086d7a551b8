//! `ohoci registry serve` as a process.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};

use anyhow::{Context, Result, bail};

use super::tools::at_home;

/// ohoci's own registry, which ends with this.
pub(crate) struct OwnRegistry {
    child: Child,
    address: SocketAddr,
}

impl OwnRegistry {
    /// Starts it on a free port, at home in a directory, with more arguments.
    pub(crate) fn start<A: AsRef<OsStr>>(
        program: &Path,
        home: &Path,
        more: impl IntoIterator<Item = A>,
    ) -> Result<Self> {
        fs_err::create_dir_all(home)?;
        let errors = fs_err::File::create(home.join("registry.log"))?;
        let mut child = at_home(program, home)
            .args(["registry", "serve", "--listen", "127.0.0.1:0"])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors.into_parts().0)
            .spawn()
            .context("cannot start ohoci's registry")?;
        let stdout = child.stdout.take().context("a registry without output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let Ok(address) = line.trim_end().parse() else {
            let _ = child.kill();
            let _ = child.wait();
            let said = fs_err::read_to_string(home.join("registry.log"))?;
            bail!("ohoci's registry says {line:?} instead of its address: {said}");
        };
        Ok(Self { child, address })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A line of `/proc/PID/status`, such as `VmRSS`, in bytes.
    pub(crate) fn memory(&self, line: &str) -> Result<u64> {
        let status = fs_err::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let value = status
            .lines()
            .find_map(|text| text.strip_prefix(line)?.strip_prefix(':'));
        let kilobytes: u64 = value
            .and_then(|value| value.trim().strip_suffix("kB")?.trim().parse().ok())
            .with_context(|| format!("the kernel says nothing of {line}"))?;
        Ok(kilobytes * 1024)
    }
}

impl Drop for OwnRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
