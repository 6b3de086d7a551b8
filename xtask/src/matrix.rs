//! `cargo xtask matrix`: one deps image on many bases, put through the same checks on each.

pub(crate) mod bases;
mod runner;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use self::bases::Base;
use self::runner::{Runner, Scenario};
use crate::bench::docker;
use crate::bench::tools::ohoci_program;
use crate::command::{find, output, root};

/// Put a deps image on many bases and try everything that it brings on each.
///
/// Bases are made from this machine's apt sources: Debian bullseye, bookworm and trixie, Ubuntu where
/// the mirror has it, one with musl, and `scratch`. On each, the checks run as root, as an unknown user
/// with a root that is only read, and in an environment that is set to break programs; without network.
/// What the base's own programs say has to be the same with the layers and without.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A deps image for this machine; without it, layers/openhands.toml is built.
    #[arg(long, value_name = "REF")]
    deps: Option<String>,
    /// The contract that images are composed for: that of the deps image's server.
    #[arg(long, default_value = "v1")]
    contract: String,
    /// Only this base; repeatable.
    #[arg(long = "base", value_name = "NAME")]
    bases: Vec<String>,
    /// Look at an arm64 image as well, of which single programs are run under qemu.
    #[arg(long, value_name = "REF")]
    arm64: Option<String>,
    /// Run under a Docker daemon of its own, rather than under bubblewrap. Needs root.
    #[arg(long)]
    docker: bool,
    /// The binary to compose with; without it, a release build is made.
    #[arg(long)]
    ohoci: Option<PathBuf>,
    /// Where bases are kept for the next run, and everything else for a look at it.
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// Write the table to this file as well.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// What checks came to, by base and scenario, by name of the check.
type Results = BTreeMap<(usize, Scenario), BTreeMap<String, Outcome>>;

/// What a check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Good,
    Bad(String),
    /// Something to compare between bases.
    Value(String),
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
    for program in ["bwrap", "umoci", "mmdebstrap"] {
        if find(program).is_none() {
            bail!("{program} is not installed");
        }
    }
    let program = ohoci_program(arguments.ohoci.as_deref())?;
    let ohoci = || {
        let mut command = Command::new(&program);
        command.arg("--cache-dir").arg(work.join("cache"));
        command.current_dir(&work);
        command
    };
    let deps = match &arguments.deps {
        Some(deps) => deps.clone(),
        None => {
            let recipe = root().join("layers/openhands.toml");
            let built = "oci:deps:1";
            let mut command = Command::new(&program);
            command.current_dir(&work).args(["deps", "build"]);
            command
                .arg(recipe)
                .args(["--platform", &platform()?, "--output", built]);
            crate::command::run(&mut command)?;
            built.to_owned()
        }
    };
    let bases = bases::make(&work.join("bases"), &arguments.bases)?;
    let daemon = match arguments.docker {
        true => Some(docker::start(&work.join("docker"))?),
        false => None,
    };
    let mut results = Results::new();
    for (number, base) in bases.iter().enumerate() {
        let name = base.name;
        println!("== {name}");
        let reference = base_image(&mut ohoci(), base)?;
        let composed = format!("oci:composed:{name}");
        output(
            ohoci()
                .args(["compose", "--base", &reference, "--deps", &deps])
                .args(["--contract", &arguments.contract])
                .args(["--fit", "auto", "--push", &composed]),
        )?;
        let runner = match &daemon {
            Some(daemon) => {
                let archive = format!("docker-archive:composed.tar:matrix:{name}");
                output(ohoci().args(["copy", &composed, &archive]))?;
                daemon.load(&work.join("composed.tar"))?;
                Runner::docker(daemon, &format!("matrix:{name}"))
            }
            None => {
                let rootfs = work.join("rootfs").join(name);
                unpack(&work, &composed, &rootfs)?;
                let config = output(ohoci().args(["inspect", "--config", &composed]))?;
                Runner::bubblewrap(&rootfs, &config)?
            }
        };
        for scenario in Scenario::ALL {
            let text = runner.checks(scenario, &work)?;
            let mut found = parsed(&text);
            if let (Some(rootfs), Scenario::Root) = (&base.rootfs, scenario) {
                let outcome = own_programs(&runner, rootfs, &work)?;
                found.insert("base".to_owned(), outcome);
            }
            for (check, outcome) in &found {
                if let Outcome::Bad(why) = outcome {
                    println!("{name}, {scenario}: {check}: {why}");
                }
            }
            results.insert((number, scenario), found);
        }
    }
    let mut table = table(&bases, &results);
    if let Some(reference) = &arguments.arm64 {
        let rootfs = work.join("rootfs/arm64");
        let composed = "oci:composed:arm64";
        output(ohoci().args(["copy", "--platform", "linux/arm64", reference, composed]))?;
        unpack(&work, composed, &rootfs)?;
        let _ = writeln!(
            table,
            "\narm64, under qemu: {}",
            runner::foreign(&rootfs)?.join(", ")
        );
    }
    println!("{table}");
    if let Some(out) = &arguments.out {
        fs_err::write(out, &table)?;
    }
    let bad = results.values().flat_map(BTreeMap::values);
    let bad = bad
        .filter(|outcome| matches!(outcome, Outcome::Bad(_)))
        .count();
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

