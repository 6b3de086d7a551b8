//! Runs the checks in an image: under bubblewrap or under Docker.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::bench::docker::Docker;
use crate::command::{find, output};

const CHECKS: &str = include_str!("checks.sh");
const BASE: &str = include_str!("base.sh");

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
    },
    Docker {
        daemon: &'a Docker,
        image: String,
    },
}

impl<'a> Runner<'a> {
    pub(super) fn docker(daemon: &'a Docker, image: &str) -> Self {
        Self::Docker {
            daemon,
            image: image.to_owned(),
        }
    }

    /// A root file system with the environment of its image's config.
    pub(super) fn bubblewrap(rootfs: &Path, config: &str) -> Result<Self> {
        let config: serde_json::Value = serde_json::from_str(config).context("the config")?;
        let list = config.pointer("/config/Env").and_then(|env| env.as_array());
        let env = list
            .into_iter()
            .flatten()
            .filter_map(|item| item.as_str()?.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        for directory in ["proc", "dev", "tmp"] {
            fs_err::create_dir_all(rootfs.join(directory))?;
        }
        Ok(Self::Bubblewrap {
            rootfs: rootfs.to_owned(),
            env,
        })
    }

    /// What the script of checks prints.
    pub(super) fn checks(&self, scenario: Scenario, work: &Path) -> Result<String> {
        let trap = trap(work)?;
        let program = ["/openhands/tools/bin/bash", "/trap/checks.sh"];
        self.run(scenario, &trap, &program)
    }

    /// What the base's own programs say.
    pub(super) fn base(&self, work: &Path) -> Result<String> {
        let trap = trap(work)?;
        self.run(Scenario::Root, &trap, &["/bin/sh", "/trap/base.sh"])
    }

    fn run(&self, scenario: Scenario, trap: &Path, program: &[&str]) -> Result<String> {
        let mut command = match self {
            Self::Bubblewrap { rootfs, env } => bubblewrap(rootfs, env, scenario, trap)?,
            Self::Docker { daemon, image } => docker(daemon, image, scenario, trap, program),
        };
        match self {
            Self::Bubblewrap { .. } => command.args(program),
            Self::Docker { .. } => command.args(program.get(1..).unwrap_or_default()),
        };
        let output = command.stdin(Stdio::null()).output()?;
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        if text.is_empty() {
            text = String::from_utf8_lossy(&output.stderr).into_owned();
        }
        Ok(text)
    }
}

fn bubblewrap(
    rootfs: &Path,
    env: &[(String, String)],
    scenario: Scenario,
    trap: &Path,
) -> Result<Command> {
    let mut command = Command::new(find("bwrap").context("bwrap is not installed")?);
    command.args(["--unshare-all", "--die-with-parent", "--clearenv"]);
    let (id, bind) = match scenario {
        Scenario::Root => ("0", "--bind"),
        _ => ("10001", "--ro-bind"),
    };
    fs_err::create_dir_all(rootfs.join("trap"))?;
    command
        .args(["--uid", id, "--gid", id, bind])
        .arg(rootfs)
        .arg("/");
    command
        .args(["--proc", "/proc", "--dev", "/dev", "--ro-bind"])
        .arg(trap)
        .arg("/trap");
    match scenario {
        Scenario::Root => command.args(["--tmpfs", "/tmp"]),
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
fn trap(work: &Path) -> Result<PathBuf> {
    let trap = work.join("trap");
    fs_err::create_dir_all(trap.join("lib"))?;
    fs_err::create_dir_all(trap.join("python"))?;
    fs_err::write(trap.join("checks.sh"), CHECKS)?;
    fs_err::write(trap.join("base.sh"), BASE)?;
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

/// What single programs of another machine say under qemu's user emulation. They are started one by
/// one: what they start themselves would need the kernel's help.
pub(super) fn foreign(rootfs: &Path) -> Result<Vec<String>> {
    const PYTHON: &str = "import ssl, sqlite3, ctypes, lzma, platform, sys; \
                          print('Python', sys.version.split()[0], platform.machine())";
    let qemu = find("qemu-aarch64-static")
        .context("qemu-aarch64-static is not installed (Debian package qemu-user-static)")?;
    for directory in ["proc", "dev", "tmp"] {
        fs_err::create_dir_all(rootfs.join(directory))?;
    }
    fs_err::copy(qemu, rootfs.join("qemu"))?;
    let mut said = Vec::new();
    for program in [
        &["tools/bin/bash", "-c", "echo bash $BASH_VERSION $((6 * 7))"][..],
        &["tools/bin/git", "--version"],
        &["tools/bin/tmux", "-V"],
        &["tools/bin/curl", "--version"],
        &["micromamba/bin/python3.13", "-E", "-c", PYTHON],
    ] {
        let (name, rest) = program.split_first().context("a program")?;
        if !rootfs.join("openhands").join(name).exists() {
            continue;
        }
        let mut command = Command::new(find("bwrap").context("bwrap is not installed")?);
        command
            .args(["--unshare-all", "--clearenv", "--ro-bind"])
            .arg(rootfs);
        command.args(["/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]);
        for (name, value) in HOSTILE {
            command.args(["--setenv", name, value]);
        }
        let text = output(
            command
                .arg("/qemu")
                .arg(format!("/openhands/{name}"))
                .args(rest),
        )?;
        let line = text.lines().next().unwrap_or("nothing");
        said.push(line.split(" (").next().unwrap_or(line).to_owned());
    }
    Ok(said)
}

/// Writes down for the scripts which programs a root file system has.
pub(super) fn list_programs(rootfs: &Path, work: &Path) -> Result<()> {
    let mut list = Vec::new();
    for directory in ["bin", "sbin", "usr/bin", "usr/sbin", ""] {
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
    Ok(fs_err::write(trap(work)?.join("programs"), list.concat())?)
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
