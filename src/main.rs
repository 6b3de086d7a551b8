//! The `ohoci` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    ohoci::cli::run(std::env::args_os())
}
