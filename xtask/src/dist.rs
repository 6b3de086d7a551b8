//! `cargo xtask dist`: what is given to users.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::command::{self, output, root, target};
use crate::{release, sbom};

/// Files of the repository that go along.
const FILES: [&str; 4] = ["CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md"];

/// The bill of materials; the ending is the one that the format's own tools look for.
const SBOM: &str = "ohoci.cdx.json";

/// Directories that go along: the pages that the readme links to, and what those link to.
const DIRECTORIES: [&str; 2] = ["docs", "layers"];

/// Builds the binary and packs it with its documentation and its bill of materials into
/// `target/dist`.
pub(crate) fn run() -> Result<()> {
    let binary = release::build(&root(), &target())?;
    let version = output(Command::new(&binary).arg("--version"))?;
    let version = version
        .split_whitespace()
        .next_back()
        .context("ohoci --version says nothing")?;
    let name = format!("ohoci-{version}-{}-linux", std::env::consts::ARCH);

    let dist = target().join("dist");
    let directory = dist.join(&name);
    if directory.exists() {
        fs_err::remove_dir_all(&directory)?;
    }
    fs_err::create_dir_all(&directory)?;
    fs_err::copy(&binary, directory.join("ohoci"))?;
    for file in FILES {
        fs_err::copy(root().join(file), directory.join(file))?;
    }
    for name in DIRECTORIES {
        let files = output(
            Command::new("git")
                .args(["ls-files", "-z", name])
                .current_dir(root()),
        )?;
        for file in files.split_terminator('\0') {
            let to = directory.join(file);
            fs_err::create_dir_all(to.parent().context("a file without a directory")?)?;
            fs_err::copy(root().join(file), to)?;
        }
    }
    fs_err::write(directory.join(SBOM), sbom::document()?)?;
    extras(&binary, &directory)?;

    let archive = dist.join(format!("{name}.tar.gz"));
    let mut tar = Command::new("tar");
    // The same files make the same archive; gzip -n leaves out the time.
    tar.args([
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--mtime=@0",
        "--mode=u=rwX,go=rX",
    ]);
    tar.arg("--use-compress-program=gzip -n")
        .arg("-C")
        .arg(&dist)
        .arg("-cf")
        .arg(&archive)
        .arg(&name);
    command::run(&mut tar)?;
    let hash = hex::encode(Sha256::digest(fs_err::read(&archive)?));
    fs_err::write(
        archive.with_extension("gz.sha256"),
        format!("{hash}  {name}.tar.gz\n"),
    )?;
    println!("{}", archive.display());
    Ok(())
}

/// Man pages and shell completions, as the program itself writes them.
fn extras(binary: &Path, directory: &Path) -> Result<()> {
    command::run(
        Command::new(binary)
            .args(["man", "--dir"])
            .arg(directory.join("man")),
    )?;
    let completions = directory.join("completions");
    fs_err::create_dir_all(&completions)?;
    for (shell, file) in [
        ("bash", "ohoci.bash"),
        ("fish", "ohoci.fish"),
        ("zsh", "_ohoci"),
    ] {
        let text = output(Command::new(binary).args(["completions", shell]))?;
        fs_err::write(completions.join(file), text)?;
    }
    Ok(())
}
