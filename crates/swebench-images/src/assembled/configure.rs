//! What packages run when they are installed, in debootstrap's order: first what is essential, then
//! the others. What comes before unpacking runs once that is configured which it counts on; dpkg
//! configures the rest in the order of their dependencies.

use std::collections::BTreeSet;
use std::path::Path;

use super::leavings;
use crate::changes::{DATE, changes};
use crate::error::{BuildError, Level, at};
use crate::stage::{Program, Stage, StageError, Tools};
use ohoci_deps::rootfs::{Preinst, RootFiles};
use ohoci_layer::Tree;
use ohoci_sandbox::Network;

/// What says that no service may be started (Policy 9.3.3), below the root.
const POLICY: &str = "usr/sbin/policy-rc.d";
const POLICY_SAYS: &str = "#!/bin/sh\nexit 101\n";

/// How dpkg begins to say which package it could not configure.
const FAILED: &str = "dpkg: error processing package ";

/// A system that is being configured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Configuration<'a> {
    /// The packages' files, and where what changes lands.
    pub(super) stage: &'a Stage,
    /// Programs of this machine.
    pub(super) tools: &'a Tools,
    /// Where what is written goes.
    pub(super) log: &'a Path,
    /// Whether packages are missing on purpose: dpkg is not to insist on them.
    pub(super) leaves_out: bool,
}

impl Configuration<'_> {
    /// Runs all of it, and gives what it changed.
    ///
    /// # Errors
    /// The package whose script failed, with the log's end.
    pub(super) fn run(&self, files: &RootFiles, users: &[&str]) -> Result<Tree, BuildError> {
        self.write_policy()
            .map_err(at(Level::Base, "keep services from starting"))?;
        let mut configured = BTreeSet::new();
        let is_essential = |one: &&Preinst| files.essential.contains(&one.package);
        for one in files.before.iter().filter(is_essential) {
            self.configure_new(&one.configured, &mut configured)?;
            self.preinst(one)?;
        }
        self.configure_new(&files.essential, &mut configured)?;
        for one in files.before.iter().filter(|one| !is_essential(one)) {
            self.configure_new(&one.configured, &mut configured)?;
            self.preinst(one)?;
        }
        self.configure(&["-a"])?;
        for user in users {
            let words = ["useradd", "--create-home", "--shell", "/bin/bash", user];
            self.command(&format!("add the user {user}"), &words, &[])?;
        }
        self.stage
            .open()
            .and_then(|changes| changes.remove_file(POLICY))
            .map_err(at(Level::Base, "let services start"))?;
        let found = changes(&self.stage.own(), self.stage.below());
        let found = found.map_err(at(Level::Base, "read what packages changed"))?;
        leavings::tidied(&found.tree, users)
            .map_err(at(Level::Base, "tidy up what packages changed"))
    }

    fn preinst(&self, one: &Preinst) -> Result<(), BuildError> {
        let step = format!("run the preinst of {}", one.package);
        let own = [
            ("DPKG_MAINTSCRIPT_PACKAGE", one.package.as_str()),
            ("DPKG_MAINTSCRIPT_NAME", "preinst"),
            ("DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT", "1"),
            ("DPKG_MAINTSCRIPT_ARCH", &one.architecture),
            ("DPKG_ADMINDIR", "/var/lib/dpkg"),
            ("DPKG_ROOT", ""),
        ];
        self.command(&step, &[&one.script, "install"], &own)
    }

    /// Has dpkg configure those packages that it has not configured before, which it would not take.
    fn configure_new<'a>(
        &self,
        names: &'a [String],
        configured: &mut BTreeSet<&'a str>,
    ) -> Result<(), BuildError> {
        let names = names.iter().map(String::as_str);
        let names: Vec<&str> = names.filter(|name| configured.insert(*name)).collect();
        match names.is_empty() {
            true => Ok(()),
            false => self.configure(&names),
        }
    }

    /// Has dpkg configure packages, by name.
    fn configure(&self, names: &[&str]) -> Result<(), BuildError> {
        let mut words = vec!["dpkg"];
        words.extend(self.leaves_out.then_some("--force-depends"));
        words.push("--configure");
        words.extend(names);
        self.command("configure packages", &words, &[])
            .map_err(|error| self.named(error))
    }

    fn write_policy(&self) -> std::io::Result<()> {
        self.stage.prepare("usr/sbin")?;
        self.stage
            .open()?
            .write(POLICY, POLICY_SAYS.as_bytes(), 0o755)
    }

    fn command(
        &self,
        step: &str,
        command: &[&str],
        own: &[(&str, &str)],
    ) -> Result<(), BuildError> {
        let date = DATE.to_string();
        let environment = [
            (
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            ),
            ("HOME", "/root"),
            ("TZ", "Etc/UTC"),
            ("LC_ALL", "C.UTF-8"),
            ("DEBIAN_FRONTEND", "noninteractive"),
            ("DEBCONF_NONINTERACTIVE_SEEN", "true"),
            // What these are left to chance would get into files.
            ("PERL_HASH_SEED", "0"),
            ("PERL_PERTURB_KEYS", "0"),
            ("PYTHONHASHSEED", "0"),
            ("SOURCE_DATE_EPOCH", &date),
        ];
        let environment = environment.iter().chain(own);
        let program = Program {
            command,
            environment: environment
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            binds: Vec::new(),
            network: Network::None,
            directory: "/",
            gives_files_away: true,
        };
        let done = self.stage.run(self.tools, &program, self.log);
        done.map_err(|error| {
            let is_its_own = matches!(error, StageError::Failed(_));
            let error = error.of(Level::Base, step, self.log);
            match is_its_own {
                true => error.hinted(
                    "the log has all that was written; leave the package out in the recipe, below \
                     [debian.exclude], or lock another version of it",
                ),
                false => error,
            }
        })
    }

    /// The same error, with the packages that dpkg names.
    fn named(&self, error: BuildError) -> BuildError {
        let log = fs_err::read(self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        let names: Vec<&str> = log
            .lines()
            .filter_map(|line| line.strip_prefix(FAILED)?.split(' ').next())
            .collect();
        if names.is_empty() {
            return error;
        }
        let step = format!("configure {}", names.join(", "));
        let named = BuildError::new(Level::Base, step, &error.why).logged(self.log);
        match &error.hint {
            Some(hint) => named.hinted(hint.clone()),
            None => named,
        }
    }
}
