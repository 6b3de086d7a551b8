//! `cargo xtask test`: set up, then run everything.

use std::process::Stdio;

use anyhow::Result;
use clap::Args;

use crate::command::{self, cargo};
use crate::debian;

/// Install what the tests need and run all of them.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only say what is missing, install nothing.
    #[arg(long)]
    no_install: bool,
    /// Passed on to the test runner, such as a part of a test's name.
    #[arg(last = true)]
    runner: Vec<String>,
}

/// Runs the documentation's examples and then, with cargo-nextest where it is installed, the tests.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    debian::ensure_installed(!arguments.no_install)?;
    let nextest = cargo()
        .args(["nextest", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    command::run(cargo().args(["test", "--workspace", "--doc"]))?;
    // Tests that are ignored otherwise need packages; here they are installed.
    if nextest.is_ok_and(|status| status.success()) {
        command::run(
            cargo()
                .args(["nextest", "run", "--workspace", "--run-ignored", "all"])
                .args(&arguments.runner),
        )
    } else {
        command::run(
            cargo()
                .args(["test", "--workspace", "--tests", "--", "--include-ignored"])
                .args(&arguments.runner),
        )
    }
}
