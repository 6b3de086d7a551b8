//! Root file systems of nothing but a static busybox, this machine's or arm64's, in odd shapes.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{pack, packages};
use crate::command::{find, output};
use crate::matrix::authority::Authority;
use crate::matrix::emulator::Emulator;

/// A program that says that it runs.
pub(super) const HELLO: &str =
    "#include <stdio.h>\nint main(void) { puts(\"hello from the base\"); return 0; }\n";

/// What is odd about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Nothing: as the usual image of busybox, with a company's authority in the bundle of certificates.
    Plain,
    /// Directories are links to where they are kept, as on systems that ostree deploys: `/usr` is merged, `/home`,
    /// `/opt`, `/root` and `/usr/local` are below `/var`, and `/tmp` leads to what is made when such a system
    /// starts. A company's authority is where Fedora has it.
    Ostree,
    NoPasswd,
    NoTmp,
    /// `/openhands` is a directory with files.
    OwnDirectory,
    /// `/openhands` leads elsewhere.
    OwnLink,
    /// `/openhands` is a file.
    OwnFile,
}

/// Makes it as a tar.
pub(super) fn make(out: &Path, shape: Shape, authority: &Authority) -> Result<()> {
    shaped(out, shape, authority, &Busybox::of_this_machine()?)
}

/// Makes the usual one for arm64, of Debian's busybox.
pub(super) fn arm64(out: &Path, mirror: &str, authority: &Authority) -> Result<()> {
    let work = tempfile::tempdir()?;
    let tar = work.path().join("packages.tar");
    packages::extracted(&tar, mirror, Some("arm64"), &["busybox-static"])?;
    packages::unpack(&tar, work.path(), &["./bin/busybox"])?;
    let program = work.path().join("bin/busybox");
    let names = output(Emulator::arm64()?.command().arg(&program).arg("--list"))?;
    shaped(out, Shape::Plain, authority, &Busybox { program, names })
}

fn shaped(out: &Path, shape: Shape, authority: &Authority, busybox: &Busybox) -> Result<()> {
    let work = tempfile::tempdir()?;
    let root = work.path().join("root");
    for directory in ["etc", "usr/bin", "usr/lib", "usr/sbin", "var/log"] {
        fs_err::create_dir_all(root.join(directory))?;
    }
    let directories: &[&str] = match shape {
        Shape::Ostree => &[
            "sysroot",
            "var/home",
            "var/opt",
            "var/roothome",
            "var/usrlocal/bin",
        ],
        Shape::NoTmp => &["bin", "home", "opt", "root"],
        _ => &["bin", "home", "opt", "root", "tmp"],
    };
    for directory in directories {
        fs_err::create_dir_all(root.join(directory))?;
    }
    if root.join("tmp").exists() {
        let mode = std::fs::Permissions::from_mode(0o1777);
        fs_err::set_permissions(root.join("tmp"), mode)?;
    }
    if shape == Shape::Ostree {
        for (link, target) in [
            ("bin", "usr/bin"),
            ("lib", "usr/lib"),
            ("sbin", "usr/sbin"),
            ("home", "var/home"),
            ("opt", "var/opt"),
            ("root", "var/roothome"),
            ("tmp", "sysroot/tmp"),
            ("usr/local", "../var/usrlocal"),
        ] {
            symlink(target, root.join(link))?;
        }
        // A tool that goes with the link that leads to it.
        symlink("/bin/busybox", root.join("var/usrlocal/bin/tac"))?;
    }
    busybox.install(&root.join("bin"), "/bin/busybox")?;
    if shape != Shape::NoPasswd {
        fs_err::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
        fs_err::write(root.join("etc/group"), "root:x:0:\n")?;
    }
    match shape {
        Shape::Plain => {
            let bundle = root.join("etc/ssl/certs/ca-certificates.crt");
            authority.install(&bundle)?;
        }
        Shape::Ostree => {
            let made = "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem";
            authority.install(&root.join(made))?;
            let link = root.join("etc/pki/tls/certs/ca-bundle.crt");
            fs_err::create_dir_all(link.parent().context("a directory")?)?;
            symlink(format!("/{made}"), link)?;
        }
        Shape::OwnDirectory => {
            fs_err::create_dir_all(root.join("openhands/code"))?;
            fs_err::write(root.join("openhands/code/main.py"), "")?;
        }
        Shape::OwnLink => symlink("opt", root.join("openhands"))?,
        Shape::OwnFile => fs_err::write(root.join("openhands"), "")?,
        Shape::NoPasswd | Shape::NoTmp => {}
    }
    pack(&root, out)
}

/// Puts this machine's static busybox into a directory, with a link for each of its programs. It will stand at `at`.
pub(super) fn programs(directory: &Path, at: &str) -> Result<()> {
    Busybox::of_this_machine()?.install(directory, at)
}

/// A static busybox, and the names of its programs, a line each.
struct Busybox {
    program: PathBuf,
    names: String,
}

impl Busybox {
    fn of_this_machine() -> Result<Self> {
        let program =
            find("busybox").context("busybox is not installed (Debian package busybox-static)")?;
        let names = output(Command::new(&program).arg("--list"))?;
        Ok(Self { program, names })
    }

    /// Puts it into a directory, with the links. It will stand at `at`.
    fn install(&self, directory: &Path, at: &str) -> Result<()> {
        fs_err::create_dir_all(directory)?;
        fs_err::copy(&self.program, directory.join("busybox"))?;
        for name in self.names.lines().filter(|name| *name != "busybox") {
            symlink(at, directory.join(name))?;
        }
        Ok(())
    }
}
