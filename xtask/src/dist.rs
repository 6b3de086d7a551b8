//! `cargo xtask dist`: everything that is given to users, from one build for each kind of processor.

mod archive;
mod deb;
mod image;
mod tools;
mod wheel;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;
use sha2::{Digest, Sha256};

use crate::command::{self, output, root, target};

/// The kinds of processors that there are packages for, as Rust names them with their system.
const TARGETS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

/// The digests of all that was made, as sha256sum reads them.
const CHECKSUMS: &str = "SHA256SUMS";

/// What all packages of one commit have in common.
#[derive(Debug)]
pub(crate) struct Release {
    /// The version of the workspace.
    version: String,
    /// The commit, in full.
    commit: String,
    /// When it was made, in seconds since 1970: the only time in any package.
    time: String,
    /// The repository's files, as git lists them.
    files: Vec<String>,
}

impl Release {
    /// What is checked out.
    pub(crate) fn checked_out() -> Result<Self> {
        let git =
            |arguments: &[&str]| output(Command::new("git").args(arguments).current_dir(root()));
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let commit = git(&["rev-parse", "HEAD"])?.trim().to_owned();
        let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
        if !changed.is_empty() {
            println!("note: files differ from the commit that --version will name:\n{changed}");
        }
        let time = git(&["log", "-1", "--format=%ct"])?.trim().to_owned();
        let files = git(&["ls-files", "-z"])?;
        let files = files.split_terminator('\0').map(str::to_owned).collect();
        Ok(Self {
            version,
            commit,
            time,
            files,
        })
    }

    /// The repository's files.
    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(String::as_str)
    }
}

/// Make what is given to users.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Build nothing, and make no wheel: pack this program, which has to be for this machine
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// Builds everything into `target/dist`.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let release = Release::checked_out()?;
    let dist = target().join("dist");
    let made = match &arguments.binary {
        None => make(&release, &root(), &target(), &dist)?,
        Some(binary) => {
            empty(&dist)?;
            let name = host();
            let package = Package {
                release: &release,
                source: &root(),
                binary,
                program: binary,
                target: &name,
                dist: &dist,
            };
            let made = packed(&package)?;
            with_checksums(made, &dist)?
        }
    };
    for file in made {
        let size = fs_err::metadata(&file)?.len();
        println!("{} ({size} bytes)", file.display());
    }
    Ok(())
}

/// Builds everything from the sources in a directory; the files that it made, with their digests last.
pub(crate) fn make(
    release: &Release,
    source: &Path,
    target: &Path,
    dist: &Path,
) -> Result<Vec<PathBuf>> {
    let tools = tools::installed()?;
    empty(dist)?;
    let host = host();
    let mut targets: Vec<&str> = Vec::new();
    for target in TARGETS {
        if tools::has_standard_library(source, target)? {
            targets.push(target);
        } else {
            println!("note: left out {target}: `rustup target add {target}` is what it takes");
        }
    }
    // The machine's own comes first: only that program runs here, to write man pages and images.
    targets.sort_by_key(|target| *target != host);
    let own = *targets.first().context("no target can be built for")?;
    anyhow::ensure!(own == host, "there is no standard library for {host}");

    let mut made = Vec::new();
    let mut runs_here = None;
    for name in targets {
        let (wheel, binary) = wheel::build(release, &tools, source, target, name, dist)?;
        made.push(wheel);
        let program = runs_here.get_or_insert_with(|| binary.clone()).clone();
        let package = Package {
            release,
            source,
            binary: &binary,
            program: &program,
            target: name,
            dist,
        };
        made.extend(packed(&package)?);
    }
    with_checksums(made, dist)
}

/// The name of this machine's own target.
fn host() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// Makes a directory that has nothing in it.
fn empty(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs_err::remove_dir_all(directory)?;
    }
    Ok(fs_err::create_dir_all(directory)?)
}

/// Makes every package but the wheel.
fn packed(package: &Package<'_>) -> Result<Vec<PathBuf>> {
    let mut made = vec![archive::pack(package)?, deb::pack(package)?];
    made.extend(image::pack(package)?);
    Ok(made)
}

/// Writes the digests of all files, and adds that file.
fn with_checksums(mut made: Vec<PathBuf>, dist: &Path) -> Result<Vec<PathBuf>> {
    let mut sums = String::new();
    for file in &made {
        let hash = hex::encode(Sha256::digest(fs_err::read(file)?));
        let name = file.file_name().context("a file without a name")?;
        sums.push_str(&format!("{hash}  {}\n", name.to_string_lossy()));
    }
    let checksums = dist.join(CHECKSUMS);
    fs_err::write(&checksums, sums)?;
    made.push(checksums);
    Ok(made)
}

/// What a package is made of.
#[derive(Debug)]
struct Package<'a> {
    release: &'a Release,
    /// The sources.
    source: &'a Path,
    /// The program that goes into the package.
    binary: &'a Path,
    /// The same program, as it runs on this machine.
    program: &'a Path,
    /// What it was built for.
    target: &'a str,
    /// Where packages go.
    dist: &'a Path,
}

impl Package<'_> {
    /// The processor, as Rust calls it.
    fn processor(&self) -> &str {
        self.target.split('-').next().unwrap_or(self.target)
    }

    /// The processor, as Debian and container images call it.
    fn architecture(&self) -> &str {
        match self.processor() {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        }
    }

    /// An empty directory to lay the package's files out in.
    fn stage(&self, name: &str) -> Result<PathBuf> {
        let stage = self
            .dist
            .with_extension("stage")
            .join(self.target)
            .join(name);
        if stage.exists() {
            fs_err::remove_dir_all(&stage)?;
        }
        fs_err::create_dir_all(&stage)?;
        Ok(stage)
    }
}

/// Copies a file, and makes the directories that it needs.
fn place(from: &Path, to: &Path) -> Result<()> {
    fs_err::create_dir_all(to.parent().context("a file without a directory")?)?;
    fs_err::copy(from, to)?;
    Ok(())
}

/// Writes man pages into one directory and shell completions into those of each shell, as the program
/// itself writes them.
fn extras(program: &Path, man: &Path, completions: &[(&str, PathBuf)]) -> Result<()> {
    command::run(Command::new(program).args(["man", "--dir"]).arg(man))?;
    for (shell, file) in completions {
        let text = output(Command::new(program).args(["completions", shell]))?;
        fs_err::create_dir_all(file.parent().context("a file without a directory")?)?;
        fs_err::write(file, text)?;
    }
    Ok(())
}
