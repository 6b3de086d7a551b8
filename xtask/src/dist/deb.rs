//! The Debian package: the program, man pages and completions where Debian looks for them.
//!
//! It is packed by dpkg-deb, which every Debian machine has and which makes the same file of the same
//! tree; cargo-deb would be another program to build for what is one control file here.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::{Package, extras, place};
use crate::command;

/// Packs it.
pub(super) fn pack(package: &Package<'_>) -> Result<PathBuf> {
    let version = &package.release.version;
    let architecture = package.architecture();
    let root = package.stage("deb")?;
    let share = root.join("usr/share");
    place(package.binary, &root.join("usr/bin/ohoci"))?;
    place(
        &package.source.join("LICENSE"),
        &share.join("doc/ohoci/copyright"),
    )?;
    extras(
        package.program,
        &share.join("man/man1"),
        &[
            ("bash", share.join("bash-completion/completions/ohoci")),
            ("fish", share.join("fish/vendor_completions.d/ohoci.fish")),
            ("zsh", share.join("zsh/vendor-completions/_ohoci")),
        ],
    )?;
    let control = format!(
        "Package: ohoci\n\
         Version: {version}\n\
         Architecture: {architecture}\n\
         Maintainer: The maintainers of ohoci <ohoci@registry.example>\n\
         Section: utils\n\
         Priority: optional\n\
         Depends: libc6 (>= 2.17)\n\
         Recommends: bubblewrap, ca-certificates\n\
         Description: Put ready-made layers on any container base image\n\
         \u{20}Assembles OCI images at the manifest level: no daemon, no build, no root.\n\
         \u{20}bubblewrap is what `ohoci run` starts programs with.\n"
    );
    fs_err::create_dir_all(root.join("DEBIAN"))?;
    fs_err::write(root.join("DEBIAN/control"), control)?;
    // dpkg-deb keeps modes, and a umask must not show.
    command::run(Command::new("chmod").args(["-R", "u=rwX,go=rX"]).arg(&root))?;
    let file = package
        .dist
        .join(format!("ohoci_{version}_{architecture}.deb"));
    command::run(
        Command::new("dpkg-deb")
            .args(["--root-owner-group", "-Zxz", "--build"])
            .arg(&root)
            .arg(&file)
            .env("SOURCE_DATE_EPOCH", &package.release.time),
    )?;
    Ok(file)
}
