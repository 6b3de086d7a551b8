//! `cargo xtask gen`: files that are generated from the code.

use anyhow::{Context, Result, bail};

use crate::command::{cargo, output, root};
use crate::models;

/// Where the command line reference is.
const REFERENCE: &str = "docs/cli.md";
/// Where the table of environment variables is.
const GUIDE: &str = "docs/guide.md";
/// Python's classes for what commands print.
const MODELS: &str = "python/ohoci/models.py";
/// What stands right before the table's rows.
const TABLE: &str = "| variable | meaning |\n|---|---|\n";

/// Writes them, or only checks that they are what would be written.
pub(crate) fn run(check: bool) -> Result<()> {
    // What needs no build comes first.
    settle(MODELS, &models::python()?, check)?;
    settle(REFERENCE, &docs(&["reference"])?, check)?;
    let guide = fs_err::read_to_string(root().join(GUIDE))?;
    settle(GUIDE, &with_table(&guide, &docs(&["environment"])?)?, check)
}

/// Writes a file, or fails if it is not what would be written.
fn settle(name: &str, wanted: &str, check: bool) -> Result<()> {
    let file = root().join(name);
    if !check {
        fs_err::write(file, wanted)?;
    } else if fs_err::read_to_string(&file).ok().as_deref() != Some(wanted) {
        bail!("{name} does not say what the code says; run cargo xtask gen");
    }
    Ok(())
}

/// The guide with other rows in its table of environment variables.
fn with_table(guide: &str, rows: &str) -> Result<String> {
    let (before, after) = guide
        .split_once(TABLE)
        .with_context(|| format!("{GUIDE} has no table of environment variables"))?;
    let end = after
        .find("\n\n")
        .with_context(|| format!("the table in {GUIDE} does not end"))?;
    Ok(format!("{before}{TABLE}{rows}{}", &after[end + 1..]))
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
    // Help shows the value of variables that are set; the reference must not depend on them.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OHOCI_") {
            cargo.env_remove(name);
        }
    }
    output(cargo.args(program).args(arguments))
}
