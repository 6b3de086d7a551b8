//! The same packages by `docker build`: Debian's by apt, Python's by pip, with this machine's own
//! configuration of both.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::docker;
use crate::command::output;
use crate::matrix::bases;

/// What a lock names.
#[derive(Debug, Default, PartialEq, Eq)]
struct Packages {
    suite: String,
    debian: BTreeSet<String>,
    python: BTreeSet<String>,
}

/// What it came to.
#[derive(Debug)]
pub(super) struct Built {
    /// With nothing at hand but the base.
    pub(super) first: Duration,
    /// With Debian's packages installed and a Python package changed.
    pub(super) changed: Duration,
    /// Compressed bytes on top of the base.
    pub(super) size: u64,
}

/// Builds an image of what `lock` names, but for the features in `without`.
pub(super) fn build(program: &Path, lock: &Path, without: &[String], work: &Path) -> Result<Built> {
    let packages = packages(&fs_err::read_to_string(lock)?, without);
    let rootfs = work.join("docker-base.tar");
    bases::debian(&rootfs, &packages.suite, &bases::mirror()?, &[])?;
    let daemon = docker::start(&work.join("docker"))?;
    output(
        daemon
            .command()
            .args(["import", "--change", "ENV DEBIAN_FRONTEND=noninteractive"])
            .arg(&rootfs)
            .arg("base:1"),
    )?;
    let context = work.join("docker-context");
    fs_err::create_dir_all(&context)?;
    let secrets = secrets();
    fs_err::write(context.join("Dockerfile"), dockerfile(&packages, &secrets))?;
    let build = |requirements: &str| -> Result<Duration> {
        fs_err::write(context.join("requirements.txt"), requirements)?;
        let start = Instant::now();
        let mut command = daemon.command();
        command.args(["build", "--quiet", "--network", "host", "--tag", "built:1"]);
        for name in host_names()? {
            command.args(["--add-host", &name]);
        }
        for (name, file) in &secrets {
            command.arg("--secret");
            command.arg(format!("id={name},src={}", file.display()));
        }
        output(command.arg(&context))?;
        Ok(start.elapsed())
    };
    let all: Vec<&str> = packages.python.iter().map(String::as_str).collect();
    let first = build(&all.join("\n"))?;
    // A build knows the file's content only, and no package for itself.
    let changed = build(&format!("# changed\n{}", all.join("\n")))?;
    let sizes = |image: &str| -> Result<u64> {
        let archive = work.join("docker-saved.tar");
        output(
            daemon
                .command()
                .args(["save", "--output"])
                .arg(&archive)
                .arg(image),
        )?;
        let layout = work.join(format!("docker-{}", image.replace(':', "-")));
        output(
            Command::new(program)
                .arg("copy")
                .arg(format!("docker-archive:{}", archive.display()))
                .arg(format!("oci:{}:1", layout.display())),
        )?;
        let mut tars = 0;
        for entry in fs_err::read_dir(layout.join("blobs/sha256"))? {
            let path = entry?.path();
            let packed = output(Command::new("sh").args([
                "-c",
                "if gzip -t \"$1\" 2>/dev/null; then cat \"$1\"; else pigz -6 -c \"$1\"; fi | wc -c",
                "size",
                &path.display().to_string(),
            ]))?;
            tars += packed.trim().parse::<u64>()?;
        }
        fs_err::remove_file(archive)?;
        fs_err::remove_dir_all(layout)?;
        Ok(tars)
    };
    let size = sizes("built:1")?.saturating_sub(sizes("base:1")?);
    Ok(Built {
        first,
        changed,
        size,
    })
}

/// What the build may see of this machine: how pip is configured, and which authorities it trusts.
fn secrets() -> Vec<(&'static str, PathBuf)> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let of_user = home.map(|home| home.join(".config/pip/pip.conf"));
    let mut found = Vec::new();
    let configs = of_user.into_iter().chain([PathBuf::from("/etc/pip.conf")]);
    found.extend(
        configs
            .filter(|file| file.is_file())
            .map(|file| ("pip", file))
            .take(1),
    );
    let authorities = PathBuf::from("/etc/ssl/certs/ca-certificates.crt");
    if authorities.is_file() {
        found.push(("authorities", authorities));
    }
    found
}

/// This machine's own names of hosts, as `--add-host` takes them.
fn host_names() -> Result<Vec<String>> {
    let text = fs_err::read_to_string("/etc/hosts").context("no names of hosts")?;
    let mut names = Vec::new();
    for line in text.lines() {
        let mut words = line
            .split('#')
            .next()
            .unwrap_or_default()
            .split_whitespace();
        let Some(address) = words.next().filter(|address| !is_local(address)) else {
            continue;
        };
        names.extend(words.map(|name| format!("{name}:{address}")));
    }
    Ok(names)
}

fn is_local(address: &str) -> bool {
    address.starts_with("127.") || address.contains(':')
}

fn dockerfile(packages: &Packages, secrets: &[(&str, PathBuf)]) -> String {
    let debian: Vec<&str> = packages.debian.iter().map(String::as_str).collect();
    let mut mounts = String::new();
    for (name, _) in secrets {
        let target = match *name {
            "pip" => "/etc/pip.conf",
            _ => "/run/authorities.crt",
        };
        let _ = write!(mounts, "--mount=type=secret,id={name},target={target} ");
    }
    let authorities = match secrets.iter().any(|(name, _)| *name == "authorities") {
        true => "PIP_CERT=/run/authorities.crt ",
        false => "",
    };
    format!(
        "FROM base:1\n\
         RUN apt-get update && apt-get install --yes --no-install-recommends python3-venv {} \
         && rm -rf /var/lib/apt/lists/*\n\
         COPY requirements.txt /\n\
         RUN {mounts}python3 -m venv /agent \
         && {authorities}/agent/bin/pip install --no-cache-dir -r requirements.txt\n",
        debian.join(" ")
    )
}

/// Reads a lock, as `ohoci deps lock` writes it.
fn packages(lock: &str, without: &[String]) -> Packages {
    let mut packages = Packages::default();
    let (mut kind, mut name, mut version) = ("", "", "");
    for line in lock.lines() {
        if line.starts_with("[[") {
            kind = line;
        } else if let Some(suite) = line.strip_prefix("[release.\"") {
            if packages.suite.is_empty() {
                packages.suite = suite.trim_end_matches("\"]").to_owned();
            }
        } else if let Some((key, value)) = line.split_once(" = ") {
            let value = value.trim_matches('"');
            match (key, kind) {
                ("name", _) => name = value,
                ("version", _) => version = value,
                ("feature", _) if without.iter().any(|feature| feature == value) => {}
                ("feature", "[[debian]]") => {
                    packages.debian.insert(name.to_owned());
                }
                ("feature", "[[python]]") => {
                    packages.python.insert(format!("{name}=={version}"));
                }
                _ => {}
            }
        }
    }
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_names_what_both_install() {
        let lock = crate::command::root().join("layers/agent-server.lock");
        let text = fs_err::read_to_string(lock).unwrap();
        let all = packages(&text, &[]);
        let some = packages(&text, &["browser".to_owned()]);
        assert_eq!(some.suite, "trixie");
        assert!(some.debian.contains("tmux") && !some.debian.contains("chromium-common"));
        assert!(all.debian.contains("chromium-common"));
        let mut servers = some.python.iter();
        assert!(servers.any(|wheel| wheel.starts_with("openhands-agent-server==")));
    }
}
