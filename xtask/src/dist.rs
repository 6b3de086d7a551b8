//! `cargo xtask dist`: what is given to users.

use std::process::Command;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::command::{self, output, root, target};
use crate::{generate, release, sbom};

/// Files of the repository that go along.
const FILES: [&str; 3] = ["CHANGELOG.md", "LICENSE", "README.md"];

/// The bill of materials; the ending is the one that the format's own tools look for.
const SBOM: &str = "ohoci.cdx.json";

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
    fs_err::copy(binary, directory.join("ohoci"))?;
    for file in FILES {
        fs_err::copy(root().join(file), directory.join(file))?;
    }
    fs_err::write(directory.join(SBOM), sbom::document()?)?;
    generate::docs(&["extras", &directory.display().to_string()])?;

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
    let hash: String = Sha256::digest(fs_err::read(&archive)?)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    fs_err::write(
        archive.with_extension("gz.sha256"),
        format!("{hash}  {name}.tar.gz\n"),
    )?;
    println!("{}", archive.display());
    Ok(())
}
