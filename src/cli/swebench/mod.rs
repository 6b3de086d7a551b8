//! `ohoci swebench`: SWE-bench without Docker.

mod inputs;
pub mod report;
mod run_tree;

use clap::Subcommand;

use super::failure::Failure;

/// What can be done with SWE-bench's instances and runs.
#[derive(Subcommand, Clone, Debug)]
pub(super) enum SwebenchCommand {
    Report(report::Arguments),
}

/// Runs the command.
pub(super) fn run(command: &SwebenchCommand) -> Result<u8, Failure> {
    match command {
        SwebenchCommand::Report(arguments) => report::run(arguments),
    }
}
