//! The `ohoci` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    ohoci::run(std::env::args_os())
}
