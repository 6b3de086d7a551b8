//! Python environments with tools in versions that are written down.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::command::{self, root, target};

/// An environment below the target directory.
#[derive(Debug)]
pub(crate) struct Environment {
    programs: PathBuf,
}

impl Environment {
    /// Installs what a file of requirements names, where it is not there yet.
    pub(crate) fn installed(name: &str, requirements: &str) -> Result<Self> {
        let requirements = root().join(requirements);
        let wanted = fs_err::read_to_string(&requirements)?;
        let directory = target().join(name);
        let stamp = directory.join("requirements.txt");
        let programs = directory.join("bin");
        if fs_err::read_to_string(&stamp).ok().as_deref() != Some(wanted.as_str()) {
            command::run(
                Command::new("python3")
                    .args(["-m", "venv", "--clear"])
                    .arg(&directory),
            )?;
            command::run(
                Command::new(programs.join("pip"))
                    .args(["install", "--quiet", "--disable-pip-version-check"])
                    .arg("--requirement")
                    .arg(&requirements),
            )?;
            fs_err::write(&stamp, &wanted)?;
        }
        Ok(Self {
            programs: fs_err::canonicalize(programs)?,
        })
    }

    /// One of the programs, which finds the others first on its path.
    pub(crate) fn program(&self, name: &str) -> Command {
        let mut path = OsString::from(&self.programs);
        if let Some(more) = std::env::var_os("PATH") {
            path.push(":");
            path.push(more);
        }
        let mut command = Command::new(self.programs.join(name));
        command.env("PATH", path);
        command
    }
}
