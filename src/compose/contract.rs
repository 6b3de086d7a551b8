//! `--contract`: whose launchers an image is asked to be made for.

use clap::ValueEnum;

use crate::context::Context;
use crate::failure::Failure;
use ohoci_compose::request::Request;
use ohoci_openhands::contract::Contract;
use ohoci_openhands::contract::server::{self, ServerError};
use ohoci_openhands::contract::terms::Terms;

/// Whose launchers an image is asked to be made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ContractArgument {
    /// That of the server which the deps image brings, as the deps image says
    Auto,
    /// The action execution server of openhands-ai: `/openhands/micromamba/bin/micromamba run -n
    /// openhands poetry run python -m openhands.runtime.action_execution_server`, root,
    /// `/openhands/code`, `/workspace`
    V0,
    /// The agent server of the software-agent-sdk: `/agent-server/.venv/bin/python -m
    /// openhands.agent_server`, `/usr/local/bin/openhands-agent-server`, user 10001, `/workspace`
    V1,
}

/// The contract that the flag asks for; the deps images say which it is where that is left to them.
/// They have its server, unless local layers `may_bring_it`.
pub(super) async fn contract(
    request: &Request,
    asked: Option<ContractArgument>,
    may_bring_it: bool,
    context: &Context,
) -> Result<Option<Terms>, Failure> {
    let (deps, resolver) = (&request.deps, &context.resolver);
    let contract = match asked {
        None => return Ok(None),
        Some(ContractArgument::V0) => Contract::V0,
        Some(ContractArgument::V1) => Contract::V1,
        Some(ContractArgument::Auto) => server::asked_for(deps, resolver).await?,
    };
    if !may_bring_it {
        server::expect(contract, deps, resolver).await?;
    }
    Ok(Some(server::terms(contract, deps, resolver).await?))
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Self {
        let failure = Self::usage(error.to_string());
        match error {
            ServerError::Read(error) => error.into(),
            ServerError::Several | ServerError::Unsaid => {
                failure.hinted("--contract v0 or --contract v1")
            }
            ServerError::Missing { contract, .. } => {
                let recipe = match contract {
                    Contract::V0 => "openhands-v0",
                    Contract::V1 => "agent-server",
                };
                failure.hinted(format!(
                    "`ohoci deps build {recipe}` makes a deps image with it; leave --contract out for \
                     tools alone"
                ))
            }
        }
    }
}