/// A base as an image: its root file system is the one layer.
fn base_image(ohoci: &mut Command, base: &Base) -> Result<String> {
    let Some(rootfs) = &base.rootfs else {
        return Ok("scratch".to_owned());
    };
    let reference = format!("oci:base-images:{}", base.name);
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    output(
        ohoci
            .args(["compose", "--base", "scratch", "--layer"])
            .arg(rootfs)
            .args(["--env", &format!("PATH={path}"), "--push", &reference]),
    )?;
    Ok(reference)
}

/// Unpacks an image, with another tool than ours.
fn unpack(work: &Path, reference: &str, rootfs: &Path) -> Result<()> {
    if rootfs.exists() {
        runner::remove(rootfs)?;
    }
    let parent = rootfs.parent().context("a directory")?;
    fs_err::create_dir_all(parent)?;
    let image = reference.trim_start_matches("oci:");
    let mut umoci = Command::new(find("umoci").context("umoci")?);
    umoci
        .current_dir(work)
        .args(["raw", "unpack", "--rootless", "--image", image]);
    output(umoci.arg(rootfs)).map(drop)
}

/// Whether the base's own programs say the same with the layers as without.
fn own_programs(composed: &Runner<'_>, rootfs: &Path, work: &Path) -> Result<Outcome> {
    let plain = work.join("rootfs/plain");
    if plain.exists() {
        runner::remove(&plain)?;
    }
    fs_err::create_dir_all(&plain)?;
    // Devices cannot be made by ordinary users, and are not needed.
    output(
        Command::new("tar")
            .args(["--extract", "--exclude=./dev/*", "--file"])
            .arg(rootfs)
            .arg("--directory")
            .arg(&plain),
    )?;
    runner::list_programs(&plain, work)?;
    let without = Runner::bubblewrap(&plain, "{}")?.base(work)?;
    let with = composed.base(work)?;
    if with == without && without.lines().count() > 5 {
        return Ok(Outcome::Good);
    }
    let differs = with.lines().zip(without.lines()).find(|(a, b)| a != b);
    Ok(Outcome::Bad(match differs {
        Some((a, b)) => format!("with the layers {a:?}, without {b:?}"),
        None => format!(
            "{} lines with, {} without",
            with.lines().count(),
            without.lines().count()
        ),
    }))
}

/// What the script of checks printed.
fn parsed(text: &str) -> BTreeMap<String, Outcome> {
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let parts: Vec<&str> = line.splitn(3, ' ').collect();
        match parts.as_slice() {
            ["ok", name] => found.insert((*name).to_owned(), Outcome::Good),
            ["FAIL", name, why] => {
                let name = name.trim_end_matches(':').to_owned();
                found.insert(name, Outcome::Bad((*why).to_owned()))
            }
            ["note", name, value] => {
                found.insert((*name).to_owned(), Outcome::Value((*value).to_owned()))
            }
            _ => None,
        };
    }
    if found.is_empty() {
        let last = text.lines().next_back().unwrap_or("it printed nothing");
        found.insert("start".to_owned(), Outcome::Bad(last.to_owned()));
    }
    found
}

/// A row for each check, a column for each base; a cell has the scenarios.
fn table(bases: &[Base], results: &Results) -> String {
    let mut checks: Vec<&String> = results.values().flat_map(BTreeMap::keys).collect();
    checks.sort();
    checks.dedup();
    let names: Vec<&str> = bases.iter().map(|base| base.name).collect();
    let mut text = format!(
        "| | {} |\n|---|{}\n",
        names.join(" | "),
        "---|".repeat(bases.len())
    );
    for check in checks {
        let cells: Vec<String> = (0..bases.len())
            .map(|base| {
                let cells = Scenario::ALL.iter().map(|scenario| {
                    let found = results
                        .get(&(base, *scenario))
                        .and_then(|found| found.get(check));
                    match found {
                        Some(Outcome::Good) => "ok",
                        Some(Outcome::Bad(_)) => "FAILED",
                        Some(Outcome::Value(value)) => value,
                        None => "–",
                    }
                });
                let mut cells: Vec<&str> = cells.collect();
                cells.dedup();
                cells.join(" / ")
            })
            .collect();
        let _ = writeln!(text, "| {check} | {} |", cells.join(" | "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_outcomes_and_silence_is_a_failure() {
        let found = parsed("ok bash\nFAIL git: no helper here\nnote picture abc\nnoise\n");
        assert_eq!(found["bash"], Outcome::Good);
        assert_eq!(found["git"], Outcome::Bad("no helper here".to_owned()));
        assert_eq!(found["picture"], Outcome::Value("abc".to_owned()));
        assert!(matches!(parsed("cannot start")["start"], Outcome::Bad(_)));
    }
}
