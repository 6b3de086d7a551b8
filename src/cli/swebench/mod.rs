//! `ohoci swebench`: SWE-bench without Docker.

mod inputs;
mod parquet;
pub mod report;
pub mod run_evaluation;
mod run_tree;

use clap::Subcommand;

use super::arguments::RegistryArguments;
use super::failure::Failure;

/// What can be done with SWE-bench's instances and runs.
#[derive(Subcommand, Clone, Debug)]
pub(super) enum SwebenchCommand {
    RunEvaluation(Box<run_evaluation::Arguments>),
    Report(report::Arguments),
}

/// Runs the command.
pub(super) async fn run(
    command: &SwebenchCommand,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    match command {
        SwebenchCommand::RunEvaluation(arguments) => {
            Box::pin(run_evaluation::run(arguments, registry)).await
        }
        SwebenchCommand::Report(arguments) => report::run(arguments),
    }
}
