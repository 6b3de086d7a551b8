//! `cargo xtask matrix`: one deps image on many bases, put through the same checks on each.

mod authority;
pub(crate) mod bases;
mod config;
mod emulator;
mod outcome;
mod runner;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use self::authority::Authority;
use self::bases::{Asked, Base};
use self::config::Config;
use self::emulator::Emulator;
use self::outcome::{Found, Outcome, Results, parsed, table};
use self::runner::{Runner, Scenario};
use crate::bench::docker::{self, Docker};
use crate::bench::tools::ohoci_program;
use crate::command::{cargo, find, output, root, target};

/// Put a deps image on many bases and try everything that it brings on each.
///
/// Bases are made from this machine's busybox and apt sources: Debian and Ubuntu, new and old, one with musl, systems
/// whose directories are links, lack users or shells or have odd settings, and `scratch`. On each, the checks run as root,
/// as the contract's user with a root that is only read, and in an environment that is set to break programs; without
/// network. What the base's own programs say has to be the same with the layers and without. A base that has something
/// of its own at `/openhands` has to be refused.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A deps image for this machine; without it, layers/openhands.toml is built.
    #[arg(long, value_name = "REF")]
    deps: Option<String>,
    /// The core of it, in a minute or two: layers/minimal.toml, locked anew, on the bases that are made without a mirror.
    #[arg(long, conflicts_with_all = ["deps", "docker"])]
    quick: bool,
    /// The contract that images are composed for: that of the deps image's server.
    #[arg(long, default_value = "v1")]
    contract: String,
    /// Only this base; repeatable.
    #[arg(long = "base", value_name = "NAME")]
    bases: Vec<String>,
    /// A deps image for arm64, to be tried as well: on bases of its own, under bubblewrap, where qemu runs every program.
    /// With `--quick` it has tools alone, as layers/minimal.toml.
    ///
    /// The kernel is told of qemu in a namespace alone, as any user may, since Linux 6.7: the machine's own settings stay
    /// as they are. Without network, and slow: what takes a minute otherwise takes a quarter of an hour.
    #[arg(long, value_name = "REF")]
    arm64: Option<String>,
    /// Run under a Docker daemon of its own, rather than under bubblewrap. Needs root.
    #[arg(long)]
    docker: bool,
    /// The binary to compose with; without it, one is built: for releases, or with `--quick` as tests have it.
    #[arg(long)]
    ohoci: Option<PathBuf>,
    /// Where bases are kept for the next run, and everything else for a look at it.
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// Write the table to this file as well.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Runs the matrix and prints the table; fails when a check does.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let temporary;
    let work = match &arguments.work {
        Some(work) => {
            fs_err::create_dir_all(work)?;
            fs_err::canonicalize(work)?
        }
        None => {
            temporary = tempfile::TempDir::with_prefix("matrix-")?;
            temporary.path().to_owned()
        }
    };
    for program in ["bwrap", "umoci"] {
        if find(program).is_none() {
            bail!("{program} is not installed");
        }
    }
    let program = match (&arguments.ohoci, arguments.quick) {
        (None, true) => {
            crate::command::run(cargo().args(["build", "--bin", "ohoci"]))?;
            target().join("debug/ohoci")
        }
        (given, _) => ohoci_program(given.as_deref())?,
    };
    let emulator = match arguments.arm64 {
        Some(_) => Some(Emulator::arm64()?),
        None => None,
    };
    let authority = Authority::at(&work.join("authority"))?;
    let asked = match arguments.bases.as_slice() {
        [] if arguments.quick => Asked::Core,
        [] => Asked::All,
        names => Asked::Named(names),
    };
    let bases = bases::make(&work.join("bases"), asked, emulator.is_some(), &authority)?;
    let deps = match &arguments.deps {
        Some(deps) => deps.clone(),
        // Nothing is tried of it.
        None if bases.iter().all(|base| base.arm64) => String::new(),
        None if arguments.quick => built(&program, "minimal", true, &work)?,
        None => built(&program, "openhands", false, &work)?,
    };
    let daemon = match arguments.docker {
        true => Some(docker::start(&work.join("docker"))?),
        false => None,
    };
    let trap = runner::trap(&work)?;
    authority.hand_out(&trap)?;
    let trial = Trial {
        program: &program,
        work: &work,
        trap: &trap,
        deps: &deps,
        contract: Some(arguments.contract.as_str()).filter(|_| !arguments.quick),
        daemon: daemon.as_ref(),
        emulator: None,
    };
    let foreign = Trial {
        deps: arguments.arm64.as_deref().unwrap_or_default(),
        daemon: None,
        emulator: emulator.as_ref(),
        ..trial
    };
    let mut results = Results::new();
    for (number, base) in bases.iter().enumerate() {
        println!("== {}", base.name);
        let trial = if base.arm64 { foreign } else { trial };
        for (scenario, found) in trial.of(base)? {
            for (check, outcome) in &found {
                if let Outcome::Bad(why) = outcome {
                    println!("{}, {scenario}: {check}: {why}", base.name);
                }
            }
            results.insert((number, scenario), found);
        }
    }
    let names: Vec<&str> = bases.iter().map(|base| base.name).collect();
    let table = table(&names, &results);
    println!("{table}");
    if let Some(out) = &arguments.out {
        fs_err::write(out, &table)?;
    }
    let bad = outcome::bad(&results);
    if bad > 0 {
        bail!("{bad} checks failed");
    }
    Ok(())
}

