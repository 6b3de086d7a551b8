//! What packages are made with, beside Rust.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::output;
use crate::environment::Environment;

/// maturin and zig, from Python's package index.
pub(super) fn installed() -> Result<Environment> {
    Environment::installed("dist-tools", "xtask/dist-requirements.txt")
}

/// Whether Rust can build for a target here.
pub(super) fn has_standard_library(source: &Path, target: &str) -> Result<bool> {
    let sysroot = output(
        Command::new("rustc")
            .args(["--print", "sysroot"])
            .current_dir(source),
    )?;
    let library = Path::new(sysroot.trim_end())
        .join("lib/rustlib")
        .join(target)
        .join("lib");
    let mut found = match fs_err::read_dir(&library) {
        Ok(entries) => entries,
        Err(_) => return Ok(false),
    };
    Ok(found
        .next()
        .transpose()
        .context("cannot list the standard library")?
        .is_some())
}
