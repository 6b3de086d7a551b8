//! Root file systems from packages of this machine's mirrors.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{busybox, pack};
use crate::command::{find, output};

/// The mirror that apt uses for Debian itself.
pub(crate) fn mirror() -> Result<String> {
    let text = output(Command::new("apt-get").args(["indextargets", "--format", "$(REPO_URI)"]))?;
    let mut mirrors = text.lines().filter(|line| line.ends_with("/debian/"));
    mirrors
        .next()
        .map(str::to_owned)
        .context("apt knows no Debian mirror")
}

fn mmdebstrap() -> Result<Command> {
    let mut command = Command::new(find("mmdebstrap").context("mmdebstrap is not installed")?);
    command.args(["--format=tar", "--quiet"]);
    command.env("SOURCE_DATE_EPOCH", "0");
    Ok(command)
}

/// Makes the root file system of a minimal Debian as a tar, with these packages besides.
pub(crate) fn debian(out: &Path, suite: &str, mirror: &str, include: &[&str]) -> Result<()> {
    let mut command = mmdebstrap()?;
    command.arg("--variant=minbase");
    if !include.is_empty() {
        command.arg(format!("--include={}", include.join(",")));
    }
    command.arg(suite).arg(out);
    output(command.arg(format!("deb {mirror} {suite} main"))).map(drop)
}

/// Debian has no keys of Ubuntu's, so this base counts as unverified: it is only looked at.
pub(super) fn ubuntu(out: &Path, suite: &str, mirror: &str) -> Result<()> {
    let mirror = mirror.replace("/debian/", "/ubuntu/");
    let mut command = mmdebstrap()?;
    command.arg("--variant=minbase").arg(suite).arg(out);
    output(command.arg(format!("deb [trusted=yes] {mirror} {suite} main"))).map(drop)
}

/// Unpacks what matches of the files that packages of bookworm bring, without any of their scripts.
pub(super) fn extract(mirror: &str, packages: &[&str], to: &Path, patterns: &[&str]) -> Result<()> {
    let work = tempfile::tempdir()?;
    let tar = work.path().join("packages.tar");
    extracted(&tar, mirror, None, packages)?;
    unpack(&tar, to, patterns)
}

/// Makes a tar of what packages of bookworm bring, without any of their scripts: those of this machine's architecture, or
/// of another.
pub(super) fn extracted(
    out: &Path,
    mirror: &str,
    architecture: Option<&str>,
    packages: &[&str],
) -> Result<()> {
    let mut command = mmdebstrap()?;
    command
        .arg("--variant=extract")
        .arg(format!("--include={}", packages.join(",")));
    if let Some(architecture) = architecture {
        command.arg(format!("--architectures={architecture}"));
    }
    command.arg("bookworm").arg(out);
    output(command.arg(format!("deb {mirror} bookworm main"))).map(drop)
}

/// Unpacks what matches of a tar.
pub(super) fn unpack(tar: &Path, to: &Path, patterns: &[&str]) -> Result<()> {
    fs_err::create_dir_all(to)?;
    output(
        Command::new("tar")
            .arg("--extract")
            .arg("--file")
            .arg(tar)
            .arg("--directory")
            .arg(to)
            .arg("--wildcards")
            .args(patterns),
    )
    .map(drop)
}

/// musl, busybox and a program that is linked with musl, and nothing of glibc.
pub(super) fn musl(out: &Path, mirror: &str) -> Result<()> {
    let work = tempfile::tempdir()?;
    let root = work.path().join("root");
    extract(mirror, &["musl"], &root, &["./*musl*"])?;
    busybox::programs(&root.join("bin"), "/bin/busybox")?;
    let source = work.path().join("hello.c");
    fs_err::write(&source, busybox::HELLO)?;
    let compiler =
        find("musl-gcc").context("musl-gcc is not installed (Debian package musl-tools)")?;
    output(
        Command::new(compiler)
            .arg("-o")
            .arg(root.join("hello"))
            .arg(source),
    )?;
    pack(&root, out)
}
