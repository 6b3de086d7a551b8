//! Root file systems of bases, made from packages of this machine's mirrors.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{find, output};

/// A base.
#[derive(Clone, Debug)]
pub(super) struct Base {
    pub(super) name: &'static str,
    /// Its root file system as a tar; none for `scratch`.
    pub(super) rootfs: Option<PathBuf>,
}

/// What there is.
const NAMES: [&str; 6] = [
    "scratch", "musl", "bullseye", "bookworm", "trixie", "ubuntu",
];

/// The release of Ubuntu.
const UBUNTU: &str = "noble";

/// Makes those that are asked for, or all, as far as they are not there from an earlier run.
pub(super) fn make(directory: &Path, asked: &[String]) -> Result<Vec<Base>> {
    if let Some(unknown) = asked.iter().find(|name| !NAMES.contains(&name.as_str())) {
        bail!("no base {unknown}; there are {}", NAMES.join(", "));
    }
    fs_err::create_dir_all(directory)?;
    let mirror = mirror()?;
    let mut bases = Vec::new();
    for name in NAMES {
        if !asked.is_empty() && !asked.iter().any(|asked| asked == name) {
            continue;
        }
        let rootfs = directory.join(format!("{name}.tar"));
        if name != "scratch" && !rootfs.exists() {
            println!("== making {name}");
            let made = match name {
                "musl" => musl(&rootfs, &mirror),
                "ubuntu" => ubuntu(&rootfs, &mirror),
                suite => debian(&rootfs, suite, &mirror),
            };
            // Not every mirror has everything; what is missing is said, and no column is made of it.
            if let Err(error) = made {
                if asked.is_empty() && name == "ubuntu" {
                    println!("no {name}: {error:#}");
                    continue;
                }
                return Err(error.context(format!("cannot make {name}")));
            }
        }
        bases.push(Base {
            name,
            rootfs: Some(rootfs).filter(|_| name != "scratch"),
        });
    }
    Ok(bases)
}

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

/// Makes the root file system of a minimal Debian as a tar.
pub(crate) fn debian(out: &Path, suite: &str, mirror: &str) -> Result<()> {
    let mut command = mmdebstrap()?;
    command.arg("--variant=minbase").arg(suite).arg(out);
    output(command.arg(format!("deb {mirror} {suite} main"))).map(drop)
}

/// Debian has no keys of Ubuntu's, so this base counts as unverified: it is only looked at.
fn ubuntu(out: &Path, mirror: &str) -> Result<()> {
    let mirror = mirror.replace("/debian/", "/ubuntu/");
    let mut command = mmdebstrap()?;
    command.arg("--variant=minbase").arg(UBUNTU).arg(out);
    output(command.arg(format!("deb [trusted=yes] {mirror} {UBUNTU} main"))).map(drop)
}

/// musl, busybox and a program that is linked with musl, and nothing of glibc.
fn musl(out: &Path, mirror: &str) -> Result<()> {
    let work = tempfile::tempdir()?;
    let tar = work.path().join("packages.tar");
    let mut command = mmdebstrap()?;
    command.args([
        "--variant=extract",
        "--include=busybox-static,musl",
        "bookworm",
    ]);
    output(command.arg(&tar).arg(format!("deb {mirror} bookworm main")))?;
    let root = work.path().join("root");
    fs_err::create_dir_all(root.join("bin"))?;
    output(
        Command::new("tar")
            .arg("--extract")
            .arg("--file")
            .arg(&tar)
            .arg("--directory")
            .arg(&root)
            .args(["--wildcards", "./*musl*", "./*busybox"]),
    )?;
    let source = work.path().join("hello.c");
    fs_err::write(
        &source,
        "#include <stdio.h>\nint main(void) { puts(\"hello from musl\"); return 0; }\n",
    )?;
    let compiler =
        find("musl-gcc").context("musl-gcc is not installed (Debian package musl-tools)")?;
    output(
        Command::new(compiler)
            .arg("-o")
            .arg(root.join("hello"))
            .arg(source),
    )?;
    // Debian's busybox makes its links when it is asked to.
    let busybox = ["bin/busybox", "usr/bin/busybox"];
    let busybox = busybox
        .iter()
        .find(|path| root.join(path).is_file())
        .context("busybox-static has no busybox")?;
    let names = output(Command::new(root.join(busybox)).arg("--list"))?;
    for name in names.lines().filter(|name| *name != "busybox") {
        std::os::unix::fs::symlink(format!("/{busybox}"), root.join("bin").join(name))?;
    }
    output(
        Command::new("tar")
            .args([
                "--create",
                "--sort=name",
                "--mtime=@0",
                "--owner=0",
                "--group=0",
            ])
            .arg("--numeric-owner")
            .arg("--file")
            .arg(out)
            .arg("--directory")
            .arg(&root)
            .arg("."),
    )
    .map(drop)
}
