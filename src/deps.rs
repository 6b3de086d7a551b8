//! `ohoci deps`: ready-made layers from packages.

pub mod audit;
pub mod build;
pub mod diff;
pub(super) mod failures;
pub mod fetch;
mod images;
pub mod lock;
pub mod recipes;

use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use clap::Subcommand;

use super::arguments::RegistryArguments;
use super::context::{Context, policy};
use super::failure::Failure;
use super::progress::Progress;
use failures::unusable;
use ohoci_compose::Observer;
use ohoci_deps::Session;
use ohoci_deps::recipe::{Recipe, Values};

/// What can be done with layers.
#[derive(Subcommand, Clone, Debug)]
pub(super) enum DepsCommand {
    Lock(lock::Arguments),
    Fetch(fetch::Arguments),
    Build(build::Arguments),
    Audit(audit::Arguments),
    Diff(diff::Arguments),
    Recipes(recipes::Arguments),
}

/// Runs the command.
pub(super) async fn run(
    command: &DepsCommand,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    match command {
        DepsCommand::Lock(arguments) => Box::pin(lock::run(arguments, registry)).await,
        DepsCommand::Fetch(arguments) => Box::pin(fetch::run(arguments, registry)).await,
        DepsCommand::Build(arguments) => Box::pin(build::run(arguments, registry)).await,
        DepsCommand::Audit(arguments) => Box::pin(audit::run(arguments, registry)).await,
        DepsCommand::Diff(arguments) => Box::pin(diff::run(arguments, registry)).await,
        DepsCommand::Recipes(arguments) => recipes::run(arguments),
    }
}

/// Reads a recipe, with values that are set on the command line, `NAME=VALUE`.
pub(super) fn recipe(path: &Path, set: &[String]) -> Result<Recipe, Failure> {
    let values = set.iter().map(|text| {
        let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
        let (name, value) = pair.ok_or_else(|| {
            Failure::usage(format!("--set {text}: it is not of the form NAME=VALUE"))
        })?;
        Ok((name.to_owned(), value.to_owned()))
    });
    let values = values.collect::<Result<Values, Failure>>()?;
    Recipe::load_with(path, values).map_err(|error| {
        unusable(
            &format!("cannot use the recipe {}", path.display()),
            &[error],
        )
    })
}

/// What locking, downloading and building are done with.
pub(super) fn session<'a>(context: &'a Context, progress: &Arc<Progress>) -> Session<'a> {
    Session {
        resolver: &context.resolver,
        mirrors: context.config.mirrors(),
        environment: &context.environment,
        work_dir: &context.work_dir,
        retry: policy(&context.config),
        now: now(),
        observer: Arc::clone(progress) as Arc<dyn Observer>,
    }
}

/// The time, in seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "whether a signature counts is a question of the time"
)]
pub(super) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_secs()).unwrap_or(i64::MAX)
}
