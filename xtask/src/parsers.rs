//! `cargo xtask parsers`: SWE-bench's logs, read by ohoci and by upstream.

use std::path::PathBuf;

use anyhow::Result;

use crate::command::{cargo, run as run_command};

/// How many logs, and of which kind.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A Python that has the package swebench, version 5.
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: PathBuf,
    /// How many logs.
    #[arg(long, default_value_t = 50_000)]
    logs: usize,
    /// Another number makes other logs; the same one makes the same.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write some of each parser's logs, with what upstream found, to this file.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// Runs the program that knows ohoci's parsers; see `src/bin/parsers`.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let program = [
        "run",
        "--quiet",
        "--package",
        "xtask",
        "--features",
        "parsers",
        "--bin",
        "parsers",
        "--",
    ];
    let mut cargo = cargo();
    cargo
        .args(program)
        .arg(&arguments.python)
        .arg(arguments.logs.to_string())
        .arg(arguments.seed.to_string())
        .args(&arguments.write);
    run_command(&mut cargo)
}
