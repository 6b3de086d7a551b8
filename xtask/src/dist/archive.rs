//! The archive for people: the program with its documentation, its bill of materials, man pages and
//! shell completions.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::{Package, extras, place};
use crate::{command, sbom};

/// Files of the repository that go along.
const FILES: [&str; 4] = ["CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md"];

/// Directories that go along: the pages that the readme links to, and what those link to.
const DIRECTORIES: [&str; 3] = ["ci/", "docs/", "layers/"];

/// The bill of materials; the ending is the one that the format's own tools look for.
pub(super) const SBOM: &str = "ohoci.cdx.json";

/// Packs it.
pub(super) fn pack(package: &Package<'_>) -> Result<PathBuf> {
    let version = &package.release.version;
    let name = format!("ohoci-{version}-{}-linux", package.processor());
    let stage = package.stage("archive")?;
    let directory = stage.join(&name);
    place(package.binary, &directory.join("ohoci"))?;
    for file in package.release.files() {
        let goes_along = FILES.contains(&file)
            || DIRECTORIES
                .iter()
                .any(|directory| file.starts_with(directory));
        if goes_along {
            place(&package.source.join(file), &directory.join(file))?;
        }
    }
    fs_err::write(directory.join(SBOM), sbom::document()?)?;
    let completions = directory.join("completions");
    extras(
        package.program,
        &directory.join("man"),
        &[
            ("bash", completions.join("ohoci.bash")),
            ("fish", completions.join("ohoci.fish")),
            ("zsh", completions.join("_ohoci")),
        ],
    )?;
    let archive = package.dist.join(format!("{name}.tar.gz"));
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
        .arg(&stage)
        .arg("-cf")
        .arg(&archive)
        .arg(&name);
    command::run(&mut tar)?;
    Ok(archive)
}
