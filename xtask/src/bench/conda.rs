//! A frozen environment of conda's packages, linked by every tool: the first time, and again from the tool's cache; and
//! whether all link the same files.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::process::{Run, settle, watched};
use super::table::bytes;
use crate::command::{cargo, find, output, root, run as run_command, target};
use crate::environment::Environment;

/// Link a frozen environment with ohoci, micromamba and py-rattler, by turns, first with an empty cache and then again.
///
/// The channel is a directory that is made for it, from this machine's Python. All keep packages unpacked in their cache and
/// make hard links to that, and each reads the channel's lists and writes the packages' records. The files have to be the
/// same. Of py-rattler only linking counts, without starting Python and reading the lists; of the others the whole process.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How often each links it twice; the medians count.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// The program that links with ohoci's crates (`src/bin/linked.rs`); without it, a release build is made.
    #[arg(long, value_name = "PROGRAM")]
    linked: Option<PathBuf>,
    /// micromamba, or mamba from version 2 on; without it, one on the path.
    #[arg(long, value_name = "PROGRAM")]
    micromamba: Option<PathBuf>,
    /// Write the table to this file as well.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// What every tool links into.
const PREFIX: &str = "prefix";

/// A way to link.
struct Tool {
    name: &'static str,
    how: How,
    /// With an empty cache.
    first: Vec<Linked>,
    /// With what the run before has left there.
    again: Vec<Linked>,
}

enum How {
    Ohoci(PathBuf),
    /// With options besides.
    Micromamba(PathBuf, &'static [&'static str]),
    Rattler,
}

/// What a run came to.
struct Linked {
    wall: Duration,
    memory: u64,
}

/// What every tool gets.
struct Scene {
    work: TempDir,
    tools: Environment,
    packages: Vec<String>,
}

/// Measures and prints the table.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.runs == 0 {
        bail!("--runs must be at least 1");
    }
    let scene = Scene::new()?;
    let mut tools = vec![Tool::new("ohoci", How::Ohoci(linked(arguments)?))];
    let found = arguments.micromamba.clone();
    let found = found.or_else(|| ["micromamba", "mamba"].into_iter().find_map(find));
    let mut notes = Vec::new();
    match &found {
        Some(program) => {
            let how = |more| How::Micromamba(program.clone(), more);
            tools.push(Tool::new("micromamba", how(&["--no-pyc"])));
            let copies = how(&["--no-pyc", "--always-copy"]);
            tools.push(Tool::new("micromamba, copies", copies));
        }
        None => notes.push("not measured: micromamba, which is not installed".to_owned()),
    }
    tools.push(Tool::new("py-rattler", How::Rattler));
    let mut expected: Option<BTreeMap<String, String>> = None;
    for number in 0..arguments.runs {
        for tool in &mut tools {
            eprintln!("{}, run {}", tool.name, number + 1);
            let cache = scene.at(&format!("cache {number} of {}", tool.name));
            fs_err::create_dir(&cache)?;
            for (again, runs) in [(false, &mut tool.first), (true, &mut tool.again)] {
                // What others wrote is not written to the disk while this one is measured.
                settle()?;
                runs.push(scene.link((tool.name, &tool.how), &cache)?);
                if number == 0 {
                    let (found, records) = scene.linked()?;
                    if !again {
                        let count = found.len();
                        let name = tool.name;
                        notes.push(format!("{name}: {count} files besides {records} records"));
                    }
                    match &expected {
                        Some(expected) => same(expected, &found, tool.name)?,
                        None => expected = Some(found),
                    }
                }
                scene.put_away(&format!("{number} {again} of {}", tool.name))?;
            }
        }
    }
    let text = table(&scene, &tools, arguments.runs, &notes);
    println!("{text}");
    if let Some(out) = &arguments.out {
        fs_err::write(out, &text)?;
    }
    Ok(())
}

