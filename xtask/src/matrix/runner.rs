//! Runs the checks in an image: under bubblewrap or under Docker.

use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::emulator::{Emulator, PROCESSOR, SLOWER};
use crate::bench::docker::Docker;
use crate::command::{find, output};

/// Scripts, and what they start, by name.
const SCRIPTS: [(&str, &str); 13] = [
    (
        "acp_conversation.py",
        include_str!("checks/acp_conversation.py"),
    ),
    ("acp.sh", include_str!("checks/acp.sh")),
    ("all.sh", include_str!("checks/all.sh")),
    ("base.sh", include_str!("checks/base.sh")),
    ("conversation.py", include_str!("checks/conversation.py")),
    ("first.sh", include_str!("checks/first.sh")),
    ("frame.sh", include_str!("checks/frame.sh")),
    ("place.sh", include_str!("checks/place.sh")),
    ("programs.sh", include_str!("checks/programs.sh")),
    ("python.sh", include_str!("checks/python.sh")),
    ("server.sh", include_str!("checks/server.sh")),
    ("tools.sh", include_str!("checks/tools.sh")),
    ("v0.sh", include_str!("checks/v0.sh")),
];

/// The longest that checks may take together, in seconds: nothing is to be waited for for ever.
const PATIENCE: u32 = 900;

/// How the checks are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scenario {
    /// As root, on a root that can be written.
    Root,
    /// As uid 10001, on a root that is only read, with no home.
    ReadOnly,
    /// The same, with variables that break whoever believes them.
    Hostile,
}

impl Scenario {
    pub(super) const ALL: [Self; 3] = [Self::Root, Self::ReadOnly, Self::Hostile];
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Root => "root",
            Self::ReadOnly => "read-only",
            Self::Hostile => "hostile",
        })
    }
}

/// Variables that break whoever believes them.
const HOSTILE: [(&str, &str); 4] = [
    ("LD_LIBRARY_PATH", "/trap/lib"),
    ("LD_PRELOAD", "/trap/lib/missing.so"),
    ("PYTHONHOME", "/nonexistent"),
    ("PYTHONPATH", "/trap/python"),
];

/// An image that can be run.
#[derive(Debug)]
pub(super) enum Runner<'a> {
    Bubblewrap {
        rootfs: PathBuf,
        env: Vec<(String, String)>,
        /// Where its programs are another machine's.
        emulator: Option<&'a Emulator>,
    },
    Docker {
        daemon: &'a Docker,
        image: String,
    },
}

/// What checks printed.
#[derive(Debug)]
pub(super) struct Printed {
    pub(super) text: String,
    /// From when the first process was asked to end until everything had, where it was asked.
    pub(super) stopped: Option<Duration>,
}

impl<'a> Runner<'a> {
    pub(super) fn docker(daemon: &'a Docker, image: &str) -> Self {
        Self::Docker {
            daemon,
            image: image.to_owned(),
        }
    }

    /// A root file system with the environment of its image.
    pub(super) fn bubblewrap(
        rootfs: &Path,
        env: Vec<(String, String)>,
        emulator: Option<&'a Emulator>,
    ) -> Result<Self> {
        for directory in ["proc", "dev", "trap"] {
            fs_err::create_dir_all(rootfs.join(directory))?;
        }
        Ok(Self::Bubblewrap {
            rootfs: rootfs.to_owned(),
            env,
            emulator,
        })
    }

    /// What the checks of everything but the server print, for an image whose config names this user.
    pub(super) fn checks(&self, scenario: Scenario, user: &str, trap: &Path) -> Result<Printed> {
        let program = ["/openhands/tools/bin/bash", "/trap/all.sh", user];
        self.run(scenario, trap, &program, false)
    }

    /// What the checks of the server print, which is started by this command as the first process.
    pub(super) fn server(
        &self,
        scenario: Scenario,
        command: &[String],
        trap: &Path,
    ) -> Result<Printed> {
        let mut program = vec!["/openhands/tools/bin/bash", "/trap/first.sh"];
        program.extend(command.iter().map(String::as_str));
        self.run(scenario, trap, &program, true)
    }

    /// What the base's own programs say, by its shell, or else the one program that it has.
    pub(super) fn base(&self, shell: bool, trap: &Path) -> Result<String> {
        let program: &[&str] = match shell {
            true => &["/bin/sh", "/trap/base.sh"],
            false => &["/usr/bin/hello"],
        };
        Ok(self.run(Scenario::Root, trap, program, false)?.text)
    }

    fn run(
        &self,
        scenario: Scenario,
        trap: &Path,
        program: &[&str],
        first: bool,
    ) -> Result<Printed> {
        let mut command = match self {
            Self::Bubblewrap {
                rootfs,
                env,
                emulator,
            } => bubblewrap(rootfs, env, *emulator, scenario, trap, first)?,
            Self::Docker { daemon, image } => docker(daemon, image, scenario, trap, program),
        };
        match self {
            Self::Bubblewrap { .. } => command.args(program),
            Self::Docker { .. } => command.args(program.get(1..).unwrap_or_default()),
        };
        let mut limited = Command::new("timeout");
        let patience = PATIENCE * self.slower();
        limited.args(["--kill-after=10", &patience.to_string()]);
        limited.arg(command.get_program()).args(command.get_args());
        if let Some(directory) = command.get_current_dir() {
            limited.current_dir(directory);
        }
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => limited.env(name, value),
                None => limited.env_remove(name),
            };
        }
        let mut complaints = tempfile::tempfile()?;
        let mut child = limited
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(complaints.try_clone()?)
            .spawn()?;
        let mut text = String::new();
        let mut asked = None;
        let printed = child.stdout.take().context("its output")?;
        for line in BufReader::new(printed).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            if line == "stopping" {
                asked = Some(Instant::now());
            }
            text.push_str(&line);
            text.push('\n');
        }
        child.wait()?;
        let stopped = asked.map(|asked| asked.elapsed());
        if text.is_empty() {
            complaints.seek(SeekFrom::Start(0))?;
            let mut bytes = Vec::new();
            complaints.read_to_end(&mut bytes)?;
            text = String::from_utf8_lossy(&bytes).into_owned();
        }
        Ok(Printed { text, stopped })
    }

    /// How many times as long programs may take.
    fn slower(&self) -> u32 {
        match self {
            Self::Bubblewrap {
                emulator: Some(_), ..
            } => SLOWER,
            _ => 1,
        }
    }
}

