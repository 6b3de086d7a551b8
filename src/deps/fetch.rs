//! `ohoci deps fetch`: what a lock names, into the cache.

use std::path::PathBuf;

use clap::Args;

use super::{failures, recipe, session};
use crate::arguments::{Format, RegistryArguments};
use crate::context::Context;
use crate::exit_code;
use crate::failure::Failure;
use crate::output;
use crate::progress::Progress;
use ohoci_deps::recipe::Recipe;
use ohoci_image::Platform;
use ohoci_report::size::bytes;

/// Download what a recipe's lock names into the cache
///
/// A build after that needs no network. What is in the cache already is not downloaded again.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The profile or feature, such as layers/minimal.toml
    #[arg(value_name = "RECIPE")]
    pub recipe: PathBuf,

    /// Set a value that the recipe names in `[python.set]`, such as server=1.34.0, and use a lock of
    /// its own for it; repeatable
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,

    /// Fail when the lock is missing or not that of the recipe, which is so without this, too: a fetch
    /// makes no lock
    #[arg(long)]
    pub locked: bool,

    /// Only for this platform; repeatable
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Vec<Platform>,

    /// How the result is written to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

pub(super) async fn run(
    arguments: &Arguments,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    if registry.no_cache {
        return Err(Failure::usage(
            "--no-cache leaves no place to keep what is downloaded",
        ));
    }
    let recipe = recipe(&arguments.recipe, &arguments.set)?;
    let platforms = platforms(&arguments.platform, &recipe)?;
    let lock =
        ohoci_deps::current(&recipe).map_err(|error| failures::current_lock(&recipe, &error))?;
    let context = Context::open(registry)?;
    let progress = Progress::start();
    let session = session(&context, &progress);
    let fetched = session.fetch(&recipe, &lock, &platforms).await;
    progress.end();
    let fetched = fetched.map_err(|error| failures::missing(&recipe, &error))?;
    match arguments.format {
        Format::Json => output::json(&fetched)?,
        Format::Text => output::note(&format!(
            "{} files, {}; downloaded {} of them, {}",
            fetched.files,
            bytes(fetched.bytes),
            fetched.downloaded_files,
            bytes(fetched.downloaded_bytes)
        )),
    }
    Ok(exit_code::DONE)
}

/// The platforms that are asked for, which must be among the recipe's.
pub(super) fn platforms(asked: &[Platform], recipe: &Recipe) -> Result<Vec<Platform>, Failure> {
    if asked.is_empty() {
        return Ok(recipe.platforms.clone());
    }
    let platforms = asked.iter().map(|platform| {
        if recipe.platforms.contains(platform) {
            return Ok(platform.clone());
        }
        let there: Vec<String> = recipe.platforms.iter().map(ToString::to_string).collect();
        Err(Failure::usage(format!(
            "--platform {platform}: {} is for {}",
            recipe.name,
            there.join(" and ")
        )))
    });
    platforms.collect()
}