fn linked(arguments: &Arguments) -> Result<PathBuf> {
    if let Some(program) = &arguments.linked {
        return Ok(fs_err::canonicalize(program)?);
    }
    let mut build = cargo();
    build.args(["build", "--release", "--workspace"]);
    run_command(build.args(["--features", "xtask/linked", "--bin", "linked"]))?;
    Ok(target().join("release/linked"))
}

impl Scene {
    fn new() -> Result<Self> {
        let work = TempDir::with_prefix("bench-")?;
        let tools = Environment::installed("conda-tools", "xtask/conda-requirements.txt")?;
        eprintln!("writing the channel");
        let mut write = tools.program("python");
        write.arg(root().join("fixtures/conda/environment.py"));
        let packages = output(write.arg(work.path().join("channel")))?;
        fs_err::write(work.path().join("frozen"), &packages)?;
        Ok(Self {
            packages: packages.lines().map(str::to_owned).collect(),
            work,
            tools,
        })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    /// Links the environment. The prefix has the same name for every tool: it is in the files.
    fn link(&self, (name, how): (&str, &How), cache: &Path) -> Result<Linked> {
        let prefix = self.at(PREFIX);
        let done = |command: &mut Command| -> Result<Run> {
            let run = watched(command, self.work.path())?;
            if run.code != Some(0) {
                bail!("{name} ended with {:?}: {}", run.code, run.stderr);
            }
            Ok(run)
        };
        let whole = |run: Run| Linked {
            wall: run.wall,
            memory: run.memory,
        };
        match how {
            How::Ohoci(program) => {
                let mut command = Command::new(program);
                command.arg(self.at("channel")).arg(cache);
                done(command.arg(&prefix).arg(self.at("frozen"))).map(whole)
            }
            How::Micromamba(program, more) => {
                let mut command = Command::new(program);
                command.env("HOME", cache);
                command.args(["create", "--yes", "--quiet", "--offline", "--no-rc"]);
                command.arg("--root-prefix").arg(cache.join("root"));
                command.arg("--prefix").arg(&prefix).args(*more);
                done(command.arg("--file").arg(self.at("channel/explicit.txt"))).map(whole)
            }
            How::Rattler => {
                let mut command = self.tools.program("python");
                command.arg(root().join("fixtures/conda/install.py"));
                command.arg(format!("file://{}", self.at("channel").display()));
                command.arg(&prefix).arg(cache);
                let names = self.packages.iter();
                command.args(names.filter_map(|package| package.split('=').next()));
                let run = done(&mut command)?;
                let seconds: f64 = run.stdout.trim().parse().context(run.stdout.clone())?;
                Ok(Linked {
                    wall: Duration::try_from_secs_f64(seconds)?,
                    memory: run.memory,
                })
            }
        }
    }

    /// The files in the prefix, and how many records of packages there are besides.
    fn linked(&self) -> Result<(BTreeMap<String, String>, usize)> {
        let mut found = files(&self.at(PREFIX))?;
        let all = found.len();
        found.retain(|path, _| !path.starts_with("conda-meta/"));
        let records = all - found.len();
        Ok((found, records))
    }

    /// Gives the prefix another name. Nothing is removed before the end: ext4 looks long for inodes where many have just
    /// been given back (`recently_deleted` in Linux's fs/ext4/ialloc.c).
    fn put_away(&self, name: &str) -> Result<()> {
        Ok(fs_err::rename(self.at(PREFIX), self.at(name))?)
    }
}

impl Tool {
    fn new(name: &'static str, how: How) -> Self {
        Self {
            name,
            how,
            first: Vec::new(),
            again: Vec::new(),
        }
    }
}

fn median(runs: &[Linked]) -> f64 {
    let mut walls: Vec<Duration> = runs.iter().map(|run| run.wall).collect();
    walls.sort();
    let median = walls.get(walls.len() / 2).copied().unwrap_or_default();
    median.as_secs_f64()
}

/// Files by path: links by their targets, others by whether they can be run and the digest of their content.
fn files(prefix: &Path) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let mut open = vec![prefix.to_owned()];
    while let Some(directory) = open.pop() {
        for child in fs_err::read_dir(directory)? {
            let path = child?.path();
            let name = path.strip_prefix(prefix)?.display().to_string();
            let kind = fs_err::symlink_metadata(&path)?;
            // Notes of the tools for themselves.
            if name == "CACHEDIR.TAG" || name.starts_with("__clobbers__") {
                continue;
            }
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_symlink() {
                let target = fs_err::read_link(&path)?;
                found.insert(name, format!("-> {}", target.display()));
            } else {
                let mode = std::os::unix::fs::PermissionsExt::mode(&kind.permissions()) & 0o111;
                let mut content = fs_err::read(&path)?;
                if name.starts_with("bin/") {
                    content = indented_alike(content);
                }
                let digest = hex::encode(Sha256::digest(content));
                found.insert(name, format!("{mode:o} {digest}"));
            }
        }
    }
    Ok(found)
}

