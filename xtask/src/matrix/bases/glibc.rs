//! Root file systems with a glibc and hardly anything besides.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::packages::extract;
use super::{busybox, pack};
use crate::command::{find, output};

/// A C library, its data and a program, as images have it that are to run one program: no shell, and a user of its own.
pub(super) fn distroless(out: &Path, mirror: &str) -> Result<()> {
    let work = tempfile::tempdir()?;
    let root = work.path().join("root");
    let packages = ["libc6", "netbase", "tzdata"];
    let wanted = ["./lib*", "./usr/lib*", "./etc/*", "./usr/share/zoneinfo*"];
    extract(mirror, &packages, &root, &wanted)?;
    for directory in ["home/nonroot", "tmp", "usr/bin", "var"] {
        fs_err::create_dir_all(root.join(directory))?;
    }
    fs_err::write(
        root.join("etc/passwd"),
        "root:x:0:0:root:/root:/sbin/nologin\n\
         nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n",
    )?;
    fs_err::write(root.join("etc/group"), "root:x:0:\nnonroot:x:65532:\n")?;
    compile(work.path(), &root.join("usr/bin/hello"), &[])?;
    pack(&root, out)
}

/// A store with a C library and programs in directories that are called by what they were made from, and links to them:
/// nothing is where other systems have it.
pub(super) fn nix(out: &Path, mirror: &str) -> Result<()> {
    const GLIBC: &str = "nix/store/6gjk3fwgyyzr1v0rlh0ch7mkwz2p3xq5-glibc-2.36";
    const BUSYBOX: &str = "nix/store/0qf4wgqrnjm1xyy1bc6pc1cvw1ghjv3i-busybox-1.35.0";
    const HELLO: &str = "nix/store/x7dqxg4r7bsp2ljkmbl0xsw5gmqsryzd-hello-1";
    let work = tempfile::tempdir()?;
    let (root, files) = (work.path().join("root"), work.path().join("files"));
    extract(mirror, &["libc6"], &files, &["./lib*", "./usr/lib*"])?;
    let libraries = root.join(GLIBC).join("lib");
    fs_err::create_dir_all(&libraries)?;
    let triplet = match std::env::consts::ARCH {
        "aarch64" => "aarch64-linux-gnu",
        _ => "x86_64-linux-gnu",
    };
    let from = [
        files.join("usr/lib").join(triplet),
        files.join("lib").join(triplet),
    ];
    for directory in from.iter().filter(|directory| directory.is_dir()) {
        for entry in fs_err::read_dir(directory)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                fs_err::copy(entry.path(), libraries.join(entry.file_name()))?;
            }
        }
    }
    let loader = match std::env::consts::ARCH {
        "aarch64" => "ld-linux-aarch64.so.1",
        _ => "ld-linux-x86-64.so.2",
    };
    let program = root.join(HELLO).join("bin/hello");
    fs_err::create_dir_all(program.parent().context("a directory")?)?;
    compile(
        work.path(),
        &program,
        &[
            format!("-Wl,--dynamic-linker=/{GLIBC}/lib/{loader}"),
            format!("-Wl,-rpath,/{GLIBC}/lib"),
        ],
    )?;
    let programs = root.join(BUSYBOX).join("bin");
    busybox::programs(&programs, "busybox")?;
    fs_err::create_dir_all(root.join("bin"))?;
    for entry in fs_err::read_dir(&programs)? {
        let name = entry?.file_name();
        let target = Path::new("/").join(BUSYBOX).join("bin").join(&name);
        symlink(target, root.join("bin").join(name))?;
    }
    symlink(format!("/{HELLO}/bin/hello"), root.join("bin/hello"))?;
    pack(&root, out)
}

/// Compiles the program that says that it runs.
fn compile(work: &Path, out: &Path, options: &[String]) -> Result<()> {
    let source = work.join("hello.c");
    fs_err::write(&source, busybox::HELLO)?;
    let mut command = Command::new(find("cc").context("there is no C compiler")?);
    output(command.arg("-o").arg(out).arg(source).args(options)).map(drop)
}