fn bubblewrap(
    rootfs: &Path,
    env: &[(String, String)],
    emulator: Option<&Emulator>,
    scenario: Scenario,
    trap: &Path,
    first: bool,
) -> Result<Command> {
    let program = find("bwrap").context("bwrap is not installed")?;
    let mut command = match emulator {
        Some(emulator) => {
            let mut command = emulator.command();
            command.arg(program);
            command
        }
        None => Command::new(program),
    };
    command.args(["--unshare-all", "--die-with-parent", "--clearenv"]);
    if first {
        command.arg("--as-pid-1");
    }
    let (id, bind) = match scenario {
        Scenario::Root => ("0", "--bind"),
        _ => ("10001", "--ro-bind"),
    };
    command
        .args(["--uid", id, "--gid", id, bind])
        .arg(rootfs)
        .arg("/");
    command
        .args(["--proc", "/proc", "--dev", "/dev", "--ro-bind"])
        .arg(trap)
        .arg("/trap");
    match scenario {
        Scenario::Root if rootfs.join("tmp").exists() => command.args(["--tmpfs", "/tmp"]),
        Scenario::Root => &mut command,
        // The only place that can be written.
        _ => command.args(["--remount-ro", "/", "--tmpfs", "/dev/shm"]),
    };
    for (name, value) in env {
        // Nobody made the home of this user.
        if scenario == Scenario::Root || name != "HOME" {
            command.args(["--setenv", name, value]);
        }
    }
    if scenario == Scenario::Hostile {
        for (name, value) in HOSTILE {
            command.args(["--setenv", name, value]);
        }
    }
    if emulator.is_some() {
        command.args(["--setenv", "SLOWER", &SLOWER.to_string()]);
        command.args(["--setenv", "QEMU_CPU", PROCESSOR]);
    }
    command.arg("--");
    Ok(command)
}

fn docker(
    daemon: &Docker,
    image: &str,
    scenario: Scenario,
    trap: &Path,
    program: &[&str],
) -> Command {
    let mut command = daemon.command();
    command.args(["run", "--rm", "--network", "none", "--volume"]);
    command.arg(format!("{}:/trap:ro", trap.display()));
    match scenario {
        Scenario::Root => command.args(["--user", "0:0", "--env", "HOME=/root"]),
        // Docker's /dev/shm runs no programs, such as git's hooks.
        _ => command
            .args(["--user", "10001:10001", "--read-only", "--env", "HOME="])
            .args(["--tmpfs", "/tmp:exec"]),
    };
    if scenario == Scenario::Hostile {
        for (name, value) in HOSTILE {
            command.args(["--env", &format!("{name}={value}")]);
        }
    }
    command
        .arg("--entrypoint")
        .arg(program.first().unwrap_or(&"/bin/sh"))
        .arg(image);
    command
}

/// A directory with the scripts and with what the hostile variables lead to: libraries that are none,
/// and modules that end Python. They are those that programs of the prefix need and a base's shell does
/// not, which would be as broken without any layers.
pub(super) fn trap(work: &Path) -> Result<PathBuf> {
    let trap = work.join("trap");
    fs_err::create_dir_all(trap.join("lib"))?;
    fs_err::create_dir_all(trap.join("python"))?;
    for (name, text) in SCRIPTS {
        fs_err::write(trap.join(name), text)?;
    }
    for name in [
        "libz.so.1",
        "libcrypto.so.3",
        "libssl.so.3",
        "libcurl-gnutls.so.4",
        "libevent_core-2.1.so.7",
        "libexpat.so.1",
        "libsqlite3.so.0",
        "libstdc++.so.6",
        "libgcc_s.so.1",
    ] {
        fs_err::write(trap.join("lib").join(name), "no library")?;
    }
    for name in ["ssl", "encodings", "sitecustomize", "json"] {
        let text = "raise SystemExit('the trap was stepped into')\n";
        fs_err::write(trap.join("python").join(format!("{name}.py")), text)?;
    }
    Ok(trap)
}

/// Writes down for the scripts which programs a root file system has.
pub(super) fn list_programs(rootfs: &Path, trap: &Path) -> Result<()> {
    let mut list = Vec::new();
    for directory in ["bin", "sbin", "usr/bin", "usr/local/bin", "usr/sbin", ""] {
        let Ok(entries) = fs_err::read_dir(rootfs.join(directory)) else {
            continue;
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // The root itself has a program or two, and directories.
            if !entry.file_type()?.is_dir() && (!directory.is_empty() || name == "hello") {
                list.push(format!("/{directory}/{name}\n").replace("//", "/"));
            }
        }
    }
    list.sort();
    Ok(fs_err::write(trap.join("programs"), list.concat())?)
}

/// Removes a root file system: directories in it may not be writable.
pub(super) fn remove(rootfs: &Path) -> Result<()> {
    output(
        Command::new("chmod")
            .args(["--recursive", "u+rwX"])
            .arg(rootfs),
    )?;
    Ok(fs_err::remove_dir_all(rootfs)?)
}