/// Scripts of entry points are indented by a tab in ohoci and py-rattler, and by four spaces in micromamba: that alone
/// is no difference.
fn indented_alike(content: Vec<u8>) -> Vec<u8> {
    match String::from_utf8(content) {
        Ok(script) if script.starts_with("#!") => script.replace("\n\t", "\n    ").into_bytes(),
        Ok(other) => other.into_bytes(),
        Err(other) => other.into_bytes(),
    }
}

fn same(
    ours: &BTreeMap<String, String>,
    theirs: &BTreeMap<String, String>,
    name: &str,
) -> Result<()> {
    let other = |(path, content): &(&String, &String)| theirs.get(*path) != Some(*content);
    let differing = ours.iter().find(other).map(|(path, _)| path);
    let more = theirs.keys().find(|path| !ours.contains_key(*path));
    match differing.or(more) {
        Some(path) => bail!(
            "{path} is {:?} with ohoci, and {:?} with {name}",
            ours.get(path),
            theirs.get(path)
        ),
        None => Ok(()),
    }
}

fn table(scene: &Scene, tools: &[Tool], runs: usize, notes: &[String]) -> String {
    let mut text = format!(
        "{} packages, medians of {runs} runs by turns, with the shortest and the longest.\n\n\
         | tool | empty cache | × ohoci | again | × ohoci | peak memory |\n|---|---:|---:|---:|---:|---:|\n",
        scene.packages.len()
    );
    let Some(ours) = tools.first() else {
        return text;
    };
    let times = |runs: &[Linked]| {
        let walls = || runs.iter().map(|run| run.wall.as_secs_f64());
        let (shortest, longest) = (
            walls().fold(f64::INFINITY, f64::min),
            walls().fold(0.0, f64::max),
        );
        format!("{:.2} s ({shortest:.2}–{longest:.2})", median(runs))
    };
    for tool in tools {
        let memory = tool.first.iter().chain(&tool.again).map(|run| run.memory);
        let _ = writeln!(
            text,
            "| {} | {} | {:.1} | {} | {:.1} | {} |",
            tool.name,
            times(&tool.first),
            median(&tool.first) / median(&ours.first),
            times(&tool.again),
            median(&tool.again) / median(&ours.again),
            bytes(memory.max().unwrap_or(0)),
        );
    }
    for note in notes {
        let _ = write!(text, "\n* {note}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_differ_by_content_by_right_and_by_what_is_missing() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for prefix in ["a", "b"] {
            fs_err::create_dir_all(at(prefix).join("bin")).unwrap();
            fs_err::write(at(prefix).join("bin/tool"), "x").unwrap();
        }
        let compared = || same(&files(&at("a")).unwrap(), &files(&at("b")).unwrap(), "b");
        compared().unwrap();
        fs_err::write(at("b/more"), "").unwrap();
        assert!(compared().unwrap_err().to_string().contains("more is None"));
        fs_err::write(at("a/more"), "y").unwrap();
        assert!(compared().is_err());
        fs_err::remove_file(at("b/more")).unwrap();
        fs_err::remove_file(at("a/more")).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs_err::set_permissions(at("b/bin/tool"), executable).unwrap();
        assert!(compared().is_err());
    }
}
