//! What can be done with SWE-bench's instances and runs.

use clap::Subcommand;

use super::{audit_leak, images, report, run_evaluation};
use crate::arguments::RegistryArguments;
use crate::failure::Failure;

/// What can be done with SWE-bench's instances and runs.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum SwebenchCommand {
    Images(Box<images::Arguments>),
    #[command(alias = "audit_leak")]
    AuditLeak(audit_leak::Arguments),
    #[command(visible_alias = "eval", alias = "run_evaluation")]
    RunEvaluation(Box<run_evaluation::Arguments>),
    Report(report::Arguments),
}

/// Runs the command.
pub(crate) async fn run(
    command: &SwebenchCommand,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    match command {
        SwebenchCommand::Images(arguments) => Box::pin(images::run(arguments, registry)).await,
        SwebenchCommand::AuditLeak(arguments) => {
            Box::pin(audit_leak::run(arguments, registry)).await
        }
        SwebenchCommand::RunEvaluation(arguments) => {
            Box::pin(run_evaluation::run(arguments, registry)).await
        }
        SwebenchCommand::Report(arguments) => report::run(arguments),
    }
}