fn platform() -> Result<String> {
    Ok(match std::env::consts::ARCH {
        "x86_64" => "linux/amd64".to_owned(),
        "aarch64" => "linux/arm64".to_owned(),
        other => bail!("there are no layers for {other}"),
    })
}

/// Builds the deps image of a recipe for this machine. What a lock names may have left the mirrors, so that it is locked
/// `anew` where that does not take long.
fn built(program: &Path, recipe: &str, anew: bool, work: &Path) -> Result<String> {
    let mut recipes = root().join("layers");
    if anew {
        recipes = work.join("recipes/layers");
        for name in ["layers", "wrappers"] {
            let copy = work.join("recipes").join(name);
            fs_err::create_dir_all(&copy)?;
            let mut command = Command::new("cp");
            output(command.arg("-rT").arg(root().join(name)).arg(copy))?;
        }
        let mut lock = Command::new(program);
        lock.current_dir(work).args(["deps", "lock"]);
        crate::command::run(lock.arg(recipes.join(format!("{recipe}.toml"))))?;
    }
    let reference = "oci:deps:1";
    let mut build = Command::new(program);
    build.current_dir(work).args(["deps", "build"]);
    build.arg(recipes.join(format!("{recipe}.toml")));
    build.args(["--platform", &platform()?, "--output", reference]);
    crate::command::run(&mut build)?;
    Ok(reference.to_owned())
}

/// What is tried on every base.
#[derive(Clone, Copy)]
struct Trial<'a> {
    program: &'a Path,
    work: &'a Path,
    trap: &'a Path,
    deps: &'a str,
    /// None where the deps have no server.
    contract: Option<&'a str>,
    daemon: Option<&'a Docker>,
    /// Where the deps are for arm64, and the machine is not.
    emulator: Option<&'a Emulator>,
}

