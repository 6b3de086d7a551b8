//! `cargo xtask gen`: files that are generated from the code.

use anyhow::{Result, bail};

use crate::command::{cargo, output, root};

/// Where the command line reference is.
const REFERENCE: &str = "docs/cli.md";

/// Writes them, or only checks that they are what would be written.
pub(crate) fn run(check: bool) -> Result<()> {
    let wanted = docs(&["reference"])?;
    let file = root().join(REFERENCE);
    if !check {
        fs_err::create_dir_all(root().join("docs"))?;
        return Ok(fs_err::write(file, wanted)?);
    }
    if fs_err::read_to_string(&file).ok().as_ref() != Some(&wanted) {
        bail!("{REFERENCE} does not say what the code says; run cargo xtask gen");
    }
    Ok(())
}

/// Runs the program that knows the command line; see `src/bin/docs.rs`.
pub(crate) fn docs(arguments: &[&str]) -> Result<String> {
    let program = [
        "run",
        "--quiet",
        "--package",
        "xtask",
        "--features",
        "docs",
        "--bin",
        "docs",
        "--",
    ];
    let mut cargo = cargo();
    // Help shows the value of variables that are set; the reference is the same for everybody.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OHOCI_") {
            cargo.env_remove(name);
        }
    }
    output(cargo.args(program).args(arguments))
}
