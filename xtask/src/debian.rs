//! Debian packages that the tests use, and how they get on the machine.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::command::{find, run};

/// How a package that is there shows itself.
#[derive(Debug)]
enum Sign {
    /// A program of this name.
    Program(&'static str),
    /// This file.
    File(&'static str),
    /// dpkg says so; for packages whose files another package also provides.
    Package,
}

/// A package the tests use.
#[derive(Debug)]
struct Need {
    package: &'static str,
    sign: Sign,
}

const fn program(package: &'static str, program: &'static str) -> Need {
    Need {
        package,
        sign: Sign::Program(program),
    }
}

/// Everything the tests use, by what for.
const NEEDS: [Need; 18] = [
    // Building the crates that contain C.
    program("gcc", "cc"),
    Need {
        package: "libc6-dev",
        sign: Sign::File("/usr/include/stdio.h"),
    },
    // Installing and running: a certificate store for HTTPS, the file that small images are made of.
    Need {
        package: "ca-certificates",
        sign: Sign::File("/etc/ssl/certs/ca-certificates.crt"),
    },
    Need {
        package: "busybox-static",
        sign: Sign::Package,
    },
    // An environment of Python's for another installer of conda's packages.
    Need {
        package: "python3-venv",
        sign: Sign::Package,
    },
    // The registry that everything is tried against.
    program("docker-registry", "docker-registry"),
    // Independent readers and writers of images, layouts and layers.
    program("skopeo", "skopeo"),
    program("umoci", "umoci"),
    program("zstd", "zstd"),
    program("openssl", "openssl"),
    // The cipher of cosign's private keys.
    Need {
        package: "python3-nacl",
        sign: Sign::File("/usr/lib/python3/dist-packages/nacl/secret.py"),
    },
    // The JSON schemas that composed documents have to satisfy.
    Need {
        package: "golang-github-opencontainers-image-spec-dev",
        sign: Sign::Package,
    },
    // The Python package.
    program("python3", "python3"),
    // Running what was composed.
    program("bubblewrap", "bwrap"),
    program("buildah", "buildah"),
    program("podman", "podman"),
    program("docker.io", "dockerd"),
    // Whether the unit of the gateway is one.
    program("systemd", "systemd-analyze"),
];

/// Sees to it that every package of [`NEEDS`] is installed.
pub(crate) fn ensure_installed(may_install: bool) -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    let install = format!(
        "apt-get install --no-install-recommends {}",
        missing.join(" ")
    );
    if find("apt-get").is_none() {
        bail!(
            "the tests need programs of these Debian packages: {}; this machine has no apt-get, install them your way",
            missing.join(" ")
        );
    }
    if !may_install {
        bail!("the tests need packages that are not installed; as root run:\n  {install}");
    }
    let Some(prefix) = privilege() else {
        bail!(
            "the tests need packages that are not installed, and installing needs root or sudo without a password; as root run:\n  {install}"
        );
    };
    println!("installing: {}", missing.join(" "));
    run(&mut apt(&prefix, &["update"]))?;
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(&missing);
    run(&mut apt(&prefix, &arguments))?;
    let still = self::missing();
    if !still.is_empty() {
        bail!("installed, and yet not found: {}", still.join(" "));
    }
    Ok(())
}

fn missing() -> Vec<&'static str> {
    NEEDS
        .iter()
        .filter(|need| !present(need))
        .map(|need| need.package)
        .collect()
}

fn present(need: &Need) -> bool {
    match need.sign {
        Sign::Program(name) => find(name).is_some(),
        Sign::File(path) => Path::new(path).exists(),
        Sign::Package => {
            let query = Command::new("dpkg-query")
                .args(["-W", "-f", "${db:Status-Status}", need.package])
                .output();
            query.is_ok_and(|output| output.stdout == b"installed")
        }
    }
}

/// What has to stand before a command for it to run as root; none when it can't.
fn privilege() -> Option<Vec<&'static str>> {
    let quiet = |command: &mut Command| {
        command
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .ok()
    };
    let user = quiet(Command::new("id").arg("-u"))?;
    if user.stdout.trim_ascii() == b"0" {
        return Some(vec![]);
    }
    let sudo = quiet(Command::new("sudo").args(["-n", "true"]))?;
    sudo.status.success().then(|| vec!["sudo", "-n"])
}

fn apt(prefix: &[&str], arguments: &[&str]) -> Command {
    // sudo drops the environment, env(1) sets it again; the lock is waited for because a fresh
    // machine often runs its own updates at this moment.
    let start = [
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "-o",
        "DPkg::Lock::Timeout=300",
    ];
    let words: Vec<&str> = prefix
        .iter()
        .chain(&start)
        .chain(arguments)
        .copied()
        .collect();
    let mut words = words.into_iter();
    let mut command = Command::new(words.next().unwrap_or("env"));
    command.args(words);
    command
}
