//! A Docker daemon with its own data, socket and containers, and jobs done with it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::tools::{Job, Tool, at_home, renew};
use crate::command::{find, output};

/// How long a daemon may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running daemon; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Docker {
    daemon: Child,
    client: PathBuf,
    home: PathBuf,
}

/// Starts a daemon; it pulls over plain HTTP from loopback without being told so.
pub(crate) fn start(home: &Path) -> Result<Docker> {
    let program = find("dockerd").context("dockerd is not installed (Debian package docker.io)")?;
    // The client of the daemon's own package has BuildKit in it; another one may need a plugin for that.
    let packaged = Some(PathBuf::from("/usr/bin/docker")).filter(|file| file.is_file());
    let client = packaged
        .or_else(|| find("docker"))
        .context("docker, the client, is not installed")?;
    if output(Command::new("id").arg("-u"))?.trim() != "0" {
        bail!("a daemon of its own can only be started as root");
    }
    renew(home)?;
    let log = fs_err::File::create(home.join("log"))?.into_parts().0;
    let daemon = Command::new(program)
        .arg("--data-root")
        .arg(home.join("data"))
        .arg("--exec-root")
        .arg(home.join("exec"))
        .arg("--pidfile")
        .arg(home.join("pid"))
        .arg("--host")
        .arg(format!("unix://{}", home.join("socket").display()))
        .args(["--iptables=false", "--ip6tables=false", "--bridge=none"])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    let mut docker = Docker {
        daemon,
        client,
        home: home.to_owned(),
    };
    let deadline = Instant::now() + PATIENCE;
    while output(docker.command().args(["version"])).is_err() {
        if docker.daemon.try_wait()?.is_some() || Instant::now() > deadline {
            let log = fs_err::read_to_string(home.join("log"))?;
            bail!(
                "dockerd does not start: {}",
                log.lines().next_back().unwrap_or_default()
            );
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(docker)
}

impl Docker {
    /// The client, told of this daemon.
    pub(crate) fn command(&self) -> Command {
        let mut command = at_home(&self.client, &self.home);
        command
            .arg("--host")
            .arg(format!("unix://{}", self.home.join("socket").display()));
        command
            .env("DOCKER_BUILDKIT", "1")
            .env_remove("DOCKER_HOST")
            .env_remove("DOCKER_CONTEXT");
        command
    }

    /// Pulls an image.
    pub(super) fn pull(&self, reference: &str) -> Result<()> {
        output(self.command().args(["pull", "--quiet", reference])).map(drop)
    }

    /// Loads what `docker save` would have written.
    pub(crate) fn load(&self, archive: &Path) -> Result<()> {
        output(
            self.command()
                .args(["load", "--quiet", "--input"])
                .arg(archive),
        )
        .map(drop)
    }

    /// Removes every image.
    pub(super) fn forget_all(&self) -> Result<()> {
        output(self.command().args(["system", "prune", "--all", "--force"])).map(drop)
    }
}

impl Tool for Docker {
    fn name(&self) -> &str {
        "docker build + push"
    }

    fn forget(&self) -> Result<()> {
        output(
            self.command()
                .args(["builder", "prune", "--all", "--force"]),
        )?;
        self.forget_all()
    }

    fn prepare(&self, job: &Job) -> Result<()> {
        fs_err::create_dir_all(self.home.join("context"))?;
        Ok(fs_err::write(
            self.home.join("context/Dockerfile"),
            job.dockerfile(),
        )?)
    }

    fn run(&self, job: &Job) -> Result<()> {
        let target = job.target();
        output(
            self.command()
                .args(["build", "--quiet", "--tag", &target, "context"]),
        )?;
        output(self.command().args(["push", "--quiet", &target])).map(drop)
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        // A daemon that is asked to end also ends its containerd and unmounts what it mounted, which
        // killing it would not.
        let asked = Command::new("kill")
            .arg(self.daemon.id().to_string())
            .status();
        let deadline = Instant::now() + PATIENCE;
        while asked.as_ref().is_ok_and(|status| status.success()) && Instant::now() < deadline {
            if matches!(self.daemon.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}
