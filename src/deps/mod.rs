//! `ohoci deps`: ready-made layers from packages.

pub mod audit;
pub mod build;
mod bytecode;
pub mod diff;
pub mod fetch;
mod images;
pub mod lock;
pub(super) mod rootfs;
mod sbom;
mod selection;

use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use clap::Subcommand;

use super::arguments::RegistryArguments;
use super::context::{Context, policy};
use super::failure::Failure;
use super::progress::Progress;
use ohoci_compose::Observer;
use ohoci_config::ConfigError;
use ohoci_deps::fetch::Fetcher;
use ohoci_deps::hosts::DebianHosts;
use ohoci_deps::lock::{Lock, SourceKind};
use ohoci_deps::locking::ImageMeans;
use ohoci_deps::npm::registry::{Registries, registry_of_npm};
use ohoci_deps::python::configuration::Indexes;
use ohoci_deps::recipe::Recipe;
use ohoci_store::cache::Cache;

/// What can be done with layers.
#[derive(Subcommand, Clone, Debug)]
pub(super) enum DepsCommand {
    Lock(lock::Arguments),
    Fetch(fetch::Arguments),
    Build(build::Arguments),
    Audit(audit::Arguments),
    Diff(diff::Arguments),
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
    }
}

fn recipe(path: &Path) -> Result<Recipe, Failure> {
    Recipe::load(path).map_err(|error| {
        unusable(
            &format!("cannot use the recipe {}", path.display()),
            &[error],
        )
    })
}

/// A failure for what is wrong in files that a person wrote.
fn unusable(what: &str, errors: &[ConfigError]) -> Failure {
    if let [error] = errors {
        let failure = Failure::new(what, error.to_string());
        return match error.hint() {
            Some(hint) => failure.hinted(hint),
            None => failure,
        };
    }
    let lines: Vec<String> = errors
        .iter()
        .map(|error| match error.hint() {
            Some(hint) => format!("{error}\n  {hint}"),
            None => error.to_string(),
        })
        .collect();
    Failure::new(what, lines.join("\n"))
}

fn hosts(context: &Context) -> DebianHosts {
    DebianHosts::read(Path::new("/"), context.config.mirrors())
}

/// The machine's indexes for Python packages.
fn indexes(context: &Context) -> Indexes {
    Indexes::of_machine(&context.environment, Path::new("/etc"))
}

/// What images that recipes name are read with.
fn images(context: &Context) -> ImageMeans<'_> {
    ImageMeans {
        resolver: &context.resolver,
        work_dir: &context.work_dir,
    }
}

/// The machine's npm registries. Where none is configured, npm is asked for its own.
async fn all_npm_registries(context: &Context) -> Registries {
    let found = Registries::of_machine(&context.environment, Path::new("/etc"));
    match found.has_default() {
        true => found,
        false => found.or_default(registry_of_npm(Path::new("npm")).await),
    }
}

/// The same, for a lock: nobody is asked where nothing is to be had.
async fn npm_registries(context: &Context, lock: &Lock) -> Registries {
    match lock
        .source
        .iter()
        .any(|source| source.kind == SourceKind::Npm)
    {
        true => all_npm_registries(context).await,
        false => Registries::default(),
    }
}

/// Downloads into the cache, or where there is none, next to what else is made on the way.
fn fetcher(context: &Context, registry: &RegistryArguments, progress: &Arc<Progress>) -> Fetcher {
    let cache = if registry.no_cache {
        Arc::new(Cache::new(context.work_dir.join("packages")))
    } else {
        Arc::clone(&context.resolver.cache)
    };
    Fetcher::new(cache, Arc::clone(progress) as Arc<dyn Observer>)
        .with_policy(policy(&context.config))
}

/// The time, in seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "whether a signature counts is a question of the time"
)]
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_secs()).unwrap_or(i64::MAX)
}