impl Trial<'_> {
    fn ohoci(&self) -> Command {
        let mut command = Command::new(self.program);
        command.arg("--cache-dir").arg(self.work.join("cache"));
        command.current_dir(self.work);
        command
    }

    fn compose(&self) -> Command {
        let mut command = self.ohoci();
        command.arg("compose");
        if self.emulator.is_some() {
            command.args(["--platform", emulator::PLATFORM]);
        }
        command
    }

    /// Everything on one base, in each way.
    fn of(&self, base: &Base) -> Result<Vec<(Scenario, Found)>> {
        let reference = self.base_image(base)?;
        let composed = format!("oci:composed:{}", base.name);
        let mut compose = self.compose();
        compose.args(["--base", &reference, "--deps", self.deps]);
        match self.contract {
            Some(contract) => compose.args(["--contract", contract]),
            None => compose.args(["--user", "10001:10001"]),
        };
        compose.args(["--fit", "auto", "--push", &composed]);
        if base.taken {
            let found = Found::from([("refused".to_owned(), refused(&mut compose)?)]);
            return Ok(vec![(Scenario::Root, found)]);
        }
        output(&mut compose)?;
        let inspect = |reference: &str| {
            let mut inspect = self.ohoci();
            Config::parse(&output(inspect.args(["inspect", "--config", reference]))?)
        };
        let config = inspect(&composed)?;
        let rootfs = self.work.join("rootfs/composed");
        let runner = match self.daemon {
            Some(daemon) => {
                let archive = format!("docker-archive:composed.tar:matrix:{}", base.name);
                output(self.ohoci().args(["copy", &composed, &archive]))?;
                daemon.load(&self.work.join("composed.tar"))?;
                Runner::docker(daemon, &format!("matrix:{}", base.name))
            }
            None => {
                unpack(self.work, &composed, &rootfs)?;
                Runner::bubblewrap(&rootfs, config.env(), self.emulator)?
            }
        };
        let user = config.uid().unwrap_or_default();
        let mut results = Vec::new();
        for scenario in Scenario::ALL {
            let mut found = parsed(&runner.checks(scenario, user, self.trap)?);
            if self.contract == Some("v1") {
                let printed = runner.server(scenario, &config.command(), self.trap)?;
                found.extend(parsed(&printed));
            }
            if let (Some(tar), Scenario::Root) = (&base.rootfs, scenario) {
                let own = inspect(&reference)?;
                found.insert("base".to_owned(), self.own_programs(&runner, tar, &own)?);
                if self.contract.is_none() {
                    found.insert("config".to_owned(), config.starts_like(&own));
                }
            }
            results.push((scenario, found));
        }
        if rootfs.exists() {
            runner::remove(&rootfs)?;
        }
        Ok(results)
    }

    /// A base as an image: its root file system is the one layer.
    fn base_image(&self, base: &Base) -> Result<String> {
        let Some(rootfs) = &base.rootfs else {
            return Ok("scratch".to_owned());
        };
        let reference = format!("oci:base-images:{}", base.name);
        let mut compose = self.compose();
        compose.args(["--base", "scratch", "--layer"]).arg(rootfs);
        let path = base.config.path.map(|path| ("PATH", path));
        for (name, value) in path.iter().chain(base.config.env) {
            compose.args(["--env", &format!("{name}={value}")]);
        }
        if let Some(user) = base.config.user {
            compose.args(["--user", user]);
        }
        if let Some(entrypoint) = base.config.entrypoint {
            compose.args(["--entrypoint", entrypoint]);
        }
        output(compose.args(["--push", &reference]))?;
        Ok(reference)
    }

    /// Whether the base's own programs say the same with the layers as without.
    fn own_programs(&self, composed: &Runner<'_>, tar: &Path, own: &Config) -> Result<Outcome> {
        let plain = self.work.join("rootfs/plain");
        if plain.exists() {
            runner::remove(&plain)?;
        }
        fs_err::create_dir_all(&plain)?;
        // Devices cannot be made by ordinary users, and are not needed.
        output(
            Command::new("tar")
                .args(["--extract", "--exclude=./dev/*", "--file"])
                .arg(tar)
                .arg("--directory")
                .arg(&plain),
        )?;
        runner::list_programs(&plain, self.trap)?;
        let shell = plain.join("bin/sh").symlink_metadata().is_ok();
        // Where a base has no path, its shell's own is looked through.
        let mut env = own.env();
        env.retain(|(name, value)| name != "PATH" || !value.is_empty());
        let without = Runner::bubblewrap(&plain, env, self.emulator)?.base(shell, self.trap)?;
        let with = composed.base(shell, self.trap)?;
        runner::remove(&plain)?;
        Ok(outcome::of_own_programs(&with, &without, shell))
    }
}

/// Whether composing says that the base has something where the prefix is to be.
fn refused(compose: &mut Command) -> Result<Outcome> {
    let tried = compose.output()?;
    let said = String::from_utf8_lossy(&tried.stderr).into_owned();
    Ok(match tried.status.code() {
        Some(1) if said.contains("would mix") => Outcome::Good,
        Some(0) => Outcome::Bad("it was composed all the same".to_owned()),
        _ => Outcome::Bad(said.trim().replace('\n', " / ")),
    })
}

/// Unpacks an image, with another tool than ours.
fn unpack(work: &Path, reference: &str, rootfs: &Path) -> Result<()> {
    if rootfs.exists() {
        runner::remove(rootfs)?;
    }
    let parent = rootfs.parent().context("a directory")?;
    fs_err::create_dir_all(parent)?;
    let image = reference.trim_start_matches("oci:");
    let mut umoci = Command::new(find("umoci").context("umoci is not installed")?);
    umoci
        .current_dir(work)
        .args(["raw", "unpack", "--rootless", "--image", image]);
    output(umoci.arg(rootfs)).map(drop)
}
