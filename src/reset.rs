//! `ohoci reset`: sandboxes that are kept, as their images again.

use clap::Args;
use serde::Serialize;

use super::arguments::{Format, RegistryArguments};
use super::context::Context;
use super::failure::Failure;
use super::{exit_code, output};
use ohoci_run::not_kept;

/// Take away what was written to a sandbox of `ohoci run --keep NAME`, so that it is as its image again.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The sandbox; repeatable
    #[arg(value_name = "NAME", required_unless_present = "list")]
    pub names: Vec<String>,

    /// Remove it altogether
    #[arg(long)]
    pub remove: bool,

    /// List the sandboxes and the digests of their images
    #[arg(long, conflicts_with_all = ["names", "remove"])]
    pub list: bool,

    /// How the list is written to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// A sandbox, in JSON.
#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    image: &'a str,
}

/// Runs the command.
pub(super) async fn run(
    arguments: &Arguments,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    let store = Context::open(registry)?.layer_store()?;
    if arguments.list {
        let all = store
            .sandboxes()
            .map_err(|error| Failure::new("cannot list the sandboxes", error.to_string()))?;
        match arguments.format {
            Format::Json => {
                let listed = all.iter().map(|(name, image)| Listed { name, image });
                output::json(&listed.collect::<Vec<_>>())?;
            }
            Format::Text if all.is_empty() => output::note("there is no sandbox"),
            Format::Text => {
                let lines = all.iter().map(|(name, image)| format!("{name}  {image}"));
                output::result(&lines.collect::<Vec<_>>().join("\n"))?;
            }
        }
        return Ok(exit_code::DONE);
    }
    let (names, removes) = (arguments.names.clone(), arguments.remove);
    let done = tokio::task::spawn_blocking(move || {
        for name in &names {
            let done = match removes {
                true => store.remove_sandbox(name),
                false => store.reset_sandbox(name),
            };
            done.map_err(|error| Failure::from(not_kept(name, &error)))?;
        }
        Ok::<(), Failure>(())
    });
    done.await
        .map_err(|error| Failure::new("cannot reset a sandbox", error.to_string()))??;
    Ok(exit_code::DONE)
}
