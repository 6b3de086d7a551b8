//! podman, with what it needs to run anything on this machine, and without what it leaves behind.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::run_peers::{PROGRAM, is_root};
use super::tools::at_home;
use crate::command::{find, output};

/// podman, with a store of its own.
#[derive(Clone, Debug)]
pub(super) struct Podman {
    program: PathBuf,
    work: PathBuf,
    /// Whether it was asked for overlays: as an ordinary user it copies layers otherwise, where
    /// fuse-overlayfs is not installed.
    has_overlays: bool,
    /// What tells its storage from others in the same directory.
    storage: String,
    of_all: &'static [&'static str],
    of_run: &'static [&'static str],
}

/// Where a container may not raise its limits, podman's own defaults stop it.
const LIMITS: &[&str] = &[
    "--ulimit",
    "nofile=1024:1024",
    "--ulimit",
    "nproc=1024:1024",
];

/// Settings of all its commands, and of runs.
const SETTINGS: [(&[&str], &[&str]); 3] =
    [(&[], &[]), (&[], LIMITS), (&["--runtime", "runc"], LIMITS)];

impl Podman {
    /// The first of some settings with which it runs.
    pub(super) fn find(work: &Path) -> Result<Self> {
        let program = find("podman").context("it is not installed")?;
        let mut why = None;
        for has_overlays in [true, false] {
            for (of_all, of_run) in SETTINGS {
                let podman = Self {
                    program: program.clone(),
                    work: work.to_owned(),
                    has_overlays,
                    storage: String::new(),
                    of_all,
                    of_run,
                };
                match output(&mut podman.run()) {
                    Ok(_) => return Ok(podman),
                    Err(error) => why = Some(error),
                }
            }
        }
        Err(why.unwrap_or_else(|| anyhow::anyhow!("it does not start here")))
    }

    /// The same with a storage that is empty yet.
    pub(super) fn anew(&self, storage: usize) -> Self {
        Self {
            storage: format!("-{storage}"),
            ..self.clone()
        }
    }

    /// What it is called in the table.
    pub(super) fn name(&self) -> Result<String> {
        let user = if is_root()? { "as root" } else { "rootless" };
        let storage = match self.has_overlays {
            true => "overlays",
            false => "its default storage",
        };
        let runtime = self.of_all.last().copied().unwrap_or("its default runtime");
        Ok(format!("podman run, {user}, {storage}, {runtime}"))
    }

    fn command(&self) -> Command {
        let mut command = at_home(&self.program, &self.work);
        let storage = match self.has_overlays {
            true => "podman-overlays",
            false => "podman-default",
        };
        let storage = format!("{storage}{}", self.storage);
        command.arg("--root").arg(self.work.join(storage));
        command.arg("--runroot").arg(self.work.join("podman-run"));
        if self.has_overlays {
            command.args(["--storage-driver", "overlay"]);
        }
        // Its process that keeps namespaces is told from those of other runs by this.
        command.env("XDG_RUNTIME_DIR", self.work.join("podman-runtime"));
        command.args(self.of_all);
        command
    }

    /// Pulls the image and runs the program in it.
    pub(super) fn run(&self) -> Command {
        self.run_image("oci:image:big")
    }

    /// Runs the program in the image, which is there.
    pub(super) fn run_known(&self) -> Result<Command> {
        let images = output(self.command().args(["images", "--quiet", "--no-trunc"]))?;
        let image = images.lines().next().context("podman has no image")?;
        Ok(self.run_image(image))
    }

    fn run_image(&self, image: &str) -> Command {
        // Where the process that keeps namespaces says that it is there.
        let _ = fs_err::create_dir_all(self.work.join("podman-runtime"));
        let mut command = self.command();
        command.args(["run", "--rm", "--network", "none"]);
        command.args(self.of_run).arg(image).args(PROGRAM);
        command
    }
}

/// Takes away what podman leaves in a directory when it ends: as root its storage stays mounted on itself,
/// as an ordinary user the files belong to users that only podman can be, and a process of its keeps
/// namespaces.
#[derive(Debug)]
pub(super) struct Leavings(pub(super) PathBuf);

impl Drop for Leavings {
    fn drop(&mut self) {
        let Some(program) = find("podman") else {
            return;
        };
        for has_overlays in [true, false] {
            let podman = Podman {
                program: program.clone(),
                work: self.0.clone(),
                has_overlays,
                storage: String::new(),
                of_all: &[],
                of_run: &[],
            };
            // What cannot be done is seen by what is left.
            let _ = output(podman.command().args(["rm", "--all", "--force"]));
        }
        let _ = self.unmount();
        if !is_root().unwrap_or(true) {
            let _ = self.remove_as_podman(&program);
        }
    }
}

impl Leavings {
    /// Unmounts everything below the directory, the innermost first.
    fn unmount(&self) -> Result<()> {
        let mounts = fs_err::read_to_string("/proc/self/mountinfo")?;
        let below = self.0.to_string_lossy();
        // The fifth field is where something is mounted (proc_pid_mountinfo(5)).
        let places = mounts.lines().rev();
        for place in places.filter_map(|line| line.split(' ').nth(4)) {
            if place.starts_with(&*below) {
                output(Command::new("umount").arg(place))?;
            }
        }
        Ok(())
    }

    fn remove_as_podman(&self, program: &Path) -> Result<()> {
        let podman = Podman {
            program: program.to_owned(),
            work: self.0.clone(),
            has_overlays: true,
            storage: String::new(),
            of_all: &[],
            of_run: &[],
        };
        // In its namespaces the storage is mounted on itself, too.
        let script = "umount podman-overlays*/overlay 2>/dev/null; rm -rf podman-overlays* podman-default* podman-run";
        output(podman.command().args(["unshare", "sh", "-c", script]))?;
        output(podman.command().args(["system", "migrate"])).map(drop)
    }
}
