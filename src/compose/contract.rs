//! `--contract`: whose launchers an image is asked to be made for.

use clap::ValueEnum;

use crate::context::Context;
use crate::failure::Failure;
use ohoci_image::Reference;
pub(super) use ohoci_openhands::contract::Contract;

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

/// Refuses a contract whose server no deps image brings. One that says itself that it has the server
/// is believed; of any other, layers are read, the smallest first, until the server is found.
pub(super) async fn expect_server(
    contract: Contract,
    deps: &[Reference],
    context: &Context,
) -> Result<(), Failure> {
    let mut missing = None;
    for reference in deps {
        let one = context.resolver.deps(reference).await?;
        let image = one.first_image().await?;
        if Contract::of_deps(image.config.document().object()) == Some(contract) {
            return Ok(());
        }
        let cache = &context.resolver.cache;
        match one.first_missing(&image, contract.server(), cache).await? {
            None => return Ok(()),
            Some(path) => missing = missing.or(Some(format!("{reference} has no {path}"))),
        }
    }
    let Some(missing) = missing else {
        return Ok(());
    };
    let (name, recipe) = match contract {
        Contract::V0 => ("v0", "openhands-v0"),
        Contract::V1 => ("v1", "agent-server"),
    };
    Err(Failure::usage(format!(
        "--contract {name} is for images that have the server, and {missing}"
    ))
    .hinted(format!(
        "`ohoci deps build {recipe}` makes a deps image with it; leave --contract out for tools alone"
    )))
}
