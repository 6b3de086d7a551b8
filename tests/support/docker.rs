//! A Docker daemon with its own data and socket.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a daemon may take to start or to end on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running daemon; it ends when this is dropped.
pub(crate) struct Docker {
    daemon: Child,
    home: TempDir,
}

impl Docker {
    /// Starts a daemon, or says why there can be none here: it needs root, and much of the kernel.
    ///
    /// It has no network for containers, and pulls from loopback over plain HTTP without being told.
    pub(crate) fn start() -> Result<Self, String> {
        // Debian 13 has the client in a package of its own, docker-cli.
        Command::new("docker")
            .arg("--version")
            .output()
            .map_err(|error| format!("docker, the client: {error}"))?;
        let home = TempDir::new().unwrap();
        let log = home.path().join("log");
        let file = fs_err::File::create(&log).unwrap().into_parts().0;
        let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
        let daemon = Command::new("dockerd")
            .args(["--data-root", &path("data"), "--exec-root", &path("exec")])
            .args(["--pidfile", &path("pid")])
            .args(["--host", &format!("unix://{}", path("socket"))])
            .args(["--iptables=false", "--ip6tables=false", "--bridge=none"])
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .map_err(|error| format!("dockerd of the Debian package docker.io: {error}"))?;
        let mut docker = Self { daemon, home };
        let deadline = Instant::now() + PATIENCE;
        while docker.run(&["version"]).is_err() {
            let ended = docker.daemon.try_wait().unwrap();
            if ended.is_some() || Instant::now() > deadline {
                let said = fs_err::read_to_string(&log).unwrap();
                let last = said.lines().next_back().unwrap_or("it says nothing");
                return Err(last.to_owned());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(docker)
    }

    /// Tells whoever runs the tests that one did without Docker. Past the test runner's capture,
    /// which shows nothing of a test that succeeds.
    pub(crate) fn missing(test: &str, reason: &str) {
        let text =
            format!("\nATTENTION: {test} did WITHOUT DOCKER, which does not start: {reason}\n");
        std::io::stderr().write_all(text.as_bytes()).unwrap();
    }

    /// Runs the client, which has to succeed; returns its standard output.
    #[track_caller]
    pub(crate) fn succeeds(&self, arguments: &[&str]) -> String {
        self.run(arguments)
            .unwrap_or_else(|error| panic!("docker {arguments:?}: {error}"))
    }

    /// Whether the daemon unpacks zstd layers: Docker 23 and later do.
    pub(crate) fn knows_zstd(&self) -> bool {
        let version = self.succeeds(&["version", "--format", "{{.Server.Version}}"]);
        let major = version
            .split('.')
            .next()
            .and_then(|major| major.parse().ok());
        major.is_some_and(|major: u32| major >= 23)
    }

    fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new("docker")
            .args([
                "--host",
                &format!("unix://{}", self.home.path().join("socket").display()),
            ])
            .args(arguments)
            .env("HOME", self.home.path())
            .env_remove("DOCKER_HOST")
            .env_remove("DOCKER_CONTEXT")
            .env_remove("DOCKER_CONFIG")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        // A daemon that is asked to end also ends its containerd and unmounts what it mounted, which
        // killing it would not.
        let pid = rustix::process::Pid::from_child(&self.daemon);
        let asked = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let deadline = Instant::now() + PATIENCE;
        while asked.is_ok() && Instant::now() < deadline {
            if matches!(self.daemon.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}
